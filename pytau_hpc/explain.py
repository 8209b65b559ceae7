"""What is known about one point, as data: its state and why, its history, what would be done with it, and what it is.

Decides nothing: states come from the ledger, reasons from the scheduler, and what `submit` and `resume` would do from
`prepare`, which they call themselves. Reads only. Called by ``explain``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytau_hpc.choose import Choice, Command
from pytau_hpc.collect import Collected, collect
from pytau_hpc.data import reader_of
from pytau_hpc.errors import UserError
from pytau_hpc.executors.base import profile_value
from pytau_hpc.executors.profile import Profile, find_profile
from pytau_hpc.ledger.history import Entry, now_fitting, unfinished
from pytau_hpc.logs import Seen, job_of, look, seen_in
from pytau_hpc.plan_data import FactsCache, files_of
from pytau_hpc.prepare import Order, prepare
from pytau_hpc.retry import RetryLimits
from pytau_hpc.sweep.manifest import Manifest, read_manifest
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.resources import RetrySettings
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import State
from pytau_hpc.sweep.submission import Submission


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What a queued point has before it in its task.

    points : how many, the one that is being fitted included
    fitting : the one that is being fitted (`point_id`, `label`, `phase`, `done`, `total`); None where none is
    begun : whether a run of the task has begun
    """

    task: int
    points: int
    begun: bool
    fitting: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class Would:
    """What would happen to the point now. `cannot`: why that cannot be said here; then there are no choices."""

    profile: str | None = None
    submit: Choice | None = None
    resume: Choice | None = None
    limits: RetryLimits
    cannot: str | None = None


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where the point's data come from.

    path : absolute; None where nothing is read
    exists : whether something is there; None where nothing is read
    unchanged : whether its files are those that were planned from; None where only the worker can tell
    """

    path: Path | None
    exists: bool | None
    unchanged: bool | None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Everything about one point at one moment (`at`, seconds since the epoch).

    Attributes
    ----------
    since : since when the point is in its state; None where nothing tells
    job : the scheduler's name of its newest task
    asked_of : profile, account, partition and qos of its newest submission, as far as they were given
    """

    sweep: SweepDir
    at: float
    seen: Seen
    point: Point
    since: float | None
    job: str | None
    ahead: Ahead | None
    asked_of: Mapping[str, str]
    would: Would
    data: Data
    notes: tuple[str, ...]

    @property
    def state(self) -> State:
        return State(self.seen.row["state"])

    @property
    def newest(self) -> Entry | None:
        return self.seen.entries[-1] if self.seen.entries else None


def explain(
    sweep: SweepDir, point: str, *, profile: str | None = None, now: float | None = None
) -> Explanation:
    """Find out about the point that a person means by an id, the beginning of an id, or a label.

    Parameters
    ----------
    profile : the profile that `submit` and `resume` would be given
    now : seconds since the epoch

    Raises
    ------
    UserError : no such point, or several; no such profile
    """
    now = time.time() if now is None else now
    manifest = read_manifest(sweep.path)
    point_id = look(sweep, point).row["point_id"]
    would = _would(sweep, manifest, point_id, profile, now)
    with collect(sweep, now=now) as collected:
        seen = seen_in(collected, point_id)
        newest = seen.entries[-1] if seen.entries else None
        submission = _submission(sweep, newest)
        ahead = _ahead(collected, seen, submission)
    planned = _planned(manifest, point_id)
    return Explanation(
        sweep=sweep,
        at=now,
        seen=seen,
        point=planned,
        since=_since(seen),
        job=None if newest is None else job_of(sweep, newest),
        ahead=ahead,
        asked_of=_asked_of(submission),
        would=would,
        data=_data(sweep, planned),
        notes=collected.notes,
    )


def _planned(manifest: Manifest, point_id: str) -> Point:
    """The point as it was planned; the others of a large sweep are not made, which would take seconds."""
    text = manifest.rows_text
    head, begin = text[: text.index("\n") + 1], text.index(f"\n{point_id},") + 1
    end = text.find("\n", begin)
    [point] = replace(
        manifest, rows_text=head + text[begin : None if end < 0 else end + 1]
    ).points()
    return point


def _would(
    sweep: SweepDir, manifest: Manifest, point_id: str, asked: str | None, now: float
) -> Would:
    try:
        profile = find_profile(asked, manifest.profile, study=sweep.study)
    except UserError as error:
        if asked is not None:
            raise
        # Looked at from a computer that does not have the profile.
        return Would(limits=RetryLimits.of(manifest.retry, {}), cannot=error.message)

    def choice(command: Command) -> Choice:
        order = Order(command=command, profile=profile, only=frozenset({point_id}))
        [made] = prepare(sweep, order, fresh=False, now=now).choices.all
        return made

    return Would(
        profile=profile.name,
        submit=choice(Command.SUBMIT),
        resume=choice(Command.RESUME),
        limits=_limits(manifest, profile),
    )


def _limits(manifest: Manifest, profile: Profile) -> RetryLimits:
    settings = manifest.retry.over(RetrySettings.from_json(profile.retry))
    return RetryLimits.of(settings, profile.retry_caps())


def _submission(sweep: SweepDir, entry: Entry | None) -> Submission | None:
    """The submission that an entry is about, with the points of its task alone."""
    if entry is None:
        return None
    try:
        return Submission.read(sweep.submission_file(entry.submission), only_task=entry.task)
    except OSError:
        return None


def _asked_of(submission: Submission | None) -> Mapping[str, str]:
    if submission is None:
        return {}
    asked = {"profile": submission.profile.get("name"), "executor": submission.executor}
    for key in ("account", "partition", "qos"):
        asked[key] = profile_value(submission, "slurm", key)
    return {key: value for key, value in asked.items() if value}


def _ahead(collected: Collected, seen: Seen, submission: Submission | None) -> Ahead | None:
    if seen.row["state"] != State.QUEUED or submission is None:
        return None
    newest = seen.entries[-1]
    array = submission.array_of(newest.task)
    held = [point.point_id for point in array.tasks[newest.task - array.first].points]
    before = held[: held.index(seen.row["point_id"])]
    waiting = unfinished(collected.ledger, newest.submission, newest.task)
    fitting = now_fitting(collected.ledger, newest.submission, newest.task)
    return Ahead(
        task=newest.task,
        points=len(waiting.intersection(before)),
        begun=newest.task_run is not None,
        fitting=None if fitting is None else dict(fitting),
    )


def _since(seen: Seen) -> float | None:
    """Since when the point is in its state, as far as the files tell."""
    newest = seen.entries[-1] if seen.entries else None
    if newest is None or seen.row["state"] == State.PLANNED:
        return None
    if seen.row["state"] == State.RUNNING:
        return newest.started_at
    # Queued again after a run that ended; stopped; failed; or lost some time after its last word.
    return newest.ended_at or newest.heard_at or newest.submitted_at


def _data(sweep: SweepDir, point: Point) -> Data:
    reader = reader_of(point.source.format)
    if not reader.on_disk:
        return Data(path=None, exists=None, unchanged=None)
    path = sweep.study / point.session.path
    if not path.exists():
        return Data(path=path, exists=False, unchanged=False)
    files = files_of(reader, replace(point.session, path=str(path)))
    facts = FactsCache(sweep.study).get(
        reader, point.source.options, point.session, point.selection, files
    )
    unchanged = None if facts is None else facts.digest == point.data_digest
    return Data(path=path, exists=True, unchanged=unchanged)
