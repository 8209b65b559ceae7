"""Questions to the ledger that `cancel` asks: what may be given up, and which tasks are then wanted by nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.ledger.summary import Which, select
from pytau_hpc.sweep.state import State
from pytau_hpc.sweep.submission import TaskKey


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A point that is queued or running, and the task that has it."""

    point_id: str
    label: str
    state: State
    task: TaskKey


def candidates(ledger: Ledger, where: str | None = None) -> list[Candidate]:
    """Points that could be given up, in the order of the manifest.

    Without a condition, also those that the plan has dropped since they were sent: they keep nodes busy, too.

    Raises
    ------
    UserError : SQLite cannot make sense of the condition
    """
    states = (State.QUEUED, State.RUNNING)
    columns = "point_id, label, state, submission, task"
    order = "ORDER BY position" if where is None else ""
    rows = select(ledger, columns, Which(where=where, states=states), order)
    if where is None:
        rows += ledger.connection.execute(
            f"SELECT {columns} FROM point WHERE planned = 0 AND state IN (?, ?) ORDER BY point_id",
            states,
        ).fetchall()
    return [
        Candidate(
            point_id=row["point_id"],
            label=row["label"],
            state=State(row["state"]),
            task=(row["submission"], row["task"]),
        )
        for row in rows
    ]


def unwanted_tasks(ledger: Ledger, giving_up: Collection[str] = ()) -> frozenset[TaskKey]:
    """Tasks of which every point that could still be worked on was given up, or is in `giving_up`.

    Given up by an earlier `cancel`, too: perhaps that one could not say so to the scheduler.
    """
    given_up: set[TaskKey] = set()
    wanted: set[TaskKey] = set()
    for point_id, state, submission, task in ledger.connection.execute(
        "SELECT point_id, state, submission, task FROM point WHERE submission IS NOT NULL "
        "AND state IN ('queued', 'running', 'cancelled')"
    ):
        gone = state == State.CANCELLED or point_id in giving_up
        (given_up if gone else wanted).add((submission, task))
    return frozenset(given_up - wanted)


def newest_number(ledger: Ledger) -> int:
    """Of the sweep's submissions; 0 where there is none."""
    row = ledger.connection.execute("SELECT coalesce(max(number), 0) FROM submission").fetchone()
    return int(row[0])


def states_of(ledger: Ledger, point_ids: Collection[str]) -> Mapping[State, int]:
    """How many of these points are in which state; zeros included."""
    wanted = set(point_ids)
    states = ledger.connection.execute("SELECT point_id, state FROM point")
    found = Counter(State(state) for point_id, state in states if point_id in wanted)
    return {state: found[state] for state in State}
