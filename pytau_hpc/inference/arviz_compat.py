"""The one place that knows ArviZ, whose container changed: `InferenceData` up to 0.23, xarray's `DataTree` from 1.0.

Our files are plain NetCDF groups, which both read. Called by `result_file.read_result`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def from_netcdf(path: Path) -> Any:
    """Read a result into memory and close the file.

    Returns
    -------
    `arviz.InferenceData` or `xarray.DataTree`, whichever the installed ArviZ uses; both answer
    ``result["posterior"]["tau"]`` and ``result.posterior``
    """
    import arviz

    opened = arviz.from_netcdf(str(path), engine="h5netcdf")
    try:
        # Both are lazy: left open, the file could not be removed on some network file systems.
        loaded = opened.load()
    finally:
        opened.close()
    # `InferenceData.load` works in place and returns nothing.
    return opened if loaded is None else loaded
