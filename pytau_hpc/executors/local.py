"""Run tasks as processes of this machine, a few at a time, through submitit's local executor.

submitit starts the processes and forwards signals to them; its pickles and its states are not used. The processes
are immune to Ctrl-C: the driver catches it and asks each worker to stop at a checkpoint (SIGTERM), which takes as
long as the fit needs to reach one.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pytau_hpc.executors import processes
from pytau_hpc.executors.base import OpenTask, Sent, Sighting, Told, worker_command
from pytau_hpc.sweep.cancellation import Cancellations
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.submission import Submission, Task

if TYPE_CHECKING:
    from submitit.local.local import LocalJob

log = logging.getLogger(__name__)

#: submitit's own default kills a local task after two minutes.
_NO_TIME_LIMIT_MIN = 366 * 24 * 60
_POLL_S = 0.1


class LocalExecutor:
    """See the module."""

    name = "local"
    blocks = True
    queues = False

    def send(
        self,
        sweep: SweepDir,
        submission: Submission,
        *,
        workers: int | None,
        tick: Callable[[], None],
    ) -> Sent:
        """Run the tasks, at most `workers` at a time; return when all have ended or a person stopped them.

        Raises
        ------
        OSError : a worker could not be started; those that ran were stopped, each at a checkpoint
        """
        waiting = list(submission.tasks)
        not_wanted: list[Task] = []
        cancelled = Cancellations(
            sweep, submission=submission.number, points=list(submission.because)
        )
        running: list[LocalJob[Any]] = []
        folder = sweep.submission(submission.uuid) / "submitit"
        starter = _starter(folder)
        limit = processes.at_once(submission, workers)
        told = False
        problem: Exception | None = None
        with _catching_interrupt() as stop:
            while running or (waiting and not stop.is_set()):
                while waiting and len(running) < limit and not stop.is_set():
                    task = waiting.pop(0)
                    if cancelled.hit_all(point.point_id for point in task.points):
                        not_wanted.append(task)
                        continue
                    try:
                        running.append(_start(starter, sweep, submission, task))
                    except (
                        Exception
                    ) as error:  # whatever it is, workers are running that nobody else waits for
                        problem = error
                        stop.set()
                if stop.is_set():
                    if not told:
                        log.warning("Stopping: every fit goes on to its next checkpoint …")
                        told = True
                    _ask_to_stop(running)
                time.sleep(_POLL_S)
                running = [job for job in running if not _ended(job, folder)]
                tick()
        with contextlib.suppress(OSError):
            folder.rmdir()
        if problem is not None:
            raise problem
        not_begun = sorted(task.number for task in (*waiting, *not_wanted))
        return Sent(stopped=stop.is_set(), not_begun=tuple(not_begun))

    def slots(self) -> int:
        return processes.cpus()

    def max_array_size(self) -> int:
        return sys.maxsize

    def cluster(self) -> None:
        return None

    def look(
        self, tasks: Sequence[OpenTask], *, absent: Mapping[str, float], now: float
    ) -> Sighting:
        return processes.look(tasks, absent=absent, now=now)

    def cancel(self, tasks: Sequence[OpenTask], *, only_queued: bool) -> Told:
        return processes.cancel(tasks, only_queued=only_queued)


def _starter(folder: Path) -> Any:
    """Submitit's local executor, starting our command instead of unpickling a function.

    Imported here, because looking at tasks does not need it.
    """
    from submitit.local.local import LocalExecutor as SubmititLocal

    class _WorkerProcesses(SubmititLocal):
        command: str = ""

        @property
        def _submitit_command_str(self) -> str:
            return self.command

    starter = _WorkerProcesses(folder=folder)
    starter.update_parameters(timeout_min=_NO_TIME_LIMIT_MIN, stderr_to_stdout=True)
    return starter


def _start(starter: Any, sweep: SweepDir, submission: Submission, task: Task) -> LocalJob[Any]:
    starter.command = shlex.join(worker_command(sweep, submission, task.number))
    # A blocked signal stays blocked in a child: Ctrl-C in the terminal then reaches the driver alone.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        job: LocalJob[Any] = starter.submit(_nothing)
        return job
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _nothing() -> None:
    """What submitit pickles; never run."""


def _ask_to_stop(jobs: Sequence[LocalJob[Any]]) -> None:
    for job in jobs:
        if job._process is not None and job._process.poll() is None:
            job._process.send_signal(signal.SIGTERM)
    time.sleep(0.4)


def _ended(job: LocalJob[Any], folder: Path) -> bool:
    """Whether the job's process has ended; removes what submitit left of it, except output that says something."""
    if not job.done():
        return False
    with contextlib.suppress(OSError):
        job.paths.submitted_pickle.unlink(missing_ok=True)
        for log in folder.glob(f"{job.job_id}_*_log.*"):
            if log.stat().st_size == 0:
                log.unlink()
    return True


@contextlib.contextmanager
def _catching_interrupt() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event for as long as the driver runs."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def remember(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
