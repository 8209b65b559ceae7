"""`gaussian_changepoint_mean_var_2d`: real-valued series that change their means and their sds together.

=================  ===================================================  =========================================
variable           prior                                                shape
=================  ===================================================  =========================================
mu                 Normal(mean of each of `n_states` even splits, 1)    (dimension, state)
sigma              HalfCauchy(3)                                        (dimension, state)
a_tau, b_tau       HalfCauchy(3)                                        (changepoint,)
tau_latent         Beta(a_tau, b_tau); tau = (bins - 1) · sorted        (changepoint,)
series             Normal; its mean and sd mixed by each bin's share    (dimension, bin)
                   of each state (`changepoints.state_weights`)
=================  ===================================================  =========================================

The prior's sd of 1 around the splits' means is in the units of the data. Source: PyTau's `GaussianChangepointMeanVar2D`
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
    name="gaussian_changepoint_mean_var_2d",
    version=1,
    summary="real-valued series, one mean and one sd per series and state",
    module=__name__,
    dims=("dimension", "bin"),
    values="real",
    posterior_dims={
        "mu": ("dimension", "state"),
        "sigma": ("dimension", "state"),
        "a_tau": ("changepoint",),
        "b_tau": ("changepoint",),
        "tau_latent": ("changepoint",),
        "tau": ("changepoint",),
    },
)


def inputs(data: np.ndarray, n_states: int, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The data, float array of shape (dimension, bin), and the prior means of its states."""
    from pytau_hpc.models.emissions import segment_means

    # PyTau adds the 0.01 of its models of counts to these means too.
    return {"series": data, "prior_mean": segment_means(data, n_states) + 0.01}


def build(inputs: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> pm.Model:
    """The model of its `inputs`."""
    import pymc as pm

    from pytau_hpc.models.changepoints import changepoints, state_weights

    with pm.Model() as model:
        series = pm.Data("series", inputs["series"])
        prior_mean = pm.Data("prior_mean", inputs["prior_mean"])
        _, n_bins = series.shape
        n_dimensions, states = prior_mean.shape

        mu = pm.Normal("mu", mu=prior_mean, sigma=1.0, shape=(n_dimensions, states))
        sigma = pm.HalfCauchy("sigma", 3.0, shape=(n_dimensions, states))
        tau = changepoints(n_states=states, n_bins=n_bins, start="even")
        weights = state_weights(tau, n_bins)
        pm.Normal("obs", mu=mu.dot(weights), sigma=sigma.dot(weights), observed=series)
    return model


def starts(
    data: np.ndarray, n_states: int, options: Mapping[str, Any], rng: np.random.Generator
) -> list[Start]:
    """Segmented, even, and PyMC's initial point; see `models.starts`."""
    from pytau_hpc.models.emissions import GaussianVarStates
    from pytau_hpc.models.starts import standard_starts, tau_latent

    return standard_starts(
        GaussianVarStates(data[None]),
        n_states,
        rng,
        lambda edges, found: {**found, "tau_latent": tau_latent(edges[0], data.shape[-1] - 1)},
    )
