"""`all_taste_poisson`: spike counts of all tastes; rates per taste that have a common origin.

=================  ===================================================  =========================================
variable           prior                                                shape
=================  ===================================================  =========================================
lambda_nrn         Exponential, mean: the neuron's mean count           (neuron,)
lambda_state       Exponential, rate: `lambda_nrn`                      (state, neuron)
lambda             Exponential, rate: `lambda_state`                    (taste, state, neuron)
a_tau, b_tau       HalfNormal(3)                                        (changepoint,)
tau_latent         Beta(a_tau, b_tau); tau = (bins - 1) · sorted        (taste, trial, changepoint)
counts             Poisson of the rates, mixed by each bin's share of   (taste, trial, neuron, bin)
                   each state (`changepoints.state_weights`)
=================  ===================================================  =========================================

Note the hierarchy: a level is the *rate* of the exponential below it, so where `lambda_nrn` is large, `lambda_state`
tends to be small, and `lambda` large. Source: PyTau's `AllTastePoisson` (github.com/abuzarmahmood/pytau,
MIT): same priors, same names, same initial values; what is different about `tau`, see `models.all_tastes`.
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
    name="all_taste_poisson",
    version=1,
    summary="spike counts of all tastes, changepoints per trial, rates per taste, neuron and state",
    module=__name__,
    dims=("taste", "trial", "neuron", "bin"),
    absent=("taste", "neuron", "trial"),
    values="counts",
    posterior_dims={
        "lambda_nrn": ("neuron",),
        "lambda_state": ("state", "neuron"),
        "lambda": ("taste", "state", "neuron"),
        "a_tau": ("changepoint",),
        "b_tau": ("changepoint",),
        "tau_latent": ("taste", "trial", "changepoint"),
        "tau": ("taste", "trial", "changepoint"),
    },
)


def inputs(data: np.ndarray, n_states: int, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The data, int array of shape (taste, trial, neuron, bin), the mean counts of even splits."""
    from pytau_hpc.models.all_tastes import inputs_of

    return inputs_of(data, n_states)


def build(inputs: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> pm.Model:
    """The model of its `inputs`."""
    from pytau_hpc.models.all_tastes import model_of

    return model_of(inputs)


def starts(
    data: np.ndarray, n_states: int, options: Mapping[str, Any], rng: np.random.Generator
) -> list[Start]:
    """Segmented, even, and PyMC's initial point; see `models.starts`."""
    from pytau_hpc.models.all_tastes import starts_for

    return starts_for(data, n_states, rng)
