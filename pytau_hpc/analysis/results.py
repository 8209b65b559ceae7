"""Read a result file (.nc) for analysis, and the recording behind it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytau_hpc.analysis.fitted import Fitted, LossTrace, Raw, TimeAxis
from pytau_hpc.analysis.rates import EMISSIONS
from pytau_hpc.data import reader_of
from pytau_hpc.data.load import located
from pytau_hpc.data.preprocess import preprocess, preprocessing_rng
from pytau_hpc.data.recording import facts
from pytau_hpc.errors import BadData, UserError
from pytau_hpc.inference.result_file import OBSERVED, read_attrs, read_result
from pytau_hpc.models import MODELS
from pytau_hpc.sweep.point import Point

Array = npt.NDArray[Any]


def read_fitted(path: Path, study: Path | None = None) -> Fitted:
    """Read a result.

    Parameters
    ----------
    path : the .nc file
    study : folder that the recording's path is relative to; where not given, the one that the result lies in

    Raises
    ------
    ResultInvalid : no such file, or not a result of ours
    """
    attrs = read_attrs(path)
    point = Point.from_json(attrs["point"])
    groups = read_result(path)
    seen = groups["observed_data"][OBSERVED]
    observed, observed_dims = seen.to_numpy(), tuple(map(str, seen.dims))
    draws = {
        str(name): _joined(variable)
        for name, variable in groups["posterior"].data_vars.items()
        if name == "tau" or name in EMISSIONS
    }
    tau_dims, tau = draws.pop("tau")
    stats: Any = groups["sample_stats"] if "sample_stats" in groups else {}  # noqa: SIM401 (no `get` in ArviZ 0.23)
    return Fitted(
        name=_name(point),
        model=point.model,
        values=MODELS[point.model].values
        if point.model in MODELS
        else ("real" if observed.dtype.kind == "f" else "counts"),
        tau=tau,
        tau_dims=tau_dims[1:],
        observed=observed,
        observed_dims=observed_dims,
        states={name: (dims, array) for name, (dims, array) in draws.items() if "state" in dims},
        time=_time(point),
        loss=LossTrace(hist=stats["loss"].to_numpy(), iteration=stats["iteration"].to_numpy())
        if "loss" in stats and "iteration" in stats
        else None,
        quality=attrs["quality"],
        metadata=pytau_metadata(point, attrs, path, observed.shape[-1]),
        raw=partial(_raw, point, _study_of(path) if study is None else study, observed),
    )


def pytau_metadata(
    point: Point, attrs: Mapping[str, Any], path: Path, n_bins: int
) -> dict[str, Any]:
    """What PyTau keeps beside a fit, under its keys."""
    preprocessing, session = point.preprocessing, point.session
    single = "all" if point.selection.taste == "all" else "single"
    created = attrs["provenance"].get("created_at")
    return {
        "preprocess": {
            "time_lims": list(preprocessing.window_ms or (0, n_bins)),
            "bin_width": preprocessing.bin_ms or 1,
            "data_transform": None
            if preprocessing.transform == "none"
            else preprocessing.transform,
            "preprocessor_name": f"preprocess_{single}_taste",
        },
        "model": {
            "states": point.n_states,
            "fit": attrs["quality"].get("iterations"),
            "samples": attrs["quality"].get("draws"),
            "model_kwargs": dict(point.model_options),
            "model_template_name": point.model,
            "inference_func_name": f"{point.method}_fit",
        },
        "data": {
            "data_dir": session.path,
            "basename": session.name,
            "animal_name": session.animal,
            "session_date": session.date,
            "taste_num": point.selection.taste,
            "laser_type": None if point.selection.laser == "none" else point.selection.laser,
            "region_name": point.selection.region,
        },
        "exp": {
            "model_id": point.point_id,
            "save_path": os.fspath(path.with_suffix("")),
            "fit_date": None if created is None else created.split("T")[0],
        },
        "module": {
            f"{name}_version": version
            for name, version in attrs["provenance"].get("versions", {}).items()
        },
    }


def _name(point: Point) -> str:
    """Session and taste; data that came binned have no tastes, and of all together each is chosen later."""
    if point.preprocessing.bin_ms is None or point.selection.taste == "all":
        return point.session.name
    return f"{point.session.name}, taste {point.selection.taste}"


def _joined(variable: Any) -> tuple[tuple[str, ...], Array]:
    """Chains one after the other: dims ("draw", …)."""
    array = variable.to_numpy()
    return ("draw", *map(str, variable.dims[2:])), array.reshape(-1, *array.shape[2:])


def _time(point: Point) -> TimeAxis:
    preprocessing = point.preprocessing
    if preprocessing.window_ms is None or preprocessing.bin_ms is None:
        return TimeAxis()
    return TimeAxis(start=preprocessing.window_ms[0], step=preprocessing.bin_ms, unit="ms")


def _study_of(path: Path) -> Path:
    """Results lie in models/<animal>/<session>/ of a study."""
    folders = path.absolute().parents
    return folders[3] if len(folders) > 3 else folders[0]


def _raw(point: Point, study: Path, observed: Array) -> Raw:
    """The recording behind a fit, transformed as it was when it was fitted.

    Raises
    ------
    BadData : it changed since
    UserError : it is not where it was
    """
    reader = reader_of(point.source.format)
    if reader.kind == "binned":
        return Raw(activity=observed, valid=(0, observed.shape[-1]))
    here = located(point.session, study)
    if reader.on_disk and not Path(here.path).exists():
        raise UserError(
            f"the spikes behind this result are not at {here.path}",
            help="say where the study is:  ResultHandler(path, study='/path/to/study')",
        )
    recording = reader.read(here, point.selection, point.source.options)
    digest = facts(recording).digest
    if digest != point.data_digest:
        raise BadData(
            f"session {point.session.name} changed since it was fitted",
            help="plan and fit it again, or put the old file back",
        )
    n_ms = recording.array.shape[-1]
    if point.preprocessing.transform == "none":
        return Raw(activity=recording.array, valid=(0, n_ms))
    # The same random numbers as before the fit, at 1 ms: what the model saw, unbinned. Outside the window nothing was
    # shuffled, and real activity beside shuffled would be neither.
    assert point.preprocessing.window_ms is not None
    start, end = point.preprocessing.window_ms
    rng = preprocessing_rng(digest, point.selection, point.preprocessing, point.repeat)
    shuffled = np.zeros_like(recording.array)
    shuffled[..., start:end] = preprocess(
        recording, dataclasses.replace(point.preprocessing, bin_ms=1), rng
    )
    return Raw(activity=shuffled, valid=(start, end))
