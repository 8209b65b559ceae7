"""What an executor has to be able to do, and what it can say about tasks.

The protocol is small on purpose: send a submission, and say which of its tasks and runs are alive or gone. States,
retries and results are none of its business.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pytau_hpc.sweep.process import ProcessIdentity
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind
from pytau_hpc.sweep.submission import Submission

TaskKey = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class OpenTask:
    """A task of which nothing says that it is over, as the ledger knows it.

    `run` is its newest run, None where none has started; `run_over`: that run has ended or was found gone;
    `run_ended`: what it said when it ended; `run_last_seen_at`: its newest record. `ours`: this user sent it.
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
    ours: bool = True

    @property
    def key(self) -> TaskKey:
        return (self.submission, self.task)


@dataclass(frozen=True, kw_only=True)
class Gone:
    """A verdict: this run of a task (or, None, the task) is gone, and why; without a kind, it was given back."""

    submission: str
    task: int
    run: int | None
    kind: Kind | None


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What an executor saw when it looked at open tasks.

    waiting : tasks that the scheduler holds and that will (again) run
    gone : verdicts that follow from what was seen
    absent : tasks that were not there, and since when; kept for the next look
    reachable : False where the scheduler did not answer, None where there is none to ask
    note : for the person, when something about the answer is worth saying
    """

    waiting: frozenset[TaskKey] = frozenset()
    gone: tuple[Gone, ...] = ()
    absent: Mapping[str, float] = field(default_factory=dict)
    reachable: bool | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What became of a submission. `stopped`: a person stopped it; `not_begun`: the tasks that had no turn then."""

    job_ids: Mapping[int, str] = field(default_factory=dict)
    stopped: bool = False
    not_begun: tuple[int, ...] = ()


class Executor(Protocol):
    """One way to run tasks."""

    name: str
    #: True where `send` returns only when the tasks have run.
    blocks: bool

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

    def look(
        self, tasks: Sequence[OpenTask], *, absent: Mapping[str, float], now: float
    ) -> Sighting:
        """Which open tasks are waiting, and which are gone. Silence is never taken for an answer."""
        ...


def worker_command(sweep: SweepDir, submission: str, task: int | str) -> list[str]:
    """The command that runs one task, with the Python that runs this."""
    return [sys.executable, "-m", "pytau_hpc", "worker", str(sweep.path), submission, str(task)]


def profile_value(submission: Submission, *keys: str) -> Any:
    """A value of the profile that the submission was made with, None where it says nothing."""
    value: Any = submission.profile
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
