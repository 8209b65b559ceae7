"""`single_taste_poisson_varsig_fixed`: spike counts of one taste; how sharp a change is, is given.

Option `inds_span`: the number of bins over which a change goes from 5 % to 95 %; its slope is 5.8889 / inds_span.

=================  ===================================================  =========================================
variable           prior                                                shape
=================  ===================================================  =========================================
state0             Exponential, mean: mean count of all splits          (neuron,)
lambda_diff        Normal(0, 10)                                        (neuron, changepoint)
a_tau, b_tau       HalfCauchy(10)                                       (changepoint,)
tau_latent         Beta(a_tau, b_tau); tau = (bins - 1) · sorted        (trial, changepoint)
counts             Poisson of the rate that `models.varsig` gives       (trial, neuron, bin)
=================  ===================================================  =========================================

`lambda` (neuron, state) follows: the rates of the states. Source: PyTau's `SingleTastePoissonVarsigFixed`
(github.com/abuzarmahmood/pytau, MIT): same priors, same initial values, same names except for `lambda`, and without
the expected counts of every bin (`lambda_`, `lambda_bounded`). PyTau's class itself cannot be built by the PyMC of
today, because it asks for test values, which are gone; the density is the one that its source spells out.
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
    name="single_taste_poisson_varsig_fixed",
    version=1,
    summary="as single_taste_poisson, with changes whose sharpness is given",
    module=__name__,
    dims=("trial", "neuron", "bin"),
    absent=("neuron", "trial"),
    values="counts",
    options={"inds_span": 1.0},
    option_checks={"inds_span": above(0)},
    posterior_dims={
        "state0": ("neuron",),
        "lambda_diff": ("neuron", "changepoint"),
        "lambda": ("neuron", "state"),
        "a_tau": ("changepoint",),
        "b_tau": ("changepoint",),
        "tau_latent": ("trial", "changepoint"),
        "tau": ("trial", "changepoint"),
    },
)


def inputs(data: np.ndarray, n_states: int, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The data, int array of shape (trial, neuron, bin), the mean counts of even splits, and the slope."""
    from pytau_hpc.models.changepoints import slope_of
    from pytau_hpc.models.varsig import inputs_of

    return {**inputs_of(data, n_states), "slope": slope_of(options["inds_span"])}


def build(inputs: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> pm.Model:
    """The model of its `inputs`."""
    from pytau_hpc.models.varsig import model_of

    return model_of(inputs)


def starts(
    data: np.ndarray, n_states: int, options: Mapping[str, Any], rng: np.random.Generator
) -> list[Start]:
    """Segmented, even, and PyMC's initial point; see `models.starts`."""
    from pytau_hpc.models.varsig import starts_for

    return starts_for(data, n_states, rng, sharpness=None)
