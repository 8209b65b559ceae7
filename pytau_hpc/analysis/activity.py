"""Activity cut out around changepoints and between them.

Source of names, shapes and numbers: `pytau/changepoint_analysis.py` (github.com/abuzarmahmood/pytau, MIT).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Standard deviation of the Gaussian that smooths activity around changepoints, in radii of the window.
_SMOOTH = 1 / 15


def check_dims(name: str, array: Array, *dims: str) -> None:
    """Nothing, where an array has as many axes as these dims.

    Raises
    ------
    ValueError : it has others
    """
    if array.ndim == len(dims):
        return
    one = ": choose a taste" if array.ndim == 4 and dims[0] == "trial" else ""
    one = ": choose a trial" if array.ndim == 3 and dims[0] == "neuron" else one
    raise ValueError(f"{name} must have shape ({', '.join(dims)}), not {array.shape}{one}")


def get_transition_snips(spike_array: Array, tau_array: Array, window_radius: int = 300) -> Array:
    """Activity around each changepoint, in trials that are all long enough.

    Parameters
    ----------
    spike_array : shape (trial, neuron, sample)
    tau_array : int array, shape (trial, changepoint), in samples
    window_radius : samples before a changepoint, and from it on

    Returns
    -------
    float array, shape (trial, neuron, 2 * window_radius, changepoint)

    Raises
    ------
    ValueError : a window leaves the data, or these are not arrays of such shapes
    """
    check_dims("spike_array", spike_array, "trial", "neuron", "sample")
    check_dims("tau_array", tau_array, "trial", "changepoint")
    n_samples = spike_array.shape[-1]
    if (tau_array < window_radius).any() or (tau_array > n_samples - window_radius).any():
        raise ValueError(
            f"Transition window extends outside data bounds: changepoints from {tau_array.min()} to "
            f"{tau_array.max()}, {window_radius} samples around each, data from 0 to {n_samples}"
        )
    return transition_snips(spike_array, tau_array, window_radius)


def transition_snips(
    activity: Array,
    at: Array,
    window_radius: int,
    *,
    valid: tuple[int, int] | None = None,
) -> Array:
    """Activity around each changepoint, NaN where there is none.

    Parameters
    ----------
    activity : shape (trial, neuron, sample)
    at : int array, shape (trial, changepoint), in samples
    valid : the samples that hold data; all of them where not given

    Returns
    -------
    float array, shape (trial, neuron, 2 * window_radius, changepoint)

    Raises
    ------
    ValueError : the changepoints are of more or fewer trials
    """
    n_trials, n_neurons, n_samples = activity.shape
    if len(at) != n_trials:
        raise ValueError(f"changepoints of {len(at)} trials, but activity of {n_trials}")
    first, end = (0, n_samples) if valid is None else valid
    snips = np.full((n_trials, n_neurons, 2 * window_radius, at.shape[-1]), np.nan)
    for trial, changepoint in np.ndindex(at.shape):
        begin = int(at[trial, changepoint]) - window_radius
        left, right = max(begin, first), min(begin + 2 * window_radius, end)
        if left < right:
            snips[trial, :, left - begin : right - begin, changepoint] = activity[
                trial, :, left:right
            ]
    return snips


def get_state_snippets(spike_array: Array, tau_array: Array) -> list[list[Array]]:
    """Activity between the changepoints, by state and trial.

    Parameters
    ----------
    spike_array : shape (trial, neuron, bin)
    tau_array : shape (trial, changepoint); a state begins with the bin whose index is the whole part of `tau`

    Returns
    -------
    ``[state][trial]``, each an array of shape (neuron, bins of that state)

    Raises
    ------
    ValueError : these are not arrays of such shapes
    """
    check_dims("spike_array", spike_array, "trial", "neuron", "bin")
    check_dims("tau_array", tau_array, "trial", "changepoint")
    n_trials, n_changepoints = tau_array.shape
    inner = tau_array.astype(np.int64)
    edges = np.column_stack(
        [np.zeros(n_trials, np.int64), inner, np.full(n_trials, spike_array.shape[-1])]
    )
    return [
        [
            spike_array[trial, :, edges[trial, state] : edges[trial, state + 1]]
            for trial in range(min(n_trials, len(spike_array)))
        ]
        for state in range(n_changepoints + 1)
    ]


def get_state_firing(spike_array: Array, tau_array: Array) -> Array:
    """Mean activity of each trial and state, per bin.

    Parameters
    ----------
    spike_array : shape (trial, neuron, bin)
    tau_array : shape (trial, changepoint), in bins

    Returns
    -------
    float array, shape (trial, state, neuron); 0 in a state without bins, as in PyTau (see `state_means`)
    """
    return np.nan_to_num(state_means(spike_array, tau_array))


def state_means(spike_array: Array, tau_array: Array) -> Array:
    """The same as `get_state_firing`, but NaN in a state that has no bins in a trial."""
    return np.array(
        [
            [
                piece.mean(axis=-1) if piece.shape[-1] else np.full(len(piece), np.nan)
                for piece in trial
            ]
            for trial in zip(*get_state_snippets(spike_array, tau_array), strict=True)
        ],
        dtype=np.float64,
    )


def mean_around(snips: Array, *, hz_per_unit: float = 1.0) -> Array:
    """Mean over trials of activity around changepoints, smoothed, minus each neuron's mean.

    Parameters
    ----------
    snips : shape (trial, neuron, sample, changepoint), NaN where a window leaves the recording
    hz_per_unit : 1000 makes rates in Hz of spikes per ms

    Returns
    -------
    shape (changepoint, neuron, sample)
    """
    known = ~np.isnan(snips)
    mean = np.where(known, snips, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    radius = snips.shape[2] / 2
    smooth = hz_per_unit * _smooth(np.moveaxis(mean, -1, 0), _SMOOTH * radius)
    return smooth - smooth.mean(axis=-1, keepdims=True)


def _smooth(values: Array, sd: float) -> Array:
    """A Gaussian of `sd` samples along the last axis; the ends have less to average over."""
    # A kernel longer than the values would make them longer.
    reach = min(int(np.ceil(3 * sd)), (values.shape[-1] - 1) // 2)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sd) ** 2)
    weight = np.convolve(np.ones(values.shape[-1]), kernel, mode="same")
    return np.apply_along_axis(np.convolve, -1, values, kernel, mode="same") / weight
