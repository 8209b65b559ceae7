"""Sessions of blech_clust: a folder with one HDF5 file of spike trains and one `.info` file about the experiment.

The layout (PyTau reads the same, in utils/ephys_data): ``/spike_trains/dig_in_N/spike_array`` holds trial × neuron ×
ms at 1 kHz, one dig_in per taste; ``laser_durations`` beside it is not 0 in trials with laser; ``/unit_descriptor``
gives the electrode of each neuron, and `.info` (JSON) the electrodes of each region and the names of the tastes.

Unlike PyTau: dig_ins are in natural order (2 before 10); a neuron whose electrode is in no region belongs to none
(there to the first); the file is never opened for writing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from pytau_hpc.data.blech_info import Info, read_info
from pytau_hpc.data.h5 import array_of, dataset_at, opened
from pytau_hpc.data.reader import Values
from pytau_hpc.data.recording import Recording, recorded
from pytau_hpc.data.sessions import natural_key, only_file
from pytau_hpc.errors import BadData
from pytau_hpc.sweep.point import Selection, Session

_SUFFIXES = (".h5", ".hdf5")
_DIMS = ("trial", "neuron", "ms")


@dataclass(frozen=True)
class _Taste:
    """The spikes of one dig_in (not read yet) and its trials with laser (bool, or None where nothing is said)."""

    spikes: h5py.Dataset
    laser: npt.NDArray[np.bool_] | None

    @property
    def n_trials(self) -> int:
        return int(self.spikes.shape[0])


def values(session: Session, options: Mapping[str, Any]) -> Values:
    """Tastes, regions and lasers of a session. Reads shapes and laser durations, no spikes."""
    path = only_file(Path(session.path), _SUFFIXES)
    with opened(path) as file:
        return _values(_tastes(file), read_info(path))


def read(session: Session, selection: Selection, options: Mapping[str, Any]) -> Recording:
    """Spikes (trial, neuron, ms) of one taste, or (taste, trial, neuron, ms); touches only the dig_ins it returns."""
    path = only_file(Path(session.path), _SUFFIXES)
    with opened(path) as file:
        tastes = _tastes(file)
        info = read_info(path)
        known = _values(tastes, info)
        known.require(selection, session)
        together = selection.taste == "all"
        indices = range(len(tastes)) if together else [known.taste_index(selection.taste)]
        picked = [tastes[index] for index in indices]
        _require_equal([taste.spikes.shape[1:] for taste in picked], "neurons × ms", session)
        trials = [
            _trials(taste, selection.laser, index, session)
            for index, taste in zip(indices, picked, strict=True)
        ]
        _require_equal([len(chosen) for chosen in trials], "trials", session)
        n_neurons = int(picked[0].spikes.shape[1])
        units = None
        if selection.region != "all":
            units = _units(file, info, selection.region, n_neurons)
        arrays = [
            _spikes(taste.spikes, chosen, units)
            for taste, chosen in zip(picked, trials, strict=True)
        ]
    if together:
        return recorded(np.stack(arrays), ("taste", *_DIMS), "spikes", where=str(path))
    return recorded(arrays[0], _DIMS, "spikes", where=str(path))


def _tastes(file: h5py.File) -> list[_Taste]:
    trains = file.get("spike_trains")
    names = [name for name in trains if "dig_in" in name] if isinstance(trains, h5py.Group) else []
    if not names:
        raise BadData(f"{file.filename} has no /spike_trains/dig_in_N; is this a blech_clust file?")
    found = []
    for name in sorted(names, key=natural_key):
        spikes = dataset_at(trains, f"{name}/spike_array")
        if spikes.ndim != 3:
            raise BadData(
                f"{file.filename}: {spikes.name} has shape {spikes.shape}; trial × neuron × ms is needed"
            )
        found.append(_Taste(spikes=spikes, laser=_laser(trains[name], spikes.shape[0])))
    return found


def _laser(dig_in: h5py.Group, n_trials: int) -> npt.NDArray[np.bool_] | None:
    if "laser_durations" not in dig_in:
        return None
    durations = array_of(dataset_at(dig_in, "laser_durations"))
    if durations.shape[:1] != (n_trials,):
        where = f"{dig_in.file.filename}: {dig_in.name}/laser_durations"
        raise BadData(f"{where} has shape {durations.shape}, but there are {n_trials} trials")
    lit = np.any(durations.reshape(n_trials, -1) > 0, axis=1)
    return np.asarray(lit, dtype=np.bool_)


def _values(tastes: list[_Taste], info: Info) -> Values:
    known = [taste.laser for taste in tastes if taste.laser is not None]
    lit = np.concatenate(known) if known else np.zeros(0, dtype=bool)
    lasers = ["none"]
    lasers += ["on"] if lit.any() else []
    lasers += ["off"] if (~lit).any() else []
    return Values(
        n_tastes=len(tastes),
        tastes=_taste_names([_number(taste.spikes.parent.name) for taste in tastes], info),
        regions=info.regions,
        lasers=tuple(lasers),
        n_trials=tuple(taste.n_trials for taste in tastes),
        n_neurons=int(tastes[0].spikes.shape[1]),
        n_ms=int(tastes[0].spikes.shape[2]),
    )


def _number(name: str) -> int | None:
    """The number that a dig_in's name ends in: 3 for ``dig_in_3``."""
    digits = re.search(r"([0-9]+)$", name)
    return int(digits[1]) if digits else None


def _taste_names(numbers: list[int | None], info: Info) -> tuple[str, ...]:
    """Names in the order of the dig_ins: by dig_in number where `.info` uses the same numbers, else by order."""
    listed = [_number(str(dig_in)) for dig_in in info.dig_ins]
    unambiguous = None not in listed and len(set(listed)) == len(listed) == len(info.tastes)
    if unambiguous and set(numbers) <= set(listed):
        return tuple(info.tastes[listed.index(number)] for number in numbers)
    return info.tastes if len(info.tastes) == len(numbers) else ()


def _units(file: h5py.File, info: Info, region: str, n_neurons: int) -> npt.NDArray[np.intp]:
    """Indices of the neurons of a region."""
    electrodes = info.electrodes.get(region)
    if electrodes is None:
        if len(info.regions) == 1:
            return np.arange(n_neurons)
        raise BadData(
            f"{info.path}: the electrode_layout does not say which electrodes are in region `{region}`"
        )
    descriptor = array_of(dataset_at(file, "unit_descriptor"))
    if "electrode_number" not in (descriptor.dtype.names or ()):
        raise BadData(
            f"{file.filename}: /unit_descriptor has no electrode_number, so regions are unknown"
        )
    if len(descriptor) != n_neurons:
        raise BadData(
            f"{file.filename}: /unit_descriptor describes {len(descriptor)} units, but there are {n_neurons} neurons"
        )
    units = np.flatnonzero(np.isin(descriptor["electrode_number"], sorted(electrodes)))
    if not units.size:
        raise BadData(f"{file.filename}: region `{region}` has 0 of the {n_neurons} neurons")
    return units


def _trials(taste: _Taste, laser: str, index: int, session: Session) -> npt.NDArray[np.intp]:
    """Indices of the trials that a laser selection leaves: all for "none", as PyTau's None."""
    if laser == "none":
        return np.arange(taste.n_trials)
    if taste.laser is None:
        raise BadData(
            f"{session.name}: laser `{laser}`: {taste.spikes.parent.name} has no laser_durations"
        )
    chosen = np.flatnonzero(taste.laser if laser == "on" else ~taste.laser)
    if not chosen.size:
        raise BadData(
            f"{session.name}: laser `{laser}` leaves 0 of the {taste.n_trials} trials of taste {index}"
        )
    return chosen


def _spikes(
    dataset: h5py.Dataset, trials: npt.NDArray[np.intp], units: npt.NDArray[np.intp] | None
) -> npt.NDArray[Any]:
    # Read whole and cut in memory: HDF5 is slow at picking scattered rows out of chunks.
    spikes = array_of(dataset)
    if len(trials) < len(spikes):
        spikes = spikes[trials]
    return spikes if units is None else spikes[:, units]


def _require_equal(lengths: list[Any], what: str, session: Session) -> None:
    if len(set(lengths)) > 1:
        shown = ", ".join(
            " × ".join(map(str, n)) if isinstance(n, tuple) else str(n) for n in lengths
        )
        raise BadData(
            f"{session.name}: the tastes have {shown} {what}; to fit them together (taste: all) they must agree",
            help="fit the tastes one by one",
        )
