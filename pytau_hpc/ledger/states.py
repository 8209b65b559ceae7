"""Compute the states of the points that something happened to, and the summary columns that follow from them.

The decision itself is `sweep.state.state_of`; here its facts are gathered from the tables, in bulk, because a first
collect has every point of the sweep to decide.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.sweep.state import (
    OWN_FAULT,
    AttemptFacts,
    Kind,
    Outcome,
    PointState,
    RunFacts,
    State,
    TaskFacts,
    kind_of_end,
    state_of,
)
from pytau_hpc.sweep.submission import TaskKey


@dataclass(frozen=True)
class _Placed:
    """One point in one submission, with what its task and its attempts there say; `cancelled`: then given up."""

    submission: str
    number: int
    task: int
    attempts: Sequence[sqlite3.Row]
    cancelled: bool = False


def restate(ledger: Ledger, waiting: frozenset[TaskKey]) -> None:
    """Compute the states of `ledger.dirty` again.

    Parameters
    ----------
    waiting : tasks that the scheduler holds at this moment, as far as it answered
    """
    if not ledger.dirty:
        return
    connection = ledger.connection
    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS dirty (point_id TEXT PRIMARY KEY) WITHOUT ROWID"
    )
    connection.execute("DELETE FROM dirty")
    connection.executemany(
        "INSERT INTO dirty VALUES (?)", ((point_id,) for point_id in ledger.dirty)
    )
    tasks = _tasks(connection, waiting)
    placed = _placements(connection)
    adopted = {row["point_id"]: row for row in connection.execute("SELECT * FROM adopted")}
    rows = connection.execute(
        "SELECT point_id, has_result FROM dirty JOIN point USING (point_id)"
    ).fetchall()
    updates, attempt_states = [], []
    for point_id, has_result in rows:
        history = placed.get(point_id, [])
        states = [_state_at(tasks, place) for place in history]
        attempt_states.extend(_attempt_states(tasks, history))
        newest = history[-1] if history else None
        verdict = state_of(
            has_result=bool(has_result),
            cancelled=newest is not None and newest.cancelled,
            task=None if newest is None else tasks[newest.submission, newest.task],
            attempts=_facts(newest.attempts) if newest is not None else (),
        )
        updates.append(_summary(tasks, point_id, verdict, history, states, adopted.get(point_id)))
    connection.executemany(_UPDATE, updates)
    connection.executemany(
        "UPDATE attempt SET state = ?, kind = ? WHERE submission = ? AND task = ? AND run = ? AND point_id = ?",
        attempt_states,
    )
    _copy_task_requests(connection)
    ledger.dirty.clear()


def _tasks(
    connection: sqlite3.Connection, waiting: frozenset[TaskKey]
) -> Mapping[TaskKey, TaskFacts]:
    runs: dict[TaskKey, list[RunFacts]] = defaultdict(list)
    involved = "SELECT DISTINCT submission, task FROM placement JOIN dirty USING (point_id)"
    for row in connection.execute(
        "SELECT submission, task, run, ended, gone, signalled, restart FROM run "
        f"JOIN ({involved}) USING (submission, task) ORDER BY run"
    ):
        runs[row["submission"], row["task"]].append(
            RunFacts(
                number=row["run"],
                ended=row["ended"] is not None,
                stopped=row["ended"] in ("preempted", "killed"),
                gone=None if row["gone"] is None else Kind(row["gone"]),
                signalled=None if row["signalled"] is None else Kind(row["signalled"]),
                restart=row["restart"],
            )
        )
    facts = {}
    for submission, task, gone, given_back, time_limit_s, executor in connection.execute(
        f"SELECT submission, task, gone, given_back, time_limit_s, executor FROM task "
        f"JOIN submission s ON s.uuid = task.submission JOIN ({involved}) USING (submission, task)"
    ):
        key = (submission, task)
        facts[key] = TaskFacts(
            runs=tuple(runs[key]),
            gone=None if gone is None else Kind(gone),
            waiting=key in waiting,
            given_back=bool(given_back),
            scheduled=executor == "slurm",
            time_limit_s=time_limit_s,
        )
    return facts


def _placements(connection: sqlite3.Connection) -> Mapping[str, list[_Placed]]:
    """Every submission of every dirty point, oldest first."""
    attempts: dict[tuple[str, str], list[sqlite3.Row]] = defaultdict(list)
    for row in connection.execute(
        "SELECT attempt.* FROM attempt JOIN dirty USING (point_id) ORDER BY number, submission, run, seq"
    ):
        attempts[row["point_id"], row["submission"]].append(row)
    placed: dict[str, list[_Placed]] = defaultdict(list)
    for point_id, submission, task, number in connection.execute(
        "SELECT p.point_id, p.submission, p.task, s.number FROM dirty JOIN placement p USING (point_id) "
        "JOIN submission s ON s.uuid = p.submission AND s.refused = 0 ORDER BY s.number, s.uuid"
    ):
        placed[point_id].append(
            _Placed(
                submission=submission,
                number=number,
                task=task,
                attempts=attempts[point_id, submission],
            )
        )
    for point_id, after in connection.execute(
        "SELECT point_id, after FROM cancellation JOIN dirty USING (point_id)"
    ):
        history = placed[point_id]
        # A cancellation hits the newest submission of that time: not those before, which had ended, nor a later one.
        hit = max((i for i, place in enumerate(history) if place.number <= after), default=None)
        if hit is not None:
            history[hit] = replace(history[hit], cancelled=True)
    return placed


def _facts(attempts: Iterable[sqlite3.Row]) -> list[AttemptFacts]:
    return [_fact(row) for row in attempts]


def _fact(row: sqlite3.Row) -> AttemptFacts:
    return AttemptFacts(
        run=row["run"],
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        kind=None if row["said"] is None else Kind(row["said"]),
    )


def _state_at(tasks: Mapping[TaskKey, TaskFacts], place: _Placed) -> PointState:
    """What the point's state would be if this were its newest submission."""
    return state_of(task=tasks[place.submission, place.task], attempts=_facts(place.attempts))


def _attempt_states(
    tasks: Mapping[TaskKey, TaskFacts], history: Iterable[_Placed]
) -> list[tuple[str, str | None, str, int, int, str]]:
    """State and kind of each attempt by itself: what it said, or running, or lost with its run."""
    found = []
    for place in history:
        task = tasks[place.submission, place.task]
        runs = {run.number: run for run in task.runs}
        newest = max(runs, default=0)
        for row in place.attempts:
            run = runs.get(row["run"])
            if row["outcome"] is not None:
                succeeded = row["outcome"] in (Outcome.SUCCEEDED, Outcome.SKIPPED)
                kind = None if succeeded else kind_of_end(task, _fact(row)).value
                state = row["outcome"]
            elif run is None or (not run.over and run.number == newest):
                state, kind = State.RUNNING.value, None
            else:
                state, kind = State.LOST.value, kind_of_end(task, _fact(row)).value
            found.append((state, kind, row["submission"], row["task"], row["run"], row["point_id"]))
    return found


_COLUMNS = (
    "state", "kind", "attempts", "failures", "interruptions", "repeated_error", "submission", "task",
    "started_at", "ended_at", "elapsed_s", "cpu_s", "max_rss_bytes", "job_id", "host", "phase", "done", "total",
    "elbo", "elbo_se", "converged", "iterations_run", "rhat_max", "ess_min", "divergences",
    "error", "message", "frame", "log",
)  # fmt: skip
_FROM_ATTEMPT = _COLUMNS[8:]
_UPDATE = f"UPDATE point SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE point_id = ?"


def _summary(
    tasks: Mapping[TaskKey, TaskFacts],
    point_id: str,
    verdict: PointState,
    history: Sequence[_Placed],
    states: Sequence[PointState],
    adopted: sqlite3.Row | None,
) -> tuple[object, ...]:
    attempts = [
        row for place in history for row in place.attempts if row["outcome"] != Outcome.SKIPPED
    ]
    failures, interruptions = _charged(tasks, history, states)
    shown = _shown(attempts)
    newest = history[-1] if history else None
    from_attempt = {name: None if shown is None else shown[name] for name in _FROM_ATTEMPT}
    if (
        verdict.state is State.SUCCEEDED
        and adopted is not None
        and (shown is None or shown["converged"] is None)
    ):
        from_attempt.update({name: adopted[name] for name in adopted.keys() if name != "point_id"})  # noqa: SIM118
    return (
        verdict.state.value,
        None if verdict.kind is None else verdict.kind.value,
        len(attempts),
        failures,
        interruptions,
        int(_same_error_twice(attempts)),
        None if newest is None else newest.submission,
        None if newest is None else newest.task,
        *from_attempt.values(),
        point_id,
    )


def _shown(attempts: Sequence[sqlite3.Row]) -> sqlite3.Row | None:
    """The attempt that the point's columns are about: the one that succeeded, else the last."""
    for row in attempts:
        if row["outcome"] == Outcome.SUCCEEDED:
            return row
    return attempts[-1] if attempts else None


def _charged(
    tasks: Mapping[TaskKey, TaskFacts], history: Sequence[_Placed], states: Sequence[PointState]
) -> tuple[int, int]:
    """How much of the two budgets a point has used: failures, interruptions.

    Each submission is charged for how it ended, and each attempt that a requeue followed for how that one ended. What
    a cancellation ended is not charged: nothing was wrong.
    """
    failures = interruptions = 0
    for place, end in zip(history, states, strict=True):
        task = tasks[place.submission, place.task]
        tried = [row for row in place.attempts if row["outcome"] != Outcome.SKIPPED]
        ends: list[tuple[Kind, sqlite3.Row | None]] = [
            (kind_of_end(task, _fact(row)), row) for row in tried[:-1] if _ended_badly(row)
        ]
        stopped = place.cancelled and end.state in (State.LOST, State.INTERRUPTED)
        if end.state in (State.FAILED, State.LOST, State.INTERRUPTED) and not stopped:
            ends.append((end.kind or Kind.KILLED, tried[-1] if tried else None))
        own = sum(_is_own_fault(kind, row, task) for kind, row in ends)
        failures += own
        interruptions += len(ends) - own
    return failures, interruptions


def _is_own_fault(kind: Kind, row: sqlite3.Row | None, task: TaskFacts) -> bool:
    """Whether an end is charged to the fit itself. A fit that was begun late in its task has not had the time."""
    if kind is not Kind.TIMEOUT or row is None or task.time_limit_s is None:
        return kind in OWN_FAULT
    had_s: float | None = row["elapsed_s"]
    if had_s is None and row["started_at"] is not None and row["ended_at"] is not None:
        had_s = row["ended_at"] - row["started_at"]
    return had_s is None or had_s >= 0.5 * task.time_limit_s


def _ended_badly(row: sqlite3.Row) -> bool:
    return row["outcome"] not in (Outcome.SUCCEEDED, Outcome.SKIPPED)


def _same_error_twice(attempts: Sequence[sqlite3.Row]) -> bool:
    failed = [row for row in attempts if row["outcome"] == Outcome.FAILED]
    if len(failed) < 2:
        return False
    last, before = failed[-1], failed[-2]
    return all(last[name] == before[name] for name in ("said", "error", "message", "frame"))


def _copy_task_requests(connection: sqlite3.Connection) -> None:
    """What was asked for, and when, at the newest submission of each dirty point."""
    connection.execute(
        "UPDATE point SET (req_cpus, req_mem_bytes, time_limit_s, submitted_at) = ("
        "SELECT t.cpus, t.mem_bytes, t.time_limit_s, s.created_at "
        "FROM task t JOIN submission s ON s.uuid = t.submission "
        "WHERE t.submission = point.submission AND t.task = point.task) "
        "WHERE point_id IN (SELECT point_id FROM dirty) AND submission IS NOT NULL"
    )
