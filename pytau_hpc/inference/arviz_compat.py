"""The one place that knows ArviZ, whose container changed: `InferenceData` up to 0.23, xarray's `DataTree` from 1.0.

Our files are plain NetCDF groups, which both read. Called by `result_file.read_result` and `nuts_result`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


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


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """How well the chains of one variable agree: the worst of its elements.

    Attributes
    ----------
    rhat : rank-normalised split R-hat (Vehtari et al. 2021, Bayesian Analysis 16:667)
    ess : effective sample size of all chains together, the smaller of bulk's and tails'
    """

    rhat: float
    ess: float


def mixing(draws: Mapping[str, np.ndarray]) -> dict[str, Mixing]:
    """R-hat and effective sample size of each variable. An element that never changes has neither, and is left out.

    Parameters
    ----------
    draws : shape (chain, draw, …). A single chain is taken as two halves
    """
    import arviz

    if next(iter(draws.values())).shape[0] == 1:
        half = next(iter(draws.values())).shape[1] // 2
        draws = {
            name: np.stack([array[0, :half], array[0, half : 2 * half]])
            for name, array in draws.items()
        }
    found = {}
    for name, array in draws.items():
        chains, length = array.shape[:2]
        flat = array.reshape(chains, length, -1)
        flat = flat[..., np.ptp(flat.reshape(chains * length, -1), axis=0) > 0]
        if flat.shape[-1] == 0:
            continue
        table = arviz.convert_to_dataset({"x": flat})
        rhat = np.asarray(arviz.rhat(table)["x"])
        ess = [np.asarray(arviz.ess(table, method=how)["x"]) for how in ("bulk", "tail")]
        found[name] = Mixing(rhat=float(rhat.max()), ess=float(np.minimum(*ess).min()))
    return found
