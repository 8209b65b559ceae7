"""Where to start an optimiser: even splits, and a dynamic-programming segmentation of every trial.

The densities of changepoint models have many local optima, and where the optimiser starts matters more than how it
moves. No single start is safe for all data, so `standard_starts` gives several. Plain numpy; knows nothing of PyMC
beyond the names of the variables. Called by the models' `starts`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from pytau_hpc.models.segmentation import States, best_segmentations, even_edges, hard_weights

SMALL_SCALE = -2.0  # rho of an informed start: an sd of softplus(-2) = 0.13 in unconstrained space
WIDE_SCALE = 0.0  # rho of PyMC's own start: an sd of 0.69
# How much of a Dirichlet process' stick a start uses up. Any share gives the same lengths, and an optimiser moves
# slowly from one to another, since all trials and `alpha` must move together. From 0.95 it ends up to 20 nats lower;
# from 0.08 to 0.3 all are within two of each other.
FILLED = 0.2

Cuts = TypeVar("Cuts")
Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Start:
    """One place to start from.

    Attributes
    ----------
    name : for people and for the result's attributes
    values : arrays by variable name, in the model's own (constrained) space; what is missing starts at PyMC's
        initial value
    rho : initial scale of all variational parameters before softplus
    """

    name: str
    values: Values = field(default_factory=dict)
    rho: float = SMALL_SCALE


def standard_starts(
    states: States,
    n_states: int,
    rng: np.random.Generator,
    values_of: Callable[[np.ndarray, Values], Values],
) -> list[Start]:
    """The starts of a model whose trials all share the same left-to-right states; see `starts_of`.

    Parameters
    ----------
    states : the data, by their kind of emission
    values_of : (edges, emission parameters) → the model's variables. Edges are ints of shape (trial, changepoint),
        the first bin of states 1, 2, …; the parameters are what `states.estimate` gives
    """
    with np.errstate(all="ignore"):  # a start that overflows is a start that fails
        found = best_segmentations(states, n_states, rng)

    def values(edges: np.ndarray) -> Values:
        return values_of(edges, states.estimate(hard_weights(edges, states.shape[-1])))

    return starts_of(found, even_edges(states.shape, n_states), values)


def starts_of(
    found: Sequence[Cuts], even: Cuts, values_of: Callable[[Cuts], Values]
) -> list[Start]:
    """Starts of cuts that were found, the best first, and the two that every model gets.

    "segmented", and further down "segmented_2" and "segmented_3": what was `found`. "even": even splits with the
    means of their bins. "prior": PyMC's initial point with a wide scale. An engine that wants fewer takes the first
    ones.
    """
    with np.errstate(all="ignore"):  # a start that overflows is one that engines expect to fail
        segmented = [Start("segmented", values_of(cuts)) for cuts in found[:1]]
        others = [
            Start(f"segmented_{number}", values_of(cuts))
            for number, cuts in enumerate(found[1:], start=2)
        ]
        return [
            *segmented,
            Start("even", values_of(even)),
            Start("prior", {}, rho=WIDE_SCALE),
            *others,
        ]


def tau_latent(edges: np.ndarray, last: int) -> np.ndarray:
    """Changepoints as shares of `last`, the largest `tau`, for cuts in front of the bins `edges`.

    A sigmoid centred half a bin before the first bin of the new state separates it from the last of the old one.
    """
    return np.clip((edges - 0.5) / last, 0.02, 0.98)


def chain_of_exponentials(leaf: np.ndarray, axes: Sequence[int], top: Any) -> list[np.ndarray]:
    """Likely values of the parents of exponential variables, whose rates are exponential variables in turn.

    Parameters
    ----------
    leaf : positive values of the lowest level
    axes : for each level above it, from the lowest, the axis that its children have and it has not
    top : rate of the highest level, broadcast against it

    Returns
    -------
    One array per level above `leaf`, the lowest first: fixed point of each level's conditional mean,
    (1 + number of children) / (rate of its own + sum of its children)
    """
    levels = [leaf]
    for axis in axes:
        levels.append(1.0 / levels[-1].mean(axis=axis))
    for _ in range(30):
        for index, axis in enumerate(axes, start=1):
            children = levels[index - 1]
            if index + 1 < len(levels):
                rate = np.expand_dims(levels[index + 1], axes[index])
            else:
                rate = np.broadcast_to(top, levels[index].shape)
            levels[index] = (1 + children.shape[axis]) / (rate + children.sum(axis=axis))
    return levels[1:]


def stick_values(edges: np.ndarray, n_bins: int) -> dict[str, np.ndarray]:
    """The variables of `changepoints.sticks`, for cuts in front of the bins `edges`, shape ([trial,] changepoint)."""
    ends = np.full((*edges.shape[:-1], 1), float(n_bins))
    places = np.concatenate([0 * ends, edges - 0.5, ends], axis=-1)
    taken = FILLED * np.diff(places, axis=-1) / n_bins
    beta = taken / (1 - np.cumsum(taken, axis=-1) + taken)
    # The mean of `alpha` given these, with the prior's own parameters at their means.
    alpha = (10.0 + beta.size) / (1.5 - np.log1p(-beta).sum())
    return {"alpha": np.asarray(alpha), "beta": beta}
