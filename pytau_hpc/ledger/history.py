"""Everything that happened to one point: each time it was sent, and each run that took it up, oldest first.

A question to the ledger, without pandas. Asked by `logs` and `explain`; `frames.attempts` has the same for all points.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.sweep.state import Kind, Outcome, State

#: What became of a submission in which the point was not tried, beside the states.
SKIPPED, GIVEN_BACK = Outcome.SKIPPED.value, "given back"
_NOT_TRIED = (SKIPPED, GIVEN_BACK, State.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One submission of a point and, where a run of its task took the point up, one run. Seconds and bytes.

    Attributes
    ----------
    number : of the try, counted from 1; None where nothing was tried: not needed, cancelled, or given back untouched
    state : a `State`, or ``skipped`` or ``given back``
    submission, sent : uuid and number of the submission
    run : the run that took the point up; None where none did
    task_run : the newest run of the task
    element : index of the task in the scheduler's array number `array`
    heard_at : when the run said something last
    """

    number: int | None
    state: str
    kind: str | None
    submission: str
    sent: int
    command: str
    executor: str
    submitted_at: float
    because: str | None
    task: int
    array: int
    element: int
    cpus: int
    mem_bytes: int
    time_limit_s: float
    run: int | None
    task_run: int | None
    host: str | None
    job_id: str | None
    started_at: float | None
    ended_at: float | None
    heard_at: float | None
    phase: str | None
    done: int | None
    total: int | None
    checkpoint: int | None
    resumed_from: int | None
    elapsed_s: float | None
    cpu_s: float | None
    max_rss_bytes: int | None
    outcome: str | None
    error: str | None
    message: str | None
    frame: str | None

    @property
    def is_open(self) -> bool:
        return self.state in (State.QUEUED, State.RUNNING)


_HISTORY = """
SELECT a.state, a.kind, s.uuid AS submission, s.number AS sent, s.command, s.executor, s.created_at AS submitted_at,
       l.because, t.task, t.array, t.element, t.cpus, t.mem_bytes, t.time_limit_s, a.run,
       n.run AS task_run,
       a.host, a.job_id, a.started_at, a.ended_at, r.last_seen_at AS heard_at, a.phase, a.done, a.total, a.checkpoint,
       a.resumed_from, a.elapsed_s, a.cpu_s, a.max_rss_bytes, a.outcome, a.error, a.message, a.frame,
       t.given_back, n.ended AS task_ended
FROM placement l
JOIN submission s ON s.uuid = l.submission AND s.refused = 0
JOIN task t ON t.submission = l.submission AND t.task = l.task
LEFT JOIN attempt a ON a.submission = l.submission AND a.task = l.task AND a.point_id = l.point_id
LEFT JOIN run r ON r.submission = a.submission AND r.task = a.task AND r.run = a.run
LEFT JOIN run n ON n.submission = t.submission AND n.task = t.task
  AND n.run = (SELECT max(x.run) FROM run x WHERE x.submission = t.submission AND x.task = t.task)
WHERE l.point_id = ?
ORDER BY s.number, s.uuid, a.run
"""


def history(ledger: Ledger, point_id: str) -> list[Entry]:
    """What happened to a point, oldest first; nothing where it was never sent."""
    rows = ledger.connection.execute(_HISTORY, (point_id,)).fetchall()
    point = ledger.connection.execute(
        "SELECT state, kind FROM point WHERE point_id = ?", (point_id,)
    ).fetchone()
    cancelled = _cancelled(ledger, point_id, [row["sent"] for row in rows])
    entries: list[Entry] = []
    number = 0
    for place, row in enumerate(rows):
        values = {name: row[name] for name in row.keys() if name not in _INTERNAL}  # noqa: SIM118
        if row["run"] is None or row["state"] == SKIPPED:
            newest = place == len(rows) - 1
            if row["sent"] in cancelled:
                values["state"], values["kind"] = State.CANCELLED.value, None
            elif row["run"] is None:
                values["state"], values["kind"] = _untouched(row, point if newest else None)
        tried = values["state"] not in _NOT_TRIED
        number += tried
        entries.append(Entry(**values, number=number if tried else None))
    return entries


def _cancelled(ledger: Ledger, point_id: str, sent: Sequence[int]) -> set[int]:
    """Numbers of the submissions that `cancel` ended: of each time, the newest that there was."""
    rows = ledger.connection.execute(
        "SELECT after FROM cancellation WHERE point_id = ?", (point_id,)
    ).fetchall()
    hits = (max((one for one in sent if one <= row["after"]), default=None) for row in rows)
    return {hit for hit in hits if hit is not None}


_INTERNAL = ("given_back", "task_ended")


def _untouched(row: sqlite3.Row, point: sqlite3.Row | None) -> tuple[str, str | None]:
    """What became of a submission in which no run came to the point.

    Of the newest one (`point`) the point's own state tells, which was decided with everything that is known.
    """
    if point is not None and point["state"] in (State.QUEUED, State.LOST):
        return point["state"], point["kind"]
    if point is not None and point["state"] == State.SUCCEEDED:
        return SKIPPED, None
    if row["given_back"] or row["task_ended"] is not None:
        return GIVEN_BACK, None
    return State.LOST.value, Kind.NEVER_STARTED.value


def now_fitting(ledger: Ledger, submission: str, task: int) -> sqlite3.Row | None:
    """The point that a task is fitting at this moment, None where it fits none.

    Returns
    -------
    a row with `point_id`, `label`, `phase`, `done`, `total`, `started_at`
    """
    row: sqlite3.Row | None = ledger.connection.execute(
        "SELECT a.point_id, p.label, a.phase, a.done, a.total, a.started_at "
        "FROM attempt a JOIN point p USING (point_id) "
        "WHERE a.submission = ? AND a.task = ? AND a.state = 'running' ORDER BY a.run DESC, a.seq DESC LIMIT 1",
        (submission, task),
    ).fetchone()
    return row


def unfinished(ledger: Ledger, submission: str, task: int) -> set[str]:
    """The points of a task that are queued or running there."""
    rows = ledger.connection.execute(
        "SELECT p.point_id FROM placement l JOIN point p ON p.point_id = l.point_id AND p.submission = l.submission "
        "WHERE l.submission = ? AND l.task = ? AND p.state IN ('queued', 'running')",
        (submission, task),
    )
    return {row[0] for row in rows}
