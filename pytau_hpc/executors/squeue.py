"""One squeue for all open arrays of a sweep, and what follows from its answer.

Silence is not an answer: only what a *successful* squeue shows, or has not shown for the whole grace period, changes
anything. States that we do not know count as alive.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytau_hpc.executors.base import Gone, OpenTask, Sighting, TaskKey
from pytau_hpc.sweep.process import ProcessIdentity, liveness_of
from pytau_hpc.sweep.state import Kind, Liveness

_FORMAT = "%j|%K|%T|%r"

#: Elements that were still pending when their array was cancelled have no lines of their own: SLURM shows one line
#: with the index ``N/A`` for all that are left.
REST = -1

#: A sender on another login node may be at a large submission for so long.
_ELSEWHERE_S = 600.0
#: A run that reached its time limit was warned before, and its last record is at most this much older.
_LAST_WORDS_S = 180.0

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
    # And a person's own filters would hide jobs.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("SQUEUE_")}
    environment = {**inherited, "SLURM_BITSTR_LEN": "0"}
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
    sender: Callable[[ProcessIdentity], Liveness] = liveness_of,
) -> Sighting:
    """What a successful answer says about open tasks.

    Parameters
    ----------
    absent : ``"submission/task"`` → since when successful answers have not shown the task
    sender : whether the process that sent a task still lives: while it does, it may not have come to this task
    """
    waiting: set[TaskKey] = set()
    gone: list[Gone] = []
    still_absent: dict[str, float] = {}
    for task in tasks:
        if task.run_over and task.run_ended in ("done", "superseded"):
            continue
        element = seen.get((task.job_name, task.element)) or seen.get((task.job_name, REST))
        if element is not None and element.state in KIND_OF_TERMINAL_STATE:
            gone.append(_verdict(task, KIND_OF_TERMINAL_STATE[element.state]))
        elif element is not None:
            if task.run_over:
                waiting.add(task.key)
        elif not _can_be_missed(task, sender):
            continue
        else:
            key = f"{task.submission}/{task.task}"
            # A run that has written something since was there.
            since = max(absent.get(key, now), task.run_last_seen_at or 0.0)
            still_absent[key] = min(since, now)
            if now - since >= _grace(task, sender):
                gone.append(_verdict(task, _silent(task)))
            elif task.run_over:
                waiting.add(task.key)
    return Sighting(
        waiting=frozenset(waiting), gone=tuple(gone), absent=still_absent, reachable=True
    )


def _verdict(task: OpenTask, kind: Kind) -> Gone:
    """The run is gone; or, where it is over or there was none, the task: it will not come again."""
    if task.run is not None and not task.run_over:
        return Gone(submission=task.submission, task=task.task, run=task.run, kind=kind)
    never = Kind.NEVER_STARTED if task.run is None else kind
    return Gone(submission=task.submission, task=task.task, run=None, kind=never)


def _can_be_missed(task: OpenTask, sender: Callable[[ProcessIdentity], Liveness]) -> bool:
    """Whether its absence says anything: it was sent, and by a user whose jobs squeue shows to us."""
    if not task.ours:
        return False
    return task.run is not None or sender(task.driver) is not Liveness.ALIVE


def _grace(task: OpenTask, sender: Callable[[ProcessIdentity], Liveness]) -> float:
    """How long absence must last. Of a sender on another machine nobody here knows whether it is still sending."""
    if task.run is None and sender(task.driver) is Liveness.UNKNOWN:
        return max(task.grace_s, _ELSEWHERE_S)
    return task.grace_s


def _silent(task: OpenTask) -> Kind:
    """Why a task that SLURM has forgotten is gone, as far as its own last word tells."""
    if task.run is None:
        return Kind.NEVER_STARTED
    if task.run_started_at is None or task.run_last_seen_at is None:
        return Kind.KILLED
    ran = task.run_last_seen_at - task.run_started_at
    return Kind.TIMEOUT if ran >= task.time_limit_s - _LAST_WORDS_S else Kind.KILLED
