"""Find what the tries of one point wrote, and read the part of it that is about this point.

A log belongs to a run of a task, which fits many points one after another. `fit` writes a mark where a point begins,
`worker` one before a traceback; what stands between is the point's. What else is known comes from the journal of the
run, and from the scheduler's own log. Reads only. Called by ``logs``, `follow` and `explain`.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytau_hpc.collect import Collected, collect
from pytau_hpc.errors import UserError
from pytau_hpc.ledger.history import Entry, history
from pytau_hpc.ledger.summary import find_point
from pytau_hpc.sweep.journal import Event, EventKind, read_from
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind, State

#: How many lines there are to begin with, of a log, of a journal, and of what a scheduler said.
LAST_LINES, LAST_EVENTS, LAST_WORDS = 40, 6, 10

#: Written by `fit` and `worker`, each on a line of its own unless a fit left one unfinished.
_MARK = re.compile(r"── ([0-9a-f]{16}) (.*)")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")

#: Ends of a try that are somebody else's doing: the scheduler's last words may be about them.
_BY_OTHERS = (
    Kind.OUT_OF_MEMORY,
    Kind.TIMEOUT,
    Kind.PREEMPTED,
    Kind.NODE,
    Kind.KILLED,
    Kind.NEVER_STARTED,
)
ENDS = (
    EventKind.POINT_SUCCEEDED,
    EventKind.POINT_FAILED,
    EventKind.POINT_INTERRUPTED,
    EventKind.POINT_SKIPPED,
)


# -- the point and its tries ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A point at one moment: its row of the ledger, its history, and why its task waits, in the scheduler's words."""

    row: dict[str, Any]
    entries: Sequence[Entry]
    reason: str | None

    @property
    def is_open(self) -> bool:
        return self.row["state"] in (State.QUEUED, State.RUNNING)

    @property
    def tries(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.number is not None]


def seen_in(collected: Collected, point: str) -> Seen:
    """The point that a person means by an id, the beginning of an id, or a label.

    Raises
    ------
    UserError : none, or several
    """
    row = find_point(collected.ledger, point)
    return Seen(
        row=row,
        entries=history(collected.ledger, row["point_id"]),
        reason=collected.reasons.get((row["submission"], row["task"])),
    )


def look(sweep: SweepDir, point: str, *, fresh: bool = False) -> Seen:
    """As `seen_in`, now. `fresh`: ask the scheduler even if it was asked a moment ago."""
    with collect(sweep, fresh=fresh) as collected:
        return seen_in(collected, point)


def chosen(seen: Seen, number: int | None = None) -> Entry:
    """The try that is meant: the newest one, or the one of this number.

    Raises
    ------
    UserError : no such try, or none at all
    """
    tries = seen.tries
    name = f"point {seen.row['point_id']} ({seen.row['label']})"
    if not tries and seen.row["state"] == State.SUCCEEDED:
        raise UserError(f"{name} has no log: its result was not made by this sweep")
    if not tries:
        raise UserError(
            f"{name} has no log: it is {seen.row['state']}, and was never tried",
            help=f"pytau-hpc explain {seen.row['point_id'][:8]}",
        )
    if number is not None and number > len(tries):
        raise UserError(
            f"{name} has no try {number}", help=f"there {_is_are(len(tries))}, counted from 1"
        )
    return tries[-1 if number is None else number - 1]


def _is_are(tries: int) -> str:
    return "is one" if tries == 1 else f"are {tries}"


# -- files ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Files:
    """What one try may have written; the files need not be there.

    log, journal : of the run that took the point up
    scheduler : of the task
    workers : what workers of this computer said before they had a log of their own, the newest first
    """

    log: Path | None
    journal: Path | None
    scheduler: Path | None
    workers: tuple[Path, ...] = ()


def files_of(sweep: SweepDir, entry: Entry) -> Files:
    """Where a try wrote. Without a run of its own: where the newest run of its task did, which did not come to it."""
    run = entry.run or entry.task_run
    logs = sweep.logs_of(entry.submission)
    workers: list[Path] = []
    if entry.executor != "slurm" and entry.state == State.LOST:
        found = (sweep.submission(entry.submission) / "submitit").glob("*_log.*")
        workers = [path for path in found if path.stat().st_size]
        workers.sort(key=lambda path: -path.stat().st_mtime)
    return Files(
        log=logs / f"{entry.task}.r{run}.log" if run else None,
        journal=sweep.journal(entry.submission, entry.task, entry.run) if entry.run else None,
        scheduler=logs / scheduler_log(entry) if entry.executor == "slurm" else None,
        workers=tuple(workers),
    )


def main_file(sweep: SweepDir, seen: Seen, entry: Entry) -> Path:
    """The file that has most to say about a try.

    Raises
    ------
    UserError : nothing was written
    """
    files = files_of(sweep, entry)
    for path in (files.log, files.scheduler, *files.workers):
        if path is not None and path.exists():
            return path
    why = seen.reason or f"the point is {seen.row['state']}"
    raise UserError(f"there is no log of this try: {why}", help="-f waits for it")


def scheduler_log(entry: Entry) -> str:
    """The name that `executors.slurm` gives to the log of an array element."""
    first = entry.task - entry.element
    return f"{f'array{entry.array}.' if first else ''}{entry.element}.slurm.log"


def job_of(sweep: SweepDir, entry: Entry) -> str | None:
    """The scheduler's name of the task, also before it has begun; ``pid 4711`` of a process of this computer."""
    if entry.job_id is not None or entry.executor != "slurm":
        return entry.job_id
    try:
        bound = json.loads(sweep.bound_file(entry.submission).read_text(encoding="utf-8"))
        ids = bound["job_ids"][str(entry.array)]
        # An array that was sent in pieces has several ids: which one is this element's, only SLURM knows.
        ids = [ids] if isinstance(ids, str) else ids
        return f"{ids[0]}_{entry.element}" if len(ids) == 1 else None
    except (OSError, ValueError, KeyError):
        return None


# -- the parts of them that are about the point -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """The last lines of something, and how many there are in all."""

    path: Path
    lines: Sequence[str]
    total: int


class LogPart:
    """Reads on in a log from where it stopped: the lines about one point, or (None) all lines."""

    def __init__(self, path: Path, point_id: str | None) -> None:
        self.path = path
        self._point_id = point_id
        self._ours = point_id is None
        self._offset = 0

    def read(self, *, torn: bool = False) -> Iterator[str]:
        """What is new; with `torn` also a last line without its end."""
        try:
            with self.path.open("rb") as file:
                if file.seek(0, 2) < self._offset:  # begun again by a requeue
                    self._offset = 0
                file.seek(self._offset)
                for raw in file:
                    if not (raw.endswith(b"\n") or torn):
                        return
                    self._offset += len(raw)
                    yield from self._taken(clean(raw.decode(errors="replace")))
        except FileNotFoundError:
            return

    def _taken(self, line: str) -> Iterator[str]:
        mark = _MARK.search(line) if self._point_id is not None else None
        if mark is None:
            if self._ours:
                yield line
            return
        if self._ours and mark.start():
            yield line[: mark.start()]
        self._ours = mark[1] == self._point_id
        if self._ours and not re.search(r" started \d{4}-", mark[2]):
            yield mark[0]


def clean(line: str) -> str:
    """A line as it would stand on a terminal in the end: without colours, bells, and what was overwritten."""
    shown = [part for part in line.rstrip("\r\n").split("\r") if part]
    return _ESCAPES.sub("", shown[-1] if shown else "")


class JournalPart:
    """Reads on in a journal from where it stopped: the records about one point."""

    def __init__(self, path: Path, point_id: str) -> None:
        self.path = path
        self._point_id = point_id
        self._ours = False
        self._offset = 0

    def read(self) -> Iterator[Event]:
        try:
            chapter = read_from(self.path, self._offset)
        except FileNotFoundError:
            return
        self._offset = chapter.offset
        for event in chapter.events:
            named = event.payload.get("point")
            if named is not None:
                self._ours = named == self._point_id
            # What is told to the run concerns the point that it has in hand.
            if self._ours and event.kind is not EventKind.RUN_ENDED:
                yield event
            if event.kind in ENDS:
                self._ours = False


def excerpt(path: Path | None, point_id: str | None, last: int | None) -> Excerpt | None:
    """The last lines of a log, None where there is no such file or nothing in it.

    Parameters
    ----------
    point_id : only what is about this point
    last : how many lines; None for all
    """
    if path is None:
        return None
    kept: deque[str] = deque(maxlen=last)
    total = 0
    for line in LogPart(path, point_id).read(torn=True):
        if line.strip() or kept:
            kept.append(line)
            total += 1
    while kept and not kept[-1].strip():
        kept.pop()
        total -= 1
    return Excerpt(path=path, lines=tuple(kept), total=total) if kept else None


def scheduler_has_a_say(entry: Entry) -> bool:
    """Whether the last words of the scheduler, or of a worker that never began, may be about this try."""
    return entry.state == State.LOST or entry.kind in _BY_OTHERS
