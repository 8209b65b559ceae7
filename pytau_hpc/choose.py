"""Choose what to run now.

Pure: reads nothing, writes nothing. `submit`, `resume` and their `--dry-run` all call `choose`, so what is shown is
what is sent. Why an attempt failed is decided by the worker and `collect`; whether that may be tried again, in
`retry`; what state a point is in, in `sweep.state`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from pytau_hpc.retry import RetryLimits, verdict
from pytau_hpc.sweep.resources import Request, Resources
from pytau_hpc.sweep.state import Kind, State


class Command(Enum):
    """Which points a person asks for."""

    SUBMIT = "submit"  #: those that were never sent
    RESUME = "resume"  #: those too, and what the retry rules allow


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is known about one planned point, in the order of the manifest."""

    point_id: str
    state: State
    kind: Kind | None = None
    failures: int = 0
    interruptions: int = 0
    repeated_error: bool = False
    asked: Resources | None = None
    alive: bool = True  #: queued or running, and its task was seen, now


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One point and what happens to it. `send` is False for those that are left, `why` says why in both cases."""

    point_id: str
    state: State
    kind: Kind | None
    send: bool
    resources: Resources
    why: str
    final: bool = False  #: left, and no `resume` will send it by itself


@dataclass(frozen=True)
class Choices:
    """What to do with every planned point."""

    all: tuple[Choice, ...]

    @property
    def sent(self) -> list[Choice]:
        return [choice for choice in self.all if choice.send]

    @property
    def left(self) -> list[Choice]:
        return [choice for choice in self.all if not choice.send]


_LEFT = {
    State.SUCCEEDED: "keep",
    State.RUNNING: "leave alone: running",
    State.QUEUED: "leave alone: queued",
    State.CANCELLED: "leave: cancelled; --cancelled sends it again",
}
_UNSEEN = {
    State.RUNNING: "again, though nobody knows that its run is gone: --lost",
    State.QUEUED: "again, though nobody knows that its task will not run: --lost",
}


def choose(
    candidates: Iterable[Candidate],
    *,
    command: Command,
    resources: Resources,
    limits: RetryLimits,
    overrule: Request | None = None,
    errors: bool = False,
    lost: bool = False,
    cancelled: bool = False,
) -> Choices:
    """Decide for every point whether it is sent now.

    Parameters
    ----------
    resources : what a point asks for that has no history of its own
    overrule : what a person asks for on the command line; stronger than a point's history
    errors : send also what the retry rules call final: the person has mended the cause
    lost : send also what is queued or running without having been seen: the person knows that it is gone
    cancelled : send also what was cancelled
    """
    overrule = overrule or Request()

    def decide(candidate: Candidate) -> Choice:
        if lost and not candidate.alive and candidate.state in _UNSEEN:
            asks = resources.at_least(candidate.asked) if candidate.asked else resources
            return _sent(candidate, asks, overrule, _UNSEEN[candidate.state])
        if cancelled and candidate.state is State.CANCELLED:
            asks = resources.at_least(candidate.asked) if candidate.asked else resources
            return _sent(candidate, asks, overrule, "again, because --cancelled asks for it")
        return _choice(candidate, command, resources, limits, overrule, errors)

    return Choices(tuple(map(decide, candidates)))


def _sent(candidate: Candidate, asks: Resources, overrule: Request, why: str) -> Choice:
    return Choice(
        point_id=candidate.point_id,
        state=candidate.state,
        kind=candidate.kind,
        send=True,
        resources=overrule.over(Request.of(asks)).resources(),
        why=why,
    )


def _choice(
    candidate: Candidate,
    command: Command,
    resources: Resources,
    limits: RetryLimits,
    overrule: Request,
    errors: bool,
) -> Choice:
    def decided(send: bool, why: str, asks: Resources = resources, final: bool = False) -> Choice:
        return Choice(
            point_id=candidate.point_id,
            state=candidate.state,
            kind=candidate.kind,
            send=send,
            resources=overrule.over(Request.of(asks)).resources() if send else asks,
            why=why,
            final=final,
        )

    if candidate.state is State.PLANNED:
        # Given back by a task that had no time for it, after earlier tries: what those taught stays.
        grown = candidate.asked if candidate.failures else None
        return decided(True, "new", resources.at_least(grown) if grown else resources)
    if candidate.state in _LEFT:
        return decided(False, _LEFT[candidate.state], final=candidate.state is State.CANCELLED)

    kind = candidate.kind or Kind.KILLED
    # What it had, or what it would ask for now, whichever is more.
    asked = resources.at_least(candidate.asked) if candidate.asked else resources
    retry = verdict(
        kind,
        asked=asked,
        failures=candidate.failures,
        interruptions=candidate.interruptions,
        repeated_error=candidate.repeated_error,
        limits=limits,
    )
    if not retry.again:
        if errors and command is Command.RESUME:
            return decided(True, "again, because --errors asks for it", retry.resources)
        return decided(False, retry.why, final=True)
    if command is Command.SUBMIT:
        return decided(False, "left to `resume`")
    return decided(True, retry.why, retry.resources)
