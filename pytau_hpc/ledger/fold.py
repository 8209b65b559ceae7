"""Fold the records of one run's journal into the tables `run` and `attempt`.

Folding is idempotent and in order: records are taken from where the last fold stopped, in the transaction that moves
that place. Nothing here looks at a clock or at another journal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from pytau_hpc.sweep.journal import Event, EventKind
from pytau_hpc.sweep.state import Outcome

_Key = tuple[str, int, int]


def fold(
    connection: sqlite3.Connection, submission: str, task: int, run: int, events: Iterable[Event]
) -> bool:
    """Fold new records. True when the last record of the run was among them."""
    key = (submission, task, run)
    ended = False
    seen: float | None = None
    for event in events:
        _FOLDS[event.kind](connection, key, event)
        seen = event.wall
        ended = ended or event.kind is EventKind.RUN_ENDED
    if seen is not None:
        connection.execute(
            "UPDATE run SET last_seen_at = ? WHERE submission = ? AND task = ? AND run = ?",
            (seen, *key),
        )
    return ended


def _update_attempt(
    connection: sqlite3.Connection, key: _Key, event: Event, values: dict[str, Any]
) -> None:
    if not values:
        return
    names = ", ".join(f"{name} = ?" for name in values)
    connection.execute(
        f"UPDATE attempt SET {names} WHERE submission = ? AND task = ? AND run = ? AND point_id = ?",
        (*values.values(), *key, event.payload["point"]),
    )


def _run_started(connection: sqlite3.Connection, key: _Key, event: Event) -> None:
    p = event.payload
    connection.execute(
        "INSERT INTO run (submission, task, run, host, process_host, boot_id, pid, process_started, job_id, restart,"
        " started_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET host = excluded.host, "
        "process_host = excluded.process_host, boot_id = excluded.boot_id, pid = excluded.pid, "
        "process_started = excluded.process_started, job_id = excluded.job_id, restart = excluded.restart, "
        "started_at = excluded.started_at",
        (
            *key,
            *(
                p.get(name)
                for name in ("host", "process_host", "boot_id", "pid", "process_started", "job")
            ),
            int(p.get("restart") or 0),
            event.wall,
        ),
    )


def _point_started(connection: sqlite3.Connection, key: _Key, event: Event) -> None:
    number = connection.execute(
        "SELECT number FROM submission WHERE uuid = ?", (key[0],)
    ).fetchone()
    run = connection.execute(
        "SELECT host, job_id FROM run WHERE submission = ? AND task = ? AND run = ?", key
    ).fetchone()
    host, job = (None, None) if run is None else (run[0], run[1])
    connection.execute(
        "INSERT OR REPLACE INTO attempt (submission, task, run, point_id, seq, number, started_at, host, job_id) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *key,
            event.payload["point"],
            event.seq,
            0 if number is None else number[0],
            event.wall,
            host,
            job,
        ),
    )


def _progress(connection: sqlite3.Connection, key: _Key, event: Event) -> None:
    p = event.payload
    taken = {"phase": "phase", "done": "done", "total": "total", "max_rss_bytes": "rss"}
    values = {name: p[said] for name, said in taken.items() if p.get(said) is not None}
    _update_attempt(connection, key, event, values)


def _checkpoint(connection: sqlite3.Connection, key: _Key, event: Event) -> None:
    _update_attempt(connection, key, event, {"checkpoint": event.payload.get("iteration")})


def _ending(outcome: Outcome) -> Callable[[sqlite3.Connection, _Key, Event], None]:
    taken = (
        "elapsed_s",
        "cpu_s",
        "max_rss_bytes",
        "elbo",
        "elbo_se",
        "converged",
        "iterations_run",
        "rhat_max",
        "ess_min",
        "divergences",
    )
    texts = ("error", "message", "frame", "log", "resumed_from")

    def ended(connection: sqlite3.Connection, key: _Key, event: Event) -> None:
        p = event.payload
        values: dict[str, Any] = {"outcome": outcome.value, "ended_at": event.wall}
        values.update({name: p[name] for name in (*taken, *texts) if p.get(name) is not None})
        if p.get("kind") is not None:
            values["said"] = p["kind"]
        if "iteration" in p:
            values["done"] = p["iteration"]
        _update_attempt(connection, key, event, values)
        if outcome is Outcome.SUCCEEDED:
            _update_attempt(connection, key, event, {"phase": None, "done": None, "total": None})
            connection.execute("UPDATE point SET has_result = 1 WHERE point_id = ?", (p["point"],))
            connection.execute("DELETE FROM adopted WHERE point_id = ?", (p["point"],))

    return ended


def _skipped(connection: sqlite3.Connection, key: _Key, event: Event) -> None:
    _point_started(connection, key, event)
    _update_attempt(
        connection,
        key,
        event,
        {
            "outcome": Outcome.SKIPPED.value,
            "ended_at": event.wall,
            "message": event.payload.get("because"),
        },
    )


def _signalled(connection: sqlite3.Connection, key: _Key, event: Event) -> None:
    connection.execute(
        "UPDATE run SET signalled = ? WHERE submission = ? AND task = ? AND run = ?",
        (event.payload.get("kind"), *key),
    )


def _run_ended(connection: sqlite3.Connection, key: _Key, event: Event) -> None:
    p = event.payload
    connection.execute(
        "UPDATE run SET ended_at = ?, ended = ?, used_elapsed_s = ?, used_cpu_s = ?, used_max_rss_bytes = ? "
        "WHERE submission = ? AND task = ? AND run = ?",
        (
            event.wall,
            p.get("because", "done"),
            *(p.get(name) for name in ("elapsed_s", "cpu_s", "max_rss_bytes")),
            *key,
        ),
    )


_FOLDS: dict[EventKind, Callable[[sqlite3.Connection, _Key, Event], None]] = {
    EventKind.RUN_STARTED: _run_started,
    EventKind.POINT_STARTED: _point_started,
    EventKind.PROGRESS: _progress,
    EventKind.CHECKPOINT: _checkpoint,
    EventKind.POINT_SUCCEEDED: _ending(Outcome.SUCCEEDED),
    EventKind.POINT_FAILED: _ending(Outcome.FAILED),
    EventKind.POINT_INTERRUPTED: _ending(Outcome.INTERRUPTED),
    EventKind.POINT_SKIPPED: _skipped,
    EventKind.SIGNALLED: _signalled,
    EventKind.RUN_ENDED: _run_ended,
}
