"""Where to start an optimiser: even splits, and a dynamic-programming segmentation of every trial.

The densities of changepoint models have many local optima, and where the optimiser starts matters more than how it
moves. No single start is safe for all data, so `standard_starts` gives several. Plain numpy; knows nothing of PyMC
beyond the names of the variables. Called by the models' `starts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

SMALL_SCALE = -2.0  # rho of an informed start: an sd of softplus(-2) = 0.13 in unconstrained space
WIDE_SCALE = 0.0  # rho of PyMC's own start: an sd of 0.69

# Segmentation is cheap beside the fit (some 0.1 s) and decides where the fit ends. On a real recording, four guesses
# and one segmented start end up to 60 nats above the lowest loss known; these settings reach it in three of four seeds
# and stay within 36 nats in the others.
GUESSES = 32
FIRST_ROUNDS = 3
PROMISING = 8
MAX_ROUNDS = 40
SEGMENTATIONS = 3


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
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    rho: float = SMALL_SCALE

    def without_axes(self, **axes: int) -> Start:
        """The same start for a model that lacks the named variables' given axes (each of length 1)."""
        values = {
            name: np.squeeze(value, axis=axes[name]) if name in axes else value
            for name, value in self.values.items()
        }
        return replace(self, values=values)


class States(Protocol):
    """What the data say about states, for one kind of emission. `weights` has shape (trial, state, bin), 0 or 1."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(trial, neuron, bin)"""

    def estimate(self, weights: np.ndarray) -> Mapping[str, np.ndarray]:
        """The emission parameters of each state, given which bins belong to it."""

    def log_density(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Log density of each bin in each state, shape (trial, state, bin), up to a constant."""


@dataclass(frozen=True)
class PoissonStates:
    """Counts, int array of shape (trial, neuron, bin); one rate per neuron and state."""

    counts: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        n_trials, n_neurons, n_bins = self.counts.shape
        return n_trials, n_neurons, n_bins

    def estimate(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"lambda": _means(self.counts, weights) + 0.01}

    def log_density(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        rates = parameters["lambda"]  # (neuron, state)
        return np.matmul(np.log(rates).T, self.counts) - rates.sum(axis=0)[:, None]


@dataclass(frozen=True)
class GaussianStates:
    """Real values, float array of shape (trial, dimension, bin); one mean per dimension and state."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        n_trials, n_dimensions, n_bins = self.values.shape
        return n_trials, n_dimensions, n_bins

    def estimate(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        mu = _means(self.values, weights)
        residual = self.values - np.matmul(mu, weights)
        floor = 1e-3 * (self.values.std() or 1.0)  # a series that fits perfectly still needs an sd
        return {"mu": mu, "sigma": np.sqrt((residual**2).mean(axis=(0, 2))) + floor}

    def log_density(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        mu, sigma = parameters["mu"], parameters["sigma"][:, None]
        scaled, centres = self.values / sigma, mu / sigma
        # The square of the data is the same in every state and drops out of the comparison.
        return np.matmul(centres.T, scaled) - 0.5 * (centres**2).sum(axis=0)[:, None]


def standard_starts(states: States, n_states: int, rng: np.random.Generator) -> list[Start]:
    """The starts that every model of left-to-right states gets.

    "segmented", and further down "segmented_2" and "segmented_3": each trial cut by dynamic programming
    (`best_segmentations`). "even": even splits with their means. "prior": PyMC's initial point with a wide scale.
    An engine that wants fewer takes the first ones.
    """
    with np.errstate(
        all="ignore"
    ):  # a start that overflows is a start that fails, which engines expect
        return _standard_starts(states, n_states, rng)


def _standard_starts(states: States, n_states: int, rng: np.random.Generator) -> list[Start]:
    first, *others = [
        _start_from("segmented", states, edges)
        for edges in best_segmentations(states, n_states, rng)
    ]
    return [
        first,
        _start_from("even", states, even_edges(states.shape, n_states)),
        Start("prior", {}, rho=WIDE_SCALE),
        *(replace(other, name=f"segmented_{n}") for n, other in enumerate(others, start=2)),
    ]


def segment_means(data: np.ndarray, n_states: int) -> np.ndarray:
    """Mean of each of `n_states` nearly equal stretches of bins.

    Parameters
    ----------
    data : array, shape (…, bin)

    Returns
    -------
    float array, shape (…, state)
    """
    parts = np.array_split(np.asarray(data, dtype=np.float64), n_states, axis=-1)
    return np.stack([part.mean(axis=-1) for part in parts], axis=-1)


def even_edges(shape: tuple[int, int, int], n_states: int) -> np.ndarray:
    """First bin of states 1, 2, … when the bins are split evenly; int array, shape (trial, changepoint)."""
    n_trials, _, n_bins = shape
    edges = np.round(np.arange(1, n_states) * n_bins / n_states).astype(np.int64)
    return np.broadcast_to(edges, (n_trials, n_states - 1))


def best_segmentations(states: States, n_states: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut every trial so that the trials together are most likely under shared emission parameters.

    Alternates between estimating the parameters and cutting each trial optimally, which finds a local optimum only.
    So it begins from even splits and from `GUESSES` random ones, gives all of them a few rounds, follows the
    `PROMISING` best to the end, and returns up to `SEGMENTATIONS` different results, the best first.

    Returns
    -------
    int arrays, shape (trial, changepoint): first bin of states 1, 2, …
    """
    guesses = [even_edges(states.shape, n_states)]
    guesses += [
        _random_edges(states.shape, n_states, rng, each=bool(n % 2)) for n in range(GUESSES)
    ]
    tried = [_refine(states, edges, FIRST_ROUNDS) for edges in guesses]
    tried.sort(key=lambda result: -result[0])
    refined = [_refine(states, edges, MAX_ROUNDS) for _, edges in tried[:PROMISING]]
    refined.sort(key=lambda result: -result[0])
    different: list[np.ndarray] = []
    for _, edges in refined:
        if not any(np.array_equal(edges, other) for other in different):
            different.append(edges)
    return different[:SEGMENTATIONS]


def _random_edges(
    shape: tuple[int, int, int], n_states: int, rng: np.random.Generator, *, each: bool
) -> np.ndarray:
    """Random cuts, different in each trial or the same in all; every state has at least one bin."""
    n_trials, _, n_bins = shape
    places = np.broadcast_to(np.arange(1, n_bins), (n_trials if each else 1, n_bins - 1))
    cuts = np.sort(rng.permuted(places, axis=1)[:, : n_states - 1], axis=1)
    return np.broadcast_to(cuts, (n_trials, n_states - 1))


def _refine(states: States, edges: np.ndarray, rounds: int) -> tuple[float, np.ndarray]:
    score = -np.inf
    for _ in range(rounds):
        parameters = states.estimate(hard_weights(edges, states.shape[-1]))
        score, new_edges = cut(states.log_density(parameters))
        if np.array_equal(new_edges, edges):
            break
        edges = new_edges
    return score, edges


def cut(log_density: np.ndarray) -> tuple[float, np.ndarray]:
    """Cut each trial into states 0, 1, 2, … in this order, each at least one bin long, as likely as possible.

    Parameters
    ----------
    log_density : shape (trial, state, bin)

    Returns
    -------
    total log density of the best cuts; int array, shape (trial, changepoint): first bin of states 1, 2, …
    """
    n_trials, n_states, n_bins = log_density.shape
    # total[:, k, t]: the first t bins, had they all been in state k
    total = np.concatenate(
        [np.zeros((n_trials, n_states, 1)), log_density.cumsum(axis=-1)], axis=-1
    )
    times = np.arange(n_bins + 1)
    best = np.where(times >= 1, total[:, 0], -np.inf)
    came_from = []
    for state in range(1, n_states):
        gain = best - total[:, state]  # of entering this state at each time
        running = np.maximum.accumulate(gain, axis=-1)
        at_best = np.maximum.accumulate(np.where(gain >= running, times, 0), axis=-1)
        # One bin at least: to have left after t bins, the state was entered after t - 1 at the latest.
        entered = np.concatenate([np.zeros((n_trials, 1), np.int64), at_best[:, :-1]], axis=-1)
        before = np.concatenate([np.full((n_trials, 1), -np.inf), running[:, :-1]], axis=-1)
        best = total[:, state] + before
        came_from.append(entered)
    edges = np.empty((n_trials, n_states - 1), dtype=np.int64)
    end = np.full(n_trials, n_bins)
    for state in range(n_states - 1, 0, -1):
        end = came_from[state - 1][np.arange(n_trials), end]
        edges[:, state - 1] = end
    return float(best[:, -1].sum()), edges


def hard_weights(edges: np.ndarray, n_bins: int) -> np.ndarray:
    """Which state each bin is in, float array of 0 and 1, shape (trial, state, bin)."""
    state_of_bin = (np.arange(n_bins) >= edges[..., None]).sum(axis=-2)  # (trial, bin)
    n_states = edges.shape[-1] + 1
    return (state_of_bin[:, None, :] == np.arange(n_states)[:, None]).astype(np.float64)


def _means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of each neuron in each state, shape (neuron, state); a state without bins gets the overall mean."""
    sums = np.matmul(values, weights.swapaxes(1, 2)).sum(axis=0)
    bins = weights.sum(axis=(0, 2))
    overall = values.mean(axis=(0, 2))[:, None]
    return np.where(bins > 0, sums / np.maximum(bins, 1), overall)


def _start_from(name: str, states: States, edges: np.ndarray) -> Start:
    n_bins = states.shape[-1]
    # A sigmoid centred half a bin before the first bin of the new state separates it from the last of the old one.
    latent = np.clip((edges - 0.5) / (n_bins - 1), 0.02, 0.98)
    return Start(name, {**states.estimate(hard_weights(edges, n_bins)), "tau_latent": latent})
