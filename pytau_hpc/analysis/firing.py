"""What the neurons do in the states and at the changepoints, under the names that PyTau's `_firing` has."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pytau_hpc.analysis.activity import get_state_firing, transition_snips
from pytau_hpc.analysis.changepoints import Tau
from pytau_hpc.analysis.fitted import Raw
from pytau_hpc.analysis.significance import (
    calc_significant_neurons_firing,
    calc_significant_neurons_snippets,
)

Array = npt.NDArray[Any]

#: PyTau's window, for spikes at 1 kHz.
RADIUS_MS = 300


class Firing:
    """One taste's activity, computed when it is asked for.

    Source: `pytau/changepoint_analysis.py` (github.com/abuzarmahmood/pytau, MIT). Where a window of `transition_snips`
    leaves the recording it is NaN there, and out of the t-test; PyTau cannot open such a fit.

    Parameters
    ----------
    tau : modes of shape (trial, changepoint)
    processed_spikes : shape (trial, neuron, bin)
    raw : reads the activity at the resolution of `tau.scaled_mode_tau`, shape (trial, neuron, sample)
    window_radius : samples before and from a changepoint, for `transition_snips`
    """

    def __init__(
        self,
        tau: Tau,
        processed_spikes: Array,
        raw: Callable[[], Raw],
        window_radius: int = RADIUS_MS,
    ) -> None:
        self.tau = tau
        self.processed_spikes = processed_spikes
        self.window_radius = window_radius
        self._read = raw

    @cached_property
    def raw(self) -> Raw:
        """The recording behind the fit, with where it holds data."""
        return self._read()

    @property
    def raw_spikes(self) -> Array:
        """The recording behind the fit, shape (trial, neuron, sample); for spikes a sample is 1 ms."""
        return self.raw.activity

    @cached_property
    def state_firing(self) -> Array:
        """Mean count per bin, shape (trial, state, neuron)."""
        return get_state_firing(self.processed_spikes, self.tau.raw_mode_tau)

    @cached_property
    def transition_snips(self) -> Array:
        """Activity around the changepoints, shape (trial, neuron, 2 * window_radius, changepoint)."""
        return self.snips(self.window_radius)

    def snips(self, window_radius: int) -> Array:
        """`transition_snips` of another radius, in samples."""
        raw = self.raw
        return transition_snips(
            raw.activity, self.tau.scaled_mode_tau, window_radius, valid=raw.valid
        )

    @cached_property
    def _anova(self) -> tuple[Array, Array]:
        return calc_significant_neurons_firing(self.state_firing)

    @property
    def anova_p_val_array(self) -> Array:
        """Shape (neuron,): does a neuron differ between the states?"""
        return self._anova[0]

    @property
    def anova_significant_neurons(self) -> Array:
        """Indices of neurons that do, after Bonferroni's correction."""
        return self._anova[1]

    @cached_property
    def _pairwise(self) -> tuple[Array, Array]:
        return calc_significant_neurons_snippets(self.transition_snips)

    @property
    def pairwise_p_val_array(self) -> Array:
        """Shape (neuron, changepoint): does a neuron differ before and after?"""
        return self._pairwise[0]

    @property
    def pairwise_significant_neurons(self) -> Array:
        """Bool, shape (neuron, changepoint), not corrected for the number of tests, as in PyTau."""
        return self._pairwise[1]

    @cached_property
    def n_whole_windows(self) -> Array:
        """Shape (changepoint,): in how many trials the window lies inside the recording."""
        return (~np.isnan(self.transition_snips[:, 0]).any(axis=1)).sum(axis=0)
