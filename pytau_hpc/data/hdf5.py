"""One HDF5 dataset of spikes: trial × neuron × ms at 1 kHz, or taste × trial × neuron × ms. For files of any tool."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from pytau_hpc.data.h5 import array_of, dataset_at, opened
from pytau_hpc.data.reader import Values
from pytau_hpc.data.recording import Recording, recorded
from pytau_hpc.data.sessions import only_file
from pytau_hpc.errors import BadData
from pytau_hpc.sweep.point import Selection, Session

_SUFFIXES = (".h5", ".hdf5")
_DIMS = ("trial", "neuron", "ms")


def values(session: Session, options: Mapping[str, Any]) -> Values:
    """Tastes and sizes of the dataset; reads its shape only."""
    with opened(only_file(Path(session.path), _SUFFIXES)) as file:
        return _values(_dataset(file, options))


def read(session: Session, selection: Selection, options: Mapping[str, Any]) -> Recording:
    """Spikes (trial, neuron, ms) of one taste, or (taste, trial, neuron, ms); reads only the taste it returns."""
    with opened(only_file(Path(session.path), _SUFFIXES)) as file:
        dataset = _dataset(file, options)
        known = _values(dataset)
        known.require(selection, session)
        where = f"{file.filename}: {dataset.name}"
        if selection.taste == "all":
            array = array_of(dataset)
            array = array if dataset.ndim == 4 else array[None]
            return recorded(array, ("taste", *_DIMS), "spikes", where=where)
        index = known.taste_index(selection.taste)
        array = array_of(dataset, index) if dataset.ndim == 4 else array_of(dataset)
        return recorded(array, _DIMS, "spikes", where=where)


def _dataset(file: h5py.File, options: Mapping[str, Any]) -> h5py.Dataset:
    dataset = dataset_at(file, options["dataset"])
    if dataset.ndim not in (3, 4):
        raise BadData(
            f"{file.filename}: {dataset.name} has shape {dataset.shape}; [taste ×] trial × neuron × ms is needed"
        )
    return dataset


def _values(dataset: h5py.Dataset) -> Values:
    n_tastes = int(dataset.shape[0]) if dataset.ndim == 4 else 1
    n_trials, n_neurons, n_ms = (int(length) for length in dataset.shape[-3:])
    return Values(
        n_tastes=n_tastes, n_trials=(n_trials,) * n_tastes, n_neurons=n_neurons, n_ms=n_ms
    )
