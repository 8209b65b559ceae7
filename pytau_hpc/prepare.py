"""Decide what to send, and make the submission: collect → choose → pack. Nothing is written, nothing is sent.

`submit`, `resume`, their dry runs and `explain` all come through here, so what is shown is what would be sent.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytau_hpc.choose import Candidate, Choices, Command, choose
from pytau_hpc.collect import Collected, collect
from pytau_hpc.executors import executor
from pytau_hpc.executors.profile import Profile
from pytau_hpc.known_use import known_use
from pytau_hpc.ledger import queries
from pytau_hpc.ledger.measured import Measurements
from pytau_hpc.measure import Measured, adapted, expected_cpu_hours, maximum_cpu_hours
from pytau_hpc.pack import pack
from pytau_hpc.retry import RetryLimits
from pytau_hpc.sweep.manifest import Manifest, read_manifest
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.process import this_process
from pytau_hpc.sweep.resources import BUILT_IN_RETRY, Request, Resources, RetrySettings
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind, State
from pytau_hpc.sweep.submission import Array, Submission

_A_MOMENT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a person asked for on the command line.

    request : resources that overrule those of the spec and the profile, and what failures taught
    base : resources that overrule those of the spec and the profile, no more
    workers : how many tasks may run at once
    only : ids of the points to consider; None for all
    errors, lost, cancelled : send also what is final, what nobody has seen, what was cancelled; see `choose`
    """

    command: Command
    profile: Profile
    request: Request = field(default_factory=Request)
    workers: int | None = None
    only: frozenset[str] | None = None
    errors: bool = False
    lost: bool = False
    cancelled: bool = False
    base: Request = field(default_factory=Request)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What would be sent, and what happens to every other point.

    submission : None where there is nothing to send
    postponed : points that would be sent if the profile allowed more tasks in the queue at once
    expected : CPU-hours, by what was measured; None where that is not known. maximum : where time limits are enforced
    """

    choices: Choices
    submission: Submission | None
    postponed: int = 0
    expected: float | None = None
    maximum: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What the ledger says that a submission depends on."""

    candidates: tuple[Candidate, ...]
    number: int
    open_tasks: int
    bad_nodes: tuple[str, ...]
    notes: tuple[str, ...]


def prepare(
    sweep: SweepDir, order: Order, *, fresh: bool = True, now: float | None = None
) -> Prepared:
    """Decide what to send; nothing is written except what `collect` learns.

    Parameters
    ----------
    fresh : ask the scheduler even if it was asked a moment ago; False where nothing will be sent
    """
    now = time.time() if now is None else now
    manifest = read_manifest(sweep.path)
    request = order.request.over(order.base).over(manifest.request).over(order.profile.defaults)
    retry = manifest.retry.over(RetrySettings.from_json(order.profile.retry)).over(BUILT_IN_RETRY)
    limits = RetryLimits.of(retry, order.profile.retry_caps())
    with collect(sweep, now=now, fresh=fresh) as collected:
        known = _known(collected, order, now)
        choices = choose(
            known.candidates,
            command=order.command,
            resources=request.resources(),
            limits=limits,
            overrule=order.request,
            errors=order.errors,
            lost=order.lost,
            cancelled=order.cancelled,
        )
        if not choices.sent:
            return Prepared(choices=choices, submission=None, notes=known.notes)
        sent = {choice.point_id for choice in choices.sent}
        points = [point for point in manifest.points() if point.point_id in sent]
        use = known_use(
            points,
            sweep,
            ledger=collected.ledger,
            manifest=manifest,
            executor=order.profile.executor,
        )
    arrays, choices = _packed(points, choices, use, order, request, limits, known)
    kept = first_tasks(arrays, _room(order, known))
    if not kept:
        return Prepared(choices=choices, submission=None, postponed=len(sent), notes=known.notes)
    submission = _submission(sweep, order, manifest, retry, choices, kept, known, now)
    notes = known.notes
    if submission.excluded_nodes:
        notes += (f"fits only fail on {', '.join(known.bad_nodes)}: nothing is sent there",)
    measured = Measured.of(use, cpus=request.resources().cpus)
    return Prepared(
        choices=choices,
        submission=submission,
        postponed=len(sent) - sum(len(task.points) for task in submission.tasks),
        expected=expected_cpu_hours(kept, measured),
        maximum=maximum_cpu_hours(kept) if executor(submission.executor).queues else None,
        notes=notes,
    )


def _known(collected: Collected, order: Order, now: float) -> _Known:
    return _Known(
        candidates=_candidates(collected, order.only, now),
        number=queries.next_number(collected.ledger),
        open_tasks=queries.count_open_tasks(collected.ledger, collected.waiting),
        bad_nodes=tuple(queries.bad_nodes(collected.ledger, now=now)),
        notes=collected.notes,
    )


def _candidates(
    collected: Collected, only: frozenset[str] | None, now: float
) -> tuple[Candidate, ...]:
    # What was sent, or wrote something, a moment ago is not lost, whoever does not answer now.
    seen = collected.alive | queries.heard_of_since(collected.ledger, now - _A_MOMENT_S)
    return tuple(
        Candidate(
            point_id=row["point_id"],
            state=State(row["state"]),
            kind=None if row["kind"] is None else Kind(row["kind"]),
            failures=row["failures"],
            interruptions=row["interruptions"],
            repeated_error=bool(row["repeated_error"]),
            asked=_asked(row),
            alive=(row["submission"], row["task"]) in seen,
        )
        for row in queries.points(collected.ledger)
        if only is None or row["point_id"] in only
    )


def _asked(row: Any) -> Resources | None:
    if row["req_mem_bytes"] is None:
        return None
    return Resources(
        cpus=row["req_cpus"],
        # Rounded: bytes are whole numbers, and 1.2 GiB has to stay the 1.2 GiB that was asked for.
        mem_gb=round(row["req_mem_bytes"] / 2**30, 6),
        time_min=round(row["time_limit_s"] / 60),
    )


def _packed(
    points: Sequence[Point],
    choices: Choices,
    use: Sequence[Measurements],
    order: Order,
    request: Request,
    limits: RetryLimits,
    known: _Known,
) -> tuple[tuple[Array, ...], Choices]:
    """Tasks, with requests that follow what was measured, and the choices with what their tasks ask for."""
    profile, way = order.profile, executor(order.profile.executor)
    asked = {choice.point_id: choice.resources for choice in choices.sent}
    # What failures taught, and what a person says now, is not for averages to change.
    taught = {candidate.point_id for candidate in known.candidates if candidate.failures}
    measured = Measured.of(use, executor=profile.executor, cpus=request.resources().cpus)
    if request.adapts:
        asked = adapted(
            points,
            asked,
            measured,
            max_mem_gb=limits.max_mem_gb,
            fixed=asked if order.request.mem_gb is not None else taught,
        )
    arrays = pack(
        points,
        asked,
        points_per_task=request.per_task,
        slots=order.workers or profile.limits.max_running_tasks or way.slots(),
        scheduler=way.queues,
        max_array_size=profile.limits.max_array_size or way.max_array_size(),
        seconds=measured.seconds if request.adapts else None,
        start_s=measured.start_s,
        max_time_min=limits.max_time_min,
        fixed_time=asked if order.request.time_min is not None else taught,
    )
    asks = {
        point.point_id: array.resources
        for array in arrays
        for task in array.tasks
        for point in task.points
    }
    shown = (
        replace(choice, resources=asks[choice.point_id]) if choice.send else choice
        for choice in choices.all
    )
    return arrays, Choices(tuple(shown))


def _room(order: Order, known: _Known) -> int:
    """How many more tasks the profile allows in the queue."""
    window = order.profile.limits.max_submitted_tasks
    if window is None or not executor(order.profile.executor).queues:
        return sys.maxsize
    return max(0, window - known.open_tasks)


def _submission(
    sweep: SweepDir,
    order: Order,
    manifest: Manifest,
    retry: RetrySettings,
    choices: Choices,
    arrays: tuple[Array, ...],
    known: _Known,
    now: float,
) -> Submission:
    assert retry.grace_s is not None
    profile = order.profile
    return Submission(
        uuid=uuid.uuid4().hex[:12],
        number=known.number,
        sweep=sweep.name,
        command=order.command.value,
        created_at=now,
        executor=profile.executor,
        profile=profile.to_json(),
        driver=this_process(),
        uid=os.getuid(),
        checkpoint_s=manifest.checkpoint_s,
        grace_s=retry.grace_s,
        arrays=arrays,
        because={choice.point_id: choice.why for choice in choices.sent},
        excluded_nodes=known.bad_nodes if executor(profile.executor).queues else (),
        cluster=executor(profile.executor).cluster(),
    )


def first_tasks(arrays: tuple[Array, ...], most: int) -> tuple[Array, ...]:
    """At most so many tasks, the first ones."""
    kept: list[Array] = []
    for array in arrays:
        if most <= 0:
            break
        kept.append(replace(array, tasks=array.tasks[:most]))
        most -= len(array.tasks)
    return tuple(kept)
