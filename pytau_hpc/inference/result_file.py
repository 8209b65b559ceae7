"""One result, one NetCDF-4 file, readable by ArviZ (0.23 and 1.x), xarray and anything else that reads HDF5.

Groups: `posterior` (dims chain, draw, then the variable's own; `tau` in bins), `observed_data` (what the model saw),
`sample_stats` (the loss on the way, dim `iteration`; or what a sampler says of each draw, dims chain and draw). The
root's attributes hold the point, its provenance and its quality as JSON, and the list of all variables with their
shapes, so that a file that lacks something is noticed.

`write_result` writes to the path it is given; staging beside the destination and publishing under the final name are
the worker's business. Every variable carries HDF5's own checksum, so `verify` finds bytes that changed on disk.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pytau_hpc.errors import PytauHpcError
from pytau_hpc.files import canonical_json, fsync_file
from pytau_hpc.inference.posterior import Posterior

if TYPE_CHECKING:
    from pytau_hpc.models import ModelKind

FORMAT_VERSION = 1
OBSERVED = "obs"  # the observed variable's name in PyTau's models and in ours
_UNITS = {"tau": "bins"}
_JSON_ATTRS = ("point", "provenance", "quality", "contents")
# The file structures of HDF5 1.10 (2016) and later: they carry checksums.
_LIBVER = ("v110", "v110")
_COMPRESSION = {"compression": "gzip", "compression_opts": 4, "shuffle": True, "fletcher32": True}


class ResultInvalid(PytauHpcError):
    """A file that is not the complete result of the point it is said to be."""


def write_result(
    path: Path,
    *,
    posterior: Posterior,
    data: np.ndarray,
    dims: Sequence[str],
    kind: ModelKind,
    attrs: Mapping[str, Any],
) -> None:
    """Write one fit and flush it to disk.

    Parameters
    ----------
    path : private to this call; an existing file is replaced
    posterior : what the fit returned
    data : the array the model saw
    dims : names of its axes
    kind : the model, for the names of its variables' axes
    attrs : `point_id` (text), `point` and `provenance` (JSON mappings); `quality` may add to what `posterior` says

    Raises
    ------
    OSError : the file system refused (full, quota)
    ValueError : an array's number of axes is not that of its dims, or a value is not JSON
    """
    import h5netcdf

    tables = _tables(posterior, data, dims, kind)
    contents = {
        f"{group}/{name}": list(array.shape)
        for group, table in tables.items()
        for name, (_, array) in table.items()
    }
    root = {
        "format_version": FORMAT_VERSION,
        "model": kind.name,
        "inference_library": str(posterior.info.get("engine", "")),
        **{key: value for key, value in attrs.items() if key not in _JSON_ATTRS},
        "point": canonical_json(_plain(attrs["point"])),
        "provenance": canonical_json(_plain(attrs["provenance"])),
        "quality": canonical_json({**quality_of(posterior), **_plain(attrs.get("quality", {}))}),
        "contents": canonical_json(contents),
    }
    # Nobody else knows this name, so no lock is needed, and some parallel file systems have none to give.
    with h5netcdf.File(path, "w", locking="best-effort", libver=_LIBVER) as file:
        for key, value in root.items():
            # Texts of fixed length lie in the object's header, which has a checksum; others lie in a heap, which has
            # none, and where HDF5 can search for ever once a byte of it is wrong.
            file.attrs[key] = _fixed(value) if isinstance(value, str) else value
        for name, table in tables.items():
            _write_group(file.create_group(name), table)
    fsync_file(path)


def read_result(path: Path) -> Any:
    """The whole result in memory: `InferenceData` or `DataTree`, whichever the installed ArviZ uses."""
    from pytau_hpc.inference.arviz_compat import from_netcdf

    return from_netcdf(path)


def read_attrs(path: Path) -> dict[str, Any]:
    """What a result says about itself, without its arrays; costs a few milliseconds.

    Returns
    -------
    dict with `format_version`, `point_id`, `model`, and the parsed `point`, `provenance`, `quality` and `contents`

    Raises
    ------
    ResultInvalid : no such file, or not a result of ours
    """
    with _opened(path) as file:
        return _attrs_of(file, path)


def verify(path: Path, point_id: str) -> dict[str, Any]:
    """Read the whole file once and make sure that it is the complete result of that point.

    Returns
    -------
    the same as `read_attrs`

    Raises
    ------
    ResultInvalid : missing, torn, changed on disk, of another point, without a variable, or with values not finite
    """
    with _opened(path) as file:
        attrs = _attrs_of(file, path)
        if attrs["point_id"] != point_id:
            raise ResultInvalid(
                f"{path} is the result of point {attrs['point_id']}, not of {point_id}"
            )
        if "posterior/tau" not in attrs["contents"]:
            raise ResultInvalid(f"{path} has no posterior draws of tau")
        for name, shape in attrs["contents"].items():
            _verify_variable(file, name, tuple(shape), path)
    quality = attrs["quality"]
    if not isinstance(quality.get("elbo"), float) and not isinstance(
        quality.get("rhat_max"), float
    ):
        raise ResultInvalid(f"{path} has neither a finite ELBO nor a finite R-hat")
    return attrs


def quality_of(posterior: Posterior) -> dict[str, Any]:
    """How good a fit is, as JSON: what the ledger shows of it. A number that is not finite becomes None."""
    return _plain(
        {
            "elbo": posterior.elbo,
            "elbo_se": posterior.elbo_se,
            "converged": bool(posterior.converged),
            "iterations": posterior.iterations,
            "draws": len(next(iter(posterior.draws.values()))),
            **_of_chains(posterior),
            "info": dict(posterior.info),
        }
    )


def _of_chains(posterior: Posterior) -> dict[str, Any]:
    """What only Markov chains have."""
    if posterior.rhat_max is None:
        return {}
    return {
        "chains": posterior.chains,
        "rhat_max": posterior.rhat_max,
        "ess_min": posterior.ess_min,
        "divergences": posterior.divergences,
    }


_Table = dict[str, tuple[tuple[str, ...], np.ndarray]]


def _tables(
    posterior: Posterior, data: np.ndarray, dims: Sequence[str], kind: ModelKind
) -> dict[str, _Table]:
    draws: _Table = {}
    for name, array in posterior.draws.items():
        own = kind.posterior_dims.get(name)
        if own is None:
            own = tuple(f"{name}_dim_{axis}" for axis in range(array.ndim - 1))
        draws[name] = (("chain", "draw", *own), by_chain(array, posterior.chains))
    statistics: _Table = {
        name: (("chain", "draw"), by_chain(array, posterior.chains))
        for name, array in posterior.statistics.items()
    }
    if posterior.loss.size:
        recorded = posterior.loss_iteration
        if recorded is None:
            recorded = posterior.loss_every * np.arange(1, posterior.loss.size + 1)
        statistics["loss"] = (("iteration",), np.asarray(posterior.loss, dtype=np.float64))
        statistics["iteration"] = (("iteration",), recorded.astype(np.int64))
    return {
        "posterior": draws,
        "observed_data": {OBSERVED: (tuple(dims), np.asarray(data))},
        "sample_stats": statistics,
    }


def by_chain(array: np.ndarray, chains: int) -> np.ndarray:
    """Shape (draw, …), chain after chain → (chain, draw, …)."""
    array = np.asarray(array)
    return array.reshape(chains, -1, *array.shape[1:])


def _write_group(group: Any, table: _Table) -> None:
    for name, (dims, array) in table.items():
        if len(dims) != array.ndim:
            raise ValueError(f"{name} has shape {array.shape}, its axes are {dims}")
        for dim, size in zip(dims, array.shape, strict=True):
            if dim not in group.dimensions:
                group.dimensions[dim] = size
                if dim not in table:
                    group.create_variable(dim, (dim,), data=np.arange(size))
            elif group.dimensions[dim].size != size:
                expected = group.dimensions[dim].size
                raise ValueError(f"{name} has {size} along {dim}, other variables have {expected}")
        truth = array.dtype == np.bool_
        # NetCDF has no truth values; xarray writes and reads them like this.
        data = array.astype(np.int8) if truth else array
        variable = group.create_variable(name, dims, data=data, **_COMPRESSION)
        if truth:
            variable.attrs["dtype"] = _fixed("bool")
        if name in _UNITS:
            variable.attrs["units"] = _fixed(_UNITS[name])


# What h5py and json say about damaged metadata depends on which byte is wrong.
_DAMAGE = (
    OSError,
    KeyError,
    ValueError,
    RuntimeError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An HDF5 file open for reading, where all that can be said about a bad file is a `ResultInvalid`."""
    import h5py

    try:
        # A published result never changes, so a reader needs no lock.
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except _DAMAGE as error:
        raise ResultInvalid(f"{path} cannot be read: {error}") from error


def _attrs_of(file: Any, path: Path) -> dict[str, Any]:
    plain = {key: _scalar(value) for key, value in file.attrs.items() if not key.startswith("_")}
    if "format_version" not in plain or "point_id" not in plain:
        raise ResultInvalid(f"{path} is not a result of pytau_hpc")
    if plain["format_version"] != FORMAT_VERSION:
        version = plain["format_version"]
        raise ResultInvalid(f"{path} has format {version}; this version reads {FORMAT_VERSION}")
    return {**plain, **{key: json.loads(plain[key]) for key in _JSON_ATTRS}}


def _fixed(text: str) -> np.ndarray:
    import h5py

    encoded = text.encode()
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", max(1, len(encoded))))


def _scalar(value: Any) -> Any:
    """An attribute as Python has it: netCDF makes a number an array of one element, and HDF5 a text bytes."""
    if isinstance(value, np.generic | np.ndarray) and value.size == 1:
        value = value.item()
    return value.decode() if isinstance(value, bytes) else value


def _verify_variable(file: Any, name: str, shape: tuple[int, ...], path: Path) -> None:
    if name not in file:
        raise ResultInvalid(f"{path} lacks {name}")
    if file[name].shape != shape:
        raise ResultInvalid(f"{path}: {name} has shape {file[name].shape}, should have {shape}")
    for part in _parts(file[name]):
        # A loss may be infinite early on, where a draw fell outside the model's support.
        bad = np.isnan(part) if name == "sample_stats/loss" else ~np.isfinite(part)
        if bad.any():
            raise ResultInvalid(f"{path}: {name} has values that are not finite")


def _parts(dataset: Any) -> Iterator[np.ndarray]:
    """The dataset piece by piece: twenty thousand draws need not be in memory at once."""
    if dataset.chunks is None:
        yield dataset[...]
        return
    for chunk in dataset.iter_chunks():
        yield dataset[chunk]


def _plain(value: Any) -> Any:
    """Numpy scalars become Python's; what is not finite becomes None, since JSON has no word for it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
