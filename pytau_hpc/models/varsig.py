"""Rates that change by steps of any sharpness: what the two `single_taste_poisson_varsig…` models share.

Both add up a neuron's changes, where `single_taste_poisson` mixes the rates of its states. With K states and
changepoints tau_1 ≤ … ≤ tau_{K-1} of a trial, the rate in bin t is

    max(0.01, (K - 1) · state0 + Σ_j lambda_diff_j · sigmoid(slope_j · (t - tau_j)))        counts per bin

Source: PyTau's `SingleTastePoissonVarsig` and `SingleTastePoissonVarsigFixed` (github.com/abuzarmahmood/pytau, MIT).
`state0` is in that sum once per change there, so it is here: the first state's rate is (K - 1) · state0. `lambda` is
another thing than PyTau's, which puts `state0` and `lambda_diff` side by side under this name: here it is what all
models mean by it, the rates of the states.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from pytau_hpc.models.changepoints import changed, changepoints, mixed
from pytau_hpc.models.emissions import ABOVE_ZERO, PoissonStates, segment_means
from pytau_hpc.models.starts import Start, standard_starts, tau_latent

SMALLEST = 0.01  # a rate, in counts per bin: changes may add up to less than nothing


def inputs_of(data: np.ndarray, n_states: int) -> dict[str, np.ndarray]:
    """The data, int array of shape (trial, neuron, bin), and the mean counts of even splits."""
    return {"counts": data, "prior_mean": segment_means(data, n_states).mean(axis=0) + ABOVE_ZERO}


def model_of(inputs: Mapping[str, np.ndarray]) -> pm.Model:
    """The model of its inputs: with a `slope` among them that is everybody's, without it each change has its own."""
    with pm.Model() as model:
        counts = pm.Data("counts", inputs["counts"])
        prior_mean = pm.Data("prior_mean", inputs["prior_mean"])
        n_trials, _, n_bins = counts.shape
        n_neurons, states = prior_mean.shape
        changes = (states - 1,)
        slope = (
            pm.Data("slope", inputs["slope"])[0]
            if "slope" in inputs
            else pt.exp(pm.Normal("sig_b", -1.0, 2.0, shape=changes))
        )
        state0 = pm.Exponential(
            "state0", 1 / prior_mean.mean(), shape=(n_neurons,), initval=prior_mean[:, 0]
        )
        steps = pm.Normal(
            "lambda_diff",
            0.0,
            10.0,
            shape=(n_neurons, *changes),
            initval=prior_mean[:, 1:] - prior_mean[:, :-1],
        )
        first = (changes[0] * state0)[:, None]
        rates = pt.concatenate([first, first + pt.cumsum(steps, axis=-1)], axis=-1)
        pm.Deterministic("lambda", pt.maximum(rates, SMALLEST))
        tau = changepoints(
            n_states=states, n_bins=n_bins, each=(n_trials,), start="prior", scale=10.0
        )
        expected = first + mixed(steps, changed(tau, n_bins, slope))
        pm.Poisson("obs", pt.maximum(expected, SMALLEST), observed=counts)
    return model


def starts_for(
    data: np.ndarray, n_states: int, rng: np.random.Generator, *, sharpness: float | None
) -> list[Start]:
    """Segmented, even, and PyMC's initial point.

    `sharpness` is the `sig_b` to start from, for the model that has it.
    """

    def values_of(edges: np.ndarray, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rates = found["lambda"]
        values: dict[str, Any] = {
            "state0": rates[:, 0] / (n_states - 1),
            "lambda_diff": np.diff(rates, axis=-1),
            "tau_latent": tau_latent(edges, data.shape[-1] - 1),
        }
        return (
            values if sharpness is None else {"sig_b": np.full(n_states - 1, sharpness), **values}
        )

    return standard_starts(PoissonStates(data), n_states, rng, values_of)
