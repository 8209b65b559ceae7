"""Spike counts of all tastes, rates per taste with a common origin: what the two `all_taste_poisson…` models share.

Source: PyTau's `AllTastePoisson` and `AllTastePoissonVarsigFixed` (github.com/abuzarmahmood/pytau, MIT). There the
trials of all tastes stand behind each other in `tau` and `tau_latent`, (taste · trial, changepoint); here these have
an axis of tastes, (taste, trial, changepoint), in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from pytau_hpc.models.changepoints import changepoints, state_weights
from pytau_hpc.models.emissions import ABOVE_ZERO, PoissonStates, segment_means
from pytau_hpc.models.segmentation import best_segmentations, even_edges, hard_weights
from pytau_hpc.models.starts import Start, chain_of_exponentials, starts_of, tau_latent


def inputs_of(data: np.ndarray, n_states: int) -> dict[str, np.ndarray]:
    """The data, int array of shape (taste, trial, neuron, bin), and mean counts of shape (taste, state, neuron)."""
    means = segment_means(data, n_states, equal=True).mean(axis=1)  # (taste, neuron, state)
    return {"counts": data, "prior_mean": means.swapaxes(1, 2) + ABOVE_ZERO}


def model_of(inputs: Mapping[str, np.ndarray]) -> pm.Model:
    """The model of its inputs; changes have the `slope` among them, or 1."""
    with pm.Model() as model:
        counts = pm.Data("counts", inputs["counts"])
        prior_mean = pm.Data("prior_mean", inputs["prior_mean"])
        slope = pm.Data("slope", inputs["slope"])[0] if "slope" in inputs else 1.0
        n_tastes, n_trials, _, n_bins = counts.shape
        _, states, n_neurons = prior_mean.shape

        of_neurons = pm.Exponential(
            "lambda_nrn", 1 / prior_mean.mean(axis=(0, 1)), shape=(n_neurons,)
        )
        of_states = pm.Exponential("lambda_state", of_neurons, shape=(states, n_neurons))
        rates = pm.Exponential(
            "lambda", of_states, shape=(n_tastes, states, n_neurons), initval=prior_mean
        )
        tau = changepoints(
            n_states=states,
            n_bins=n_bins,
            each=(n_tastes, n_trials),
            start="even",
            hyperprior="half_normal",
        )
        weights = state_weights(tau, n_bins, slope)  # (taste, trial, state, bin)
        expected = pt.matmul(rates.swapaxes(1, 2)[:, None], weights)
        pm.Poisson("obs", expected, observed=counts)
    return model


def starts_for(data: np.ndarray, n_states: int, rng: np.random.Generator) -> list[Start]:
    """Segmented (each taste by itself), even, and PyMC's initial point."""
    n_bins = data.shape[-1]
    with np.errstate(all="ignore"):  # a start that overflows is a start that fails
        each = [best_segmentations(PoissonStates(taste), n_states, rng) for taste in data]
    mean = segment_means(data, n_states, equal=True).mean(axis=(0, 1, 3)) + ABOVE_ZERO

    def values_of(edges: np.ndarray) -> dict[str, np.ndarray]:
        weights = hard_weights(edges, n_bins)
        rates = np.stack(
            [
                PoissonStates(taste).estimate(of_taste)["lambda"].T
                for taste, of_taste in zip(data, weights, strict=True)
            ]
        )
        of_states, of_neurons = chain_of_exponentials(rates, (0, 0), 1 / mean)
        return {
            "lambda": rates,
            "lambda_state": of_states,
            "lambda_nrn": of_neurons,
            "tau_latent": tau_latent(edges, n_bins - 1),
        }

    even = np.stack([even_edges(taste.shape, n_states) for taste in data])
    return starts_of(together(each), even, values_of)


def together(each: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """The best cuts of all parts, the second best of all parts, …; a part that has fewer gives its best."""
    most = max(len(found) for found in each)
    return [
        np.stack([found[rank if rank < len(found) else 0] for found in each])
        for rank in range(most)
    ]
