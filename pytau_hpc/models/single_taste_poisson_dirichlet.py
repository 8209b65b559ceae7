"""`single_taste_poisson_dirichlet`: spike counts of one taste, in as many states as needed.

`n_states` is the largest number of states (PyTau's `max_states`): states that are not needed get next to no bins.

=================  ===================================================  =========================================
variable           prior                                                shape
=================  ===================================================  =========================================
lambda             Exponential, mean: the neuron's mean count in each   (neuron, state)
                   of `n_states` even splits
a_gamma, b_gamma   Gamma(10, 1), Gamma(1.5, 1)                          ()
alpha              Gamma(a_gamma, b_gamma)                              ()
beta               Beta(1, alpha)                                       (trial, state)
w_raw              the share `beta` of what is left                     (trial, state)
w_latent           w_raw, scaled to a sum of 1                          (trial, state)
tau                bins · sums of w_latent                              (trial, changepoint)
counts             Poisson of the rates, mixed by each bin's share of   (trial, neuron, bin)
                   each state (`changepoints.state_weights`)
=================  ===================================================  =========================================

Source: PyTau's `SingleTastePoissonDirichlet` (github.com/abuzarmahmood/pytau, MIT): same priors, same names, same
initial values. The expected counts of every bin (`lambda_`), which follow from the rest, are left out.

The prior of `alpha` has a mean of about 7 (10 / 1.5), which asks for many short states: with room for more states than
the data show, a fit tends to divide a state in two rather than to leave one empty. Look at `w_latent`.
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
    name="single_taste_poisson_dirichlet",
    version=1,
    summary="as single_taste_poisson, with n_states as the largest number of states",
    module=__name__,
    dims=("trial", "neuron", "bin"),
    absent=("neuron", "trial"),
    values="counts",
    posterior_dims={
        "lambda": ("neuron", "state"),
        "a_gamma": (),
        "b_gamma": (),
        "alpha": (),
        "beta": ("trial", "state"),
        "w_raw": ("trial", "state"),
        "w_latent": ("trial", "state"),
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

    from pytau_hpc.models.changepoints import mixed, state_weights, sticks

    with pm.Model() as model:
        counts = pm.Data("counts", inputs["counts"])
        prior_mean = pm.Data("prior_mean", inputs["prior_mean"])
        n_trials, _, n_bins = counts.shape
        n_neurons, states = prior_mean.shape

        rates = pm.Exponential("lambda", 1 / prior_mean, shape=(n_neurons, states))
        tau = sticks(n_states=states, n_bins=n_bins, each=(n_trials,))
        pm.Poisson("obs", mixed(rates, state_weights(tau, n_bins)), observed=counts)
    return model


def starts(
    data: np.ndarray, n_states: int, options: Mapping[str, Any], rng: np.random.Generator
) -> list[Start]:
    """Segmented, even, and PyMC's initial point; see `models.starts`."""
    from pytau_hpc.models.emissions import PoissonStates
    from pytau_hpc.models.starts import standard_starts, stick_values

    return standard_starts(
        PoissonStates(data),
        n_states,
        rng,
        lambda edges, found: {**found, **stick_values(edges, data.shape[-1])},
    )
