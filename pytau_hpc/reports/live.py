"""The status, again and again: a bar while local work runs, and ``status --watch``.

On a terminal through rich's `Live`; elsewhere (a log, a pipe) one line when something has changed. Nothing here
decides anything, and `LiveBar` never raises into the driver of local tasks.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from pytau_hpc import pace
from pytau_hpc.collect import Collected, collect
from pytau_hpc.errors import LockTimeout
from pytau_hpc.ledger import summary
from pytau_hpc.ledger.summary import UNSUCCESSFUL, Which
from pytau_hpc.prepare import Prepared
from pytau_hpc.reports.format import (
    MARKS,
    STYLES,
    Line,
    Span,
    bar,
    cut,
    duration,
    kind_words,
    line,
    painted,
    percent,
    roughly,
)
from pytau_hpc.reports.status import Running, Status, as_json, status_of
from pytau_hpc.reports.status_text import as_lines, one_line
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind, State

if TYPE_CHECKING:
    from rich.live import Live

#: How often the journals are read, and how often the terminal is painted.
COLLECT_EVERY_S = 1.0
PAINT_EVERY_S = 0.25
#: How often a log gets a line at most.
LINE_EVERY_S = 10.0
MAX_RUNNING = 8


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Where the points of one submission stand. `causes`: (state, why) → points that did not succeed."""

    total: int
    counts: dict[State, int]
    causes: dict[tuple[State, str], int]
    running: tuple[Running, ...] = ()

    @property
    def succeeded(self) -> int:
        return self.counts[State.SUCCEEDED]

    @property
    def ended(self) -> int:
        """Points that this submission will not come back to."""
        return self.total - self.counts[State.QUEUED] - self.counts[State.RUNNING]


class LiveBar:
    """The progress of a submission that runs on this computer.

    Parameters
    ----------
    quiet : show nothing at all
    stream : where to; standard error by default
    clock : monotonic seconds
    """

    def __init__(
        self,
        sweep: SweepDir,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sweep = sweep
        self._quiet = quiet
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._uuid: str | None = None
        self._snapshot = Snapshot(total=0, counts=dict.fromkeys(State, 0), causes={})
        self._live: Live | None = None
        self._started = self._next_collect = self._next_paint = self._next_line = 0.0
        self._said: str | None = None

    def start(self, prepared: Prepared) -> None:
        """Begin to show a submission; called just before it is sent."""
        submission = prepared.submission
        if submission is None or self._quiet:
            return
        total = sum(len(task.points) for task in submission.tasks)
        self._uuid = submission.uuid
        counts = {**dict.fromkeys(State, 0), State.QUEUED: total}
        self._snapshot = Snapshot(total=total, counts=counts, causes={})
        self._started = self._clock()
        with _never_raising():
            if self._stream.isatty():
                self._live = _live(self._stream)
                self._live.start()

    def tick(self) -> None:
        """Look whether there is something new to show; called about ten times a second."""
        if self._uuid is None:
            return
        with _never_raising():
            now = self._clock()
            if now >= self._next_collect:
                self._look(now)
            if self._live is not None and now >= self._next_paint:
                self._next_paint = now + PAINT_EVERY_S
                self._live.update(painted(self._lines(now)), refresh=True)
            elif self._live is None and now >= self._next_line:
                self._say(now)

    def finish(self) -> None:
        """Take the bar away and leave one line about how it went."""
        if self._uuid is None:
            return
        with _never_raising():
            self._look(self._clock())
        with _never_raising():
            if self._live is not None:
                self._live.stop()
        with _never_raising():
            self._print(_text(self._snapshot, self._clock() - self._started))
        self._uuid = self._live = None

    def _look(self, now: float) -> None:
        assert self._uuid is not None
        try:
            # Asked for without waiting: somebody else who collects at this moment does the same work.
            with collect(self._sweep, ask=False, lock_timeout_s=0) as collected:
                self._snapshot = snapshot_of(collected, self._uuid, self._snapshot.total)
        finally:
            spent = self._clock() - now
            self._next_collect = self._clock() + pace.pause_s(spent, COLLECT_EVERY_S)

    def _say(self, now: float) -> None:
        """One line where there is no terminal, if it says something else than the one before."""
        snapshot = self._snapshot
        words = f"{snapshot.ended} {snapshot.causes}"
        if words != self._said:
            self._next_line = now + LINE_EVERY_S
            self._said = words
            self._print(_text(snapshot, now - self._started))

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def _lines(self, now: float) -> list[Line]:
        width = min(100, self._live.console.width if self._live else 100)
        return snapshot_lines(self._snapshot, now - self._started, wall=time.time(), width=width)


def snapshot_of(collected: Collected, uuid: str, total: int) -> Snapshot:
    """Where the points of a submission stand, by the ledger."""
    found = summary.counts_of_submission(collected.ledger, uuid)
    counts = {state: sum(c.points for c in found if c.state == state) for state in State}
    if not sum(counts.values()):
        # Not in the ledger yet: it was written a moment ago.
        counts[State.QUEUED] = total
    causes: dict[tuple[State, str], int] = {}
    for count in found:
        state = State(count.state)
        if state in UNSUCCESSFUL:
            # Ctrl-C is nothing worse than that: a fit that was killed in good order waits for `resume`.
            in_order = state is State.INTERRUPTED and count.kind == Kind.KILLED
            why = (state, state.value if in_order else kind_words(count.kind))
            causes[why] = causes.get(why, 0) + count.points
    which = Which(where=f"submission = '{uuid}'")
    running = tuple(Running(**row) for row in summary.running(collected.ledger, which))
    return Snapshot(total=total, counts=counts, causes=causes, running=running)


def snapshot_lines(snapshot: Snapshot, elapsed_s: float, *, wall: float, width: int) -> list[Line]:
    """The bar and what runs, for a terminal. `wall`: seconds since the epoch, now."""
    fraction = snapshot.succeeded / snapshot.total if snapshot.total else 0.0
    words = f"  {snapshot.succeeded}/{snapshot.total}  {percent(fraction)}  {duration(elapsed_s)} elapsed"
    left = _left_s(snapshot, elapsed_s)
    if left is not None:
        words += f"  about {roughly(left)} left"
    head = line(
        Span(f"{MARKS[State.RUNNING]} ", STYLES[State.RUNNING]),
        Span(bar(fraction, max(10, min(40, width - len(words) - 3))), STYLES[State.SUCCEEDED]),
        words,
    )
    lines: list[Line] = [head]
    if snapshot.causes:
        lines.append(line(Span(cut(f"  {_causes(snapshot)}", width), STYLES[State.FAILED])))
    for running in snapshot.running[:MAX_RUNNING]:
        since = "" if running.started_at is None else duration(max(0.0, wall - running.started_at))
        far = f"{running.done}/{running.total}" if running.total else ""
        text = f"  {running.point_id[:8]} {running.label}  {running.phase or 'starting'} {far}  {since}"
        lines.append(line(cut(text, width)))
    if len(snapshot.running) > MAX_RUNNING:
        lines.append(line(f"  … {len(snapshot.running) - MAX_RUNNING} more"))
    return lines


def _left_s(snapshot: Snapshot, elapsed_s: float) -> float | None:
    """At the rate so far. The first points pay for imports and compilation, so a single one says too little."""
    rest = snapshot.total - snapshot.ended
    return elapsed_s * rest / snapshot.ended if snapshot.ended >= 2 and rest else None


def _text(snapshot: Snapshot, elapsed_s: float) -> str:
    words = f"{snapshot.succeeded}/{snapshot.total} succeeded  {duration(elapsed_s)} elapsed"
    left = _left_s(snapshot, elapsed_s)
    if left is not None:
        words += f"  about {roughly(left)} left"
    return words + (f"  {_causes(snapshot)}" if snapshot.causes else "")


def _causes(snapshot: Snapshot) -> str:
    return " · ".join(
        f"{MARKS[state]} {n} {words}" for (state, words), n in sorted(snapshot.causes.items())
    )


@contextmanager
def _never_raising() -> Iterator[None]:
    """What is only shown must not stop what is computed: the next tick tries again."""
    try:
        yield
    except Exception:
        return


def _live(stream: TextIO) -> Live:
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(file=stream), auto_refresh=False, transient=True)


# -- status --watch ---------------------------------------------------------------------------------------------------


def watch(
    sweep: SweepDir,
    *,
    which: Which,
    called: str | None,
    json_lines: bool,
    every_s: float = 2.0,
    until: Callable[[Status, Callable[[], None]], bool] = lambda status, tick: not status.going_on,
    stream: TextIO | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Status:
    """Show the status until nothing is queued or running, and return the last one.

    On a terminal it is redrawn in place; elsewhere, and as JSON, there is one line whenever something has changed.

    Parameters
    ----------
    every_s : seconds between two looks, at least; the scheduler is asked more rarely (see `collect`)
    until : called with every status, and with what it may call now and then where it takes long: that shows how things
        stand meanwhile. True ends it
    clock : monotonic seconds
    """
    stream = sys.stdout if stream is None else stream
    live = _live(stream) if stream.isatty() and not json_lines else None
    said: dict[State, int] | None = None
    pause_s, next_look = every_s, 0.0

    def look(**how: Any) -> Status:
        nonlocal said, pause_s
        began = clock()
        with collect(sweep, **how) as collected:
            status = status_of(sweep, collected, which=which, called=called)
        pause_s = pace.pause_s(clock() - began, every_s)
        if live is not None:
            lines = as_lines(status, width=live.console.width, running=10)
            live.update(painted(lines), refresh=True)
        elif status.counts != said:
            words = json.dumps(as_json(status)) if json_lines else one_line(status)
            print(words, file=stream, flush=True)
        said = dict(status.counts)
        return status

    def tick() -> None:
        nonlocal next_look
        if clock() >= next_look:
            with _never_raising():
                look(ask=False, lock_timeout_s=0)
            next_look = clock() + pause_s

    try:
        if live is not None:
            live.start()
        while True:
            try:
                status = look()
            except LockTimeout:  # somebody else is at it for long: the next look will show
                sleep(every_s)
                continue
            next_look = clock() + pause_s
            # What it takes is no part of the look: to decide may be to send, and to send local tasks is to run them.
            if until(status, tick):
                break
            sleep(pause_s)
    finally:
        if live is not None:
            live.stop()
    if live is not None:
        # The live picture is gone; the last one stays.
        live.console.print(painted(as_lines(status, width=live.console.width)))
    return status
