"""What a point that did not succeed gets: another try or not, with which resources, from which budget.

A pure table: kind of failure → rule. `choose` asks it; nothing else decides about retries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pytau_hpc.sweep.resources import BUILT_IN_RETRY, Resources, RetrySettings
from pytau_hpc.sweep.state import Kind


class Budget(Enum):
    """What a retry is charged to."""

    FAILURES = "failures"  #: the fit's own fault
    INTERRUPTIONS = "interruptions"  #: somebody else's fault
    NONE = "none"  #: never tried again by itself


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How one kind of failure is answered."""

    budget: Budget
    more_memory: bool = False
    more_time: bool = False
    why: str


RULES: Mapping[Kind, Rule] = {
    # The same memory would die the same way.
    Kind.OUT_OF_MEMORY: Rule(
        budget=Budget.FAILURES, more_memory=True, why="again with more memory"
    ),
    # Goes on from the checkpoint, with more time so that it ends.
    Kind.TIMEOUT: Rule(
        budget=Budget.FAILURES, more_time=True, why="again with more time, from the checkpoint"
    ),
    Kind.PREEMPTED: Rule(budget=Budget.INTERRUPTIONS, why="again, from the checkpoint"),
    Kind.NODE: Rule(budget=Budget.INTERRUPTIONS, why="again, from the checkpoint"),
    Kind.KILLED: Rule(budget=Budget.INTERRUPTIONS, why="again, from the checkpoint"),
    Kind.NEVER_STARTED: Rule(budget=Budget.INTERRUPTIONS, why="again: it never ran"),
    # Tried once more because some are passing; the same again is final (see `verdict`).
    Kind.EXCEPTION: Rule(budget=Budget.FAILURES, why="once more; the same error again is final"),
    Kind.NON_FINITE: Rule(
        budget=Budget.NONE, why="not again: the same numbers lead to the same place"
    ),
    Kind.BAD_INPUT: Rule(budget=Budget.NONE, why="not again: the input has to change first"),
    # The disk may have been cleaned since; nothing about the fit was wrong.
    Kind.NO_SPACE: Rule(budget=Budget.INTERRUPTIONS, why="again: the disk was full"),
}


@dataclass(frozen=True, kw_only=True)
class RetryLimits:
    """How many more tries each budget allows, how requests grow, and how far."""

    failures: int = 2
    interruptions: int = 10
    mem_factor: float = 1.5
    time_factor: float = 1.5
    max_mem_gb: float = 128.0
    max_time_min: int = 2 * 24 * 60

    @classmethod
    def of(cls, settings: RetrySettings, caps: Mapping[str, Any]) -> RetryLimits:
        """The limits that settings (of spec and profile) and the caps of a profile make."""
        said = settings.over(BUILT_IN_RETRY).to_json()
        return cls(**{name: value for name, value in said.items() if name != "grace_s"}, **caps)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`again` with `resources`, or not; `why` in words for the person who asks."""

    again: bool
    resources: Resources
    why: str


def verdict(
    kind: Kind,
    *,
    asked: Resources,
    failures: int,
    interruptions: int,
    repeated_error: bool,
    limits: RetryLimits,
) -> Verdict:
    """Whether a point may run again after it ended with `kind`.

    Parameters
    ----------
    asked : what its last task asked for
    failures, interruptions : what the point was charged so far, this time included
    repeated_error : its last two failures were the same exception at the same place
    """
    rule = RULES[kind]
    if rule.budget is Budget.NONE:
        return Verdict(again=False, resources=asked, why=rule.why)
    if kind is Kind.EXCEPTION and repeated_error:
        return Verdict(again=False, resources=asked, why="not again: the same error twice")
    if rule.budget is Budget.FAILURES and failures > limits.failures:
        return Verdict(again=False, resources=asked, why=f"not again: {failures} failures")
    # A timeout that came before a fit had its time is charged to the other budget.
    may_interrupt = rule.budget is Budget.INTERRUPTIONS or kind is Kind.TIMEOUT
    if may_interrupt and interruptions > limits.interruptions:
        return Verdict(
            again=False, resources=asked, why=f"not again: {interruptions} interruptions"
        )
    mem_gb, time_min = asked.mem_gb, asked.time_min
    if rule.more_memory:
        mem_gb = min(mem_gb * limits.mem_factor, max(limits.max_mem_gb, mem_gb))
    if rule.more_time:
        # Rounded up: a factor near 1 must not leave a short limit as it was.
        grown_min = math.ceil(time_min * limits.time_factor)
        time_min = min(grown_min, max(limits.max_time_min, time_min))
    grown = Resources(cpus=asked.cpus, mem_gb=mem_gb, time_min=time_min)
    # More time than the profile allows is not to be had, but the checkpoint goes on; more memory would be needed.
    if grown == asked and rule.more_memory:
        return Verdict(
            again=False, resources=asked, why="not again: it had all that the profile allows"
        )
    return Verdict(again=True, resources=grown, why=rule.why)
