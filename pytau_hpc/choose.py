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
from pytau_hpc.sweep.resources import Resources
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
    State.CANCELLED: "leave: cancelled",
}


def choose(
    candidates: Iterable[Candidate],
    *,
    command: Command,
    resources: Resources,
    limits: RetryLimits,
) -> Choices:
    """Decide for every point whether it is sent now.

    Parameters
    ----------
    resources : what a point asks for that has no history of its own
    """
    return Choices(tuple(_choice(c, command, resources, limits) for c in candidates))


def _choice(
    candidate: Candidate, command: Command, resources: Resources, limits: RetryLimits
) -> Choice:
    def decided(send: bool, why: str, asks: Resources = resources, final: bool = False) -> Choice:
        return Choice(
            point_id=candidate.point_id,
            state=candidate.state,
            kind=candidate.kind,
            send=send,
            resources=asks,
            why=why,
            final=final,
        )

    if candidate.state is State.PLANNED:
        return decided(True, "new")
    if candidate.state in _LEFT:
        return decided(False, _LEFT[candidate.state], final=candidate.state is State.CANCELLED)

    kind = candidate.kind or Kind.KILLED
    retry = verdict(
        kind,
        asked=candidate.asked or resources,
        failures=candidate.failures,
        interruptions=candidate.interruptions,
        repeated_error=candidate.repeated_error,
        limits=limits,
    )
    if not retry.again:
        return decided(False, retry.why, final=True)
    if command is Command.SUBMIT:
        return decided(False, "left to `resume`")
    return decided(True, retry.why, retry.resources)
