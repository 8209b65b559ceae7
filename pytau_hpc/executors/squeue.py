"""One squeue for all open arrays of a sweep, and what follows from its answer.

Silence is not an answer: only what a *successful* squeue shows, or has not shown for the whole grace period, changes
anything. States that we do not know count as alive.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytau_hpc.executors.base import Gone, OpenTask, Sighting, TaskKey
from pytau_hpc.sweep.state import Kind

_FORMAT = "%j|%K|%T|%r"

#: Elements that were still pending when their array was cancelled have no lines of their own: SLURM shows one line
#: with the index ``N/A`` for all that are left.
REST = -1

#: Terminal states of SLURM, and what they say about a run without a last word.
KIND_OF_TERMINAL_STATE: Mapping[str, Kind] = {
    "OUT_OF_MEMORY": Kind.OUT_OF_MEMORY,
    "TIMEOUT": Kind.TIMEOUT,
    "DEADLINE": Kind.TIMEOUT,
    "PREEMPTED": Kind.PREEMPTED,
    "NODE_FAIL": Kind.NODE,
    "BOOT_FAIL": Kind.NODE,
    # scancel, by anybody.
    "CANCELLED": Kind.KILLED,
    "REVOKED": Kind.KILLED,
    # The worker itself was killed, or could not start.
    "FAILED": Kind.KILLED,
    "COMPLETED": Kind.KILLED,
}


class NoAnswer(Exception):
    """squeue failed or took too long: nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One array element in squeue's answer."""

    state: str
    reason: str


def ask(job_names: Sequence[str], *, timeout_s: float = 20.0) -> dict[tuple[str, int], Seen]:
    """(job name, array index) → what squeue shows, terminal states included for as long as SLURM remembers them.

    Raises
    ------
    NoAnswer : squeue is not there, failed, or did not answer in time
    """
    command = [
        "squeue",
        "--noheader",
        "--array",
        "--states=all",
        f"--name={','.join(job_names)}",
        f"--format={_FORMAT}",
    ]
    # Without this, pending elements of a large array are shortened to a range.
    environment = {**os.environ, "SLURM_BITSTR_LEN": "0"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, env=environment, check=False
        )
    except FileNotFoundError:
        raise NoAnswer("no squeue on this machine") from None
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"squeue took longer than {timeout_s:.0f} s") from None
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise NoAnswer(words[-1] if words else f"squeue ended with {done.returncode}")
    return parse(done.stdout)


def parse(text: str) -> dict[tuple[str, int], Seen]:
    """Squeue's lines. Of several lines for one element (a requeue) a living one counts, else the last."""
    seen: dict[tuple[str, int], Seen] = {}
    for line in text.splitlines():
        fields = line.split("|", 3)
        if len(fields) != 4:
            continue
        name, indexes, state, reason = (field.strip() for field in fields)
        for index in expand(indexes):
            before = seen.get((name, index))
            if (
                before is None
                or state not in KIND_OF_TERMINAL_STATE
                or before.state in KIND_OF_TERMINAL_STATE
            ):
                seen[name, index] = Seen(state=state, reason=reason)
    return seen


def expand(indexes: str) -> list[int]:
    """Array indexes as squeue writes them: ``7``, ``[4-9%2]``, ``1,3-5``; ``N/A`` stands for the `REST`."""
    found: list[int] = []
    for part in indexes.strip("[]").split("%", 1)[0].split(","):
        first, _, last = part.partition("-")
        if not first.isdigit():
            return [REST]
        found.extend(range(int(first), int(last or first) + 1))
    return found


def judge(
    tasks: Sequence[OpenTask],
    seen: Mapping[tuple[str, int], Seen],
    *,
    absent: Mapping[str, float],
    now: float,
) -> Sighting:
    """What a successful answer says about open tasks.

    Parameters
    ----------
    absent : ``"submission/task"`` → since when successful answers have not shown the task
    """
    waiting: set[TaskKey] = set()
    gone: list[Gone] = []
    still_absent: dict[str, float] = {}
    for task in tasks:
        over_by_itself = task.run_over and task.run_ended in ("done", "superseded")
        if over_by_itself:
            continue
        element = seen.get((task.job_name, task.element)) or seen.get((task.job_name, REST))
        run = None if task.run is None else task.run
        if element is None:
            key = f"{task.submission}/{task.task}"
            since = still_absent[key] = absent.get(key, now)
            if now - since < task.grace_s:
                if task.run_over:
                    waiting.add(task.key)
            elif not task.run_over:
                gone.append(
                    Gone(
                        submission=task.submission, task=task.task, run=run, kind=_silent(task, now)
                    )
                )
        elif element.state in KIND_OF_TERMINAL_STATE:
            if not task.run_over:
                kind = (
                    KIND_OF_TERMINAL_STATE[element.state] if run is not None else Kind.NEVER_STARTED
                )
                gone.append(Gone(submission=task.submission, task=task.task, run=run, kind=kind))
        elif task.run_over:
            waiting.add(task.key)
    return Sighting(
        waiting=frozenset(waiting), gone=tuple(gone), absent=still_absent, reachable=True
    )


def _silent(task: OpenTask, now: float) -> Kind:
    """Why a task that SLURM has forgotten is gone, as far as its times tell."""
    if task.run is None:
        return Kind.NEVER_STARTED
    if task.run_started_at is not None and now - task.run_started_at >= task.time_limit_s:
        return Kind.TIMEOUT
    return Kind.KILLED
