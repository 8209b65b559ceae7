"""`categorical_changepoint_2d`: trials of categories; changepoints per trial, probabilities that all trials share.

=================  ===================================================  =========================================
variable           prior                                                shape
=================  ===================================================  =========================================
p                  Dirichlet(1, …, 1)                                   (state, category)
a_tau, b_tau       HalfCauchy(3)                                        (changepoint,)
tau_latent         Beta(a_tau, b_tau); tau = (bins - 1) · sorted        (trial, changepoint)
categories         Categorical of the probabilities, mixed by each      (trial, bin)
                   bin's share of each state, and scaled to a sum of 1
=================  ===================================================  =========================================

Category k is the k-th smallest value that occurs in the data, whatever its number; where there is one value only,
there is a second category that never occurs.

Source: PyTau's `CategoricalChangepoint2D` (github.com/abuzarmahmood/pytau, MIT): same priors, same names, same initial
values. What differs is the scaling. The shares of the states in a bin (`changepoints.state_weights`) sum to one for
two states, but for three or more they sum to 1 + s2 · (1 - s1) and the like, with s1 and s2 the sigmoids of two
changes that follow each other: to more than one wherever a second change is under way while the first one is not yet
over. So PyTau's mixed probabilities sum to more than one there. PyMC calls such a vector impossible, its log density
is minus infinity at every point, and so is the ELBO (PyTau's issue 186). Divided by their sum they are probabilities.
With two states nothing changes, and the density is PyTau's. And data of three axes are refused, where PyTau takes the
first of the first axis without a word.
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
    name="categorical_changepoint_2d",
    version=1,
    summary="categories, changepoints per trial, probabilities per state",
    module=__name__,
    dims=("trial", "bin"),
    values="categories",
    posterior_dims={
        "p": ("state", "category"),
        "a_tau": ("changepoint",),
        "b_tau": ("changepoint",),
        "tau_latent": ("trial", "changepoint"),
        "tau": ("trial", "changepoint"),
    },
)


def settled(data: np.ndarray, options: Mapping[str, Any]) -> dict[str, Any]:
    """The values that occur in all data: some trials may lack one of them, and ranks of theirs would be others."""
    import numpy as np

    return {**options, "categories": np.unique(data).tolist()}


def inputs(data: np.ndarray, n_states: int, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The categories as ranks 0, 1, …, int array of shape (trial, bin), and the concentrations of the prior."""
    import numpy as np

    values = np.asarray(options.get("categories", np.unique(data)))
    return {
        "categories": np.searchsorted(values, data),
        "concentration": np.ones((n_states, max(2, len(values)))),
    }


def build(inputs: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> pm.Model:
    """The model of its `inputs`."""
    import pymc as pm
    import pytensor.tensor as pt

    from pytau_hpc.models.changepoints import changepoints, state_weights

    with pm.Model() as model:
        categories = pm.Data("categories", inputs["categories"])
        concentration = pm.Data("concentration", inputs["concentration"])
        n_trials, n_bins = categories.shape
        states, n_categories = concentration.shape

        p = pm.Dirichlet("p", a=concentration, shape=(states, n_categories))
        tau = changepoints(n_states=states, n_bins=n_bins, each=(n_trials,), start="prior")
        # (trial, bin, category)
        mixture = pt.tensordot(state_weights(tau, n_bins), p, axes=[[1], [0]])
        pm.Categorical("obs", p=mixture / mixture.sum(axis=-1, keepdims=True), observed=categories)
    return model


def starts(
    data: np.ndarray, n_states: int, options: Mapping[str, Any], rng: np.random.Generator
) -> list[Start]:
    """Segmented, even, and PyMC's initial point; see `models.starts`."""
    from pytau_hpc.models.emissions import CategoricalStates
    from pytau_hpc.models.starts import standard_starts, tau_latent

    found = inputs(data, n_states, options)
    return standard_starts(
        CategoricalStates(found["categories"], found["concentration"].shape[1]),
        n_states,
        rng,
        lambda edges, values: {**values, "tau_latent": tau_latent(edges, data.shape[-1] - 1)},
    )
