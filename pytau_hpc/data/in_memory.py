"""Preprocessing of arrays that are in memory already, with PyTau's words for it.

What `changepoint_preprocess` and `changepoint_io` call. The computation is `preprocess.preprocess`, the same as for the
points of a sweep; here are only the forms that PyTau's arguments take: arrays with or without axes for neurons, trials
and tastes, limits and widths in samples or in seconds, `None` for no transform, and a seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytau_hpc.data.facts import check, nearest_bins
from pytau_hpc.data.preprocess import preprocess, preprocessing_rng
from pytau_hpc.data.recording import facts, recorded
from pytau_hpc.data.transforms import transform_named
from pytau_hpc.errors import BadData, UserError
from pytau_hpc.sweep.point import Preprocessing, Selection

Seed = int | Sequence[int] | np.random.Generator | None

#: Axes by their number; the last is time.
_DIMS = {
    1: ("ms",),
    2: ("trial", "ms"),
    3: ("trial", "neuron", "ms"),
    4: ("taste", "trial", "neuron", "ms"),
}


def preprocess_array(
    spikes: npt.ArrayLike,
    *,
    window: Sequence[float],
    bin_width: float,
    transform: str | None = None,
    seed: Seed = None,
) -> npt.NDArray[np.int64]:
    """Cut, transform and bin an array of spikes.

    Parameters
    ----------
    spikes : whole numbers, shape (time), (trial, time), (trial, neuron, time) or (taste, trial, neuron, time)
    window : first sample, and the one after the last
    bin_width : in samples; must divide the window
    transform : None (or "None", PyTau's way to write it in a file), "trial_shuffled", "spike_shuffled", "simulated"
    seed : of the transform's random numbers: what `numpy.random.default_rng` takes. None derives them from the spikes
        and the other arguments: the same call always gives the same array, other data get other shuffles

    Returns
    -------
    int64 counts, the shape of `spikes` with bins in place of samples

    Raises
    ------
    BadData : not spikes, or a window, a bin or a transform that does not fit them; all problems at once
    UserError : no such transform, or limits that are not whole numbers
    """
    array = np.asarray(spikes)
    if array.ndim not in _DIMS:
        raise BadData(
            f"spikes have 1 to 4 axes, ([[taste,] trial, neuron,] time), not {array.ndim}"
        )
    preprocessing = Preprocessing(
        transform=transform_named(transform),
        window_ms=_window(window),
        bin_ms=_whole("bin_width", bin_width),
    )
    # The transforms move whole trials or neurons about, so they need both axes to be there.
    one_neuron = array.ndim == 2 and preprocessing.transform != "none"
    if one_neuron:
        array = array[:, np.newaxis]
    recording = recorded(array, _DIMS[array.ndim], "spikes", where="the array of spikes")
    found = facts(recording)
    problems = check(
        found,
        transform=preprocessing.transform,
        window_ms=preprocessing.window_ms,
        bin_ms=preprocessing.bin_ms,
    )
    if problems:
        raise BadData("; ".join(problems))
    rng = (
        preprocessing_rng(found.digest, Selection(), preprocessing, repeat=0)
        if seed is None
        else np.random.default_rng(seed)
    )
    counts = preprocess(recording, preprocessing, rng)
    return counts[:, 0] if one_neuron else counts


def preprocess_seconds(
    spikes: npt.ArrayLike,
    *,
    bin_width: float,
    time_lims: Sequence[float],
    sampling_rate: float,
    transform: str | None = None,
    seed: Seed = None,
) -> npt.NDArray[np.int64]:
    """`preprocess_array`, with limits and widths in seconds and the sampling rate in Hz.

    Raises
    ------
    BadData : as there; also where a limit or a bin is not a whole number of samples
    """
    if not (_is_number(sampling_rate) and sampling_rate > 0):
        raise UserError(f"sampling_rate is in Hz and must be more than 0, not {sampling_rate!r}")
    limits = np.asarray(time_lims, dtype=float).tolist()
    if not isinstance(limits, list) or len(limits) != 2:
        raise UserError(f"time_lims must be two numbers, start and end in seconds, not {time_lims}")
    n_samples = np.asarray(spikes).shape[-1] if np.ndim(spikes) else 0
    start, end, width = (
        _samples(seconds, sampling_rate) for seconds in (limits[0], limits[1], float(bin_width))
    )
    problems = [
        f"{name} {seconds:g} s is not a whole number of samples at {sampling_rate:g} Hz"
        for name, seconds, samples in (
            ("time_lims starts at", limits[0], start),
            ("time_lims ends at", limits[1], end),
            ("bin_width", float(bin_width), width),
        )
        if samples is None
    ]
    if start is not None and end is not None and width is not None:
        problems += _problems_of_time(n_samples, (start, end), width, sampling_rate)
        if not problems:
            return preprocess_array(
                spikes, window=(start, end), bin_width=width, transform=transform, seed=seed
            )
    raise BadData("; ".join(problems))


def _problems_of_time(
    n_samples: int, window: tuple[int, int], width: int, rate: float
) -> list[str]:
    """What `facts` says about window and bins, in seconds."""
    start, end = window
    found = []
    if start < 0 or end > n_samples:
        found.append(
            f"time_lims {start / rate:g}-{end / rate:g} s is outside the data, which run from 0 to "
            f"{n_samples / rate:g} s ({n_samples} samples at {rate:g} Hz)"
        )
    if end <= start:
        found.append(
            f"time_lims {start / rate:g}-{end / rate:g} s is empty: its end must be after its start"
        )
    if width < 1:
        found.append("bin_width must be more than 0")
    elif end > start and (end - start) % width:
        near = " and ".join(f"{near / rate:g}" for near in nearest_bins(end - start, width))
        found.append(
            f"bins of {width / rate:g} s do not divide the window of {(end - start) / rate:g} s "
            f"({(end - start) / width:.2f} bins); nearest that do: {near} s"
        )
    return found


def _samples(seconds: float, rate: float) -> int | None:
    """Seconds as samples, None where that is no whole number (but for the last digits of a float)."""
    samples = seconds * rate
    if not math.isfinite(samples) or abs(samples - round(samples)) > 1e-6 * max(1.0, abs(samples)):
        return None
    return round(samples)


def _window(window: Sequence[float]) -> tuple[int, int]:
    if np.shape(window) != (2,):
        raise UserError(f"time_lims must be two numbers, start and end, not {window!r}")
    return _whole("time_lims", window[0]), _whole("time_lims", window[1])


def _whole(name: str, value: Any) -> int:
    if not _is_number(value) or value != round(value):
        raise UserError(f"{name} is in samples and must be whole, not {value!r}")
    return int(value)


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float | np.integer | np.floating)
    return number and not isinstance(value, bool) and math.isfinite(value)
