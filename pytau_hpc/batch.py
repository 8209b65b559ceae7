"""A grid of parameters over all sessions of a folder, as a sweep on this computer.

The grid becomes a spec, ``sweeps/<name>.yaml``, that can be edited, planned and sent to a cluster later. The name
follows from what is asked for, so the same call goes on where it stopped. Called by `utils.batch_utils`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytau_hpc.choose import Command
from pytau_hpc.data import READERS
from pytau_hpc.data.load import located
from pytau_hpc.data.session_folders import sessions_below
from pytau_hpc.errors import BadData, UserError
from pytau_hpc.executors.profile import find_profile
from pytau_hpc.files import canonical_json, sha256_text, write_atomic
from pytau_hpc.one_point import default_taste
from pytau_hpc.plan import plan
from pytau_hpc.prepare import Order, Prepared
from pytau_hpc.pytau_words import (
    BIN_WIDTH_S,
    MODEL_TYPE,
    STATES,
    TIME_LIMS_S,
    milliseconds,
    plain,
    values_in_spec_words,
    window_ms,
)
from pytau_hpc.submit import Done, submit
from pytau_hpc.sweep.point import Session
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.validate import Wrong, safe_name

_FORMAT = "blech_hdf5"
#: First line of the specs written here.
_MARK = "# written by batch_fit_models"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A planned grid: its sweep, how many fits it has, and how many of these were done before."""

    sweep: SweepDir
    n_points: int
    n_done: int
    notes: tuple[str, ...]


def plan_batch(
    data_dir: Path,
    param_grid: Mapping[str, Any],
    *,
    study: Path,
    name: str | None = None,
    animal: str | None = None,
    date: str | None = None,
) -> Batch:
    """Write the grid as a spec and plan it; nothing is fitted.

    Parameters
    ----------
    data_dir, animal, date : which sessions, see `data.session_folders`
    param_grid : by name, in PyTau's words (seconds) or those of a spec (ms), a list of values or one value
    study : folder that gets ``sweeps/`` and ``models/``
    name : of the sweep

    Raises
    ------
    UserError, BadData, SpecInvalid : this cannot be planned; everything that is wrong
    """
    grid = _grid(param_grid)
    sessions = sessions_below(READERS[_FORMAT], data_dir, study=study, animal=animal, date=date)
    spelt = [_spelt(grid["region"], one, study) for one in sessions] if "region" in grid else []
    if spelt:
        grid["region"] = spelt[0]
    if name is None:
        asked = [os.path.relpath(Path(data_dir).expanduser(), study), animal, date, grid]
        name = f"batch-{sha256_text(canonical_json(asked))[:8]}"
    folder = study / "sweeps"
    path = folder / f"{_checked_name(name)}.yaml"
    _must_be_a_batch(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = _spell_as_each_does(grid, sessions, spelt)
        entries = [_entry(one, study, folder) for one in sessions]
        write_atomic(path, _spec_text(name, entries, grid, others))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    planned = plan(path, study)
    return Batch(
        sweep=SweepDir(planned.sweep_dir),
        n_points=len(planned.points),
        n_done=len(planned.done),
        notes=planned.notes,
    )


def run_batch(
    batch: Batch,
    n_jobs: int | None,
    *,
    started: Callable[[Prepared], None] = lambda prepared: None,
    tick: Callable[[], None] = lambda: None,
) -> Done:
    """Fit what is not done, and try again what may be tried again, with so many workers; return when they have ended.

    Parameters
    ----------
    n_jobs : workers at once; None for one a processor
    started : called with what will be fitted; `tick`, again and again while it is
    """

    def confirm(prepared: Prepared) -> bool:
        started(prepared)
        return True

    order = Order(command=Command.RESUME, profile=find_profile("local"), workers=n_jobs)
    return submit(batch.sweep, order, confirm=confirm, tick=tick)


def _checked_name(name: Any) -> str:
    """The name becomes that of a folder: nothing may be written before it is known to be one.

    Raises
    ------
    UserError : it cannot be
    """
    try:
        return safe_name(str(name))
    except Wrong as wrong:
        raise UserError(f"the name of a batch {wrong.message}", help=wrong.help) from None


def _must_be_a_batch(path: Path) -> None:
    """Refuse to write over a spec that a person has written.

    Raises
    ------
    UserError : there is such a one
    """
    if path.exists() and _MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise UserError(
            f"{path} was not written by batch_fit_models, and stays as it is",
            help=f"give the batch another name, or plan it as it is:  pytau-hpc plan {path}",
        )


def workers_of(n_jobs: Any) -> int | None:
    """`n_jobs` as joblib has it: a number, or -1 for as many as there are processors.

    Raises
    ------
    UserError : neither
    """
    n_jobs = plain(n_jobs)
    if n_jobs in (None, -1):
        return None
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs < 1:
        raise UserError(f"n_jobs must be a number from 1, or -1 for all processors, not {n_jobs!r}")
    return n_jobs


def _grid(param_grid: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The grid of a spec.

    Raises
    ------
    UserError : two names for one axis, or a value that cannot be one
    """
    if not isinstance(param_grid, Mapping):
        raise UserError(f"param_grid must be a dict, name → values, not {param_grid!r}")
    grid: dict[str, list[Any]] = {}
    for name, values in param_grid.items():
        try:
            axis, listed = values_in_spec_words(name, values)
        except (TypeError, ValueError) as error:
            raise UserError(f"`{name}`: {values!r} cannot be an axis of a grid: {error}") from error
        if axis in grid:
            raise UserError(
                f"`{name}` is given twice: another name in param_grid also means `{axis}`"
            )
        grid[axis] = listed
    grid.setdefault("window_ms", [window_ms("time_lims", TIME_LIMS_S)])
    grid.setdefault("bin_ms", [milliseconds("bin_width", BIN_WIDTH_S)])
    grid.setdefault("model", [MODEL_TYPE])
    grid.setdefault("n_states", [STATES])
    tastes = {default_taste(model) for model in grid["model"]}
    if "taste" not in grid and len(tastes) == 1:
        grid["taste"] = [*tastes]
    if "taste" not in grid:
        of_all = [one for one in grid["model"] if default_taste(one) == "all"]
        raise UserError(
            f"{', '.join(of_all)} takes all tastes together, the other models take one",
            help="make two batches of it",
        )
    return grid


def _spelt(regions: Sequence[Any], session: Session, study: Path) -> list[str]:
    """The regions that are asked for, as a session spells them."""
    asked = ["all" if one is None else str(one) for one in regions]
    # A session that cannot be read: `plan` says why, with all else that is wrong.
    with contextlib.suppress(BadData):
        known = READERS[_FORMAT].values(located(session, study), {})
        asked = [known.spelt(one) for one in asked]
    return [*dict.fromkeys(asked)]


def _spell_as_each_does(
    grid: dict[str, list[Any]], sessions: Sequence[Session], spelt: Sequence[Sequence[str]]
) -> list[dict[str, Any]]:
    """Put the spellings of all sessions into the grid; the rules that leave those of others out of each."""
    every = [*dict.fromkeys(region for regions in spelt for region in regions)]
    if every:
        grid["region"] = every
    return [
        {"session": session.name, "region": others}
        for session, regions in zip(sessions, spelt, strict=False)
        if (others := [one for one in every if one not in regions])
    ]


def _spec_text(
    name: str,
    sessions: Sequence[Any],
    grid: Mapping[str, Any],
    exclude: Sequence[Mapping[str, Any]],
) -> str:
    """A spec as a person would lay it out; its values as JSON, which is YAML without YAML's traps."""
    return "\n".join(
        [
            _MARK,
            f"name: {_json(name)}",
            "data:",
            f"  format: {_FORMAT}",
            "  sessions:",
            *(f"  - {_json(one)}" for one in sessions),
            "grid:",
            *(f"  {_json(axis)}: {_json(values)}" for axis, values in grid.items()),
            *(["exclude:"] if exclude else []),
            *(f"  - {_json(rule)}" for rule in exclude),
            "",
        ]
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _entry(session: Session, study: Path, folder: Path) -> str | dict[str, str]:
    """A session as the spec names it; paths in a spec are relative to its folder."""
    path = Path(session.path)
    shown = session.path if path.is_absolute() else os.path.relpath(study / path, folder)
    stem = path.stem if (study / path).is_file() else path.name
    if session.name == stem and session.animal == stem.split("_")[0]:
        return shown
    return {"path": shown, "session": session.name, "animal": session.animal, "date": session.date}
