"""The status of a sweep for a person: counts, causes, what runs, what it used, what to type next.

Lines of spans (see `format`), at most 100 columns wide. Called by ``status``, `open_sweep` and the live view.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytau_hpc.reports.format import (
    Line,
    Span,
    ansi,
    bar,
    columns,
    cut,
    day_and_time,
    duration,
    gib,
    hours,
    kind_words,
    line,
    marked,
    per_minute,
    percent,
    plain,
    plural,
    roughly,
    spread,
    time_of_day,
)
from pytau_hpc.reports.status import Running, Status, Step
from pytau_hpc.sweep.state import State

MAX_WIDTH = 100


def as_text(
    status: Status, *, width: int = MAX_WIDTH, colour: bool = False, running: int = 0
) -> str:
    """The status for a person; `running`: how many of the points that are being fitted get a line of their own."""
    lines = as_lines(status, width=width, running=running)
    return ansi(lines, width) if colour else plain(lines)


def as_lines(status: Status, *, width: int = MAX_WIDTH, running: int = 0) -> list[Line]:
    width = min(width, MAX_WIDTH)
    lines: list[Line] = [
        line(Span(f"! {cut(note, width - 2)}", "yellow")) for note in _warnings(status)
    ]
    lines += [
        line(Span(text, "bold"))
        for text in spread(_title(status), day_and_time(status.at), width).split("\n")
    ]
    lines += [line(), _progress(status, width), line()]
    lines += [row for state in State if (row := _state_row(status, state, width)) is not None]
    facts = [*_left(status), *_asked(status)]
    if facts:
        lines += [line(), *(line(cut(fact, width)) for fact in facts)]
    if running and status.running:
        lines += [line(), *_running_rows(status, width, running)]
    return lines


def one_line(status: Status) -> str:
    """The status for a log: ``14:05:42 EST  139/228 succeeded · 22 running · 59 queued · 8 failed · 50 min left``."""
    parts = [f"{status.counts[State.SUCCEEDED]}/{status.points} succeeded"]
    parts += [
        f"{n} {state.value}"
        for state, n in status.counts.items()
        if n and state is not State.SUCCEEDED
    ]
    if status.left_s is not None:
        parts.append(f"about {roughly(status.left_s)} left")
    return f"{time_of_day(status.at, with_seconds=True)}  " + " · ".join(parts)


def next_lines(steps: Sequence[Step]) -> list[str]:
    """``Next    pytau-hpc …``, with what each is for."""
    width = max((len(step.command) for step in steps), default=0)
    return [
        f"{'Next' if i == 0 else '':<8}{step.command:<{width}}   {step.why}".rstrip()
        for i, step in enumerate(steps)
    ]


def _title(status: Status) -> str:
    parts = [status.name, *filter(None, [status.executor]), plural(status.points, "point")]
    if status.where:
        parts.append(f"where {cut(status.where, 40)}")
    return " · ".join(parts)


def _warnings(status: Status) -> list[str]:
    if status.reachable is not False:
        return list(status.notes)
    heard = (
        ""
        if status.heartbeat_at is None
        else f", last heartbeat {time_of_day(status.heartbeat_at)}"
    )
    said = f"showing what the points themselves reported{heard}"
    return [*(status.notes or ("the scheduler did not answer",)), said]


def _progress(status: Status, width: int) -> Line:
    fraction = status.counts[State.SUCCEEDED] / status.points if status.points else 0.0
    words = f"  {percent(fraction)} done"
    return line(Span(bar(fraction, max(10, width - len(words) - 2)), "green"), words)


def _state_row(status: Status, state: State, width: int) -> Line | None:
    n = status.counts[state]
    if not n and state is not State.SUCCEEDED:
        return None
    room = max(len(name.value) for name in State)
    number = max(4, len(str(status.points)))
    more = cut(_about(status, state), width - room - number - 5)
    return line(
        marked(state, f"{state.value:<{room}}"), f"{n:>{number}}" + (f"   {more}" if more else "")
    )


def _about(status: Status, state: State) -> str:
    if state is State.SUCCEEDED and status.not_converged:
        return f"{plural(status.not_converged, 'fit')} not converged"
    if state is State.RUNNING and status.running:
        return _slowest(status)
    if state is State.QUEUED and status.unrun:
        return f"{status.unrun} of a list that nobody has run yet"
    if state is State.QUEUED and (status.behind or status.waiting):
        return _why_queued(status)
    return " · ".join(f"{kind_words(c.kind)} {c.points}" for c in status.causes if c.state is state)


def _why_queued(status: Status) -> str:
    parts = [f"{status.behind} behind another point of their task"] if status.behind else []
    for words, n in status.waiting:
        # ``PENDING (Priority)`` is said as the reason alone: that they wait is what the row says.
        reason = words.partition("(")[2].rstrip(")") or words.lower()
        parts.append(f"{n} {reason}")
    return " · ".join(parts)


def _slowest(status: Status) -> str:
    slowest = status.running[0]
    if slowest.started_at is None:
        return ""
    far = "" if slowest.fraction is None else f", {percent(slowest.fraction)}"
    which = "slowest " if len(status.running) > 1 else ""
    return f"{which}{slowest.point_id[:8]} {slowest.label}{far} after {duration(status.at - slowest.started_at)}"


def _left(status: Status) -> list[str]:
    """How long what was sent will take, and what the sweep has cost and may still cost."""
    used = status.used
    more = f", at most {hours(used.left_cpu_s)} more" if used.left_cpu_s else ""
    costs = bool(used.held_cpu_s or more)
    if status.left_s is None or status.rate is None:
        return [f"Used    {hours(used.held_cpu_s)} CPU-hours{more}"] if costs else []
    left = f"Left    about {roughly(status.left_s)} at {per_minute(status.rate.per_s)}"
    return [f"{left} · {hours(used.held_cpu_s)} CPU-hours used{more}" if costs else left]


def _asked(status: Status) -> list[str]:
    used = status.used
    shares = (
        ("memory", used.mem_fraction),
        ("CPU", used.cpu_fraction),
        ("time", used.time_fraction),
    )
    parts = [f"{name} {percent(share)} used" for name, share in shares if share is not None]
    return [f"Asked   {' · '.join(parts)}"] if parts else []


def _running_rows(status: Status, width: int, most: int) -> list[Line]:
    rows = [_running_cells(running, status.at) for running in status.running[:most]]
    header = ("Running", "point", "phase", "progress", "since", "memory", "task")
    texts = columns(header, rows, right=frozenset({4, 5}), elastic=1, width=width)
    if len(status.running) > most:
        texts.append(f"… {len(status.running) - most} more")
    return [line(cut(text, width)) for text in texts]


def _running_cells(running: Running, now: float) -> tuple[str, ...]:
    return (
        running.point_id[:8],
        running.label,
        cut(running.phase or "starting", 12),
        "-"
        if running.fraction is None
        else f"{bar(running.fraction, 6)} {running.done}/{running.total}",
        "-" if running.started_at is None else duration(now - running.started_at),
        gib(running.max_rss_bytes),
        running.job_id or "-",
    )
