"""`single_taste_poisson`: spike counts of one taste; every trial has its own changepoints, all share the rates.

=================  ===================================================  =========================================
variable           prior                                                shape
=================  ===================================================  =========================================
lambda             Exponential, mean: the neuron's mean count in each   (neuron, state)
                   of `n_states` even splits
a_tau, b_tau       HalfCauchy(3)                                        (changepoint,)
tau_latent         Beta(a_tau, b_tau); tau = (bins - 1) · sorted        (trial, changepoint)
counts             Poisson of the rates, mixed by each bin's share of   (trial, neuron, bin)
                   each state (`changepoints.state_weights`)
=================  ===================================================  =========================================

Source: PyTau's `SingleTastePoisson` (github.com/abuzarmahmood/pytau, MIT): same priors, same names, same initial
values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytau_hpc.models.kind import ModelKind

if TYPE_CHECKING:
    import numpy as np
    import pymc as pm

    from pytau_hpc.models.starts import Start

KIND = ModelKind(
    name="single_taste_poisson",
    version=1,
    summary="spike counts of one taste, changepoints per trial, rates per neuron and state",
    module=__name__,
    dims=("trial", "neuron", "bin"),
    absent=("neuron", "trial"),
    values="counts",
    posterior_dims={
        "lambda": ("neuron", "state"),
        "a_tau": ("changepoint",),
        "b_tau": ("changepoint",),
        "tau_latent": ("trial", "changepoint"),
        "tau": ("trial", "changepoint"),
    },
)


def inputs(data: np.ndarray, n_states: int, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The data, int array of shape (trial, neuron, bin), and the prior means of its states."""
    from pytau_hpc.models.emissions import ABOVE_ZERO, segment_means

    return {"counts": data, "prior_mean": segment_means(data, n_states).mean(axis=0) + ABOVE_ZERO}


def build(inputs: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> pm.Model:
    """The model of its `inputs`."""
    import pymc as pm

    from pytau_hpc.models.changepoints import changepoints, mixed, state_weights

    with pm.Model() as model:
        counts = pm.Data("counts", inputs["counts"])
        prior_mean = pm.Data("prior_mean", inputs["prior_mean"])
        n_trials, _, n_bins = counts.shape
        n_neurons, states = prior_mean.shape

        rates = pm.Exponential("lambda", 1 / prior_mean, shape=(n_neurons, states))
        tau = changepoints(n_states=states, n_bins=n_bins, each=(n_trials,), start="prior")
        pm.Poisson("obs", mixed(rates, state_weights(tau, n_bins)), observed=counts)
    return model


def starts(
    data: np.ndarray, n_states: int, options: Mapping[str, Any], rng: np.random.Generator
) -> list[Start]:
    """Segmented, even, and PyMC's initial point; see `models.starts`."""
    from pytau_hpc.models.emissions import PoissonStates
    from pytau_hpc.models.starts import standard_starts, tau_latent

    return standard_starts(
        PoissonStates(data),
        n_states,
        rng,
        lambda edges, found: {**found, "tau_latent": tau_latent(edges, data.shape[-1] - 1)},
    )
