"""Questions to the ledger that need no pandas: what `status`, `choose` and the progress bars ask."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from pytau_hpc.ledger.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class StateCount:
    """How many planned points are in a state, for one reason."""

    state: str
    kind: str | None
    points: int


def axes(ledger: Ledger) -> list[str]:
    return list(json.loads(ledger.meta("axes") or "[]"))


def counts(ledger: Ledger) -> list[StateCount]:
    rows = ledger.connection.execute(
        "SELECT state, kind, count(*) FROM point WHERE planned = 1 GROUP BY state, kind"
    )
    return [StateCount(state=state, kind=kind, points=n) for state, kind, n in rows]


def points(ledger: Ledger) -> list[sqlite3.Row]:
    """Rows of the view `points`: every planned point, in the order of the manifest."""
    if (
        ledger.connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'points'").fetchone()
        is None
    ):
        return []
    return ledger.connection.execute("SELECT * FROM points").fetchall()


def open_tasks(ledger: Ledger) -> list[sqlite3.Row]:
    """Tasks of open submissions that are not known to be gone, each with its newest run (columns ``run_*``)."""
    return ledger.connection.execute(
        "SELECT t.submission, t.task, t.array, t.element, t.time_limit_s, s.executor, s.job_prefix, s.driver, "
        "  s.grace_s, r.run, r.ended AS run_ended, "
        "  (r.ended IS NOT NULL OR r.gone IS NOT NULL) AS run_over, r.started_at AS run_started_at, "
        "  r.last_seen_at AS run_last_seen_at, s.uid, s.created_at, s.cluster, "
        "  r.process_host, r.boot_id, r.pid, r.process_started, r.restart, r.job_id, r.host, t.mem_bytes, "
        "  (SELECT max(a.max_rss_bytes) FROM attempt a WHERE a.submission = r.submission AND a.task = r.task "
        "    AND a.run = r.run AND a.outcome IS NULL) AS run_rss_bytes "
        "FROM submission s JOIN task t ON t.submission = s.uuid "
        "LEFT JOIN run r ON r.submission = t.submission AND r.task = t.task "
        "  AND r.run = (SELECT max(run) FROM run x WHERE x.submission = t.submission AND x.task = t.task) "
        "WHERE s.open = 1 AND ((t.gone IS NULL AND (t.given_back = 0 OR r.run IS NOT NULL)) "
        "  OR (r.run IS NOT NULL AND r.ended IS NULL AND r.gone IS NULL)) "
        "ORDER BY s.number, s.uuid, t.task"
    ).fetchall()


def tasks_without_a_run(ledger: Ledger, submission: str) -> list[int]:
    """Tasks of a submission of which no run exists and no verdict."""
    rows = ledger.connection.execute(
        "SELECT task FROM task t WHERE submission = ? AND gone IS NULL AND given_back = 0 AND NOT EXISTS "
        "(SELECT 1 FROM run r WHERE r.submission = t.submission AND r.task = t.task) ORDER BY task",
        (submission,),
    )
    return [row[0] for row in rows]


def open_submissions(ledger: Ledger) -> list[str]:
    return [
        row[0] for row in ledger.connection.execute("SELECT uuid FROM submission WHERE open = 1")
    ]


def close_finished_submissions(ledger: Ledger, waiting: frozenset[tuple[str, int]]) -> None:
    """Stop watching submissions none of whose points can still be worked on.

    A run that is found later all the same is read all the same: closing only ends the questions to the scheduler.
    """
    held = sorted({submission for submission, _ in waiting})
    marks = ", ".join("?" * len(held))
    ledger.connection.execute(
        f"UPDATE submission SET open = 0 WHERE open = 1 AND uuid NOT IN ({marks}) AND NOT EXISTS ("
        "SELECT 1 FROM task t LEFT JOIN run r ON r.submission = t.submission AND r.task = t.task "
        "  AND r.run = (SELECT max(run) FROM run x WHERE x.submission = t.submission AND x.task = t.task) "
        "WHERE t.submission = submission.uuid AND "
        "  ((r.run IS NULL AND t.gone IS NULL AND t.given_back = 0) "
        "  OR (r.run IS NOT NULL AND r.ended IS NULL AND r.gone IS NULL) "
        # A task that was stopped may be requeued: until SLURM says that it will not, it is watched.
        "  OR (submission.executor = 'slurm' AND t.gone IS NULL "
        "    AND (r.ended IN ('preempted', 'killed') OR r.gone IS NOT NULL))))",
        held,
    )


def next_number(ledger: Ledger) -> int:
    """The number of the next submission."""
    newest = ledger.connection.execute("SELECT coalesce(max(number), 0) FROM submission").fetchone()
    return 1 + int(newest[0])


def count_open_tasks(ledger: Ledger, waiting: frozenset[tuple[str, int]]) -> int:
    """How many tasks a scheduler has or may have of this sweep, queued or running."""
    return sum(
        not row["run_over"] or (row["submission"], row["task"]) in waiting
        for row in open_tasks(ledger)
        if row["executor"] == "slurm"
    )


#: A node is left out where so many runs or fits failed within so many seconds of their start, in the last day.
BAD_NODE_FAILURES, BAD_NODE_WITHIN_S, _BAD_NODE_MEMORY_S = 3, 60.0, 86400.0


def bad_nodes(ledger: Ledger, *, now: float) -> list[str]:
    """Nodes of a cluster on which fits only fail, and at once: nothing succeeded there since, and elsewhere it does.

    Elsewhere is another node of a cluster, lately, that is not such a node itself: what is broken on every node is
    nobody's node's fault, and without all of them nothing would ever run.
    """
    rows = ledger.connection.execute(
        "WITH recent AS (SELECT r.* FROM run r JOIN submission s ON s.uuid = r.submission "
        "  WHERE s.executor = 'slurm' AND r.started_at > :since), "
        "good AS (SELECT a.host, max(a.ended_at) AS at FROM attempt a JOIN submission s ON s.uuid = a.submission "
        "  WHERE a.outcome = 'succeeded' AND s.executor = 'slurm' GROUP BY a.host), "
        "dead AS (SELECT r.host, count(*) AS n FROM recent r LEFT JOIN good g USING (host) "
        "  WHERE r.started_at > coalesce(g.at, 0) "
        "  AND (ended = 'node' OR (ended IS NULL AND gone = 'node' AND last_seen_at - started_at < :within)) "
        "  GROUP BY r.host), "
        "fast AS (SELECT a.host, count(*) AS n FROM attempt a JOIN recent USING (submission, task, run) "
        "  LEFT JOIN good g ON g.host = a.host WHERE a.started_at > coalesce(g.at, 0) "
        "  AND a.outcome = 'failed' AND a.said IN ('exception', 'no_space') "
        "  AND a.ended_at - a.started_at < :within GROUP BY a.host), "
        "unable AS (SELECT t.failed_on AS host, count(*) AS n FROM task t LEFT JOIN good g ON g.host = t.failed_on "
        "  WHERE t.failed_at > :since AND t.failed_at > coalesce(g.at, 0) GROUP BY t.failed_on), "
        "bad AS (SELECT host FROM (SELECT * FROM dead UNION ALL SELECT * FROM fast UNION ALL SELECT * FROM unable) "
        "  WHERE host IS NOT NULL GROUP BY host HAVING sum(n) >= :failures) "
        "SELECT host FROM bad WHERE EXISTS "
        "  (SELECT 1 FROM good WHERE at > :since AND host NOT IN (SELECT host FROM bad)) ORDER BY host",
        {
            "since": now - _BAD_NODE_MEMORY_S,
            "within": BAD_NODE_WITHIN_S,
            "failures": BAD_NODE_FAILURES,
        },
    )
    return [row[0] for row in rows]


def heard_of_since(ledger: Ledger, since: float) -> frozenset[tuple[str, int]]:
    """Tasks that SLURM was sent, or that wrote something, after a moment (seconds since the epoch)."""
    rows = ledger.connection.execute(
        "SELECT t.submission, t.task FROM task t JOIN submission s ON s.uuid = t.submission "
        "WHERE s.executor = 'slurm' AND s.created_at > :since "
        "UNION SELECT submission, task FROM run WHERE last_seen_at > :since AND ended IS NULL",
        {"since": since},
    )
    return frozenset((submission, task) for submission, task in rows)
