"""`gaussian_changepoint_mean_dirichlet`: real-valued series, in as many states as needed, one sd per series.

`n_states` is the largest number of states (PyTau's `max_states`): states that are not needed get next to no bins.

=================  ===================================================  =========================================
variable           prior                                                shape
=================  ===================================================  =========================================
lambda             Normal(mean of each of `n_states` even splits, 10)   (dimension, state)
sigma              HalfCauchy(the dimension's sd)                       (dimension,)
a_gamma, b_gamma   Gamma(10, 1), Gamma(1.5, 1)                          ()
alpha              Gamma(a_gamma, b_gamma)                              ()
beta               Beta(1, alpha)                                       (state,)
w_raw              the share `beta` of what is left                     (state,)
w_latent           w_raw, scaled to a sum of 1                          (state,)
tau                bins · sums of w_latent                              (changepoint,)
series             Normal; its mean mixed by each bin's share of        (dimension, bin)
                   each state (`changepoints.state_weights`)
=================  ===================================================  =========================================

Source: PyTau's `GaussianChangepointMeanDirichlet` (github.com/abuzarmahmood/pytau, MIT): same priors, same names (the
means are called `lambda` there too), same initial values. Two things differ: a series that is constant, whose sd of 0
makes PyTau's density impossible, has a prior of scale 1; and the expected value of every bin (`lambda_`), which follows
from the rest, is left out.

As in `single_taste_poisson_dirichlet`, the prior of `alpha` asks for many short states. Look at `w_latent`.
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
    name="gaussian_changepoint_mean_dirichlet",
    version=1,
    summary="as gaussian_changepoint_mean_2d, with n_states as the largest number of states",
    module=__name__,
    dims=("dimension", "bin"),
    values="real",
    posterior_dims={
        "lambda": ("dimension", "state"),
        "sigma": ("dimension",),
        "a_gamma": (),
        "b_gamma": (),
        "alpha": (),
        "beta": ("state",),
        "w_raw": ("state",),
        "w_latent": ("state",),
        "tau": ("changepoint",),
    },
)


def inputs(data: np.ndarray, n_states: int, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The data, float array of shape (dimension, bin), the prior means of its states, and its sds."""
    import numpy as np

    from pytau_hpc.models.gaussian import inputs_of

    sd = data.std(axis=-1)
    return {**inputs_of(data, n_states), "prior_sd": np.where(sd > 0, sd, 1.0)}


def build(inputs: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> pm.Model:
    """The model of its `inputs`."""
    import pymc as pm

    from pytau_hpc.models.changepoints import state_weights, sticks

    with pm.Model() as model:
        series = pm.Data("series", inputs["series"])
        prior_mean = pm.Data("prior_mean", inputs["prior_mean"])
        prior_sd = pm.Data("prior_sd", inputs["prior_sd"])
        _, n_bins = series.shape
        n_dimensions, states = prior_mean.shape

        means = pm.Normal("lambda", mu=prior_mean, sigma=10.0, shape=(n_dimensions, states))
        sigma = pm.HalfCauchy("sigma", prior_sd, shape=(n_dimensions,))
        tau = sticks(n_states=states, n_bins=n_bins)
        expected = means.dot(state_weights(tau, n_bins))
        pm.Normal("obs", mu=expected, sigma=sigma[:, None], observed=series)
    return model


def starts(
    data: np.ndarray, n_states: int, options: Mapping[str, Any], rng: np.random.Generator
) -> list[Start]:
    """Segmented, even, and PyMC's initial point; see `models.starts`."""
    from pytau_hpc.models.emissions import GaussianStates
    from pytau_hpc.models.starts import standard_starts, stick_values

    return standard_starts(
        GaussianStates(data[None]),
        n_states,
        rng,
        lambda edges, found: {
            "lambda": found["mu"],
            "sigma": found["sigma"],
            **stick_values(edges[0], data.shape[-1]),
        },
    )
