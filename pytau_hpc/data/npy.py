"""NumPy arrays that are binned already: `.npy`, or one array of an `.npz`. Pickled objects are never read.

The number of axes says what they are: (bin), (dimension, bin), (trial, neuron, bin), (taste, trial, neuron, bin).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytau_hpc.data.reader import Values
from pytau_hpc.data.recording import Recording, recorded
from pytau_hpc.errors import BadData, did_you_mean
from pytau_hpc.sweep.point import Selection, Session

DIMS: Mapping[int, tuple[str, ...]] = {
    1: ("bin",),
    2: ("dimension", "bin"),
    3: ("trial", "neuron", "bin"),
    4: ("taste", "trial", "neuron", "bin"),
}


def values(session: Session, options: Mapping[str, Any]) -> Values:
    """Tastes and sizes of the array. An `.npz` must be read for that, an `.npy` is only mapped."""
    return _values(_array(Path(session.path), options))


def read(session: Session, selection: Selection, options: Mapping[str, Any]) -> Recording:
    """The array, or one taste of a 4-D array."""
    path = Path(session.path)
    array = _array(path, options)
    known = _values(array)
    known.require(selection, session)
    dims = DIMS[array.ndim]
    if selection.taste == "all":
        if array.ndim < 3:
            raise BadData(
                f"{session.name}: taste `all` needs 3 or 4 dimensions; {path} has shape {array.shape}"
            )
        return recorded(
            array if array.ndim == 4 else array[None], DIMS[4], "binned", where=str(path)
        )
    index = known.taste_index(selection.taste)
    if array.ndim == 4:
        array, dims = array[index], dims[1:]
    return recorded(array, dims, "binned", where=str(path))


def _array(path: Path, options: Mapping[str, Any]) -> npt.NDArray[Any]:
    key = options.get("key")
    try:
        if path.suffix.lower() == ".npz":
            array = _from_archive(path, key)
        elif key is not None:
            raise BadData(f"{path} is one array; `key` is for .npz files")
        else:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        # numpy says "Object arrays cannot be loaded when allow_pickle=False": right, and it stays so.
        raise BadData(f"{path} cannot be read as a NumPy array: {error}") from error
    if array.ndim not in DIMS:
        raise BadData(
            f"{path} has shape {array.shape}; 1 to 4 dimensions are needed, the last one bins"
        )
    return array


def _from_archive(path: Path, key: str | None) -> npt.NDArray[Any]:
    with np.load(path, allow_pickle=False) as archive:
        names = list(archive.files)
        if key is None and len(names) == 1:
            key = names[0]
        if key is None:
            raise BadData(
                f"{path} holds {len(names)} arrays: {', '.join(names)}",
                help=f"choose one: key: {names[0]}",
            )
        if key not in names:
            raise BadData(
                f"{path} has no array `{key}`; it holds {', '.join(names)}",
                help=did_you_mean(key, names),
            )
        array: npt.NDArray[Any] = archive[key]
        return array


def _values(array: npt.NDArray[Any]) -> Values:
    sizes = dict(zip(DIMS[array.ndim], array.shape, strict=True))
    n_tastes = int(sizes.get("taste", 1))
    return Values(
        n_tastes=n_tastes,
        n_trials=(int(sizes["trial"]),) * n_tastes if "trial" in sizes else None,
        n_neurons=int(sizes["neuron"]) if "neuron" in sizes else None,
    )
