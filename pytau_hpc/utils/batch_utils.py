"""Many fits, under the names of PyTau's page about pipelines: `batch_fit_models`, `ProgressTracker`, `robust_fit`.

A door: names and defaults only. A batch is a sweep (`batch`); counting, trying again and logging are in `keep_count`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytau_hpc.batch import plan_batch, run_batch, workers_of
from pytau_hpc.fit_here import study_of
from pytau_hpc.keep_count import Fits, ProgressTracker, log_to, try_to_fit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ProgressTracker", "batch_fit_models", "robust_fit", "setup_logging"]

log = logging.getLogger("pytau_hpc.batch")


def batch_fit_models(
    data_dir: str | os.PathLike[str],
    param_grid: Mapping[str, Any],
    n_jobs: int = 4,
    *,
    save_dir: str | os.PathLike[str] = "models",
    name: str | None = None,
    animal_name: str | None = None,
    session_date: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Fit every combination of parameters to every session below a folder, several at a time.

    The same call again goes on where it stopped, tries again what may be tried again, and fits nothing twice: results
    that a sweep or a `FitHandler` left in `save_dir` are taken as they are.

    Parameters
    ----------
    data_dir : folder of a blech_clust session, or of several (also one folder an animal)
    param_grid : name → values: `states`, `bin_width` and `time_lims` (seconds), `model_type`, `taste_name` or
        `taste_num`, `region_name`, `laser_type`, `data_transform`, `fit_steps`, `samples`, `repeat`, `method`, any
        setting of it and any option of a model; also the words of a spec (`n_states`, `bin_ms`, …). What is left out is
        as in `FitHandler`
    n_jobs : fits at once; -1 for one a processor
    save_dir : folder of the models, see `FitHandler`; the sweep is in ``sweeps/`` beside it
    name : of the sweep; follows from the other arguments where not given
    animal_name, session_date : only these sessions
    progress : show a bar on a terminal, a line now and then elsewhere

    Returns
    -------
    one row per fit: its parameters, `state`, ELBO, `result_path` (relative to the study), …; see `Sweep.points`. The
    sweep's folder is in ``.attrs["sweep"]``

    Raises
    ------
    UserError, BadData, SpecInvalid : the grid or the data cannot be used; nothing is fitted then
    KeyboardInterrupt : it was stopped, each fit at a checkpoint
    """
    from pytau_hpc.api import Sweep
    from pytau_hpc.reports.live import LiveBar

    workers = workers_of(n_jobs)
    batch = plan_batch(
        Path(data_dir),
        param_grid,
        study=study_of(save_dir),
        name=name,
        animal=None if animal_name is None else str(animal_name),
        date=None if session_date is None else str(session_date),
    )
    for note in batch.notes:
        log.warning("%s", note)
    log.info("%s: %d fits, %d are there already", batch.sweep.name, batch.n_points, batch.n_done)
    bar = LiveBar(batch.sweep, quiet=not progress)
    try:
        done = run_batch(batch, workers, started=bar.start, tick=bar.tick)
    finally:
        bar.finish()
    if done.sent is not None and done.sent.stopped:
        log.warning("stopped; the same call goes on from here")
        raise KeyboardInterrupt
    points = Sweep(batch.sweep).points()
    points.attrs["sweep"] = str(batch.sweep.path)
    _tell_failures(points)
    return points


def robust_fit(
    handler: Fits,
    model_type: str,
    states: int,
    max_retries: int = 3,
    fit_steps: int | None = None,
    *,
    wait_s: float = 0.0,
    logger: logging.Logger = log,
    **settings: Any,
) -> bool:
    """Fit with a `FitHandler`, trying again after a failure; whether it succeeded. See `keep_count.try_to_fit`."""
    return try_to_fit(
        handler,
        model_type,
        states,
        fit_steps,
        max_retries=max_retries,
        wait_s=wait_s,
        logger=logger,
        **settings,
    )


def setup_logging(
    path: str | os.PathLike[str] | None = "pytau_hpc.log", level: int = logging.INFO
) -> logging.Logger:
    """Log to a file and to standard error, and return our logger, under which all of ours are."""
    return log_to(path, level)


def _tell_failures(points: pd.DataFrame) -> None:
    bad = points[points["state"] != "succeeded"]
    for (state, message), rows in bad.groupby(
        [bad["state"].astype(str), bad["message"].fillna("")], sort=False
    ):
        told = f": {message}" if message else ""
        log.warning("%d of %d fits %s%s", len(rows), len(points), state, told)
