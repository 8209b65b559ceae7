"""`poisson_changepoint_1d`: one series of counts with a rate per state.

=================  ===================================================  =========================================
variable           prior                                                shape
=================  ===================================================  =========================================
lambda             Exponential, mean: the mean count of each of         (state,)
                   `n_states` even splits
a_tau, b_tau       HalfCauchy(3)                                        (changepoint,)
tau_latent         Beta(a_tau, b_tau); tau = (bins - 1) · sorted        (changepoint,)
counts             Poisson of the rates, mixed by each bin's share of   (bin,)
                   each state (`changepoints.state_weights`)
=================  ===================================================  =========================================

Source: PyTau's `PoissonChangepoint1D` (github.com/abuzarmahmood/pytau, MIT): same priors, same names, same initial
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
    name="poisson_changepoint_1d",
    version=1,
    summary="one series of counts, one rate per state",
    module=__name__,
    dims=("bin",),
    values="counts",
    posterior_dims={
        "lambda": ("state",),
        "a_tau": ("changepoint",),
        "b_tau": ("changepoint",),
        "tau_latent": ("changepoint",),
        "tau": ("changepoint",),
    },
)


def inputs(data: np.ndarray, n_states: int, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The data, int array of shape (bin,), and the prior means of its states."""
    from pytau_hpc.models.emissions import ABOVE_ZERO, segment_means

    return {"counts": data, "prior_mean": segment_means(data, n_states) + ABOVE_ZERO}


def build(inputs: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> pm.Model:
    """The model of its `inputs`."""
    import pymc as pm

    from pytau_hpc.models.changepoints import changepoints, state_weights

    with pm.Model() as model:
        counts = pm.Data("counts", inputs["counts"])
        prior_mean = pm.Data("prior_mean", inputs["prior_mean"])
        (n_bins,) = counts.shape
        (states,) = prior_mean.shape

        rates = pm.Exponential("lambda", 1 / prior_mean, shape=(states,))
        tau = changepoints(n_states=states, n_bins=n_bins, start="even")
        pm.Poisson("obs", rates.dot(state_weights(tau, n_bins)), observed=counts)
    return model


def starts(
    data: np.ndarray, n_states: int, options: Mapping[str, Any], rng: np.random.Generator
) -> list[Start]:
    """Segmented, even, and PyMC's initial point; see `models.starts`."""
    from pytau_hpc.models.emissions import PoissonStates
    from pytau_hpc.models.starts import standard_starts, tau_latent

    return standard_starts(
        PoissonStates(data[None, None, :]),
        n_states,
        rng,
        lambda edges, found: {
            "lambda": found["lambda"][0],
            "tau_latent": tau_latent(edges[0], data.shape[-1] - 1),
        },
    )
