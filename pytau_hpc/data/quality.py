"""Whether an array can be fitted, and what about it should make one look twice.

What PyTau prints in a box is raised here (`check_data_quality`), or returned (`data_problems`, `data_remarks`), so that
a batch of fits cannot overlook it. Readers and `plan` check sessions with `facts`; this is for arrays of one's own.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from pytau_hpc.errors import BadData

#: Above this share of zeros, and below this variance, PyTau's pages advise to look at the data (docs/data_formats.md).
_MANY_ZEROS = 0.8
_NO_VARIANCE = 1e-10


def check_data_quality(
    data: npt.ArrayLike, array_name: str = "data", *, values: str | None = None
) -> bool:
    """Make sure that an array can be fitted.

    What is merely remarkable (nearly all zeros, no variance) is a warning.

    Parameters
    ----------
    data : of any shape, time last
    array_name : what to call it in the message
    values : what the model takes: "counts" and "categories" are whole numbers from 0, "real" (and None) any finite ones

    Returns
    -------
    True, so that it can stand where PyTau's stood, which returned False for data that cannot be fitted

    Raises
    ------
    BadData : it cannot be fitted; all problems at once
    """
    problems = data_problems(data, values=values)
    if problems:
        raise BadData(
            f"{array_name} cannot be fitted: {'; '.join(problems)}",
            help="remove those trials (remove_incomplete_trials), or look at what made the array",
        )
    for remark in data_remarks(data):
        warnings.warn(f"{array_name}: {remark}", UserWarning, stacklevel=2)
    return True


def data_problems(data: npt.ArrayLike, *, values: str | None = None) -> list[str]:
    """Everything that keeps an array from being fitted; empty where nothing does. `values` as above."""
    array = np.asarray(data)
    if array.dtype.kind not in "biuf":
        return [f"it holds {array.dtype} values; numbers are needed"]
    if array.size == 0:
        return [f"it is empty (shape {array.shape})"]
    found = []
    finite = array
    if array.dtype.kind == "f":
        found += _not_finite("NaN", np.isnan(array)) + _not_finite("infinite", np.isinf(array))
        finite = array[np.isfinite(array)] if found else array
    if values in ("counts", "categories") and finite.size:
        if finite.min() < 0:
            found.append(f"the smallest value is {finite.min():g}; {values} must be 0 or more")
        if finite.dtype.kind == "f" and bool((finite != np.rint(finite)).any()):
            found.append(f"some values are not whole numbers ({array.dtype}); {values} must be")
    return found


def data_remarks(data: npt.ArrayLike) -> list[str]:
    """What is strange about an array that can be fitted; empty where nothing is."""
    array = np.asarray(data)
    if array.dtype.kind not in "biuf" or array.size == 0:
        return []
    found = []
    zeros = float(np.mean(array == 0))
    if zeros > _MANY_ZEROS:
        found.append(f"{zeros:.1%} of its values are 0; wider bins may tell more")
    if float(np.var(array, dtype=np.float64)) < _NO_VARIANCE:
        found.append("its values hardly differ, so there is no changepoint to find")
    return found


def remove_incomplete_trials(data: npt.ArrayLike) -> npt.NDArray[Any]:
    """The trials (first axis) without a value that is NaN or infinite."""
    array = np.asarray(data)
    if array.ndim < 2:
        raise BadData("an array without an axis of trials has no trials to remove")
    if array.dtype.kind != "f":
        return array
    return array[np.isfinite(array).all(axis=tuple(range(1, array.ndim)))]


def _not_finite(word: str, where: npt.NDArray[np.bool_]) -> list[str]:
    count = int(np.count_nonzero(where))
    if not count:
        return []
    place = ""
    if where.ndim > 1:
        rows = np.flatnonzero(where.any(axis=tuple(range(1, where.ndim)))).tolist()
        shown = ", ".join(map(str, rows[:6])) + (", …" if len(rows) > 6 else "")
        place = f" (first axis: {shown})"
    return [f"{count} of {where.size} values are {word}{place}"]
