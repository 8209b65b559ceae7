"""Write a submission and send it: the last steps of `submit` and `resume`; what is sent, `prepare` decided.

What is sent is written first, whole, under a fresh uuid that is also in the scheduler's job name. Whatever is killed
afterwards, the next command finds the submission in its folder and the array by its name.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pytau_hpc import worker
from pytau_hpc.collect import give_back, settle, submit_lock
from pytau_hpc.errors import PytauHpcError, SchedulerUnreachable, SubmitRefused
from pytau_hpc.executors import executor, files_of, inline
from pytau_hpc.executors.base import Sent
from pytau_hpc.files import fsync_dir, publish_text
from pytau_hpc.prepare import Order, Prepared, prepare
from pytau_hpc.probe import check_publishing
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.submission import Submission


@dataclass(frozen=True, kw_only=True)
class Done:
    """What was prepared, and what became of it."""

    prepared: Prepared
    sent: Sent | None = None


def submit(
    sweep: SweepDir,
    order: Order,
    *,
    confirm: Callable[[Prepared], bool] = lambda prepared: True,
    asks: bool = False,
    tick: Callable[[], None] = lambda: None,
    now: float | None = None,
) -> Done:
    """Choose, write and send. Returns when the scheduler has the tasks, or when local tasks have run.

    Parameters
    ----------
    confirm : called with what would be sent; False sends nothing
    asks : `confirm` may take as long as a person needs: nobody else has to wait for that. What is sent is then decided
        again
    tick : called now and then while local tasks run, and after each array that a scheduler took

    Raises
    ------
    SubmitRefused, SchedulerUnreachable : the scheduler took nothing of it; its points are free again. Where it took
        a part, there is no error: `Done.sent` has the problem, and the tasks that were not taken are given back
    LockTimeout : another submit or resume is at it
    """
    if asks:
        prepared = _prepared(sweep, order, now)
        if prepared.submission is None or not confirm(prepared):
            return Done(prepared=prepared)
        # Not more than was agreed to, whatever has happened meanwhile.
        agreed = frozenset(p.point_id for task in prepared.submission.tasks for p in task.points)
        order = replace(order, only=agreed)
    with submit_lock(sweep):
        prepared = _prepared(sweep, order, now)
        submission = prepared.submission
        if submission is None or not (asks or confirm(prepared)):
            return Done(prepared=prepared)
        _write(sweep, submission, order.workers)
        way = executor(submission.executor)
        if not way.blocks:
            sent = _send(sweep, submission, order.workers, tick)
            give_back(sweep, submission.uuid, sent.not_begun)
            return Done(prepared=prepared, sent=sent)
    # Local tasks run outside the lock: another resume meanwhile finds them alive and leaves them alone.
    try:
        sent = _send(sweep, submission, order.workers, tick)
    except BaseException as error:
        # This process may live on, as a notebook does, and its tasks would be taken for queued as long as it lives.
        with _noting(error):
            settle(sweep, submission.uuid, [task.number for task in submission.tasks])
        raise
    settle(sweep, submission.uuid, sent.not_begun)
    return Done(prepared=prepared, sent=sent)


@contextlib.contextmanager
def _noting(error: BaseException) -> Iterator[None]:
    """What goes wrong while an error is cleaned up after is told with it, not instead of it."""
    try:
        yield
    except (PytauHpcError, OSError) as another:
        error.add_note(f"then: {another}")


def _prepared(sweep: SweepDir, order: Order, now: float | None) -> Prepared:
    prepared = prepare(sweep, order, now=now)
    if prepared.submission is None:
        return prepared
    # A file system that cannot keep results is found before any work is sent.
    return replace(prepared, notes=(*prepared.notes, *check_publishing(sweep)))


def _send(
    sweep: SweepDir, submission: Submission, workers: int | None, tick: Callable[[], None]
) -> Sent:
    inline.run_task = lambda place, uuid, task: worker.run_task(
        place, uuid, task, in_this_process=True
    )
    try:
        return executor(submission.executor).send(sweep, submission, workers=workers, tick=tick)
    except (SubmitRefused, SchedulerUnreachable):
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


def _write(sweep: SweepDir, submission: Submission, workers: int | None) -> None:
    folder = sweep.submission(submission.uuid)
    files = files_of(sweep, submission, workers=workers)
    folder.mkdir(parents=True)
    for name, text in files.items():
        publish_text(folder / name, text)
    if not publish_text(sweep.submission_file(submission.uuid), submission.to_text()):
        raise PytauHpcError(f"{folder} holds a submission already")
    fsync_dir(sweep.submissions)
