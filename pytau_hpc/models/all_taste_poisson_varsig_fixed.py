"""`all_taste_poisson_varsig_fixed`: as `all_taste_poisson`, but how sharp a change is, is given.

Option `inds_span`: the number of bins over which a change goes from 5 % to 95 %; its slope is 5.8889 / inds_span.

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
tends to be small, and `lambda` large. Source: PyTau's `AllTastePoissonVarsigFixed` (github.com/abuzarmahmood/pytau,
MIT): same priors, same names, same initial values; what is different about `tau`, see `models.all_tastes`.
PyTau's class itself cannot be built by the PyMC of today, because it asks for test values, which are gone; the density
is the one that its source spells out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytau_hpc.models.kind import ModelKind, above

if TYPE_CHECKING:
    import numpy as np
    import pymc as pm

    from pytau_hpc.models.starts import Start

KIND = ModelKind(
    name="all_taste_poisson_varsig_fixed",
    version=1,
    summary="as all_taste_poisson, with changes whose sharpness is given",
    module=__name__,
    dims=("taste", "trial", "neuron", "bin"),
    absent=("taste", "neuron", "trial"),
    values="counts",
    options={"inds_span": 1.0},
    option_checks={"inds_span": above(0)},
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
    """The data, int array of shape (taste, trial, neuron, bin), the mean counts of even splits, and the slope."""
    from pytau_hpc.models.all_tastes import inputs_of
    from pytau_hpc.models.changepoints import slope_of

    return {**inputs_of(data, n_states), "slope": slope_of(options["inds_span"])}


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
