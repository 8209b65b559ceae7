"""Where a sweep stands: made from the ledger, as data and as JSON.

Without numpy and pandas: it is typed often, on login nodes. The text is made in
`status_text`, tables of points in `tables`, the list of what
failed in `failures`. Called by ``status``, `open_sweep` and the live view.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytau_hpc.collect import Collected
from pytau_hpc.executors.gnu_parallel import how_to_run
from pytau_hpc.ledger import summary
from pytau_hpc.ledger.summary import UNSUCCESSFUL, Rate, Which
from pytau_hpc.ledger.unrun import Unrun, unrun_lists
from pytau_hpc.ledger.used import Used, used_so_far
from pytau_hpc.reports.format import iso, plural
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import State

SCHEMA = "pytau-hpc/status/1"


@dataclass(frozen=True, kw_only=True)
class Cause:
    """How many points are in a state for one reason."""

    state: State
    kind: str
    points: int


@dataclass(frozen=True, kw_only=True)
class Running:
    """A point that is being fitted, as far as it said. Times are seconds since the epoch, sizes bytes."""

    point_id: str
    label: str
    phase: str | None
    done: int | None
    total: int | None
    started_at: float | None
    host: str | None
    job_id: str | None
    max_rss_bytes: int | None
    req_mem_bytes: int | None

    @property
    def fraction(self) -> float | None:
        return min(1.0, self.done / self.total) if self.total and self.done is not None else None


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something to type next, and what it is for."""

    command: str
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a sweep stands at one moment.

    Attributes
    ----------
    at : when, seconds since the epoch
    where : the SQL condition that restricts the points; None for all
    counts : every state, in the order of `State`
    behind : queued points whose task runs already
    waiting : why queued points wait, in the scheduler's words, and how many
    unrun : queued points of lists of commands that nobody has run
    not_converged : points that succeeded though their fit had not converged
    left_s : seconds until everything that was sent is done, at the present rate; None where that cannot be said
    reachable : whether the scheduler answered; None where there is none to ask
    heartbeat_at : when a run was heard of last
    """

    name: str
    path: str
    revision: int
    at: float
    where: str | None
    counts: Mapping[State, int]
    causes: tuple[Cause, ...]
    running: tuple[Running, ...]
    behind: int
    unrun: int
    waiting: tuple[tuple[str, int], ...]
    not_converged: int
    rate: Rate | None
    used: Used
    executor: str | None
    reachable: bool | None
    heartbeat_at: float | None
    notes: tuple[str, ...]
    next: tuple[Step, ...]

    @property
    def points(self) -> int:
        return sum(self.counts.values())

    @property
    def going_on(self) -> int:
        """Points that are queued or running."""
        return self.counts[State.QUEUED] + self.counts[State.RUNNING]

    @property
    def unsuccessful(self) -> int:
        return sum(self.counts[state] for state in UNSUCCESSFUL)

    @property
    def left_s(self) -> float | None:
        return None if self.rate is None else self.going_on / self.rate.per_s


def status_of(
    sweep: SweepDir,
    collected: Collected,
    *,
    now: float | None = None,
    which: Which | None = None,
    called: str | None = None,
) -> Status:
    """Where a sweep stands.

    Parameters
    ----------
    now : seconds since the epoch
    which : the points that are meant; all by default
    called : how the person named the sweep, for the commands to type next

    Raises
    ------
    UserError : the condition on the points cannot be understood
    """
    ledger, which = collected.ledger, which or Which()
    found = summary.counts(ledger, which)
    lists = unrun_lists(ledger, which.ids)
    counts = {state: sum(c.points for c in found if c.state == state) for state in State}
    damaged = summary.damaged_records(ledger)
    notes = collected.notes
    if damaged:
        notes += (f"{plural(damaged, 'damaged journal record')} skipped",)
    return Status(
        name=sweep.name,
        path=str(sweep.path),
        revision=int(ledger.meta("revision") or 0),
        at=time.time() if now is None else now,
        where=which.where,
        counts=counts,
        causes=tuple(
            Cause(state=state, kind=count.kind, points=count.points)
            for state in State
            for count in sorted(found, key=lambda count: -count.points)
            if count.state == state and count.kind is not None
        ),
        running=tuple(Running(**row) for row in summary.running(ledger, which)),
        behind=summary.behind(ledger) if counts[State.QUEUED] and which.is_all else 0,
        waiting=tuple(summary.waiting_points(ledger, collected.reasons)) if which.is_all else (),
        unrun=sum(one.points for one in lists) if which.where is None else 0,
        not_converged=summary.not_converged(ledger, which) if counts[State.SUCCEEDED] else 0,
        rate=summary.rate(ledger, time.time() if now is None else now) if which.is_all else None,
        used=used_so_far(ledger, time.time() if now is None else now),
        executor=summary.newest_executor(ledger),
        reachable=collected.reachable,
        heartbeat_at=summary.last_heartbeat(ledger),
        notes=notes,
        next=(*_to_run(sweep, lists), *_next(called or sweep.name, counts)),
    )


def _to_run(sweep: SweepDir, lists: Sequence[Unrun]) -> list[Step]:
    """Lists of commands that wait for somebody to run them."""
    return [
        Step(
            command=how_to_run(sweep, one.submission, start=Path.cwd()),
            why=f"run {plural(one.tasks, 'task')}; or give them up: resume --lost",
        )
        for one in lists
    ]


def _next(sweep: str, counts: Mapping[State, int]) -> tuple[Step, ...]:
    going_on = counts[State.QUEUED] + counts[State.RUNNING]
    unsuccessful = sum(counts[state] for state in UNSUCCESSFUL)
    steps = []
    if going_on:
        steps.append(Step(command=f"pytau-hpc status {sweep} --watch"))
    if unsuccessful:
        steps.append(Step(command=f"pytau-hpc status {sweep} --failed", why="what went wrong"))
        steps.append(
            Step(command=f"pytau-hpc resume {sweep} --dry-run", why="what would be tried again")
        )
    elif counts[State.PLANNED]:
        steps.append(
            Step(
                command=f"pytau-hpc submit {sweep}",
                why=f"send {plural(counts[State.PLANNED], 'point')}",
            )
        )
    elif counts[State.CANCELLED] and not going_on:
        n = plural(counts[State.CANCELLED], "cancelled point")
        steps.append(Step(command=f"pytau-hpc resume {sweep} --cancelled", why=f"send {n} again"))
    elif counts[State.SUCCEEDED] and not going_on:
        steps.append(
            Step(
                command=f"pytau-hpc export {sweep} --csv {sweep.rpartition('/')[2] or 'points'}.csv"
            )
        )
    return tuple(steps)


def exit_code(status: Status) -> int:
    """What ``--exit-status`` answers: 4 not finished, 3 finished but not all succeeded, else 0."""
    if status.going_on or status.counts[State.PLANNED]:
        return 4
    return 3 if status.unsuccessful else 0


# -- JSON -------------------------------------------------------------------------------------------------------------


def as_json(status: Status) -> dict[str, Any]:
    """The document of ``status --json``: seconds, bytes, ISO 8601 in UTC. Keys stay within a version of the schema."""
    used = status.used
    return {
        "schema": SCHEMA,
        "generated_at": iso(status.at),
        "sweep": {
            "name": status.name,
            "root": status.path,
            "revision": status.revision,
            "points": status.points,
            "where": status.where,
        },
        "scheduler": {
            "kind": status.executor,
            "reachable": status.reachable,
            "last_heartbeat_at": iso(status.heartbeat_at),
            "notes": list(status.notes),
        },
        "counts": {state.value: n for state, n in status.counts.items()},
        "causes": [
            {"state": c.state.value, "kind": c.kind, "points": c.points} for c in status.causes
        ],
        "waiting": dict(status.waiting),
        "quality": {"not_converged": status.not_converged},
        "eta_s": _rounded(status.left_s),
        "points_per_s": None if status.rate is None else round(status.rate.per_s, 6),
        "cost": {
            "cpu_hours_used": round(used.held_cpu_s / 3600, 4),
            "cpu_hours_max_left": None
            if used.left_cpu_s is None
            else round(used.left_cpu_s / 3600, 4),
            "cpu_s": round(used.cpu_s, 3),
            "elapsed_s": round(used.elapsed_s, 3),
            "mem_fraction": _rounded(used.mem_fraction),
            "cpu_fraction": _rounded(used.cpu_fraction),
            "time_fraction": _rounded(used.time_fraction),
        },
        "running": [
            {
                "point_id": r.point_id,
                "label": r.label,
                "phase": r.phase,
                "done": r.done,
                "total": r.total,
                "started_at": iso(r.started_at),
                "host": r.host,
                "job_id": r.job_id,
                "max_rss_bytes": r.max_rss_bytes,
                "req_mem_bytes": r.req_mem_bytes,
            }
            for r in status.running
        ],
        "next": [step.command for step in status.next],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
