"""From a selected array to the array that the model sees: cut the window, transform, bin.

The transforms mean what PyTau's mean (changepoint_preprocess). The window is cut first; PyTau transforms the whole
recording and cuts afterwards, which comes to the same distribution, since no transform moves anything in time.
Orders are drawn by sorting uniform numbers, because `Generator.random` gives the same stream in every numpy so far
and `Generator.permutation` does not promise to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pytau_hpc.data.facts import layout_problems
from pytau_hpc.data.recording import Recording
from pytau_hpc.errors import BadData
from pytau_hpc.files import canonical_json, sha256_text
from pytau_hpc.sweep.point import Preprocessing, Selection

Array = npt.NDArray[Any]

#: Axis of trials, counted from the end: (…, trial, neuron, time).
_TRIAL = -3


def preprocessing_rng(
    digest: str, selection: Selection, preprocessing: Preprocessing, repeat: int
) -> np.random.Generator:
    """Random numbers of the shuffles: from what is shuffled alone, so that every model sees the same shuffle."""
    what = {
        "data": digest,
        "selection": dataclasses.asdict(selection),
        "preprocessing": dataclasses.asdict(preprocessing),
        "repeat": repeat,
    }
    return np.random.default_rng(int(sha256_text(canonical_json(what)), 16))


def preprocess(
    recording: Recording, preprocessing: Preprocessing, rng: np.random.Generator
) -> Array:
    """Cut, transform and bin.

    Parameters
    ----------
    recording : spikes of shape ([taste,] trial, neuron, ms), or data binned already
    preprocessing : `window_ms` is half open: (2000, 4000) takes the samples 2000 to 3999

    Returns
    -------
    int64 counts of shape ([taste,] trial, neuron, bin); binned data keep their shape and type

    Raises
    ------
    BadData : window, bins or transform do not fit the recording; spikes that are not whole numbers
    """
    array = recording.array
    problems = layout_problems(
        array.shape,
        recording.dims,
        recording.kind,
        transform=preprocessing.transform,
        window_ms=preprocessing.window_ms,
        bin_ms=preprocessing.bin_ms,
    )
    if recording.kind == "spikes" and array.dtype.kind == "f":
        problems.append("spikes must be whole numbers")
    if problems:
        raise BadData("; ".join(problems))
    transform = _TRANSFORMS[preprocessing.transform]
    if preprocessing.window_ms is None or preprocessing.bin_ms is None:
        return transform(array, rng)
    start, end = preprocessing.window_ms
    return bin_spikes(transform(array[..., start:end], rng), bin_ms=preprocessing.bin_ms)


def bin_spikes(spikes: Array, *, bin_ms: int) -> npt.NDArray[np.int64]:
    """Count spikes in consecutive bins: (…, ms) to int64 (…, ms // bin_ms); `bin_ms` must divide the samples."""
    *outer, n_ms = spikes.shape
    counts: npt.NDArray[np.int64] = spikes.reshape(*outer, n_ms // bin_ms, bin_ms).sum(
        axis=-1, dtype=np.int64
    )
    return counts


def _none(array: Array, rng: np.random.Generator) -> Array:
    return array


def _trial_shuffled(array: Array, rng: np.random.Generator) -> Array:
    """Trials of each neuron in an order of its own; the same order for every taste, as in PyTau."""
    *_, n_trials, n_neurons, _ = array.shape
    order = np.argsort(rng.random((n_trials, n_neurons)), axis=0, kind="stable")
    return _take_trials(array, order[:, :, np.newaxis])


def _spike_shuffled(array: Array, rng: np.random.Generator) -> Array:
    """At each millisecond the trials in an order of their own, which all neurons (and tastes) share, as in PyTau."""
    *_, n_trials, _, n_ms = array.shape
    order = np.argsort(rng.random((n_trials, n_ms)), axis=0, kind="stable")
    return _take_trials(array, order[:, np.newaxis, :])


def _take_trials(array: Array, order: Array) -> Array:
    order = order.reshape((1,) * (array.ndim - order.ndim) + order.shape)
    return np.take_along_axis(array, order, axis=_TRIAL)


def _simulated(array: Array, rng: np.random.Generator) -> Array:
    """A spike at each millisecond with the probability of the neuron's mean over trials.

    Trial after trial, so that the uniform numbers (8 bytes where a spike is 1) never exist for all trials at once.
    """
    probability = array.mean(axis=_TRIAL)
    spikes = np.empty(array.shape, dtype=np.uint8)
    for trial in range(array.shape[_TRIAL]):
        spikes[..., trial, :, :] = rng.random(probability.shape) < probability
    return spikes


_TRANSFORMS: Mapping[str, Callable[[Array, np.random.Generator], Array]] = {
    "none": _none,
    "trial_shuffled": _trial_shuffled,
    "spike_shuffled": _spike_shuffled,
    "simulated": _simulated,
}
