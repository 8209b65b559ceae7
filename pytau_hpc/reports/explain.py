"""Everything about one point, for a person and as JSON: ``explain POINT``."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytau_hpc.choose import Choice
from pytau_hpc.explain import Explanation
from pytau_hpc.ledger.history import Entry
from pytau_hpc.reports.because import because, far
from pytau_hpc.reports.format import (
    MARKS,
    STYLES,
    Line,
    Span,
    columns,
    cut,
    duration,
    iso,
    kind_words,
    line,
)
from pytau_hpc.reports.logs import moment, outcome
from pytau_hpc.reports.status import Step
from pytau_hpc.reports.tables import points_json
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.sweep.state import State

SCHEMA = "pytau-hpc/explain/1"
_INDENT, _MARGIN = 10, 2

# -- text -------------------------------------------------------------------------------------------------------------


def as_lines(
    found: Explanation, *, width: int | None, shown: Callable[[Path], str] = str
) -> list[Line]:
    """The explanation for a person; `width` in columns, None where nothing is to be wrapped."""
    row = found.seen.row
    state = found.state
    since = ""
    if found.since is not None:
        since = f" since {moment(found.since, found.at, zone=True)}"
        since += f" ({duration(found.at - found.since)})" if found.seen.is_open else ""
    cause = f" ({kind_words(row['kind'])})" if row["kind"] else ""
    lines: list[Line] = [
        line(Span(row["point_id"][:8], "bold"), f" · {row['label']} · {found.sweep.name}"),
        line(f"{'state':<{_INDENT}}", Span(f"{MARKS[state]} {state.value}{cause}", STYLES[state]), since),
    ]  # fmt: skip

    def add(name: str, *texts: str) -> None:
        for text in texts:
            for part in _wrapped(text, width):
                lines.append(line(f"{name:<{_INDENT}}{part}"))
                name = ""

    add("because", *because(found))
    if found.seen.entries:
        add("budgets", budgets(found))
    add("submit", *_would(found, found.would.submit))
    add("resume", *_would(found, found.would.resume))
    add("asked", asked(found))
    if found.seen.entries:
        lines.append(line("history"))
        lines += [line(f"{'':<{_MARGIN}}{text}") for text in _history(found, width)]
    add("input", *_input(found, shown))
    add("identity", *identity(found))
    return lines


def _wrapped(text: str, width: int | None) -> list[str]:
    if width is None or len(text) <= width - _INDENT:
        return [text]
    return textwrap.wrap(text, max(20, width - _INDENT), subsequent_indent="  ") or [""]


def budgets(found: Explanation) -> str:
    """``failures 1 (2 are tried again) · interruptions 0 (10 are)``"""
    row, limits = found.seen.row, found.would.limits
    return (
        f"failures {row['failures']} ({limits.failures} are tried again) · "
        f"interruptions {row['interruptions']} ({limits.interruptions} are)"
    )


_HISTORY = ("try", "sent", "task", "host", "began", "ended", "after", "reached", "resumed")


def _history(found: Explanation, width: int | None) -> list[str]:
    """A table of every time that the point was sent, or taken up; columns that say nothing are left out."""
    rows = [_history_cells(entry, found.at) for entry in found.seen.entries]
    kept = [i for i in range(len(_HISTORY)) if any(row[i] for row in rows)]
    cells = [[row[i] or "-" for i in kept] for row in rows]
    header = [_HISTORY[i] for i in kept]
    room = 10_000 if width is None else width - _MARGIN
    # Of a host's name the end tells it from others.
    elastic = header.index("host") if "host" in header else None
    return [cut(text, room) for text in columns(header, cells, elastic=elastic, width=room)]


def _history_cells(entry: Entry, now: float) -> tuple[str, ...]:
    reached = entry.done if entry.done is not None else entry.checkpoint
    if entry.state == State.SUCCEEDED:
        reached = None
    return (
        "" if entry.number is None else str(entry.number),
        f"{entry.command} #{entry.sent}",
        str(entry.task) if entry.run is None else f"{entry.task}.r{entry.run}",
        entry.host or "",
        moment(entry.started_at or entry.submitted_at, now),
        outcome(entry).text,
        "" if entry.elapsed_s is None else duration(entry.elapsed_s),
        far(reached, entry.total),
        f"from {entry.resumed_from}" if entry.resumed_from else "",
    )


def asked(found: Explanation) -> str:
    """``4 CPU · 6 GiB · 05:00:00 · guest-compute · katz-lab (resume #2, profile brandeis)``"""
    newest = found.newest
    if newest is None:
        return "nothing yet"
    wanted = Resources(
        cpus=newest.cpus,
        mem_gb=newest.mem_bytes / 2**30,
        time_min=round(newest.time_limit_s / 60),
    )
    of = found.asked_of
    where = [of[key] for key in ("partition", "account", "qos") if key in of]
    profile = f", profile {of['profile']}" if "profile" in of else ""
    return f"{' · '.join([_resources(wanted), *where])} ({newest.command} #{newest.sent}{profile})"


def _resources(wanted: Resources) -> str:
    return f"{wanted.cpus} CPU · {wanted.mem_gb:g} GiB · {wanted.time}"


def _would(found: Explanation, choice: Choice | None) -> Sequence[str]:
    if choice is None:
        return [f"nobody can say here: {found.would.cannot}"]
    if not choice.send:
        return [choice.why + (" (final)" if choice.final else "")]
    asks = _resources(choice.resources)
    return [f"sends it: {choice.why} · {asks} (profile {found.would.profile})"]


def _input(found: Explanation, shown: Callable[[Path], str]) -> list[str]:
    point, data = found.point, found.data
    array = f"{'×'.join(map(str, point.shape))} · {point.data_digest[:19]}…"
    if data.path is None:
        return [f"{point.source.format} data, made when they are read · {array}"]
    there = {
        True: "unchanged since it was planned",
        False: "changed since it was planned" if data.exists else "not there any more",
        None: "there; whether its arrays are unchanged, the worker checks",
    }[data.unchanged]
    return [f"{shown(data.path)} · {there}", f"{point.source.format} · {array}"]


def identity(found: Explanation) -> list[str]:
    """What the point's id stands for."""
    point = found.point
    pre, sel = point.preprocessing, point.selection
    what = [f"taste {sel.taste}", f"region {sel.region}", f"laser {sel.laser}"]
    what.append(f"transform {pre.transform}")
    if pre.window_ms is not None:
        what.append(f"window {pre.window_ms[0]} to {pre.window_ms[1]} ms")
    if pre.bin_ms is not None:
        what.append(f"bins of {pre.bin_ms} ms")
    model = f"{point.model} v{point.model_version}, {point.n_states} states"
    options = "".join(f", {key} {value}" for key, value in point.model_options.items())
    settings = " · ".join(f"{key} {value}" for key, value in point.settings.items())
    return [
        " · ".join(what),
        f"{model}{options} · repeat {point.repeat}",
        f"{point.method}: {settings}",
        "(memory, time, partition and computer do not change a point)",
    ]


# -- JSON and what to type next ---------------------------------------------------------------------------------------


def as_json(found: Explanation, steps: Sequence[Step]) -> dict[str, Any]:
    """The document of ``explain --json``: seconds, bytes, ISO 8601 in UTC."""
    point, would = found.point, found.would
    [row] = points_json([found.seen.row], list(point.axes))
    return {
        "schema": SCHEMA,
        "generated_at": iso(found.at),
        "sweep": {"name": found.sweep.name, "root": str(found.sweep.path)},
        "point": row,
        "since": iso(found.since),
        "because": because(found),
        "scheduler": {"reason": found.seen.reason, "job": found.job, "notes": list(found.notes)},
        "ahead": None
        if found.ahead is None
        else {
            "task": found.ahead.task,
            "points": found.ahead.points,
            "fitting": None if found.ahead.fitting is None else found.ahead.fitting["point_id"],
        },
        "budgets": {
            "failures": {"used": row["failures"], "limit": would.limits.failures},
            "interruptions": {"used": row["interruptions"], "limit": would.limits.interruptions},
        },
        "history": [_entry_json(entry) for entry in found.seen.entries],
        "profile": would.profile,
        "submit": _choice_json(would.submit),
        "resume": _choice_json(would.resume),
        "asked": dict(found.asked_of),
        "input": {
            "format": point.source.format,
            "path": None if found.data.path is None else str(found.data.path),
            "exists": found.data.exists,
            "unchanged": found.data.unchanged,
            "digest": point.data_digest,
            "shape": list(point.shape),
        },
        "identity": {
            "data": point.data_digest,
            "selection": vars(point.selection),
            "preprocessing": vars(point.preprocessing),
            "model": {
                "name": point.model,
                "version": point.model_version,
                "options": dict(point.model_options),
                "n_states": point.n_states,
            },
            "inference": {"method": point.method, "settings": dict(point.settings)},
            "repeat": point.repeat,
        },
        "next": [step.command for step in steps],
    }


def _entry_json(entry: Entry) -> dict[str, Any]:
    times = ("submitted_at", "started_at", "ended_at", "heard_at")
    values = {**vars(entry), **{name: iso(getattr(entry, name)) for name in times}}
    values["try"] = values.pop("number")
    values["submission_number"] = values.pop("sent")
    return values


def _choice_json(choice: Choice | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    return {
        "send": choice.send,
        "why": choice.why,
        "final": choice.final,
        "cpus": choice.resources.cpus,
        "mem_bytes": round(choice.resources.mem_gb * 2**30),
        "time_limit_s": choice.resources.time_min * 60.0,
    }


def next_steps(found: Explanation, sweep: str) -> list[Step]:
    """What to type after an explanation."""
    point = found.seen.row["point_id"][:8]
    submit, resume = found.would.submit, found.would.resume
    steps = []
    if found.seen.is_open:
        steps.append(Step(command=f"pytau-hpc logs {point} {sweep} -f", why="as it is written"))
    elif found.seen.tries:
        steps.append(Step(command=f"pytau-hpc logs {point} {sweep}", why="what it wrote"))
    if submit is not None and submit.send:
        steps.append(
            Step(command=f"pytau-hpc submit {sweep}", why="sends it, and all that is planned")
        )
    elif resume is not None and resume.send:
        steps.append(
            Step(command=f"pytau-hpc resume {sweep} --point {point}", why="sends it again")
        )
    elif resume is not None and found.state is State.CANCELLED:
        steps.append(
            Step(
                command=f"pytau-hpc resume {sweep} --point {point} --cancelled",
                why="sends it again",
            )
        )
    elif resume is not None and resume.final:
        steps.append(
            Step(
                command=f"pytau-hpc resume {sweep} --point {point} --errors",
                why="once you have mended the cause",
            )
        )
    return steps
