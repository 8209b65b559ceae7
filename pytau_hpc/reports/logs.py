"""What one point's tries wrote, for a person: ``logs POINT``.

Lines of a log are shown as they are, however wide; only the headings are fitted to the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pytau_hpc.ledger.history import Entry
from pytau_hpc.logs import (
    LAST_EVENTS,
    LAST_LINES,
    LAST_WORDS,
    Excerpt,
    Files,
    JournalPart,
    Seen,
    excerpt,
    files_of,
    job_of,
    scheduler_has_a_say,
)
from pytau_hpc.reports.format import (
    MARKS,
    STYLES,
    Line,
    Span,
    duration,
    gib,
    kind_words,
    line,
    plural,
)
from pytau_hpc.reports.status import Step
from pytau_hpc.sweep.journal import Event, EventKind
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import State

# -- headings ---------------------------------------------------------------------------------------------------------


def header(sweep: SweepDir, seen: Seen, entry: Entry, how: Look) -> list[Line]:
    """``1c9e04d2 · KM41/t0/K5 · try 1 of 1 · ✗ failed (out of memory) · 8123457_4 on node-0417 · 13:11 → 13:20``"""
    tries = len(seen.tries)
    parts = [Span(seen.row["point_id"][:8], "bold"), Span(seen.row["label"] or "")]
    if entry.number is not None:
        parts.append(Span(f"try {entry.number} of {tries}"))
    parts.append(outcome(entry))
    where = " on ".join(filter(None, [job_of(sweep, entry), entry.host]))
    if where:
        parts.append(Span(where))
    parts.append(Span(_times(entry, how.now)))
    return _wrapped(parts, how.width)


def outcome(entry: Entry) -> Span:
    """``✗ failed (out of memory)``, with the state's colour."""
    if entry.state not in set(State):
        return Span({"skipped": "= not needed"}.get(entry.state, f"= {entry.state}"))
    state = State(entry.state)
    cause = f" ({kind_words(entry.kind)})" if entry.kind else ""
    return Span(f"{MARKS[state]} {state.value}{cause}", STYLES[state])


def moment(seconds: float, now: float, *, zone: bool = False) -> str:
    """``13:20:32``, with the day where it is another one than now's; local time."""
    at = datetime.fromtimestamp(seconds, UTC).astimezone()
    today = datetime.fromtimestamp(now, UTC).astimezone()
    form = "%H:%M:%S"
    if at.date() != today.date():
        form = "%d %b %H:%M:%S" if at.year == today.year else "%d %b %Y %H:%M:%S"
    return at.strftime(f"{form} %Z" if zone else form).rstrip()


def _times(entry: Entry, now: float) -> str:
    if entry.started_at is None:
        return f"sent {moment(entry.submitted_at, now, zone=True)}"
    begin = moment(entry.started_at, now)
    if entry.ended_at is not None:
        return f"{begin} → {moment(entry.ended_at, now, zone=True)}"
    if entry.state == State.RUNNING:
        return f"since {begin} ({duration(now - entry.started_at)})"
    heard = "?" if entry.heard_at is None else moment(entry.heard_at, now, zone=True)
    return f"{begin} → last heard of {heard}"


def _wrapped(parts: Sequence[Span], width: int) -> list[Line]:
    """Parts with dots between them; a new line begins where the next part would not fit."""
    lines: list[list[Span]] = [[]]
    room = width
    for part in parts:
        if lines[-1] and len(part.text) + 3 > room:
            lines.append([Span("  ")])
            room = width - 2
        elif lines[-1]:
            lines[-1].append(Span(" · "))
            room -= 3
        lines[-1].append(part)
        room -= len(part.text)
    return list(lines)


def rule(title: str, path: str = "", width: int = 100) -> list[Line]:
    """``── output, last 12 of 212 lines ────────────── sweeps/toy/logs/1c9e04d2/0.r1.log ──``"""
    left = f"── {title} "
    gap = width - len(left) - len(path) - 4
    if not path:
        return [line(Span(left + "─" * max(2, width - len(left)), "dim"))]
    if gap >= 2:
        return [line(Span(f"{left}{'─' * gap} {path} ──", "dim"))]
    return [
        line(Span(left + "─" * max(2, width - len(left)), "dim")),
        line(Span(f"   {path}", "dim")),
    ]


# -- what was written -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Look:
    """How to show: `shown` writes a path as the person would, `now` is seconds since the epoch, `width` columns."""

    shown: Callable[[Path], str]
    now: float
    width: int


def page(sweep: SweepDir, seen: Seen, entry: Entry, how: Look, *, all_lines: bool) -> list[Line]:
    """Everything that a try wrote: its progress, its output, and the scheduler's words where they may be about it."""
    point_id, files = seen.row["point_id"], files_of(sweep, entry)
    lines = header(sweep, seen, entry, how)
    last = None if all_lines else LAST_LINES
    lines += _section("progress", _progress(files, point_id, how.now, all_lines=all_lines), how)
    if entry.run is not None:
        output = _section("output", excerpt(files.log, point_id, last), how)
        lines += output or [line(Span("The fit printed nothing.", "dim"))]
    elif entry.state == State.LOST:
        title = f"run {entry.task_run} of its task, which did not come to the point"
        lines += _section(title, excerpt(files.log, None, last), how)
    if all_lines or scheduler_has_a_say(entry):
        lines += _last_words(entry, files, how, all_lines=all_lines)
    return lines


def ending(sweep: SweepDir, seen: Seen, entry: Entry, how: Look) -> list[Line]:
    """How a try that was followed ended and, where that was not its own doing, who said what about it."""
    lines = header(sweep, seen, entry, how)
    if scheduler_has_a_say(entry):
        lines += _last_words(entry, files_of(sweep, entry), how, all_lines=False)
    return lines


def _last_words(entry: Entry, files: Files, how: Look, *, all_lines: bool) -> list[Line]:
    """What the scheduler said about the task, or a worker of this computer that never began."""
    last = None if all_lines else LAST_LINES if entry.run is None else LAST_WORDS
    lines = _section("SLURM and the worker", excerpt(files.scheduler, None, last), how)
    for path in files.workers[:1]:
        more = len(files.workers) - 1
        title = "a worker of this computer" + (f" (and {more} more)" if more else "")
        lines += _section(title, excerpt(path, None, last), how)
    return lines


def _section(title: str, found: Excerpt | None, how: Look) -> list[Line]:
    if found is None:
        return []
    total = plural(found.total, "line")
    of = f"last {len(found.lines)} of {total}" if len(found.lines) < found.total else total
    lines: list[Line] = [line(text) for text in found.lines]
    return [*rule(f"{title}, {of}", how.shown(found.path), how.width), *lines]


def _progress(files: Files, point_id: str, now: float, *, all_lines: bool) -> Excerpt | None:
    if files.journal is None:
        return None
    told = [told_line(event, now) for event in JournalPart(files.journal, point_id).read()]
    kept = told if all_lines else told[-LAST_EVENTS:]
    return Excerpt(path=files.journal, lines=kept, total=len(told)) if told else None


def told_line(event: Event, now: float) -> str:
    """``13:20:28  fitting 700/2000 · 2.71 GiB``"""
    return f"{moment(event.wall, now)}  {_told(event)}"


def _told(event: Event) -> str:
    p = event.payload
    match event.kind:
        case EventKind.POINT_STARTED:
            return "started"
        case EventKind.PROGRESS:
            far = f" {p['done']}/{p['total']}" if p.get("total") else ""
            memory = f" · {gib(p['rss'])}" if p.get("rss") else ""
            return f"{p.get('phase') or 'still'}{far}{memory}"
        case EventKind.CHECKPOINT:
            return f"checkpoint at {p.get('iteration')}"
        case EventKind.POINT_SUCCEEDED:
            elbo = f" · ELBO {p['elbo']:.1f}" if p.get("elbo") is not None else ""
            return f"succeeded{elbo}{'' if p.get('converged') else ' · not converged'}"
        case EventKind.POINT_FAILED:
            error = ": ".join(str(p[key]) for key in ("error", "message") if p.get(key))
            return (
                f"failed ({kind_words(p.get('kind'))}): {error.splitlines()[0] if error else '-'}"
            )
        case EventKind.POINT_INTERRUPTED:
            return f"stopped ({kind_words(p.get('kind'))}) at {p.get('iteration')}"
        case EventKind.POINT_SKIPPED:
            return f"not needed: {p.get('because')}"
        case _:
            why = p.get("kind") or p.get("because")
            return f"the run was told to stop ({kind_words(why)})" if why else event.kind.value


def waiting_line(seen: Seen, now: float) -> str:
    """Why there is nothing yet."""
    since = seen.row["submitted_at"]
    text = "… queued" if since is None else f"… queued since {moment(since, now)}"
    return f"{text}: {seen.reason}" if seen.reason else f"{text}; its task has not come to it yet"


def next_steps(seen: Seen, entry: Entry | None, sweep: str) -> list[Step]:
    """What to type after a look at the logs."""
    point = seen.row["point_id"][:8]
    if seen.is_open:
        steps = [Step(command=f"pytau-hpc logs {point} {sweep} -f", why="as it is written")]
    else:
        steps = []
    if seen.row["state"] != State.SUCCEEDED:
        steps.append(
            Step(
                command=f"pytau-hpc explain {point} {sweep}",
                why="why, and what would be done about it",
            )
        )
    if entry is not None and entry.number is not None and entry.number > 1:
        steps.append(
            Step(
                command=f"pytau-hpc logs {point} {sweep} --try {entry.number - 1}",
                why="the try before",
            )
        )
    return steps
