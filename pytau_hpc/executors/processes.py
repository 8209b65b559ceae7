"""Liveness of tasks that run as processes of some machine, without a scheduler (local, inline, gnu_parallel)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytau_hpc.executors.base import Gone, OpenTask, Sighting
from pytau_hpc.sweep.process import liveness_of
from pytau_hpc.sweep.state import Kind, Liveness


def look(tasks: Sequence[OpenTask], *, absent: Mapping[str, float], now: float) -> Sighting:
    """A run is gone when its process is; a task that never ran is gone when the process that would start it is.

    Processes of another machine are unknown, and unknown changes nothing.
    """
    gone = []
    for task in tasks:
        if task.run is None:
            if liveness_of(task.driver) is Liveness.GONE:
                gone.append(
                    Gone(
                        submission=task.submission,
                        task=task.task,
                        run=None,
                        kind=Kind.NEVER_STARTED,
                    )
                )
        elif (
            not task.run_over
            and task.run_process is not None
            and liveness_of(task.run_process) is Liveness.GONE
        ):
            gone.append(
                Gone(submission=task.submission, task=task.task, run=task.run, kind=Kind.KILLED)
            )
    return Sighting(gone=tuple(gone))
