"""What state a point is in, decided by one pure function from what is known about it.

Callers fold journals into the small facts below (`ledger`), ask `state_of`, and show or choose accordingly. Whether a
point may run again is not a state but the verdict of `choose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Exactly one for every point; the order is the order in which tables show them."""

    SUCCEEDED = "succeeded"  #: a valid result exists; nothing can undo this
    RUNNING = "running"  #: an attempt has started, and nothing says that its run is gone
    QUEUED = "queued"  #: submitted; its task has not come to it yet
    PLANNED = (
        "planned"  #: never submitted, or given back untouched by a task that ended in good order
    )
    INTERRUPTED = "interrupted"  #: stopped in good order, with a checkpoint
    FAILED = "failed"  #: the last attempt ended with an error
    LOST = "lost"  #: the last attempt, or its whole task, vanished without a word
    CANCELLED = "cancelled"  #: by our own `cancel` command


class Kind(StrEnum):
    """Why an attempt did not succeed."""

    OUT_OF_MEMORY = "out_of_memory"  #: killed by the kernel or by SLURM for its memory
    TIMEOUT = "timeout"  #: the task's time limit
    PREEMPTED = "preempted"  #: the scheduler wanted the node for somebody else
    NODE = "node"  #: the node died, or cannot run anything
    KILLED = "killed"  #: by a signal whose sender is not known (scancel, Ctrl-C, kill)
    NEVER_STARTED = "never_started"  #: its task was gone before it came to this point
    EXCEPTION = "exception"  #: the fit raised, or crashed
    NON_FINITE = "non_finite"  #: the fit reached NaN or infinity
    BAD_INPUT = "bad_input"  #: the data are missing, changed or unusable
    NO_SPACE = "no_space"  #: disk or quota is full


#: Kinds that are the fit's own fault; the others are somebody else's, and are counted apart.
OWN_FAULT = frozenset(
    {Kind.OUT_OF_MEMORY, Kind.TIMEOUT, Kind.EXCEPTION, Kind.NON_FINITE, Kind.BAD_INPUT}
)


#: A process that is killed while it holds this much of the memory it asked for was killed for that.
NEARLY_ALL = 0.9


class Liveness(StrEnum):
    """Three-valued on purpose: unknown never changes a state."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """How an attempt ended, by its own last word."""

    SUCCEEDED = "succeeded"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    SKIPPED = (
        "skipped"  #: not needed: a result was there, or a newer run or submission has the point
    )


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """One execution of a task.

    `ended`: it said so itself; `stopped`: because it was told to, for another reason than its time limit. `gone`: found
    gone, for this reason. `signalled`: it said that it was told to stop, and why, as far as it could know. `restart`:
    how often the scheduler had requeued the task before.
    """

    number: int
    ended: bool = False
    stopped: bool = False
    gone: Kind | None = None
    signalled: Kind | None = None
    restart: int = 0

    @property
    def over(self) -> bool:
        return self.ended or self.gone is not None


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """The task that holds a point: its runs in order, whether it was found gone, whether the scheduler still has it.

    `waiting`: the scheduler has the task, now (it may be requeued after a run that ended). `given_back`: its sender
    stopped before it had begun. `scheduled`: it belongs to a scheduler, which may start it again.
    """

    runs: Sequence[RunFacts] = ()
    gone: Kind | None = None
    waiting: bool = False
    given_back: bool = False
    scheduled: bool = False
    time_limit_s: float | None = None

    @property
    def comes_again(self) -> bool:
        """Whether a further run may follow: the scheduler holds the task; or its newest run was stopped or vanished,
        and nobody has said yet that the task will not be requeued.
        """
        newest = self.runs[-1] if self.runs else None
        if self.gone is not None or (newest is not None and not newest.over):
            return False
        unknown = newest is not None and (newest.stopped or newest.gone is not None)
        return self.waiting or (self.scheduled and unknown)


@dataclass(frozen=True, kw_only=True)
class AttemptFacts:
    """One point in one run. `outcome` is None until the attempt says how it ended."""

    run: int
    outcome: Outcome | None = None
    kind: Kind | None = None


@dataclass(frozen=True, kw_only=True)
class PointState:
    """A state and, where an attempt did not succeed, why."""

    state: State
    kind: Kind | None = None


def state_of(
    *,
    has_result: bool = False,
    cancelled: bool = False,
    task: TaskFacts | None = None,
    attempts: Sequence[AttemptFacts] = (),
) -> PointState:
    """The state of one point. The first rule that fits decides.

    Parameters
    ----------
    has_result : a valid result exists, whoever made it
    cancelled : our `cancel` command gave the point up after its newest submission
    task : the task of the *newest* submission that holds the point; None where it was never submitted
    attempts : the attempts at this point within that task, oldest first
    """
    if has_result:
        return PointState(state=State.SUCCEEDED)
    if cancelled:
        return PointState(state=State.CANCELLED)
    if task is None:
        return PointState(state=State.PLANNED)

    newest = task.runs[-1] if task.runs else None
    comes_again = task.comes_again
    tried = [attempt for attempt in attempts if attempt.outcome is not Outcome.SKIPPED]
    if not tried:
        return _untouched(task, newest, comes_again)

    last = tried[-1]
    if last.outcome is Outcome.FAILED:
        return PointState(state=State.FAILED, kind=kind_of_end(task, last))
    if last.outcome is Outcome.SUCCEEDED:
        # It said that it succeeded, yet its result is not there: somebody removed the file. It has to run again.
        return PointState(state=State.PLANNED)

    # Interrupted, or without a last word: a newer run of the task, or the scheduler, may still come to it.
    assert newest is not None
    if last.outcome is None and last.run == newest.number and not newest.over:
        return PointState(state=State.RUNNING)
    if not newest.over or comes_again:
        return PointState(state=State.QUEUED)
    state = State.INTERRUPTED if last.outcome is Outcome.INTERRUPTED else State.LOST
    return PointState(state=state, kind=kind_of_end(task, last))


#: Reasons that a scheduler knows better than a worker, who sees only a signal.
_KNOWN_TO_SCHEDULER = frozenset({Kind.OUT_OF_MEMORY, Kind.TIMEOUT, Kind.PREEMPTED, Kind.NODE})


def kind_of_end(task: TaskFacts, attempt: AttemptFacts) -> Kind:
    """Why an attempt did not succeed: by its own last word and its run's, made precise by what the scheduler did.

    A worker that gets SIGTERM cannot know who sent it. A scheduler that requeues a task after that had preempted it
    (or was told to requeue it); after a run that had no time for any word, its node had died.
    """
    run = next((run for run in task.runs if run.number == attempt.run), None)
    said = attempt.kind
    if attempt.outcome is None:
        said = run.signalled if run is not None else None
    elif said is None:
        said = Kind.EXCEPTION if attempt.outcome is Outcome.FAILED else Kind.KILLED
    is_newest = run is None or run.number == task.runs[-1].number
    by_scheduler = (run.gone if run is not None else None) or (task.gone if is_newest else None)
    if said is None:
        requeued_silently = run is not None and by_scheduler is None and _was_requeued(task, run)
        return Kind.NODE if requeued_silently else by_scheduler or Kind.KILLED
    if said not in (Kind.KILLED, Kind.TIMEOUT, Kind.PREEMPTED):
        return said
    # What stopped in good order had memory, and a node: it was another fit of the run that ran out of memory.
    in_order = attempt.outcome is Outcome.INTERRUPTED
    contradicted = in_order and by_scheduler in (Kind.OUT_OF_MEMORY, Kind.NODE)
    if by_scheduler is not None and by_scheduler in _KNOWN_TO_SCHEDULER and not contradicted:
        return by_scheduler
    if attempt.outcome is not Outcome.FAILED and run is not None and _was_requeued(task, run):
        return Kind.PREEMPTED
    return said


def _was_requeued(task: TaskFacts, run: RunFacts) -> bool:
    return any(later.number > run.number and later.restart > run.restart for later in task.runs)


def _untouched(task: TaskFacts, newest: RunFacts | None, comes_again: bool) -> PointState:
    """The state of a point that its task has not come to."""
    if comes_again or (newest is not None and not newest.over):
        return PointState(state=State.QUEUED)
    if newest is None:
        if task.given_back:
            return PointState(state=State.PLANNED)
        if task.gone is None:
            return PointState(state=State.QUEUED)
        return PointState(state=State.LOST, kind=Kind.NEVER_STARTED)
    if newest.ended:
        return PointState(state=State.PLANNED)
    return PointState(state=State.LOST, kind=Kind.NEVER_STARTED)
