"""Cutting trials into states of constant emissions by dynamic programming: where an optimiser may start.

Plain numpy; knows nothing of PyMC, priors or variables. What the data say about a state is a `States` (`emissions`);
what becomes of the cuts is `starts`' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

# Segmentation is cheap beside the fit (some 0.1 s) and decides where the fit ends. On a real recording, four guesses
# and one segmented start end up to 60 nats above the lowest loss known; these settings reach it in three of four seeds
# and stay within 36 nats in the others.
GUESSES = 32
FIRST_ROUNDS = 3
PROMISING = 8
MAX_ROUNDS = 40
SEGMENTATIONS = 3


class States(Protocol):
    """What the data say about states, for one kind of emission. `weights` has shape (trial, state, bin), 0 or 1."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(trial, neuron, bin)"""

    def estimate(self, weights: np.ndarray) -> Mapping[str, np.ndarray]:
        """The emission parameters of each state, given which bins belong to it."""

    def log_density(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """Log density of each bin in each state, shape (trial, state, bin), up to a constant."""


def even_edges(shape: tuple[int, ...], n_states: int) -> np.ndarray:
    """First bin of states 1, 2, … when the bins are split evenly.

    Parameters
    ----------
    shape : first axis trials, last axis bins

    Returns
    -------
    int array, shape (trial, changepoint)
    """
    edges = np.round(np.arange(1, n_states) * shape[-1] / n_states).astype(np.int64)
    return np.broadcast_to(edges, (shape[0], n_states - 1))


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
    tried = [refine(states, edges, FIRST_ROUNDS) for edges in guesses]
    tried.sort(key=lambda result: -result[0])
    refined = [refine(states, edges, MAX_ROUNDS) for _, edges in tried[:PROMISING]]
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


def refine(states: States, edges: np.ndarray, rounds: int) -> tuple[float, np.ndarray]:
    """Estimate the states and cut again, up to `rounds` times. Returns the total log density, and the cuts."""
    score = -np.inf
    for _ in range(rounds):
        parameters = states.estimate(hard_weights(edges, states.shape[-1]))
        scores, new_edges = cut(states.log_density(parameters))
        score = float(scores.sum())
        if np.array_equal(new_edges, edges):
            break
        edges = new_edges
    return score, edges


def cut(log_density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut each trial into states 0, 1, 2, … in this order, each at least one bin long, as likely as possible.

    Parameters
    ----------
    log_density : shape (trial, state, bin)

    Returns
    -------
    float array, shape (trial,): log density of the best cuts; int array, shape (trial, changepoint): first bin of
    states 1, 2, …
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
    return best[:, -1], edges


def hard_weights(edges: np.ndarray, n_bins: int) -> np.ndarray:
    """Which state each bin is in, float array of 0 and 1, shape (…, state, bin) for edges (…, changepoint)."""
    state_of_bin = (np.arange(n_bins) >= edges[..., None]).sum(axis=-2)  # (…, bin)
    n_states = edges.shape[-1] + 1
    return (state_of_bin[..., None, :] == np.arange(n_states)[:, None]).astype(np.float64)
