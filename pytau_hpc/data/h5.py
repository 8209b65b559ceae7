"""Opening HDF5 files so that they are never changed, and saying in plain words why one cannot be read.

Used by the readers of HDF5 formats. Session files belong to other tools, which open them for writing at any time, so
no lock is taken: a reader must neither wait for such a tool nor stand in its way. What a torn read would give is
caught by the digest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy.typing as npt

from pytau_hpc.errors import BadData


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading only.

    Raises
    ------
    BadData : no such file, no permission, or not HDF5
    """
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise BadData(f"{path} cannot be opened as HDF5: {error}") from error
    with file:
        try:
            yield file
        except (OSError, RuntimeError) as error:
            raise BadData(f"{path} is damaged: {error}") from error


def dataset_at(node: h5py.Group, path: str) -> h5py.Dataset:
    """The dataset at a path below a group.

    Raises
    ------
    BadData : nothing there, or a group
    """
    found = node.get(path)
    if not isinstance(found, h5py.Dataset):
        what = "is a group, not an array" if isinstance(found, h5py.Group) else "does not exist"
        inside = ", ".join(node) or "nothing"
        place = path if path.startswith("/") else f"{node.name.rstrip('/')}/{path}"
        raise BadData(f"{node.file.filename}: {place} {what}; {node.name} holds {inside}")
    return found


def array_of(dataset: h5py.Dataset, select: Any = ()) -> npt.NDArray[Any]:
    """Read (part of) a dataset.

    Raises
    ------
    BadData : the file is damaged there
    """
    try:
        values: npt.NDArray[Any] = dataset[select]
    except OSError as error:
        raise BadData(f"{dataset.file.filename}: {dataset.name} cannot be read: {error}") from error
    return values
