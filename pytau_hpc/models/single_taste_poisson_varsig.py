"""`single_taste_poisson_varsig`: spike counts of one taste; how sharp each change is, is inferred.

=================  ===================================================  =========================================
variable           prior                                                shape
=================  ===================================================  =========================================
sig_b              Normal(-1, 2); slope = exp(sig_b) per bin            (changepoint,)
state0             Exponential, mean: mean count of all splits          (neuron,)
lambda_diff        Normal(0, 10)                                        (neuron, changepoint)
a_tau, b_tau       HalfCauchy(10)                                       (changepoint,)
tau_latent         Beta(a_tau, b_tau); tau = (bins - 1) · sorted        (trial, changepoint)
counts             Poisson of the rate that `models.varsig` gives       (trial, neuron, bin)
=================  ===================================================  =========================================

`lambda` (neuron, state) follows: the rates of the states. Source: PyTau's `SingleTastePoissonVarsig`
(github.com/abuzarmahmood/pytau, MIT): same priors, same initial values, same names except for `lambda`. The expected
counts of every bin, which PyTau keeps too (`lambda_`, `lambda_bounded`), are left out: they follow from the rest, and
are as large as the data for every draw.
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
    name="single_taste_poisson_varsig",
    version=1,
    summary="as single_taste_poisson, with changes whose sharpness is inferred",
    module=__name__,
    dims=("trial", "neuron", "bin"),
    absent=("neuron", "trial"),
    values="counts",
    posterior_dims={
        "sig_b": ("changepoint",),
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
    """The data, int array of shape (trial, neuron, bin), and the mean counts of even splits."""
    from pytau_hpc.models.varsig import inputs_of

    return inputs_of(data, n_states)


def build(inputs: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> pm.Model:
    """The model of its `inputs`."""
    from pytau_hpc.models.varsig import model_of

    return model_of(inputs)


def starts(
    data: np.ndarray, n_states: int, options: Mapping[str, Any], rng: np.random.Generator
) -> list[Start]:
    """Segmented, even, and PyMC's initial point; see `models.starts`."""
    from pytau_hpc.models.varsig import starts_for

    return starts_for(data, n_states, rng, sharpness=0.0)
