"""Tasks that run as processes, without a scheduler (local, inline, gnu_parallel): which live, and how to stop them."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence

from pytau_hpc.executors.base import Gone, OpenTask, Sighting, Told, profile_value
from pytau_hpc.sweep.process import liveness_of
from pytau_hpc.sweep.state import Kind, Liveness
from pytau_hpc.sweep.submission import Submission


def cpus() -> int:
    """CPUs of this machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def at_once(submission: Submission, workers: int | None) -> int:
    """How many tasks may run at once: what was asked for, else what the profile says, else what the CPUs hold."""
    asked = workers or profile_value(submission, "limits", "max_running_tasks")
    if asked:
        return int(asked)
    return max(1, cpus() // max(array.resources.cpus for array in submission.arrays))


def look(tasks: Sequence[OpenTask], *, absent: Mapping[str, float], now: float) -> Sighting:
    """A run is gone when its process is; a task that never ran is gone when the process that would start it is.

    Processes of another machine are unknown, and unknown changes nothing.
    """
    gone = []
    alive = set()
    for task in tasks:
        process = task.driver if task.run is None else task.run_process
        if process is not None and liveness_of(process) is Liveness.ALIVE and not task.run_over:
            alive.add(task.key)
        elif task.run is None:
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
    return Sighting(gone=tuple(gone), alive=frozenset(alive))


def cancel(tasks: Sequence[OpenTask], *, only_queued: bool) -> Told:
    """Ask the workers of this machine that run these tasks to stop; each fit goes on to its next checkpoint.

    Nobody is signalled who is not certainly the worker that wrote the journal: same boot, pid and start time. A task
    that has not begun finds out when it does.
    """
    if only_queued:
        return Told()
    asked = 0
    elsewhere, refused = set(), []
    for task in tasks:
        process = task.run_process
        if process is None or task.run_over:
            continue
        liveness = liveness_of(process)
        if liveness is Liveness.UNKNOWN:
            elsewhere.add(process.host)
        elif liveness is Liveness.ALIVE and process.pid != os.getpid():
            try:
                os.kill(process.pid, signal.SIGTERM)
                asked += 1
            except ProcessLookupError:
                continue
            except PermissionError:
                refused.append(process.pid)
    did = f"asked {asked} worker{'s' * (asked != 1)} on this computer to stop"
    late = "each fit there stops at its next checkpoint"
    notes = [f"workers on {host} cannot be told from here: {late}" for host in sorted(elsewhere)]
    notes += [f"worker {pid} is another user's: {late}" for pid in refused]
    return Told(did=(did,) if asked else (), notes=tuple(notes))
