"""`all_taste_poisson_trial_switch`: spike counts of all tastes, with rates that switch in the course of the trials.

Option `switch_components`: how many components there are, that is, how often the rates change in the course of the
trials, plus one. A switch is as smooth over trials as a change is over bins.

=================  ===================================================  =========================================
variable           prior                                                shape
=================  ===================================================  =========================================
nrn_lambda         Exponential, rate: 10                                (neuron,)
taste_lambda       Exponential, rate: `nrn_lambda`                      (taste, neuron)
trial_lambda       Exponential, rate: `taste_lambda`                    (taste, neuron, component)
state_lambda       Exponential, rate: `trial_lambda`                    (taste, neuron, component, state)
a_tau, b_tau       HalfCauchy(3)                                        (changepoint,)
tau_latent         Beta(a_tau, b_tau); tau = bins · sorted              (taste, trial, changepoint)
tau_trial_latent   Beta(1, 1); tau_trial = trials · sorted              (switch,)
lambda             `state_lambda`, mixed by each trial's share of each  (taste, trial, neuron, state)
                   component
counts             Poisson of the rates, mixed by each bin's share of   (taste, trial, neuron, bin)
                   each state (`changepoints.state_weights`)
=================  ===================================================  =========================================

Note the hierarchy: a level is the *rate* of the exponential below it. Source: PyTau's `AllTastePoissonTrialSwitch`
(github.com/abuzarmahmood/pytau, MIT): same priors, same names, same initial values. `lambda`, the rates that each trial
has, is there `selected_trial_lambda`, with trials as its last axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytau_hpc.models.kind import ModelKind, at_least

if TYPE_CHECKING:
    import numpy as np
    import pymc as pm

    from pytau_hpc.models.starts import Start

KIND = ModelKind(
    name="all_taste_poisson_trial_switch",
    version=1,
    summary="spike counts of all tastes, with rates that switch in the course of the trials",
    module=__name__,
    dims=("taste", "trial", "neuron", "bin"),
    absent=("taste", "neuron", "trial"),
    values="counts",
    options={"switch_components": 2},
    option_checks={"switch_components": at_least(2)},
    posterior_dims={
        "nrn_lambda": ("neuron",),
        "taste_lambda": ("taste", "neuron"),
        "trial_lambda": ("taste", "neuron", "component"),
        "state_lambda": ("taste", "neuron", "component", "state"),
        "lambda": ("taste", "trial", "neuron", "state"),
        "a_tau": ("changepoint",),
        "b_tau": ("changepoint",),
        "tau_latent": ("taste", "trial", "changepoint"),
        "tau": ("taste", "trial", "changepoint"),
        "tau_trial_latent": ("switch",),
        "tau_trial": ("switch",),
    },
)


def inputs(data: np.ndarray, n_states: int, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The data, int array of shape (taste, trial, neuron, bin), and its states and components."""
    from pytau_hpc.models.switching import inputs_of

    return inputs_of(data, n_states, options["switch_components"])


def build(inputs: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> pm.Model:
    """The model of its `inputs`."""
    from pytau_hpc.models.switching import model_of

    return model_of(inputs)


def starts(
    data: np.ndarray, n_states: int, options: Mapping[str, Any], rng: np.random.Generator
) -> list[Start]:
    """Segmented in trials and bins, even, and PyMC's initial point; see `models.starts`."""
    from pytau_hpc.models.switching import starts_for

    return starts_for(data, n_states, options["switch_components"], rng)
