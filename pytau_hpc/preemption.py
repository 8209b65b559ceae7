"""Was it a preemption? And giving a preempted task back to SLURM's queue. Called by `supervise` and `worker`.

Where the cluster does not send the user signal first, a preemption begins with the same SIGTERM as a scancel; only
SLURM knows which it is. And SLURM takes a job that ended in good order for done, preempted or not: so a task that was
preempted asks to be requeued itself. Where that cannot be (scontrol is not there, requeueing is not allowed), `resume`
sends what is left.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

from pytau_hpc.run import Run
from pytau_hpc.sweep.state import Kind

#: A cluster that preempts a task more often has no place for it; `resume` counts, and a person decides.
_MOST_REQUEUES = 10
#: SLURM kills some seconds after SIGTERM: longer is no use.
_ASK_TIMEOUT_S = 4.0


def learn_why(run: Run) -> None:
    """After a signal that may be a preemption: ask SLURM once whether it is, and stop for that reason if so.

    A time limit that is merely announced stops nothing yet: the supervisor watches the deadline itself. SLURM takes a
    moment to answer, so a fit is told to stop before this is called.
    """
    unclear = run.stop.kind is Kind.KILLED or (run.stop.warned and run.stop.kind is None)
    if not unclear or run.stop.was_asked_about or not run.is_under_slurm:
        return
    run.stop.was_asked_about = True
    preempted = is_being_preempted(_scontrol("show", "job", run.job, timeout_s=_ASK_TIMEOUT_S))
    if preempted is None and run.stop.kind is None:
        # No answer: the announcement of a time limit comes when that is near, any other is one of a preemption.
        preempted = not run.time_limit_is_announced
    if preempted:
        run.stop.kind = Kind.PREEMPTED
        run.say_that_it_stops()


def is_being_preempted(text: str | None) -> bool | None:
    """What ``scontrol show job`` shows of a preempted job: its state, or since when it is in its time of grace.

    None where it showed nothing.
    """
    if text is None:
        return None
    return bool(re.search(r"\bPreemptTime=\d|\bJobState=PREEMPTED\b", text))


def requeue_if_preempted(run: Run) -> bool:
    """Whether the task was requeued: it was preempted, and SLURM agreed."""
    if run.stop.kind is not Kind.PREEMPTED or not run.is_under_slurm:
        return False
    if int(os.environ.get("SLURM_RESTART_COUNT") or 0) >= _MOST_REQUEUES:
        return False
    return _scontrol("requeue", run.job, timeout_s=20.0) is not None


def _scontrol(*words: str, timeout_s: float) -> str | None:
    """What scontrol answers, None where it does not; why goes to the log of the job."""
    try:
        done = subprocess.run(
            ["scontrol", *words], capture_output=True, text=True, timeout=timeout_s
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"scontrol {words[0]}: {error}", file=sys.stderr)
        return None
    if done.returncode:
        print(f"scontrol {words[0]}: {done.stderr.strip()}", file=sys.stderr)
        return None
    return done.stdout
