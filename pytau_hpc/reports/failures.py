"""What did not succeed, why, and what `resume` would do about it: ``status --failed``.

Points are grouped by cause; errors that are the same are shown once. Whether a point may run again is asked of `retry`,
the same table that `choose` asks, so what is shown is what would happen. Tracebacks stand in the logs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytau_hpc.errors import UserError
from pytau_hpc.reports.format import (
    Line,
    Span,
    cut,
    duration,
    gib,
    kind_words,
    line,
    marked,
    plural,
    squeeze,
)
from pytau_hpc.retry import RetryLimits, Verdict, verdict
from pytau_hpc.sweep.resources import Resources, RetrySettings, format_time
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind, State

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Points that ended in one state for one reason, and what `resume` would do with each of them.

    error, message, frame : what was raised, and where; None where nothing was
    """

    state: State
    kind: Kind
    error: str | None
    message: str | None
    frame: str | None
    points: Sequence[Row]
    verdicts: Sequence[Verdict] = field(repr=False)

    @property
    def name(self) -> str:
        """``out of memory``, or the type of the error that the fit raised."""
        return self.error if self.kind is Kind.EXCEPTION and self.error else kind_words(self.kind)

    @property
    def answer(self) -> str:
        """What `resume` would do, for all points of the group."""
        answers = Counter(map(_answer, self.points, self.verdicts))
        if len(answers) == 1:
            return next(iter(answers))
        return "; ".join(f"{n}: {text}" for text, n in answers.most_common())


def failures(rows: Sequence[Row], limits: RetryLimits) -> list[Failure]:
    """Group points by cause, the largest group of each state first.

    Parameters
    ----------
    rows : points that failed, were lost or were interrupted, as `ledger.summary.point_rows` returns them
    limits : the budgets of this sweep
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        raised = (
            (row["error"], row["message"], row["frame"])
            if row["state"] == State.FAILED
            else (None,) * 3
        )
        groups.setdefault((row["state"], row["kind"], *raised), []).append(row)
    order = {state: i for i, state in enumerate((State.FAILED, State.LOST, State.INTERRUPTED))}
    made = [
        Failure(
            state=State(state),
            kind=Kind(kind or Kind.KILLED),
            error=error,
            message=message,
            frame=frame,
            points=points,
            verdicts=[verdict_on(row, limits) for row in points],
        )
        for (state, kind, error, message, frame), points in groups.items()
    ]
    return sorted(
        made, key=lambda failure: (order[failure.state], -len(failure.points), failure.kind)
    )


def verdict_on(row: Row, limits: RetryLimits) -> Verdict:
    """Whether a point that did not succeed may run again, and with what."""
    return verdict(
        Kind(row["kind"] or Kind.KILLED),
        asked=_asked(row),
        failures=row["failures"],
        interruptions=row["interruptions"],
        repeated_error=bool(row["repeated_error"]),
        limits=limits,
    )


def limits_of(sweep: SweepDir) -> RetryLimits:
    """The budgets that a `resume` of this sweep has: the plan's, capped by the profile that would send it."""
    from pytau_hpc.executors.profile import find_profile
    from pytau_hpc.sweep.manifest import read_manifest

    manifest = read_manifest(sweep.path)
    settings, caps = manifest.retry, {}
    try:
        profile = find_profile(None, manifest.profile, study=sweep.study)
        settings = settings.over(RetrySettings.from_json(profile.retry))
        caps = profile.retry_caps()
    except UserError:
        pass  # looked at from a computer that does not have the profile
    return RetryLimits.of(settings, caps)


def _asked(row: Row) -> Resources:
    if row["req_mem_bytes"] is None:
        return Resources()
    return Resources(
        cpus=row["req_cpus"],
        mem_gb=row["req_mem_bytes"] / 2**30,
        time_min=round(row["time_limit_s"] / 60),
    )


def _answer(row: Row, decided: Verdict) -> str:
    if not decided.again:
        return decided.why
    before, then = _asked(row), decided.resources
    grown = []
    if then.mem_gb != before.mem_gb:
        grown.append(gib(then.mem_gb * 2**30))
    if then.time_min != before.time_min:
        grown.append(format_time(then.time_min))
    return f"resume asks {' and '.join(grown)}" if grown else f"resume: {decided.why}"


# -- JSON and text ----------------------------------------------------------------------------------------------------


def as_json(found: Sequence[Failure]) -> list[dict[str, Any]]:
    """Groups for ``--json``; the points in full stand under ``points`` of the document."""
    return [
        {
            "state": failure.state.value,
            "kind": failure.kind.value,
            "error": failure.error,
            "message": failure.message,
            "frame": failure.frame,
            "points": [row["point_id"] for row in failure.points],
            "retry": [retry_json(decided) for decided in failure.verdicts],
        }
        for failure in found
    ]


def retry_json(decided: Verdict) -> dict[str, Any]:
    return {
        "eligible": decided.again,
        "why": decided.why,
        "cpus": decided.resources.cpus,
        "mem_bytes": round(decided.resources.mem_gb * 2**30),
        "time_limit_s": decided.resources.time_min * 60.0,
    }


def as_lines(
    found: Sequence[Failure], *, of: int, width: int | None, each: int = 3, most: int = 20
) -> list[Line]:
    """The groups for a person.

    Parameters
    ----------
    of : points of the sweep
    width : columns; None where the output is no terminal: then nothing is cut and every point has its line
    each, most : lines per group, and groups, on a terminal
    """
    lines: list[Line] = [line(Span(_headline(found, of), "bold"))]
    for failure in found if width is None else found[:most]:
        lines.append(line())
        lines += _group_lines(failure, len(failure.points) if width is None else each)
    if width is not None and len(found) > most:
        lines += [
            line(),
            line(f"… {len(found) - most} more causes; `status --failed | less` shows all"),
        ]
    return lines if width is None else [_cut_line(spans, width) for spans in lines]


def _headline(found: Sequence[Failure], of: int) -> str:
    counts: Counter[State] = Counter()
    for failure in found:
        counts[failure.state] += len(failure.points)
    if not counts:
        return f"Nothing failed, of {plural(of, 'point')}."
    return (
        " · ".join(f"{n} {state.value}" for state, n in counts.items())
        + f" of {plural(of, 'point')}"
    )


def _group_lines(failure: Failure, each: int) -> list[Line]:
    n = len(failure.points)
    head = f" · {failure.state.value} · {plural(n, 'point')} · {failure.answer}"
    lines: list[Line] = [line(marked(failure.state, failure.name), head)]
    # One more than asked for is shown rather than announced.
    shown = failure.points if n <= each + 1 else failure.points[:each]
    label = min(44, max(len(row["label"] or "") for row in shown))
    lines += [line(f"  {_point_text(row, failure.kind, label)}") for row in shown]
    if len(shown) < n:
        rest = " ".join(
            row["label"] or row["point_id"][:8]
            for row in failure.points[len(shown) : len(shown) + 5]
        )
        lines.append(
            line(f"  … {n - len(shown)} more: {rest}" + (" …" if n - len(shown) > 5 else ""))
        )
    if failure.frame:
        lines.append(line(f"    {failure.frame}"))
    if failure.message:
        said = failure.message.splitlines() or [""]
        error = f"{failure.error}: " if failure.error and failure.error != said[0] else ""
        lines += [line(f"    {error if i == 0 else ''}{text}") for i, text in enumerate(said[:6])]
    logs = sorted({row["log"] for row in failure.points if row["log"]})
    if logs:
        lines.append(
            line(
                Span(
                    f"    log: {logs[0]}" + (f" and {len(logs) - 1} more" if len(logs) > 1 else ""),
                    "dim",
                )
            )
        )
    return lines


def _point_text(row: Row, kind: Kind, label: int) -> str:
    parts = [row["point_id"][:8], f"{squeeze(row['label'] or '', label):<{label}}"]
    parts.append(f"try {row['attempts']}" if row["attempts"] else "never ran")
    if kind is Kind.OUT_OF_MEMORY and row["max_rss_bytes"] and row["req_mem_bytes"]:
        parts.append(f"peak {gib(row['max_rss_bytes'])} of {gib(row['req_mem_bytes'])}")
    elif row["done"] and row["total"] and kind is not Kind.BAD_INPUT:
        parts.append(f"reached {row['done']}/{row['total']}")
    elif row["done"] and kind is not Kind.BAD_INPUT:
        parts.append(f"reached {row['done']}")
    if row["elapsed_s"] is not None:
        parts.append(f"after {duration(row['elapsed_s'])}")
    parts += [value for value in (row["job_id"], row["host"]) if value]
    return "  ".join(parts)


def _cut_line(spans: Line, width: int) -> Line:
    kept, room = [], width
    for span in spans:
        if room > 0:
            kept.append(Span(cut(span.text, room), span.style))
        room -= len(span.text)
    return kept
