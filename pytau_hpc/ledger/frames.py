"""The ledger as tidy pandas DataFrames: points, attempts, tasks, submissions.

Every column has an explicit type that is the same under pandas 2 and 3: times are ``datetime64[us, UTC]``, whole
numbers that may be missing ``Int64``, texts ``string``, states an ordered category. Units stand in the names. Called by
`open_sweep` and `export`; imports pandas, so nothing that has to start quickly may import it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.ledger.queries import axes
from pytau_hpc.sweep.state import Kind, Outcome, State

#: What is known about each type of column; an axis is typed by its values.
_TYPES: dict[str, str] = {
    **dict.fromkeys(("submitted_at", "started_at", "ended_at"), "time"),
    **dict.fromkeys(("elapsed_s", "cpu_s", "time_limit_s", "elbo", "elbo_se", "rhat_max", "ess_min"), "real"),
    **dict.fromkeys(
        (
            "attempts", "failures", "interruptions", "task", "run", "number", "req_cpus", "req_mem_bytes",
            "max_rss_bytes", "done", "total", "checkpoint", "resumed_from", "iterations_run", "n_tasks", "n_points",
            "array", "points", "succeeded", "divergences",
        ),
        "whole",
    ),
    **dict.fromkeys(("converged", "open"), "truth"),
    "state": "state",
    "kind": "kind",
    "outcome": "outcome",
}  # fmt: skip

_POINT_COLUMNS = (
    "state", "kind", "attempts", "failures", "interruptions", "submitted_at", "started_at", "ended_at", "elapsed_s",
    "cpu_s", "max_rss_bytes", "req_cpus", "req_mem_bytes", "time_limit_s", "submission", "task", "job_id", "host",
    "phase", "done", "total", "elbo", "elbo_se", "converged", "iterations_run", "rhat_max", "ess_min", "divergences",
    "error", "message", "frame", "log", "label", "animal", "result_path",
)  # fmt: skip

_ATTEMPTS = """
SELECT a.point_id, a.submission, a.task, a.run, a.number, a.state, a.kind, a.outcome, s.created_at AS submitted_at,
       a.started_at, a.ended_at, a.elapsed_s, a.cpu_s, a.max_rss_bytes, t.cpus AS req_cpus,
       t.mem_bytes AS req_mem_bytes, t.time_limit_s, a.job_id, a.host, a.phase, a.done, a.total, a.checkpoint,
       a.resumed_from, a.elbo, a.elbo_se,
       a.converged, a.iterations_run, a.rhat_max, a.ess_min, a.divergences,
       a.error, a.message, a.frame, a.log, l.because
FROM attempt a
LEFT JOIN submission s ON s.uuid = a.submission
LEFT JOIN task t ON t.submission = a.submission AND t.task = a.task
LEFT JOIN placement l ON l.point_id = a.point_id AND l.submission = a.submission
ORDER BY a.number, a.task, a.run, a.seq
"""

_TASKS = """
SELECT r.submission, s.number, r.task, r.run, t.array, r.host, r.job_id,
       (SELECT count(*) FROM placement l WHERE l.submission = r.submission AND l.task = r.task) AS points,
       coalesce(f.succeeded, 0) AS succeeded,
       t.cpus AS req_cpus, t.mem_bytes AS req_mem_bytes, t.time_limit_s,
       coalesce(r.used_elapsed_s, coalesce(r.ended_at, CASE WHEN r.gone IS NOT NULL THEN r.last_seen_at END)
         - r.started_at) AS elapsed_s,
       coalesce(r.used_cpu_s, f.cpu_s) AS cpu_s, coalesce(r.used_max_rss_bytes, f.max_rss_bytes) AS max_rss_bytes,
       r.started_at, r.ended_at, r.ended, CASE WHEN r.ended IS NULL THEN r.gone END AS gone
FROM run r
LEFT JOIN submission s ON s.uuid = r.submission
LEFT JOIN task t ON t.submission = r.submission AND t.task = r.task
LEFT JOIN (
  SELECT submission, task, run, sum(outcome = 'succeeded') AS succeeded, sum(cpu_s) AS cpu_s,
         max(max_rss_bytes) AS max_rss_bytes
  FROM attempt WHERE outcome IS NULL OR outcome != 'skipped' GROUP BY submission, task, run
) f ON f.submission = r.submission AND f.task = r.task AND f.run = r.run
ORDER BY s.number, r.submission, r.task, r.run
"""

_SUBMISSIONS = """
SELECT uuid AS submission, number, command, executor, created_at AS submitted_at, n_tasks, n_points, open
FROM submission ORDER BY number
"""


def points(ledger: Ledger) -> pd.DataFrame:
    """One row per point of the newest plan, in its order; one column per axis under the axis's own name.

    Returns
    -------
    columns `point_id`, the axes, `state`, `kind` (why it did not succeed), `attempts`, …, `result_path` (relative to
    the study folder); times in UTC. Lists among the values of an axis (``window_ms``) are JSON text.
    """
    names = axes(ledger)
    shown = ["point_id", *names, *(column for column in _POINT_COLUMNS if column not in names)]
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in shown)
    rows = ledger.connection.execute(f"SELECT {quoted} FROM points").fetchall()
    return _frame(shown, rows, axes=names)


def attempts(ledger: Ledger) -> pd.DataFrame:
    """One row per attempt: one point in one run of a task, the oldest submission first.

    `number` counts the submissions of the sweep; `because` says why the point was sent.
    """
    return _query(ledger, _ATTEMPTS)


def tasks(ledger: Ledger) -> pd.DataFrame:
    """One row per run of a task, the oldest submission first: what was asked for, and what was used of it.

    `ended` is why the run ended, by its own word; `gone` why it was found to be over without one. `cpu_s` and
    `max_rss_bytes` are those of its fits where the run did not say.
    """
    return _query(ledger, _TASKS)


def submissions(ledger: Ledger) -> pd.DataFrame:
    """One row per submission, the oldest first."""
    return _query(ledger, _SUBMISSIONS)


def _query(ledger: Ledger, sql: str) -> pd.DataFrame:
    cursor = ledger.connection.execute(sql)
    return _frame([column[0] for column in cursor.description], cursor.fetchall())


def _frame(
    names: Sequence[str], rows: Sequence[Sequence[Any]], axes: Iterable[str] = ()
) -> pd.DataFrame:
    own = set(axes)
    by_column = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pd.DataFrame(
        {
            name: _axis(values) if name in own else _typed(values, _TYPES.get(name, "text"))
            for name, values in zip(names, by_column, strict=True)
        }
    )


def _typed(values: Sequence[Any], kind: str) -> pd.Series:
    if kind == "time":
        return _times(values)
    if kind == "real":
        return pd.Series(np.array(values, dtype=np.float64))
    if kind == "whole":
        return pd.Series(pd.array(list(values), dtype="Int64"))
    if kind == "truth":
        return pd.Series(
            pd.array([None if v is None else bool(v) for v in values], dtype="boolean")
        )
    if kind == "text":
        return pd.Series(pd.array(list(values), dtype="string"))
    words = {"state": [*State, Outcome.SKIPPED], "kind": list(Kind), "outcome": list(Outcome)}[kind]
    # Only attempts can be skipped.
    categories = list(dict.fromkeys(str(word) for word in words))
    if kind == "state" and Outcome.SKIPPED.value not in values:
        categories.remove(Outcome.SKIPPED.value)
    return pd.Series(pd.Categorical(values, categories=categories, ordered=kind == "state"))


def _times(values: Sequence[float | None]) -> pd.Series:
    """Seconds since the epoch → ``datetime64[us, UTC]``."""
    seconds = np.array(values, dtype=np.float64)
    missing = np.isnan(seconds)
    whole = np.rint(np.where(missing, 0.0, seconds) * 1e6).astype(np.int64)
    times = whole.astype("datetime64[us]")
    times[missing] = np.datetime64("NaT", "us")
    return pd.Series(times).dt.tz_localize("UTC")


def _axis(values: Sequence[Any]) -> pd.Series:
    """Typed by content: whole numbers, numbers, else text (lists are JSON text already)."""
    present = {type(value) for value in values if value is not None}
    if present and present <= {int}:
        return pd.Series(pd.array(list(values), dtype="Int64"))
    if present and present <= {int, float}:
        return pd.Series(np.array(values, dtype=np.float64))
    texts = [None if value is None else str(value) for value in values]
    return pd.Series(pd.array(texts, dtype="string"))
