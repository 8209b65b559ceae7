"""What all changepoint models share: where the changepoints are, and which state each bin is in.

Shapes are symbolic throughout: a model built here never holds a Python number of trials, neurons, bins or states, so
that its graph can be lowered once and evaluated for data of any shape. Called by the models' `build`.

Source of the formulas: PyTau's changepoint models (github.com/abuzarmahmood/pytau, MIT), which smooth each change
over a few bins with a sigmoid so that the density is differentiable.
"""

from __future__ import annotations

from typing import Any

import pymc as pm
import pytensor.tensor as pt


def changepoints(*, n_states: Any, n_bins: Any, each: tuple[Any, ...] = (), start: str) -> Any:
    """Sorted changepoints `tau`, in bins from 0 to ``n_bins - 1``.

    Each changepoint's place has a Beta prior on [0, 1] (`tau_latent`, not sorted) whose two shape parameters
    (`a_tau`, `b_tau`) are shared by everything that has its own changepoints.

    Parameters
    ----------
    n_states, n_bins : symbolic integers
    each : shape of the things with changepoints of their own: ``(n_trials,)``, or () for one series
    start : initial value of `tau_latent`: "even" splits, or the "prior" mean

    Returns
    -------
    tensor, shape (*each, n_states - 1), sorted along the last axis; registered as the Deterministic `tau`
    """
    a_tau = pm.HalfCauchy("a_tau", 3.0, shape=(n_states - 1,))
    b_tau = pm.HalfCauchy("b_tau", 3.0, shape=(n_states - 1,))
    even = pt.broadcast_to(pt.arange(1, n_states) / n_states, (*each, n_states - 1))
    latent = pm.Beta(
        "tau_latent",
        a_tau,
        b_tau,
        shape=(*each, n_states - 1),
        initval=even if start == "even" else None,
    )
    return pm.Deterministic("tau", (n_bins - 1) * pt.sort(latent, axis=-1))


def state_weights(tau: Any, n_bins: Any) -> Any:
    """How much of each bin belongs to each state.

    Parameters
    ----------
    tau : tensor, shape (…, changepoint), in bins, sorted

    Returns
    -------
    tensor, shape (…, state, bin), from 0 to 1. A change is a sigmoid, half done at bin index `tau`. For three
    and more states the weights of a bin need not sum to exactly one where two changepoints are close.
    """
    after = pt.sigmoid(pt.arange(n_bins) - tau[..., None])
    always = pt.ones_like(after[..., :1, :])
    begun = pt.concatenate([always, after], axis=-2)
    not_over = pt.concatenate([1 - after, always], axis=-2)
    return begun * not_over
