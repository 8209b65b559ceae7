"""Run tasks one after another in this process: for tests, notebooks and debuggers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from pytau_hpc.executors import processes
from pytau_hpc.executors.base import OpenTask, Sent, Sighting, Told
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.submission import Submission

#: Set by the caller that may import the worker; an executor is below the verbs and cannot.
run_task: Callable[[SweepDir, str, int], None] | None = None


class InlineExecutor:
    """See the module."""

    name = "inline"
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
        assert run_task is not None, "submit() sets run_task"
        for task in submission.tasks:
            run_task(sweep, submission.uuid, task.number)
            tick()
        return Sent()

    def slots(self) -> int:
        return 1

    def max_array_size(self) -> int:
        return sys.maxsize

    def cluster(self) -> None:
        return None

    def look(
        self, tasks: Sequence[OpenTask], *, absent: Mapping[str, float], now: float
    ) -> Sighting:
        return processes.look(tasks, absent=absent, now=now)

    def cancel(self, tasks: Sequence[OpenTask], *, only_queued: bool) -> Told:
        # Its process is somebody's session, with more in it than fits: they find out by themselves.
        return Told()
