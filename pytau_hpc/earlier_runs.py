"""What the journals of a task's earlier runs say to one that is about to begin. Called by `worker`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from pytau_hpc.sweep.journal import EventKind, read_from
from pytau_hpc.sweep.process import ProcessIdentity, liveness_of
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Liveness
from pytau_hpc.sweep.submission import Submission


def running_already(sweep: SweepDir, submission: Submission, task: int) -> int | None:
    """The pid of a run of this task that is alive on this machine; None where none is known to be.

    Only where a person starts the tasks (a list of commands that was run twice at once). A scheduler starts a task
    again when it has given up the run before, and then the newer run is the one that counts.
    """
    if submission.executor != "gnu_parallel":
        return None
    for number in reversed(list(_runs(sweep, submission.uuid, task))):
        process = _process_of(sweep, submission.uuid, task, number)
        if process is not None and liveness_of(process) is Liveness.ALIVE:
            return process.pid
    return None


def _runs(sweep: SweepDir, uuid: str, task: int) -> Iterator[int]:
    numbers = itertools.count(1)
    return itertools.takewhile(lambda run: sweep.journal(uuid, task, run).exists(), numbers)


def _process_of(sweep: SweepDir, uuid: str, task: int, run: int) -> ProcessIdentity | None:
    """Who wrote the journal of a run; None where it has ended, or has not said so yet."""
    events = read_from(sweep.journal(uuid, task, run), 0).events
    if not events or events[-1].kind is EventKind.RUN_ENDED:
        return None
    said = events[0].payload
    if events[0].kind is not EventKind.RUN_STARTED:
        return None
    return ProcessIdentity(
        host=said["process_host"],
        boot_id=said["boot_id"],
        pid=said["pid"],
        started=said["process_started"],
    )
