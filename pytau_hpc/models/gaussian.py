"""Real-valued series that change together at changepoints: what the two `gaussian_changepoint_mean…_2d` models share.

They differ in the sds alone, one for each series or one for each series and state, which the `inputs` do not tell. The
data and prior means of the Dirichlet one are the same, too.

Source: PyTau's `GaussianChangepointMean2D` and `GaussianChangepointMeanVar2D` (github.com/abuzarmahmood/pytau, MIT).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pymc as pm

from pytau_hpc.models.changepoints import changepoints, state_weights
from pytau_hpc.models.emissions import ABOVE_ZERO, GaussianStates, GaussianVarStates, segment_means
from pytau_hpc.models.starts import Start, standard_starts, tau_latent


def inputs_of(data: np.ndarray, n_states: int) -> dict[str, np.ndarray]:
    """The data, float array of shape (dimension, bin), and the prior means of its states."""
    # PyTau adds the 0.01 of its models of counts to these means too.
    return {"series": data, "prior_mean": segment_means(data, n_states) + ABOVE_ZERO}


def model_of(inputs: Mapping[str, np.ndarray], *, sd_per_state: bool) -> pm.Model:
    """The model of its inputs."""
    with pm.Model() as model:
        series = pm.Data("series", inputs["series"])
        prior_mean = pm.Data("prior_mean", inputs["prior_mean"])
        _, n_bins = series.shape
        n_dimensions, states = prior_mean.shape

        mu = pm.Normal("mu", mu=prior_mean, sigma=1.0, shape=(n_dimensions, states))
        shape = (n_dimensions, states) if sd_per_state else (n_dimensions,)
        sigma = pm.HalfCauchy("sigma", 3.0, shape=shape)
        tau = changepoints(n_states=states, n_bins=n_bins, start="even")
        weights = state_weights(tau, n_bins)
        sd = sigma.dot(weights) if sd_per_state else sigma[:, None]
        pm.Normal("obs", mu=mu.dot(weights), sigma=sd, observed=series)
    return model


def starts_for(
    data: np.ndarray, n_states: int, rng: np.random.Generator, *, sd_per_state: bool
) -> list[Start]:
    """Segmented, even, and PyMC's initial point."""
    emissions = GaussianVarStates if sd_per_state else GaussianStates
    return standard_starts(
        emissions(data[None]),
        n_states,
        rng,
        lambda edges, found: {**found, "tau_latent": tau_latent(edges[0], data.shape[-1] - 1)},
    )
