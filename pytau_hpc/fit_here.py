"""Find the result of a point, or fit the point in this process: what stands behind `FitHandler`.

The fit is the worker's (`fit.fit_point`): the same random numbers, file, provenance and publication, and checkpoints,
so that a fit that was killed is taken up by the next call. Safe from several processes at once: at worst two fit the
same point, and the first result stays.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytau_hpc.errors import BadData, FitFailed, NonFinite, PytauHpcError, UserError
from pytau_hpc.fit import FitRequest, StopButton, fit_point
from pytau_hpc.register import database_of, register_result, scan
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.state import Kind

log = logging.getLogger(__name__)

#: As in every fit process (`inference.environment`); JAX reads them when it is imported.
_OF_JAX = {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "true"}


@dataclass(frozen=True, kw_only=True)
class SavedFit:
    """A result on disk.

    Attributes
    ----------
    path : the file, ``models/<animal>/<session>/model_<point id>.nc``
    point_id : id of the fit
    model_id : its number in the model database; None where that could not be written
    retrieved : it was there already
    """

    path: Path
    point_id: str
    model_id: int | None
    retrieved: bool


def study_of(save_dir: str | os.PathLike[str]) -> Path:
    """The study folder of a folder for models: the one above ``…/models``, else the folder itself."""
    folder = Path(os.path.abspath(os.path.expanduser(save_dir)))
    return folder.parent if folder.name == "models" else folder


def find_or_fit(
    study: Path,
    point: Point,
    same: Sequence[str] = (),
    *,
    experiment: str | None = None,
    checkpoint_s: float = 60.0,
    say: Callable[[Mapping[str, Any]], None] = lambda message: None,
) -> SavedFit:
    """The result of a point: the one that is there, else a new one.

    Parameters
    ----------
    study : folder whose ``models/`` holds the results and their database
    same : ids of points that are the same fit
    experiment : name of the batch of fits, for the database
    checkpoint_s : seconds between two checkpoints
    say : hears of the progress, as a worker's supervisor does

    Raises
    ------
    BadData : the data changed, or cannot be fitted
    UserError : there is no such result, and none can be written
    NonFinite : the fit reached NaN or infinity
    FitFailed : whatever else went wrong; its note is the traceback
    """
    found = _find(study, point, same)
    if found is not None:
        return found
    models = study / "models"
    if not os.access(models, os.W_OK):
        raise UserError(
            f"{point.label} is not among the models in {models}, and you may not write there",
            help="give another save_dir",
        )
    log.info("fitting %s with %s", point.label, point.model)
    if "jax" not in sys.modules:
        for name, value in _OF_JAX.items():
            os.environ.setdefault(name, value)
    checkpoints = models / ".checkpoints" / point.point_id[:2] / point.point_id
    request = FitRequest(
        point=point,
        study=study,
        checkpoints=checkpoints,
        prefix=f"{uuid.uuid4().hex[:12]}.0.1",  # no other process writes under this name
        checkpoint_s=checkpoint_s,
        job=os.environ.get("SLURM_JOB_ID"),
        experiment=experiment,
    )
    ending = fit_point(request, say, StopButton())
    _remove_empty(checkpoints.parent, checkpoints.parent.parent)
    if ending["end"] == "failed":
        # Another process that fitted the same and was quicker has cleaned up behind itself, and before us.
        found = _find(study, point, ())
        if found is not None:
            return found
        raise _error_of(point, ending)
    path = study / point.result_path
    log.info(_told(point, ending))
    return SavedFit(
        path=path,
        point_id=point.point_id,
        model_id=_register(study, path),
        retrieved=ending["end"] == "skipped" or not ending.get("published", True),
    )


def _find(study: Path, point: Point, same: Sequence[str]) -> SavedFit | None:
    """A sound result of one of the ids, wherever in the study it lies."""
    from pytau_hpc.inference.result_file import ResultInvalid, verify

    ids = [*dict.fromkeys([point.point_id, *same])]
    beside = (study / point.result_path).parent
    # Its row may have been deleted by hand.
    places = [(one, beside / f"model_{one}.nc", None) for one in ids]
    for point_id, path, model_id in [*_listed(study, ids), *places]:
        if not path.exists():
            continue
        try:
            verify(path, point_id)
        except ResultInvalid as damage:
            log.warning("not taken for the fit of %s: %s", point.label, damage)
            continue
        log.info("%s is there already: %s", point.label, path)
        return SavedFit(
            path=path,
            point_id=point_id,
            model_id=_register(study, path) if model_id is None else model_id,
            retrieved=True,
        )
    return None


def _listed(study: Path, ids: Sequence[str]) -> list[tuple[str, Path, int | None]]:
    """What the database knows of points. One that cannot be used is no reason not to fit: results say what they are."""
    try:
        database = database_of(study)
        scan(database)
        rows = database.rows({"point_id": ids})
    except (PytauHpcError, OSError) as error:
        log.warning("the model database cannot be asked for %s: %s", ", ".join(ids), error)
        return []
    return [
        (row["point_id"], Path(row["model_path"]), row["model_id"])
        for row in rows
        if row["model_path"].endswith(".nc")
    ]


def _register(study: Path, path: Path) -> int | None:
    """Give a result its row at once. It would get it at the next question, so no failure here costs the fit."""
    try:
        return register_result(study, path)
    except (PytauHpcError, OSError) as error:
        log.warning("%s is saved, but not in the model database yet: %s", path, error)
        return None


def _error_of(point: Point, ending: Mapping[str, Any]) -> PytauHpcError:
    told = f"{point.label}: {ending['message']}"
    kind = Kind(ending["kind"])
    error: PytauHpcError
    if kind is Kind.BAD_INPUT:
        error = BadData(told)
    elif kind is Kind.NON_FINITE:
        error = NonFinite(told)
    else:
        error = FitFailed(f"{point.label}: {ending['error']}: {ending['message']}")
    error.add_note(ending["traceback"])
    return error


def _told(point: Point, ending: Mapping[str, Any]) -> str:
    told = f"fitted {point.label} in {ending['elapsed_s']:.1f} s"
    if ending.get("elbo") is not None:
        told += f": ELBO {ending['elbo']:.1f}"
    if ending.get("converged") == 0:
        told += ", not converged"
    return told


def _remove_empty(*folders: Path) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()
