"""Preprocessing by the names that PyTau and its pages give it: `preprocess_spike_data`, `preprocess_single_taste`, …

A door: names and defaults only. The work is done in `pytau_hpc.data`. Whatever draws random numbers takes a `seed`
(a number, or a `numpy.random.Generator`), and without one gives the same array every time it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytau_hpc.data.generated import gen_test_array, simulated_spikes
from pytau_hpc.data.in_memory import Seed, preprocess_array, preprocess_seconds
from pytau_hpc.data.quality import (
    check_data_quality,
    data_problems,
    data_remarks,
    remove_incomplete_trials,
)
from pytau_hpc.data.synthetic import Simulated, Truth, write_blech_session
from pytau_hpc.errors import BadData

__all__ = [
    "Simulated",
    "Truth",
    "check_data_quality",
    "data_problems",
    "data_remarks",
    "gen_test_array",
    "generate_synthetic_spikes",
    "preprocess_all_taste",
    "preprocess_single_taste",
    "preprocess_spike_data",
    "remove_incomplete_trials",
    "write_blech_session",
]


def preprocess_spike_data(
    raw_spikes: npt.ArrayLike,
    bin_width: float = 0.05,
    time_lims: Sequence[float] = (0, 2.0),
    shuffle: bool | str | None = False,
    sampling_rate: float = 1000,
    *,
    seed: Seed = None,
) -> npt.NDArray[np.int64]:
    """Cut and bin spike trains, and shuffle their trials for a null distribution.

    Parameters
    ----------
    raw_spikes : 0 and 1 (or counts) per sample, shape ([[taste,] trial, [neuron,]] time)
    bin_width : seconds; must divide the window
    time_lims : start and end in seconds; the end is not in it
    shuffle : True shuffles the trials of each neuron ("trial_shuffled"); or the name of a transform
    sampling_rate : of `raw_spikes`, Hz
    seed : of the shuffle; see `preprocess_single_taste`

    Returns
    -------
    int64 counts, the shape of `raw_spikes` with bins in place of samples

    Raises
    ------
    BadData : not spikes, or limits or bins that do not fit them; all problems at once
    """
    transform = ("trial_shuffled" if shuffle else None) if isinstance(shuffle, bool) else shuffle
    return preprocess_seconds(
        raw_spikes,
        bin_width=bin_width,
        time_lims=time_lims,
        sampling_rate=sampling_rate,
        transform=transform,
        seed=seed,
    )


def preprocess_single_taste(
    spike_array: npt.ArrayLike,
    time_lims: Sequence[int],
    bin_width: int,
    data_transform: str | None = None,
    *,
    seed: Seed = None,
) -> npt.NDArray[np.int64]:
    """Cut, transform and bin the spikes of one taste.

    Without a transform the counts are PyTau's (changepoint_preprocess.preprocess_single_taste); with one, they have
    the same distribution and other random numbers.

    Parameters
    ----------
    spike_array : shape (trial, neuron, time), whole numbers; (trial, time) for a single neuron
    time_lims : first sample, and the one after the last
    bin_width : in samples; must divide the window
    data_transform : None (or "None"); "trial_shuffled": each neuron's trials in an order of its own;
        "spike_shuffled": at each sample the trials in an order that all neurons share; "simulated": spikes drawn from
        each neuron's mean over trials
    seed : a number or a `numpy.random.Generator`. None derives the random numbers from the array and the arguments:
        the same call gives the same counts, another session another shuffle

    Returns
    -------
    int64, shape (trial, neuron, bin)

    Raises
    ------
    BadData : not spikes, or limits, bins or a transform that do not fit them; all problems at once
    """
    _must_have_axes(spike_array, (2, 3), "trial x neuron x time (or trial x time)")
    return preprocess_array(
        spike_array, window=time_lims, bin_width=bin_width, transform=data_transform, seed=seed
    )


def preprocess_all_taste(
    spike_array: npt.ArrayLike,
    time_lims: Sequence[int],
    bin_width: int,
    data_transform: str | None = None,
    *,
    seed: Seed = None,
) -> npt.NDArray[np.int64]:
    """Cut, transform and bin the spikes of all tastes: `preprocess_single_taste` for (taste, trial, neuron, time).

    A shuffle moves the trials of all tastes in the same way, as PyTau's does.
    """
    _must_have_axes(spike_array, (4,), "taste x trial x neuron x time")
    return preprocess_array(
        spike_array, window=time_lims, bin_width=bin_width, transform=data_transform, seed=seed
    )


def generate_synthetic_spikes(
    n_trials: int = 30,
    n_neurons: int = 10,
    n_states: int = 4,
    duration_ms: int = 2000,
    n_tastes: int = 1,
    *,
    seed: int = 0,
) -> Simulated:
    """Spikes at 1 kHz whose changepoints are known, to see whether a model finds them.

    Returns
    -------
    `Simulated`: ``spikes``, shape (taste, trial, neuron, ms), and ``truth`` with ``changepoints_ms`` (taste, trial,
    changepoint) and ``rates_hz`` (taste, neuron, state)
    """
    return simulated_spikes(
        tastes=n_tastes,
        trials=n_trials,
        neurons=n_neurons,
        n_states=n_states,
        duration_ms=duration_ms,
        seed=seed,
    )


def _must_have_axes(spike_array: Any, n: tuple[int, ...], names: str) -> None:
    if np.ndim(spike_array) not in n:
        raise BadData(f"spike_array must be {names}, not of shape {np.shape(spike_array)}")
