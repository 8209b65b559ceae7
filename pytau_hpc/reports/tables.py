"""Tables of points and of the values of an axis: aligned and marked on a terminal, tab-separated and whole elsewhere.

Called by ``status --points`` and ``status --by``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytau_hpc.ledger.summary import axis_value
from pytau_hpc.reports.format import (
    MARKS,
    STYLES,
    Line,
    Span,
    bar,
    columns,
    cut,
    duration,
    gib,
    iso,
    kind_words,
    line,
    percent,
    tsv,
)
from pytau_hpc.sweep.state import State

Row = Mapping[str, Any]
#: Columns of the ledger that hold seconds since the epoch; shown as ISO 8601.
TIMES = ("submitted_at", "started_at", "ended_at")
#: Bookkeeping of the ledger that says nothing about a point.
HIDDEN = ("result_folder", "has_result", "repeated_error")


# -- points -----------------------------------------------------------------------------------------------------------


def points_tsv(rows: Sequence[Row]) -> str:
    """Every column of every point; the header alone says which they are."""
    if not rows:
        return ""
    names = [name for name in rows[0] if name not in HIDDEN]
    return tsv(
        names, [[iso(row[name]) if name in TIMES else row[name] for name in names] for row in rows]
    )


def points_json(rows: Sequence[Row], axes: Sequence[str]) -> list[dict[str, Any]]:
    """Points for ``--json``: the axes under a key of their own, times as ISO 8601."""
    return [
        {
            "point_id": row["point_id"],
            "axes": {axis: axis_value(row[axis]) for axis in axes},
            **{
                name: iso(value) if name in TIMES else value
                for name, value in row.items()
                if name != "point_id" and name not in axes and name not in HIDDEN
            },
        }
        for row in rows
    ]


def points_table(rows: Sequence[Row], width: int) -> list[Line]:
    """One line for each point, for a terminal: id, label, state and cause, tries, time, memory, ELBO, job."""
    header = ("point", "label", "state", "tries", "elapsed", "memory", "elbo", "job")
    cells = [_point_cells(row) for row in rows]
    texts = columns(header, cells, right=frozenset({3, 4, 5, 6}), elastic=1, width=width)
    states = [State(row["state"]) for row in rows]
    start = _start_of(texts[0], "state")
    lines: list[Line] = [line(Span(cut(texts[0], width), "bold"))]
    for text, state in zip(texts[1:], states, strict=True):
        text = cut(text, width)
        end = start + len(f"{MARKS[state]} {state.value}")
        lines.append(line(text[:start], Span(text[start:end], STYLES[state]), text[end:]))
    return lines


def _start_of(header: str, name: str) -> int:
    return header.index(f"  {name}") + 2


def _point_cells(row: Row) -> tuple[str, ...]:
    state = State(row["state"])
    cause = f" ({kind_words(row['kind'])})" if row["kind"] else ""
    return (
        row["point_id"][:8],
        row["label"] or "",
        f"{MARKS[state]} {state.value}{cause}",
        str(row["attempts"] or "-"),
        duration(row["elapsed_s"]),
        gib(row["max_rss_bytes"]),
        "-" if row["elbo"] is None else f"{row['elbo']:.1f}" + ("" if row["converged"] else " !"),
        row["job_id"] or "-",
    )


# -- by axis ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Group:
    """The points with one value of an axis."""

    value: Any
    counts: Mapping[State, int]

    @property
    def points(self) -> int:
        return sum(self.counts.values())


def group(found: Sequence[tuple[Any, State, int]]) -> list[Group]:
    """Counts of (value, state) → one group per value, in the order in which values come."""
    counts: dict[Any, dict[State, int]] = {}
    for value, state, n in found:
        counts.setdefault(value, dict.fromkeys(State, 0))[state] += n
    return [Group(value=value, counts=states) for value, states in counts.items()]


def by_tsv(axis: str, groups: Sequence[Group]) -> str:
    return tsv(
        [axis, "points", *(state.value for state in State)],
        [[each.value, each.points, *each.counts.values()] for each in groups],
    )


def by_json(groups: Sequence[Group]) -> list[dict[str, Any]]:
    return [
        {
            "value": axis_value(each.value),
            "points": each.points,
            "counts": {state.value: n for state, n in each.counts.items()},
        }
        for each in groups
    ]


def by_table(axis: str, groups: Sequence[Group], width: int) -> list[Line]:
    """One line for each value: how many points are in each state that occurs, and how far they are."""
    shown = [s for s in State if s is State.SUCCEEDED or any(each.counts[s] for each in groups)]
    header = [axis, "points", *(MARKS[state] for state in shown), "progress"]
    rows = []
    for each in groups:
        fraction = each.counts[State.SUCCEEDED] / each.points
        rows.append(
            [
                _text(each.value),
                str(each.points),
                *(str(each.counts[state]) for state in shown),
                f"{bar(fraction, 20)} {percent(fraction):>5}",
            ]
        )
    texts = columns(header, rows, right=frozenset(range(1, 2 + len(shown))), elastic=0, width=width)
    legend = "   ".join(f"{MARKS[state]} {state.value}" for state in shown)
    return [
        line(Span(cut(texts[0], width), "bold")),
        *(line(cut(text, width)) for text in texts[1:]),
        line(),
        line(Span(legend, "dim")),
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
