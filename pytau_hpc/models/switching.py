"""Rates that switch in the course of the trials: what the two `…_trial_switch` models share.

Trials are divided into components as bins are divided into states: the rates of a neuron depend on both, and a trial
between two components has a mixture of their rates. When a switch happens is common to all tastes; when a change
happens within a trial is each trial's own.

Source: PyTau's `SingleTastePoissonTrialSwitch` and `AllTastePoissonTrialSwitch` (github.com/abuzarmahmood/pytau, MIT).
Their changepoints lie between 0 and the number of bins, those of other models end one bin before; so it is here.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from pytau_hpc.models.all_tastes import together
from pytau_hpc.models.changepoints import changepoints, state_weights, trial_switches
from pytau_hpc.models.emissions import PoissonStates
from pytau_hpc.models.segmentation import (
    FIRST_ROUNDS,
    best_segmentations,
    cut,
    even_edges,
    hard_weights,
    refine,
)
from pytau_hpc.models.starts import Start, chain_of_exponentials, starts_of, tau_latent

RATE_OF_NEURONS = 10.0
GUESSES = 8  # at where the trials switch, before any is followed
ROUNDS = 5


def inputs_of(data: np.ndarray, n_states: int, n_components: int) -> dict[str, np.ndarray]:
    """The data, int array of shape ([taste,] trial, neuron, bin), and the numbers of the states and components.

    Of the latter only their lengths matter; nothing else in this model could tell them.
    """
    return {
        "counts": data,
        "states": np.arange(n_states),
        "components": np.arange(n_components),
    }


def model_of(inputs: Mapping[str, np.ndarray]) -> pm.Model:
    """The model of its inputs, with tastes where the counts have four axes."""
    with pm.Model() as model:
        counts = pm.Data("counts", inputs["counts"])
        states = pm.Data("states", inputs["states"]).shape[0]
        components = pm.Data("components", inputs["components"]).shape[0]
        *tastes, n_trials, n_neurons, n_bins = counts.shape

        level = pm.Exponential("nrn_lambda", RATE_OF_NEURONS, shape=(n_neurons,))
        if tastes:
            level = pm.Exponential("taste_lambda", level, shape=(*tastes, n_neurons))
        of_components = pm.Exponential(
            "trial_lambda", level[..., None], shape=(*tastes, n_neurons, components)
        )
        of_states = pm.Exponential(
            "state_lambda",
            of_components[..., None],
            shape=(*tastes, n_neurons, components, states),
        )
        tau = changepoints(
            n_states=states,
            n_bins=n_bins,
            each=(*tastes, n_trials),
            start="prior",
            last=n_bins,
        )
        selector = trial_switches(n_components=components, n_trials=n_trials)
        # (trial, [taste,] neuron, state)
        of_trials = pt.tensordot(selector, of_states, axes=[[0], [len(tastes) + 1]])
        rates = pm.Deterministic("lambda", of_trials.swapaxes(0, 1) if tastes else of_trials)
        pm.Poisson("obs", pt.matmul(rates, state_weights(tau, n_bins)), observed=counts)
    return model


def starts_for(
    data: np.ndarray,
    n_states: int,
    n_components: int,
    rng: np.random.Generator,
    *,
    squeeze: bool = False,
) -> list[Start]:
    """Segmented in trials and bins, even in both, and PyMC's initial point.

    Parameters
    ----------
    data : int array, shape (taste, trial, neuron, bin)
    squeeze : the model has no axis of tastes
    """
    n_bins = data.shape[-1]
    blocks = _Blocks(data, n_states, n_components)
    found = []
    if data.shape[1] >= n_components:
        with np.errstate(all="ignore"):  # a start that overflows is a start that fails
            switches = blocks.best_switches(rng)
            found = [(edges, switches) for edges in blocks.segmentations(switches, rng)]
    even = (
        np.stack([even_edges(taste.shape, n_states) for taste in data]),
        even_edges((1, data.shape[1]), n_components)[0],
    )

    # From the lowest level: which axis of its children each level has not.
    axes = {"trial_lambda": 2, "nrn_lambda": 1}
    if not squeeze:
        axes = {"trial_lambda": 3, "taste_lambda": 2, "nrn_lambda": 0}

    def values_of(cuts: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        edges, switches = cuts
        rates, latent = blocks.rates(edges, switches), tau_latent(edges, n_bins)
        if squeeze:
            rates, latent = rates[0], latent[0]
        levels = chain_of_exponentials(rates, list(axes.values()), RATE_OF_NEURONS)
        return {
            "state_lambda": rates,
            **dict(zip(axes, levels, strict=True)),
            "tau_latent": latent,
            "tau_trial_latent": tau_latent(switches, data.shape[1]),
        }

    return starts_of(found, even, values_of)


class _Blocks:
    """Trials in blocks that follow each other, one for each component; `switches` are the first trials of 1, 2, …"""

    def __init__(self, data: np.ndarray, n_states: int, n_components: int) -> None:
        self._data, self._n_states, self._n_components = data, n_states, n_components
        self._even = np.stack([even_edges(taste.shape, n_states) for taste in data])

    def best_switches(self, rng: np.random.Generator) -> np.ndarray:
        """Where the trials switch, as likely as possible: as bins are cut, from several guesses."""
        n_trials = self._data.shape[1]
        guesses = [even_edges((1, n_trials), self._n_components)[0]]
        for _ in range(GUESSES):
            places = rng.permutation(np.arange(1, n_trials))[: self._n_components - 1]
            guesses.append(np.sort(places))
        return max((self._follow(guess) for guess in guesses), key=lambda result: result[0])[1]

    def _follow(self, switches: np.ndarray) -> tuple[float, np.ndarray]:
        score = -np.inf
        for _ in range(ROUNDS):
            density = self._density(switches)  # (trial, component)
            [score], [new] = cut(density.T[None])
            if np.array_equal(new, switches):
                break
            switches = new
        return float(score), switches

    def _density(self, switches: np.ndarray) -> np.ndarray:
        """Log density of each trial with the rates of each component, shape (trial, component)."""
        density = np.zeros((self._data.shape[1], self._n_components))
        for taste, even in zip(self._data, self._even, strict=True):
            everything = PoissonStates(taste)
            for component, block in enumerate(self._slices(switches)):
                states = PoissonStates(taste[block])
                _, edges = refine(states, even[block], FIRST_ROUNDS)
                rates = states.estimate(hard_weights(edges, taste.shape[-1]))
                density[:, component] += cut(everything.log_density(rates))[0]
        return density

    def segmentations(self, switches: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """Cuts of all trials, the best first; int arrays, shape (taste, trial, changepoint)."""
        each = []
        for taste in self._data:
            of_blocks = [
                best_segmentations(PoissonStates(taste[block]), self._n_states, rng)
                for block in self._slices(switches)
            ]
            most = max(len(found) for found in of_blocks)
            each.append(
                [
                    np.concatenate([found[rank if rank < len(found) else 0] for found in of_blocks])
                    for rank in range(most)
                ]
            )
        return together(each)

    def rates(self, edges: np.ndarray, switches: np.ndarray) -> np.ndarray:
        """Mean counts, shape (taste, neuron, component, state); a block without trials has those of all trials."""
        n_bins = self._data.shape[-1]
        weights = hard_weights(edges, n_bins)  # (taste, trial, state, bin)
        of_tastes = []
        for taste, of_taste in zip(self._data, weights, strict=True):
            of_blocks = []
            for block in self._slices(switches):
                some = block if block.stop > block.start else slice(None)
                of_blocks.append(PoissonStates(taste[some]).estimate(of_taste[some])["lambda"])
            of_tastes.append(np.stack(of_blocks, axis=1))
        return np.stack(of_tastes)

    def _slices(self, switches: np.ndarray) -> list[slice]:
        ends = [0, *(int(switch) for switch in switches), self._data.shape[1]]
        return [slice(begin, end) for begin, end in itertools.pairwise(ends)]
