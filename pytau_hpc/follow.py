"""What is written about one point while it is queued or running: ``logs -f``.

Reads only: the log and the journal of the run that has the point, again and again, and now and then the ledger, which
tells when a requeue has opened a new run and when all is over.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pytau_hpc.errors import LockTimeout
from pytau_hpc.ledger.history import Entry
from pytau_hpc.logs import (
    ENDS,
    LAST_EVENTS,
    LAST_LINES,
    Files,
    JournalPart,
    LogPart,
    Seen,
    files_of,
    look,
)
from pytau_hpc.pace import pause_s
from pytau_hpc.sweep.journal import Event
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import State

#: How often new lines are looked for, and how often the state of the point.
POLL_S, LOOK_EVERY_S = 0.3, 5.0


@dataclass(frozen=True, kw_only=True)
class Began:
    """What comes now is of this try."""

    seen: Seen
    entry: Entry


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The point is queued, as far as the scheduler says for this reason."""

    seen: Seen


@dataclass(frozen=True, kw_only=True)
class Over:
    """The point is neither queued nor running."""

    seen: Seen


Heard = Began | Waiting | Over | Event | str


def follow(
    sweep: SweepDir,
    point: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Heard]:
    """What is written about a point while it is queued or running, from one run of its task to the next.

    Parameters
    ----------
    point : as `seen_in` takes it
    """
    began = clock()
    seen = look(sweep, point)
    point_id = seen.row["point_id"]
    reader: _Reader | None = None
    while True:
        until = clock() + pause_s(clock() - began, LOOK_EVERY_S)
        entry = seen.entries[-1] if seen.entries else None
        if entry is not None and entry.run is not None:
            if reader is not None and reader.differs(entry):
                yield from reader.read(torn=True)
                reader = None
            if reader is None:
                yield Began(seen=seen, entry=entry)
                reader = _Reader(files_of(sweep, entry), entry, point_id)
        if seen.row["state"] == State.QUEUED:
            yield Waiting(seen=seen)
        has_ended = False
        while not has_ended and (clock() < until or not seen.is_open):
            heard = reader.read(torn=not seen.is_open) if reader is not None else []
            yield from heard
            if not seen.is_open:
                yield Over(seen=seen)
                return
            has_ended = any(isinstance(one, Event) and one.kind in ENDS for one in heard)
            if not has_ended:
                sleep(POLL_S)
        began = clock()
        seen = _look_again(sweep, point_id, seen)


def _look_again(sweep: SweepDir, point_id: str, before: Seen) -> Seen:
    try:
        seen = look(sweep, point_id)
        if seen.row["state"] in (State.INTERRUPTED, State.LOST):
            # It may be about to be requeued, which the scheduler knows.
            seen = look(sweep, point_id, fresh=True)
        return seen
    except LockTimeout:  # somebody else is updating the ledger; there is a next time
        return before


class _Reader:
    """What a try writes: the lines of its log, then the records of its journal."""

    def __init__(self, files: Files, entry: Entry, point_id: str) -> None:
        assert files.log is not None
        assert files.journal is not None
        self._key = (entry.submission, entry.task, entry.run)
        self._log = LogPart(files.log, point_id)
        self._journal = JournalPart(files.journal, point_id)
        self._last: int | None = LAST_LINES

    def differs(self, entry: Entry) -> bool:
        return self._key != (entry.submission, entry.task, entry.run)

    def read(self, *, torn: bool = False) -> list[str | Event]:
        # The journal first, and given last: what it tells of was in the log before.
        events = list(self._journal.read())
        lines = deque(self._log.read(torn=torn), maxlen=self._last)
        if self._last is not None:
            events = events[-LAST_EVENTS:]
        self._last = None
        return [*lines, *events]
