"""What all changepoint models share: where the changepoints are, and which state each bin is in.

Shapes are symbolic throughout: a model built here never holds a Python number of trials, neurons, bins or states, so
that its graph can be lowered once and evaluated for data of any shape. Called by the models' `build`.

Source of the formulas: PyTau's changepoint models (github.com/abuzarmahmood/pytau, MIT), which smooth each change
over a few bins with a sigmoid so that the density is differentiable.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pymc as pm
import pytensor.tensor as pt


def slope_of(inds_span: float) -> np.ndarray:
    """The slope of a sigmoid that goes from 5 % to 95 % over `inds_span` bins, float array of one element.

    2 log 19 is 5.8889; PyTau writes it with four decimals.
    """
    return np.array([5.8889 / inds_span])


def changepoints(
    *,
    n_states: Any,
    n_bins: Any,
    each: tuple[Any, ...] = (),
    start: Literal["even", "prior"],
    hyperprior: Literal["half_cauchy", "half_normal"] = "half_cauchy",
    scale: float = 3.0,
    last: Any = None,
) -> Any:
    """Sorted changepoints `tau`, in bins from 0 to `last`.

    Each changepoint's place has a Beta prior on [0, 1] (`tau_latent`, not sorted) whose two shape parameters
    (`a_tau`, `b_tau`) are shared by everything that has its own changepoints.

    Parameters
    ----------
    n_states, n_bins : symbolic integers
    each : shape of the things with changepoints of their own: ``(n_trials,)``, or () for one series
    start : initial value of `tau_latent`: "even" splits, or the "prior" mean
    hyperprior, scale : prior of the two shape parameters
    last : the largest `tau`; ``n_bins - 1`` where not given

    Returns
    -------
    tensor, shape (*each, n_states - 1), sorted along the last axis; registered as the Deterministic `tau`
    """
    positive = pm.HalfCauchy if hyperprior == "half_cauchy" else pm.HalfNormal
    a_tau = positive("a_tau", scale, shape=(n_states - 1,))
    b_tau = positive("b_tau", scale, shape=(n_states - 1,))
    latent = pm.Beta(
        "tau_latent",
        a_tau,
        b_tau,
        shape=(*each, n_states - 1),
        initval=_even(n_states, each) if start == "even" else None,
    )
    return pm.Deterministic("tau", (n_bins - 1 if last is None else last) * pt.sort(latent, -1))


def sticks(*, n_states: Any, n_bins: Any, each: tuple[Any, ...] = ()) -> Any:
    """Changepoints `tau`, in bins from 0 to `n_bins`, between states whose lengths come from a Dirichlet process.

    The process is truncated at `n_states`: each state takes the share `beta` of what the states before it have left
    (`w_raw`), and the lengths are scaled so that they fill the series (`w_latent`). What is not needed shrinks to
    next to nothing. The concentration `alpha` has a Gamma prior whose parameters have Gamma priors.

    Returns
    -------
    tensor, shape (*each, n_states - 1), rising along the last axis; registered as the Deterministic `tau`
    """
    a_gamma = pm.Gamma("a_gamma", 10.0, 1.0)
    b_gamma = pm.Gamma("b_gamma", 1.5, 1.0)
    alpha = pm.Gamma("alpha", a_gamma, b_gamma)
    beta = pm.Beta("beta", 1.0, alpha, shape=(*each, n_states))
    left = pt.cumprod(1 - beta, axis=-1)[..., :-1]
    raw = pm.Deterministic("w_raw", beta * pt.concatenate([pt.ones_like(beta[..., :1]), left], -1))
    lengths = pm.Deterministic("w_latent", raw / raw.sum(axis=-1, keepdims=True))
    return pm.Deterministic("tau", pt.cumsum(lengths * n_bins, axis=-1)[..., :-1])


def trial_switches(*, n_components: Any, n_trials: Any) -> Any:
    """Which component each trial belongs to: components follow each other as states do, trials instead of bins.

    Returns
    -------
    tensor, shape (component, trial), from 0 to 1. The switches, in trials from 0 to `n_trials`, are registered as the
    Deterministic `tau_trial`
    """
    latent = pm.Beta(
        "tau_trial_latent", 1.0, 1.0, shape=(n_components - 1,), initval=_even(n_components)
    )
    switches = pm.Deterministic("tau_trial", n_trials * pt.sort(latent, -1))
    return state_weights(switches, n_trials)


def changed(tau: Any, n_bins: Any, slope: Any = 1.0) -> Any:
    """How much of each change is done at each bin, shape (…, changepoint, bin): a sigmoid, one half at bin `tau`.

    Parameters
    ----------
    tau : tensor, shape (…, changepoint), in bins
    slope : per bin; 1 is 5 % to 95 % in six bins. A number, or shape (changepoint,)
    """
    slope = pt.as_tensor(slope)
    return pt.sigmoid(
        (slope[..., None] if slope.ndim else slope) * (pt.arange(n_bins) - tau[..., None])
    )


def state_weights(tau: Any, n_bins: Any, slope: Any = 1.0) -> Any:
    """How much of each bin belongs to each state.

    Parameters
    ----------
    tau : tensor, shape (…, changepoint), in bins, sorted
    slope : as for `changed`

    Returns
    -------
    tensor, shape (…, state, bin), from 0 to 1. For three and more states the weights of a bin sum to one or more,
    and to more where two changepoints are close: a state that has begun and one that is not over are multiplied.
    """
    after = changed(tau, n_bins, slope)
    always = pt.ones_like(after[..., :1, :])
    begun = pt.concatenate([always, after], axis=-2)
    not_over = pt.concatenate([1 - after, always], axis=-2)
    return begun * not_over


def mixed(rates: Any, weights: Any) -> Any:
    """The expected values of all trials, which share the rates of their states.

    Parameters
    ----------
    rates : tensor, shape (neuron, state)
    weights : tensor, shape (trial, state, bin)

    Returns
    -------
    tensor, shape (trial, neuron, bin)
    """
    # One matrix product: (trial, bin, state) · (state, neuron). Broadcasting instead is five times slower.
    return pt.tensordot(weights, rates, axes=[[1], [1]]).swapaxes(1, 2)


def _even(n_parts: Any, each: tuple[Any, ...] = ()) -> Any:
    """Where `n_parts` equal parts of [0, 1] meet, shape (*each, n_parts - 1)."""
    return pt.broadcast_to(pt.arange(1, n_parts) / n_parts, (*each, n_parts - 1))
