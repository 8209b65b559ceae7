"""Which lists of commands (executor `gnu_parallel`) still wait for somebody to run them. Asked by `status`."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from pytau_hpc.ledger.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Unrun:
    """A submission with tasks that nobody has run, and how many points wait for that and for nothing else."""

    submission: str
    tasks: int
    points: int


def unrun_lists(ledger: Ledger, ids: Collection[str] | None = None) -> list[Unrun]:
    """The oldest first, of some points or of all. A point that a newer submission has taken does not wait any more."""
    rows = ledger.connection.execute(
        "SELECT s.uuid, count(DISTINCT p.task), count(*) FROM submission s JOIN point p ON p.submission = s.uuid "
        "WHERE s.open = 1 AND s.executor = 'gnu_parallel' AND p.planned = 1 AND p.state = 'queued' AND NOT EXISTS "
        "  (SELECT 1 FROM run r WHERE r.submission = p.submission AND r.task = p.task) "
        "AND (?1 IS NULL OR p.point_id IN (SELECT value FROM json_each(?1))) "
        "GROUP BY s.uuid ORDER BY s.number, s.uuid",
        (None if ids is None else json.dumps(sorted(ids)),),
    )
    return [Unrun(submission=uuid, tasks=tasks, points=points) for uuid, tasks, points in rows]
