"""`gaussian_changepoint_mean_2d`: real-valued series that change their means together; one sd per series.

=================  ===================================================  =========================================
variable           prior                                                shape
=================  ===================================================  =========================================
mu                 Normal(mean of each of `n_states` even splits, 1)    (dimension, state)
sigma              HalfCauchy(3)                                        (dimension,)
a_tau, b_tau       HalfCauchy(3)                                        (changepoint,)
tau_latent         Beta(a_tau, b_tau); tau = (bins - 1) · sorted        (changepoint,)
series             Normal; its mean mixed by each bin's share of        (dimension, bin)
                   each state (`changepoints.state_weights`)
=================  ===================================================  =========================================

The prior's sd of 1 around the splits' means is in the units of the data. Source: PyTau's `GaussianChangepointMean2D`
(github.com/abuzarmahmood/pytau, MIT): same priors, same names, same initial values.
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
    name="gaussian_changepoint_mean_2d",
    version=1,
    summary="real-valued series, one mean per series and state, one sd per series",
    module=__name__,
    dims=("dimension", "bin"),
    values="real",
    posterior_dims={
        "mu": ("dimension", "state"),
        "sigma": ("dimension",),
        "a_tau": ("changepoint",),
        "b_tau": ("changepoint",),
        "tau_latent": ("changepoint",),
        "tau": ("changepoint",),
    },
)


def inputs(data: np.ndarray, n_states: int, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The data, float array of shape (dimension, bin), and the prior means of its states."""
    from pytau_hpc.models.gaussian import inputs_of

    return inputs_of(data, n_states)


def build(inputs: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> pm.Model:
    """The model of its `inputs`."""
    from pytau_hpc.models.gaussian import model_of

    return model_of(inputs, sd_per_state=False)


def starts(
    data: np.ndarray, n_states: int, options: Mapping[str, Any], rng: np.random.Generator
) -> list[Start]:
    """Segmented, even, and PyMC's initial point; see `models.starts`."""
    from pytau_hpc.models.gaussian import starts_for

    return starts_for(data, n_states, rng, sd_per_state=False)
