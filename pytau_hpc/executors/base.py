"""What an executor has to be able to do, and what it can say about tasks.

The protocol is small on purpose: send a submission, and say which of its tasks and runs are alive or gone. States,
retries and results are none of its business.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pytau_hpc.errors import PytauHpcError
from pytau_hpc.sweep.process import ProcessIdentity
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind
from pytau_hpc.sweep.submission import Submission, TaskKey


@dataclass(frozen=True, kw_only=True)
class OpenTask:
    """A task of which nothing says that it is over, as the ledger knows it.

    `run` is its newest run, None where none has started; `run_over`: that run has ended or was found gone;
    `run_ended`: what it said when it ended; `run_last_seen_at`: its newest record; `run_rss_bytes`: the most memory
    that the fit it had begun was seen with; `run_restart`: how often the task had been requeued before.
    `ours`: this user sent it; `sent_at`: when, by the sender's clock; `is_sent`: its sender is through with sending;
    `cluster`: to which one. `logs`: the folder of the submission's logs.
    """

    submission: str
    task: int
    array: int
    element: int
    job_name: str
    driver: ProcessIdentity
    grace_s: float
    time_limit_s: float
    run: int | None = None
    run_over: bool = False
    run_ended: str | None = None
    run_process: ProcessIdentity | None = None
    run_started_at: float | None = None
    run_last_seen_at: float | None = None
    run_rss_bytes: int | None = None
    run_restart: int = 0
    mem_bytes: int | None = None
    sent_at: float | None = None
    is_sent: bool = False
    cluster: str | None = None
    logs: Path | None = None
    ours: bool = True

    @property
    def key(self) -> TaskKey:
        return (self.submission, self.task)


@dataclass(frozen=True, kw_only=True)
class Gone:
    """A verdict: this run of a task (or, None, the task) is gone, and why; without a kind, it was given back.

    `guessed`: that it is gone is certain, why is not. `node`: where it failed before it could write anything.
    """

    submission: str
    task: int
    run: int | None
    kind: Kind | None
    guessed: bool = False
    node: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What an executor saw when it looked at open tasks.

    waiting : tasks that the scheduler holds and that will (again) run
    alive : tasks that were seen: held by a scheduler, or running
    reasons : why tasks wait, in the scheduler's words
    gone : verdicts that follow from what was seen
    absent : tasks that were not there, and since when; kept for the next look
    reachable : False where the scheduler did not answer, None where there is none to ask
    note : for the person, when something about the answer is worth saying
    """

    waiting: frozenset[TaskKey] = frozenset()
    alive: frozenset[TaskKey] = frozenset()
    reasons: Mapping[TaskKey, str] = field(default_factory=dict)
    gone: tuple[Gone, ...] = ()
    absent: Mapping[str, float] = field(default_factory=dict)
    reachable: bool | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What became of a submission.

    job_ids : array → the scheduler's job ids of it, several with a space between
    stopped : a person stopped it
    not_begun : the tasks that had no turn, or that a scheduler did not take
    problem : why a scheduler did not take all of it
    job_list : commands that a person has to run; None where they run by themselves
    """

    job_ids: Mapping[int, str] = field(default_factory=dict)
    stopped: bool = False
    not_begun: tuple[int, ...] = ()
    problem: PytauHpcError | None = None
    job_list: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What an executor did about tasks that were given up.

    did : in words, one line each; nothing where none of them was there any more
    notes : what else a person should know: tasks that it cannot reach, which find out by themselves
    silence : why the scheduler could not be told, None where it was
    """

    did: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    silence: str | None = None


class Executor(Protocol):
    """One way to run tasks."""

    name: str
    #: True where `send` returns only when the tasks have run.
    blocks: bool
    #: True where tasks wait in a queue that others share: a place there costs time, and there may not be many.
    queues: bool

    def send(
        self,
        sweep: SweepDir,
        submission: Submission,
        *,
        workers: int | None,
        tick: Callable[[], None],
    ) -> Sent:
        """Start the tasks of a submission that is on disk already.

        Raises
        ------
        SubmitRefused : nothing was accepted and nothing will be; the scheduler's words are in the message
        """
        ...

    def slots(self) -> int:
        """How many tasks can run at once, where the profile does not say."""
        ...

    def max_array_size(self) -> int:
        """How many tasks can be sent together."""
        ...

    def cluster(self) -> str | None:
        """The name of the scheduler that tasks are sent to; None where there is none, or it does not say."""
        ...

    def look(
        self, tasks: Sequence[OpenTask], *, absent: Mapping[str, float], now: float
    ) -> Sighting:
        """Which open tasks are waiting, and which are gone. Silence is never taken for an answer."""
        ...

    def cancel(self, tasks: Sequence[OpenTask], *, only_queued: bool) -> Told:
        """Stop tasks of which nothing is wanted any more, as far as they still live; may be said again and again.

        Whoever is not told finds out before its next point, or at its next checkpoint.

        Parameters
        ----------
        only_queued : leave alone those that have begun
        """
        ...


@runtime_checkable
class LaysFiles(Protocol):
    """An executor that needs more beside a submission than the submission itself."""

    def files(
        self, sweep: SweepDir, submission: Submission, *, workers: int | None
    ) -> Mapping[str, str]:
        """Name and text of these files. They are written first: where the submission is, they are, too."""
        ...


def worker_command(sweep: SweepDir, submission: Submission, task: int | str) -> list[str]:
    """The command that runs one task: with the profile's Python, else with the one that runs this."""
    python = profile_value(submission, "python") or sys.executable
    place = (str(sweep.path), submission.uuid, str(task))
    return [str(python), "-m", "pytau_hpc", "worker", *place]


def profile_value(submission: Submission, *keys: str) -> Any:
    """A value of the profile that the submission was made with, None where it says nothing."""
    value: Any = submission.profile
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
