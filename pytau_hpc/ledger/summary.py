"""Questions to the ledger that `status` and the progress bar ask: counts, rates, what runs.

No pandas. Everything here is about the planned points that `Which` names, and cheap enough to be asked every second.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytau_hpc.errors import UserError
from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.ledger.queries import StateCount, axes
from pytau_hpc.sweep.state import State

#: Points that need a person, or `resume`.
UNSUCCESSFUL = (State.INTERRUPTED, State.FAILED, State.LOST)


@dataclass(frozen=True, kw_only=True)
class Which:
    """Which planned points are meant.

    where : an SQL condition that a person wrote, on the columns of the view `points`
    states : only points in these states; None for all
    ids : only points with these ids; None for all
    """

    where: str | None = None
    states: Collection[State] | None = None
    ids: Collection[str] | None = None

    @property
    def is_all(self) -> bool:
        """The whole sweep is meant."""
        return self.where is None and self.states is None and self.ids is None

    @property
    def condition(self) -> str:
        parts = [] if self.where is None else [f"({self.where})"]
        if self.states is not None:
            names = ", ".join(f"'{state.value}'" for state in self.states)
            parts.append(f"state IN ({names})")
        if self.ids is not None:
            # One literal, however many there are: SQLite limits the number of parameters.
            literal = json.dumps(sorted(self.ids)).replace("'", "''")
            parts.append(f"point_id IN (SELECT value FROM json_each('{literal}'))")
        return " AND ".join(parts) or "1"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """`points` succeeded in `seconds`, up to now."""

    points: int
    seconds: float

    @property
    def per_s(self) -> float:
        return self.points / self.seconds


def select(ledger: Ledger, columns: str, which: Which, tail: str = "") -> list[sqlite3.Row]:
    """Columns of the points that are meant; `tail` is what follows the condition.

    Raises
    ------
    UserError : SQLite cannot make sense of the person's condition; its words are in the message
    """
    connection = ledger.connection
    # Without a person's condition the view's join with the axes, and its order, would only cost time.
    source = "point WHERE planned = 1 AND" if which.where is None else "points WHERE"
    sql = f"SELECT {columns} FROM {source} {which.condition} {tail}"
    if which.where is None:
        return connection.execute(sql).fetchall()
    try:
        connection.execute("PRAGMA query_only = ON")
        return connection.execute(sql).fetchall()
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise UserError(
            f"--where {which.where!r} is not a condition on the points: {error}",
            help=f"columns: {', '.join(axes(ledger))}, state, kind, attempts, elapsed_s, elbo, converged, …",
        ) from None
    finally:
        connection.execute("PRAGMA query_only = OFF")


def point_rows(ledger: Ledger, which: Which) -> list[dict[str, Any]]:
    """One row per point in the order of the manifest: `point_id`, the axes, then everything else that is known."""
    if which.where is None:
        rows = ledger.connection.execute(f"SELECT * FROM points WHERE {which.condition}").fetchall()
    else:
        rows = select(ledger, "*", which)
    return [dict(row) for row in rows]


def point_ids(ledger: Ledger, which: Which) -> list[str]:
    """In the order of the manifest."""
    order = "ORDER BY position" if which.where is None else ""
    return [row[0] for row in select(ledger, "point_id", which, order)]


def counts(ledger: Ledger, which: Which) -> list[StateCount]:
    rows = select(ledger, "state, kind, count(*)", which, "GROUP BY state, kind")
    return [StateCount(state=state, kind=kind, points=n) for state, kind, n in rows]


def counts_by(ledger: Ledger, axis: str, which: Which) -> list[tuple[Any, State, int]]:
    """(value of the axis, state, number of points), values in the order of the manifest.

    Raises
    ------
    UserError : no such axis
    """
    known = axes(ledger)
    if axis not in known:
        raise UserError(f"no axis `{axis}` in this sweep", help=f"its axes are {', '.join(known)}")
    column = '"' + axis.replace('"', '""') + '"'
    everything = ledger.connection.execute(
        f"SELECT a.{column}, p.state, count(*), min(p.position) FROM axis a CROSS JOIN point p USING (point_id) "
        f"WHERE p.planned = 1 GROUP BY 1, 2"
    ).fetchall()
    first: dict[Any, int] = {}
    for value, _, _, position in everything:
        first[value] = min(position, first.get(value, position))
    if which.is_all:
        found = [(value, state, n) for value, state, n, _ in everything]
    else:
        chosen = replace(which, where=which.where or "1")
        rows = select(ledger, f"{column}, state, count(*)", chosen, "GROUP BY 1, 2")
        found = [tuple(row) for row in rows]
    typed = [(value, State(state), n) for value, state, n in found]
    return sorted(typed, key=lambda row: first[row[0]])


def running(ledger: Ledger, which: Which) -> list[dict[str, Any]]:
    """The points that are being fitted, the one that started first first."""
    which = replace(which, states=(State.RUNNING,))
    columns = "point_id, label, phase, done, total, started_at, host, job_id, max_rss_bytes, req_mem_bytes"
    return [dict(row) for row in select(ledger, columns, which, "ORDER BY started_at, point_id")]


def not_converged(ledger: Ledger, which: Which) -> int:
    """Points that succeeded though their fit had not converged."""
    which = replace(which, states=(State.SUCCEEDED,))
    return int(select(ledger, "count(*)", which, "AND converged = 0")[0][0])


def behind(ledger: Ledger) -> int:
    """Queued points whose task runs: they wait for other points of their task."""
    # CROSS JOIN: from the few open runs to their points, in this order; SQLite would begin with all that is queued.
    row = ledger.connection.execute(
        "SELECT count(*) FROM run r CROSS JOIN placement l ON l.submission = r.submission AND l.task = r.task "
        "CROSS JOIN point p ON p.point_id = l.point_id AND p.submission = l.submission "
        "WHERE r.ended IS NULL AND r.gone IS NULL AND p.planned = 1 AND p.state = 'queued'"
    ).fetchone()
    return int(row[0])


def waiting_points(ledger: Ledger, reasons: Mapping[tuple[str, int], str]) -> list[tuple[str, int]]:
    """Why queued points wait, in the scheduler's words, and how many do for each reason, the commonest first."""
    if not reasons:
        return []
    found: Counter[str] = Counter()
    for submission, task, n in ledger.connection.execute(
        "SELECT submission, task, count(*) FROM point WHERE planned = 1 AND state = 'queued' "
        "GROUP BY submission, task"
    ):
        if (submission, task) in reasons:
            found[reasons[submission, task]] += n
    return found.most_common()


def rate(ledger: Ledger, now: float, last: int = 200) -> Rate | None:
    """How fast points succeed at present; None where nothing runs or too little is known.

    Only successes since the oldest work that is still going on was submitted: what an earlier submission achieved,
    perhaps elsewhere, says nothing about this one. Up to now, so that a sweep that stalls gets slower.
    """
    since = ledger.connection.execute(
        "SELECT min(submitted_at) FROM point WHERE planned = 1 AND state = 'running'"
    ).fetchone()[0]
    if since is None:
        return None
    ended = ledger.connection.execute(
        "SELECT ended_at FROM point WHERE planned = 1 AND state = 'succeeded' AND ended_at >= ? "
        "ORDER BY ended_at DESC LIMIT ?",
        (since, last),
    ).fetchall()
    if len(ended) < 3:
        return None
    seconds = max(now, ended[0][0]) - ended[-1][0]
    return Rate(points=len(ended) - 1, seconds=seconds) if seconds > 0 else None


def last_heartbeat(ledger: Ledger) -> float | None:
    """When a run was heard of last, by its own clock."""
    seen: float | None = ledger.connection.execute("SELECT max(last_seen_at) FROM run").fetchone()[
        0
    ]
    return seen


def damaged_records(ledger: Ledger) -> int:
    return int(
        ledger.connection.execute("SELECT coalesce(sum(damaged), 0) FROM journal").fetchone()[0]
    )


def newest_executor(ledger: Ledger) -> str | None:
    row = ledger.connection.execute(
        "SELECT executor FROM submission ORDER BY number DESC LIMIT 1"
    ).fetchone()
    return None if row is None else row[0]


def counts_of_submission(ledger: Ledger, uuid: str) -> list[StateCount]:
    """States of the points that were placed last in this submission."""
    rows = ledger.connection.execute(
        "SELECT state, kind, count(*) FROM point WHERE submission = ? GROUP BY state, kind", (uuid,)
    )
    return [StateCount(state=state, kind=kind, points=n) for state, kind, n in rows]


def axis_value(stored: Any) -> Any:
    """The value of an axis as it was planned: lists and mappings are stored as JSON."""
    if isinstance(stored, str) and stored[:1] in ("[", "{"):
        try:
            return json.loads(stored)
        except ValueError:
            return stored
    return stored


def find_point(ledger: Ledger, text: str) -> dict[str, Any]:
    """The planned point that a person means by an id, the beginning of an id, or a label.

    Raises
    ------
    UserError : none, or several
    """
    rows = ledger.connection.execute(
        "SELECT * FROM points WHERE point_id >= ? AND point_id < ? LIMIT 6",
        (text.lower(), text.lower() + "g"),
    ).fetchall()
    if not rows or not text:
        rows = ledger.connection.execute(
            "SELECT * FROM points WHERE label = ? LIMIT 6", (text,)
        ).fetchall()
    if len(rows) == 1:
        return dict(rows[0])
    if not rows:
        raise UserError(
            f"no point `{text}` in this sweep",
            help="`status --ids` lists the ids, `--points` the labels",
        )
    matches = ", ".join(f"{row['point_id'][:10]} {row['label']}" for row in rows[:5])
    several = f"{len(rows)}" if len(rows) < 6 else "more than 5"
    raise UserError(
        f"`{text}` matches {several} points: {matches}", help="use more characters of the id"
    )
