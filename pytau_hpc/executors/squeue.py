"""One squeue for all open arrays of a sweep, and what follows from its answer.

Silence is not an answer: only what a *successful* squeue shows, or has not shown for the whole grace period, changes
anything. States that we do not know count as alive.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytau_hpc.executors.base import Gone, OpenTask, Sighting
from pytau_hpc.sweep.process import ProcessIdentity, liveness_of
from pytau_hpc.sweep.state import NEARLY_ALL, Kind, Liveness
from pytau_hpc.sweep.submission import TaskKey

#: name, index, state, the job id of the array, nodes, reason
_FORMAT = "%j|%K|%T|%F|%N|%r"

#: Elements that were still pending when their array was cancelled have no lines of their own: SLURM shows one line
#: with the index ``N/A`` for all that are left.
REST = -1

#: A sender on another login node may be at a large submission for so long.
_ELSEWHERE_S = 600.0
#: A run that reached its time limit was warned before, and its last record is at most this much older.
_LAST_WORDS_S = 60.0
#: Clocks of machines differ, and SLURM may let a job run over its limit by some minutes.
_OVERDUE_S = 1800.0
#: What a run says that has left nothing to do for another one.
_NOT_AGAIN = ("done", "superseded")
#: States of a job that has no processes, and will have some (again).
_WAITING = frozenset(
    {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
)

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
    """One array element in squeue's answer: its state, why it waits, SLURM's id of it (``8123_4``), and its node."""

    state: str
    reason: str = ""
    job: str = ""
    node: str = ""

    @property
    def is_held(self) -> bool:
        """It will not start before somebody releases it."""
        return "held" in self.reason.lower() or self.state in ("REQUEUE_HOLD", "SPECIAL_EXIT")

    @property
    def words(self) -> str:
        """``PENDING (Priority)``"""
        return f"{self.state} ({self.reason})" if self.reason not in ("", "None") else self.state


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
        fields = line.split("|", 5)
        if len(fields) != 6:
            continue
        name, indexes, state, array, node, reason = (field.strip() for field in fields)
        for index in expand(indexes):
            before = seen.get((name, index))
            if (
                before is None
                or state not in KIND_OF_TERMINAL_STATE
                or before.state in KIND_OF_TERMINAL_STATE
            ):
                job = array if index == REST else f"{array}_{index}"
                seen[name, index] = Seen(state=state, reason=reason, job=job, node=node)
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
    here: Callable[[], str | None] = lambda: None,
) -> Sighting:
    """What a successful answer says about open tasks.

    Parameters
    ----------
    seen : what squeue shows; asked *after* the journals were read
    absent : ``"submission/task"`` → since when successful answers have not shown the task
    sender : whether the process that sent a task still lives: while it does, it may not have come to this task
    here : the name of the cluster that gave the answer; asked only where something is missing
    """
    here = functools.cache(here)
    waiting: set[TaskKey] = set()
    alive: set[TaskKey] = set()
    reasons: dict[TaskKey, str] = {}
    gone: list[Gone] = []
    held: list[Seen] = []
    elsewhere: list[str] = []
    still_absent: dict[str, float] = {}
    for task in tasks:
        if task.run_over and task.run_ended in _NOT_AGAIN:
            continue
        element = seen.get((task.job_name, task.element)) or seen.get((task.job_name, REST))
        unseen_run = element is not None and element.state == "COMPLETED" and not task.run_over
        if element is not None and element.state in KIND_OF_TERMINAL_STATE and not unseen_run:
            gone += _verdicts(task, KIND_OF_TERMINAL_STATE[element.state], element)
        elif element is not None and not unseen_run:
            alive.add(task.key)
            if task.run is not None and not task.run_over and element.state in _WAITING:
                # It had begun before squeue was asked, and is waiting again: without a last word, requeued.
                gone.append(
                    Gone(
                        submission=task.submission,
                        task=task.task,
                        run=task.run,
                        kind=_silent(task, Kind.NODE),
                        guessed=True,
                    )
                )
            if task.run is None or task.run_over or element.state in _WAITING:
                waiting.add(task.key)
                reasons[task.key] = element.words
            if element.is_held:
                held.append(element)
        elif (cluster := other_cluster(task, here)) is not None:
            elsewhere.append(cluster)
        elif not _can_be_missed(task, sender):
            continue
        else:
            # It is not there; or it ended in good order without our having seen its last word, which the file system
            # may show us later than SLURM.
            key = f"{task.submission}/{task.task}"
            # A run that has written something since was there. What it wrote in the future says nothing: its node's
            # clock is ahead of ours.
            written = task.run_last_seen_at or 0.0
            since = max(absent.get(key, now), written if written <= now else 0.0)
            still_absent[key] = min(since, now)
            if now - since >= _grace(task, sender):
                gone += _verdicts(task, _silent(task, Kind.KILLED), None)
            elif task.run_over:
                waiting.add(task.key)
    return Sighting(
        note="; ".join(filter(None, (_held_note(held), elsewhere_note(elsewhere, here)))) or None,
        waiting=frozenset(waiting),
        alive=frozenset(alive),
        reasons=reasons,
        gone=tuple(gone),
        absent=still_absent,
        reachable=True,
    )


def _held_note(held: Sequence[Seen]) -> str | None:
    if not held:
        return None
    jobs = " ".join(element.job for element in held[:5]) + (" …" if len(held) > 5 else "")
    why = held[0].reason or held[0].state
    return f"SLURM holds {len(held)} tasks ({why}) until you say:  scontrol release {jobs}"


def other_cluster(task: OpenTask, here: Callable[[], str | None]) -> str | None:
    """The cluster that a task was sent to, where that is another one than answers here; only asked where known."""
    return task.cluster if task.cluster and here() not in (None, task.cluster) else None


def elsewhere_note(clusters: Sequence[str], here: Callable[[], str | None]) -> str | None:
    """What to say about tasks that were sent to other clusters than the one that answers here."""
    if not clusters:
        return None
    names = ", ".join(sorted(set(clusters)))
    n = len(clusters)
    tasks = "1 task was" if n == 1 else f"{n} tasks were"
    return f"{tasks} sent to the cluster {names}, of which SLURM here ({here()}) knows nothing: ask there"


def overdue(tasks: Sequence[OpenTask], *, now: float) -> tuple[Gone, ...]:
    """Runs that cannot live any more even though nobody answers: their time limit is long past and they are silent."""
    return tuple(
        Gone(
            submission=task.submission,
            task=task.task,
            run=run,
            kind=_silent(task, Kind.KILLED),
            guessed=True,
        )
        for task in tasks
        if task.run is not None
        and not task.run_over
        and task.run_started_at is not None
        and now > task.run_started_at + task.time_limit_s + task.grace_s + _OVERDUE_S
        and now > (task.run_last_seen_at or 0.0) + task.grace_s + _OVERDUE_S
        for run in (task.run, None)
    )


def _verdicts(task: OpenTask, kind: Kind, element: Seen | None) -> list[Gone]:
    """The task will not come again; and its run, where that has not ended, is gone.

    Both are said at once: what is said must not depend on how often somebody looked.
    """
    if task.run is None:
        kind = Kind.NEVER_STARTED
    elif not task.run_over and kind is Kind.KILLED:
        kind = _silent(task, kind)
    certain = element is not None and element.state not in ("COMPLETED", "FAILED")
    guessed = not certain and kind is not Kind.NEVER_STARTED
    runs = [None] if task.run is None or task.run_over else [task.run, None]
    # A task that failed without a word of ours never got as far as its worker: a matter of the node, if of anything.
    failed = task.run is None and element is not None and element.state == "FAILED"
    node = element.node if element is not None and failed else ""
    return [
        Gone(
            submission=task.submission,
            task=task.task,
            run=run,
            kind=kind,
            guessed=guessed,
            node=node or None,
        )
        for run in runs
    ]


def _can_be_missed(task: OpenTask, sender: Callable[[ProcessIdentity], Liveness]) -> bool:
    """Whether its absence says anything: it was sent, by a user whose jobs squeue shows to us."""
    if not task.ours:
        return False
    return task.run is not None or task.is_sent or sender(task.driver) is not Liveness.ALIVE


def _grace(task: OpenTask, sender: Callable[[ProcessIdentity], Liveness]) -> float:
    """How long absence must last. Of a sender on another machine nobody here knows whether it is still sending."""
    if task.run is None and not task.is_sent and sender(task.driver) is Liveness.UNKNOWN:
        return max(task.grace_s, _ELSEWHERE_S)
    return task.grace_s


def _silent(task: OpenTask, otherwise: Kind) -> Kind:
    """Why a run without a last word is gone, as far as what it wrote before tells."""
    if task.run_rss_bytes and task.mem_bytes and task.run_rss_bytes >= NEARLY_ALL * task.mem_bytes:
        return Kind.OUT_OF_MEMORY
    if task.run_started_at is None or task.run_last_seen_at is None:
        return otherwise
    ran = task.run_last_seen_at - task.run_started_at
    return Kind.TIMEOUT if ran >= task.time_limit_s - _LAST_WORDS_S else otherwise
