"""A selected array with the names of its axes, and what can be measured of it.

Readers end in `recorded`, which brings every file's number type to one of three, so that the digest (and with it the
point's id) depends on the numbers and not on how a tool happened to store them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pytau_hpc.data.facts import Facts
from pytau_hpc.errors import BadData
from pytau_hpc.files import canonical_json

Kind = Literal["spikes", "binned"]


@dataclass(frozen=True, kw_only=True)
class Recording:
    """The selected part of a session.

    Attributes
    ----------
    array : uint8 for spikes (int64 or float64 only where they are not what spikes should be); int64 or float64 for
        binned data; C order
    dims : names of the axes, such as ("trial", "neuron", "ms"), with "taste" in front where all tastes are selected;
        the last is "ms" (1 kHz) for spikes, "bin" for binned data
    """

    array: npt.NDArray[Any]
    dims: tuple[str, ...]
    kind: Kind

    def __post_init__(self) -> None:
        last = "ms" if self.kind == "spikes" else "bin"
        if len(self.dims) != self.array.ndim or self.dims[-1] != last:
            raise ValueError(
                f"dims {self.dims} do not describe {self.kind} of shape {self.array.shape}"
            )


def recorded(array: npt.ArrayLike, dims: Sequence[str], kind: Kind, *, where: str) -> Recording:
    """Make a `Recording` of what was read; `where` names the place for the error.

    Raises
    ------
    BadData : the array does not hold real numbers
    """
    values = np.asarray(array)
    if values.dtype.kind not in "biuf":
        raise BadData(f"{where} holds {values.dtype} values; numbers are needed")
    canonical = _as_spikes(values) if kind == "spikes" else _as_binned(values, where)
    return Recording(array=np.ascontiguousarray(canonical), dims=tuple(dims), kind=kind)


def _as_spikes(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """uint8 where nothing is lost by it; else a type that lets `check` say what is wrong."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.size and values.min() >= 0 and values.max() <= 255:
        small = values.astype(np.uint8)
        if values.dtype.kind != "f" or bool((small == values).all()):
            return small
    if not values.size:
        return values.astype(np.uint8)
    return values.astype(np.float64 if values.dtype.kind == "f" else np.int64)


def _as_binned(values: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    if values.dtype.kind == "f":
        return values.astype(np.float64, copy=False)
    if values.dtype.kind == "u" and values.size and int(values.max()) > np.iinfo(np.int64).max:
        raise BadData(f"{where} holds {values.max()}, which is too large for a count")
    return values.astype(np.int64, copy=False)


def array_digest(array: npt.NDArray[Any]) -> str:
    """``sha256:<hex>`` over type (little-endian), shape and the values in C order.

    The bytes are hashed in place: about 1-2 GB/s for an array in C order, no copy.
    """
    values = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    header = canonical_json({"dtype": values.dtype.str, "shape": list(array.shape)})
    digest = hashlib.sha256(header.encode() + b"\n")
    digest.update(values.reshape(-1).view(np.uint8).data)
    return f"sha256:{digest.hexdigest()}"


def facts(recording: Recording) -> Facts:
    """Measure what `plan` needs to know, in one pass for spikes and a few for floats."""
    array = recording.array
    finite = array
    n_not_finite = 0
    is_integer = True
    if array.dtype.kind == "f":
        mask = np.isfinite(array)
        n_not_finite = int(array.size - np.count_nonzero(mask))
        finite = array[mask] if n_not_finite else array
        is_integer = bool((finite == np.rint(finite)).all())
    return Facts(
        digest=array_digest(array),
        shape=tuple(array.shape),
        dims=recording.dims,
        kind=recording.kind,
        dtype=str(array.dtype),
        minimum=float(finite.min()) if finite.size else None,
        n_not_finite=n_not_finite,
        is_integer=is_integer,
    )
