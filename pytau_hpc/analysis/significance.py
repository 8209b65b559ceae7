"""Which neurons differ between states and across changepoints.

The tests are PyTau's (`pytau/changepoint_analysis.py`, github.com/abuzarmahmood/pytau, MIT). The changepoints were put
where the activity changes, so these p values are too small as evidence that there are changes at all: compare with
fits of shuffled or simulated spikes. They rank neurons.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def calc_significant_neurons_firing(
    state_firing: Array, p_val: float = 0.05
) -> tuple[Array, Array]:
    """One-way ANOVA of each neuron over the states, with Bonferroni's correction for the number of neurons.

    Parameters
    ----------
    state_firing : shape (trial, state, neuron)
    p_val : significant is what lies below ``p_val / neurons``

    Returns
    -------
    p values, shape (neuron,), NaN for a neuron that never changes, or with one trial; and the indices of significant
    neurons
    """
    from scipy import stats

    if len(state_firing) < 2:
        p_values = np.full(state_firing.shape[-1], np.nan)
    else:
        with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
            # A silent neuron is constant; its p value is NaN, which says so.
            warnings.simplefilter("ignore")
            p_values = np.asarray(stats.f_oneway(*state_firing.swapaxes(0, 1), axis=0).pvalue)
    return p_values, np.where(p_values < p_val / state_firing.shape[-1])[0]


def calc_significant_neurons_snippets(
    transition_snips: Array, p_val: float = 0.05
) -> tuple[Array, Array]:
    """Paired t-test of each neuron before and after each changepoint, *not* corrected for their number, as in PyTau.

    Parameters
    ----------
    transition_snips : shape (trial, neuron, sample, changepoint); the first half is before the changepoint. A window
        that is NaN somewhere is left out
    p_val : significant is what lies below

    Returns
    -------
    p values, shape (neuron, changepoint), NaN where nothing differs or fewer than two trials are left; and which of
    them are significant
    """
    from scipy import stats

    before, after = (
        half.mean(axis=2) for half in np.array_split(transition_snips, 2, axis=2)
    )  # each (trial, neuron, changepoint)
    p_values = np.full(before.shape[1:], np.nan)
    for changepoint in range(before.shape[-1]):
        whole = ~np.isnan(before + after)[:, :, changepoint].any(axis=1)
        if whole.sum() < 2:
            continue
        with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
            warnings.simplefilter("ignore")
            p_values[:, changepoint] = stats.ttest_rel(
                before[whole, :, changepoint], after[whole, :, changepoint], axis=0
            ).pvalue
    return p_values, p_values < p_val
