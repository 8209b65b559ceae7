"""Send points: `submit`, `resume`, and their dry run. All three are collect → choose → pack, then write and send.

What is sent is written first, whole, under a fresh uuid that is also in the scheduler's job name. Whatever is killed
afterwards, the next command finds the submission in its folder and the array by its name.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytau_hpc import worker
from pytau_hpc.choose import Candidate, Choices, Command, choose
from pytau_hpc.collect import collect, settle, submit_lock
from pytau_hpc.errors import PytauHpcError, SubmitRefused
from pytau_hpc.executors import executor, inline
from pytau_hpc.executors.base import Sent
from pytau_hpc.executors.profile import Profile
from pytau_hpc.files import fsync_dir, publish_text
from pytau_hpc.ledger import queries
from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.pack import pack
from pytau_hpc.retry import RetryLimits
from pytau_hpc.sweep.manifest import Manifest, read_manifest
from pytau_hpc.sweep.process import this_process
from pytau_hpc.sweep.resources import Request, Resources
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind, State
from pytau_hpc.sweep.submission import Submission


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a person asked for on the command line.

    request : resources that overrule those of the spec and the profile
    workers : how many tasks may run at once
    only : ids of the points to consider; None for all
    errors : send also what the retry rules call final
    """

    command: Command
    profile: Profile
    request: Request = field(default_factory=Request)
    workers: int | None = None
    only: frozenset[str] | None = None
    errors: bool = False


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What would be sent (`submission` is None where there is nothing), and what happens to every other point."""

    choices: Choices
    submission: Submission | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Done:
    """What was prepared, and what became of it."""

    prepared: Prepared
    sent: Sent | None = None


def prepare(sweep: SweepDir, order: Order, *, now: float | None = None) -> Prepared:
    """Decide what to send; nothing is written except what `collect` learns."""
    now = time.time() if now is None else now
    manifest = read_manifest(sweep.path)
    with collect(sweep, now=now, fresh=True) as collected:
        candidates = _candidates(collected.ledger, order.only)
        number = _next_number(collected.ledger)
        notes = collected.notes
    request = order.request.over(manifest.request).over(order.profile.defaults)
    limits = RetryLimits(
        failures=manifest.retry.failures,
        interruptions=manifest.retry.interruptions,
        **order.profile.retry_caps(),
    )
    choices = choose(
        candidates,
        command=order.command,
        resources=request.resources(),
        limits=limits,
        overrule=order.request,
        errors=order.errors,
    )
    return Prepared(
        choices=choices,
        submission=_submission(sweep, order, manifest, request, choices, number, now),
        notes=notes,
    )


def submit(
    sweep: SweepDir,
    order: Order,
    *,
    confirm: Callable[[Prepared], bool] = lambda prepared: True,
    tick: Callable[[], None] = lambda: None,
    now: float | None = None,
) -> Done:
    """Choose, write and send. Returns when the scheduler has the tasks, or when local tasks have run.

    Parameters
    ----------
    confirm : called with what would be sent, under the lock; False sends nothing
    tick : called now and then while local tasks run, and after each array that a scheduler took

    Raises
    ------
    SubmitRefused : the scheduler does not take it; nothing of a refused submission is left behind
    LockTimeout : another submit or resume is at it
    """
    with submit_lock(sweep):
        prepared = prepare(sweep, order, now=now)
        submission = prepared.submission
        if submission is None or not confirm(prepared):
            return Done(prepared=prepared)
        _write(sweep, submission)
        way = executor(submission.executor)
        if not way.blocks:
            return Done(prepared=prepared, sent=_send(sweep, submission, order.workers, tick))
    # Local tasks run outside the lock: another resume meanwhile finds them alive and leaves them alone.
    sent = _send(sweep, submission, order.workers, tick)
    settle(sweep, submission.uuid, sent.not_begun)
    return Done(prepared=prepared, sent=sent)


def _send(
    sweep: SweepDir, submission: Submission, workers: int | None, tick: Callable[[], None]
) -> Sent:
    inline.run_task = lambda place, uuid, task: worker.run_task(
        place, uuid, task, in_this_process=True
    )
    try:
        return executor(submission.executor).send(sweep, submission, workers=workers, tick=tick)
    except SubmitRefused:
        if not sweep.bound_file(submission.uuid).exists():
            _take_back(sweep, submission)
        raise


def _take_back(sweep: SweepDir, submission: Submission) -> None:
    """Say that the scheduler took nothing of a submission, so that its points are free again at once.

    It is said in a file, not by removing the submission: somebody's `status` may have seen it.
    """
    said = json.dumps({"format": 1, "at": time.time()}) + "\n"
    publish_text(sweep.refused_file(submission.uuid), said)
    shutil.rmtree(sweep.submission(submission.uuid) / "submitit", ignore_errors=True)
    shutil.rmtree(sweep.logs_of(submission.uuid), ignore_errors=True)


def _candidates(ledger: Ledger, only: frozenset[str] | None) -> list[Candidate]:
    return [
        Candidate(
            point_id=row["point_id"],
            state=State(row["state"]),
            kind=None if row["kind"] is None else Kind(row["kind"]),
            failures=row["failures"],
            interruptions=row["interruptions"],
            repeated_error=bool(row["repeated_error"]),
            asked=_asked(row),
        )
        for row in queries.points(ledger)
        if only is None or row["point_id"] in only
    ]


def _asked(row: Any) -> Resources | None:
    if row["req_mem_bytes"] is None:
        return None
    return Resources(
        cpus=row["req_cpus"],
        # Rounded: bytes are whole numbers, and 1.2 GiB has to stay the 1.2 GiB that was asked for.
        mem_gb=round(row["req_mem_bytes"] / 2**30, 6),
        time_min=round(row["time_limit_s"] / 60),
    )


def _next_number(ledger: Ledger) -> int:
    return 1 + int(
        ledger.connection.execute("SELECT coalesce(max(number), 0) FROM submission").fetchone()[0]
    )


def _submission(
    sweep: SweepDir,
    order: Order,
    manifest: Manifest,
    request: Request,
    choices: Choices,
    number: int,
    now: float,
) -> Submission | None:
    sent = {choice.point_id: choice for choice in choices.sent}
    if not sent:
        return None
    profile = order.profile
    way = executor(profile.executor)
    arrays = pack(
        [point for point in manifest.points() if point.point_id in sent],
        {point_id: choice.resources for point_id, choice in sent.items()},
        points_per_task=request.per_task,
        slots=order.workers or profile.limits.max_running_tasks or way.slots(),
        scheduler=not way.blocks,
        max_array_size=profile.limits.max_array_size or way.max_array_size(),
    )
    return Submission(
        uuid=uuid.uuid4().hex[:12],
        number=number,
        sweep=sweep.name,
        command=order.command.value,
        created_at=now,
        executor=profile.executor,
        profile=profile.to_json(),
        driver=this_process(),
        uid=os.getuid(),
        checkpoint_s=manifest.checkpoint_s,
        grace_s=manifest.retry.grace_s,
        arrays=arrays,
        because={point_id: choice.why for point_id, choice in sent.items()},
    )


def _write(sweep: SweepDir, submission: Submission) -> None:
    folder = sweep.submission(submission.uuid)
    folder.mkdir(parents=True)
    if not publish_text(sweep.submission_file(submission.uuid), submission.to_text()):
        raise PytauHpcError(f"{folder} holds a submission already")
    fsync_dir(sweep.submissions)
