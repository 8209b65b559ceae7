"""`choose` and the retry rules: who runs again, with what, and why."""

from __future__ import annotations

import pytest

from pytau_hpc.choose import Candidate, Command, choose
from pytau_hpc.retry import RULES, Budget, RetryLimits
from pytau_hpc.sweep.resources import Request, Resources
from pytau_hpc.sweep.state import OWN_FAULT, Kind, State

ASKED = Resources(cpus=1, mem_gb=4.0, time_min=60)
LIMITS = RetryLimits()


def the_choice(command: Command = Command.RESUME, limits: RetryLimits = LIMITS, **known):
    candidate = Candidate(**{"point_id": "a" * 16, "asked": ASKED, **known})
    [choice] = choose([candidate], command=command, resources=ASKED, limits=limits).all
    return choice


def test_every_kind_of_failure_has_a_rule():
    assert set(RULES) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_a_retry_is_charged_to_the_budget_that_the_ledger_counts(kind):
    """What the ledger charges to the fit itself is what the rules charge to failures, or never try again."""
    assert (RULES[kind].budget is Budget.INTERRUPTIONS) == (kind not in OWN_FAULT)


def test_errors_sends_what_is_final():
    """The person has mended the cause and says so."""
    final = {"state": State.FAILED, "kind": Kind.BAD_INPUT, "failures": 5}
    [choice] = choose(
        [Candidate(point_id="a" * 16, asked=ASKED, **final)],
        command=Command.RESUME,
        resources=ASKED,
        limits=LIMITS,
        errors=True,
    ).all

    assert choice.send


def test_what_the_command_line_asks_for_is_stronger_than_history():
    [choice] = choose(
        [
            Candidate(
                point_id="a" * 16,
                asked=ASKED,
                state=State.LOST,
                kind=Kind.OUT_OF_MEMORY,
                failures=1,
            )
        ],
        command=Command.RESUME,
        resources=ASKED,
        limits=LIMITS,
        overrule=Request(mem_gb=16),
    ).all

    assert (choice.resources.mem_gb, choice.resources.time_min) == (16, 60)


@pytest.mark.parametrize("command", Command)
def test_planned_points_are_sent_by_both_commands(command):
    assert the_choice(command, state=State.PLANNED).send


@pytest.mark.parametrize("command", Command)
@pytest.mark.parametrize("state", [State.SUCCEEDED, State.QUEUED, State.RUNNING, State.CANCELLED])
def test_what_is_done_or_under_way_is_left_alone(command, state):
    assert not the_choice(command, state=state).send


def test_submit_leaves_failures_to_resume():
    choice = the_choice(Command.SUBMIT, state=State.FAILED, kind=Kind.EXCEPTION, failures=1)

    assert not choice.send
    assert not choice.final


def test_out_of_memory_asks_for_half_as_much_again():
    choice = the_choice(state=State.FAILED, kind=Kind.OUT_OF_MEMORY, failures=1)

    assert choice.send
    assert choice.resources.mem_gb == pytest.approx(6.0)
    assert choice.resources.time_min == ASKED.time_min


def test_a_timeout_asks_for_more_time_only():
    choice = the_choice(state=State.INTERRUPTED, kind=Kind.TIMEOUT, failures=1)

    assert (choice.resources.mem_gb, choice.resources.time_min) == (4.0, 90)


def test_what_the_profile_allows_is_the_most_that_is_asked_for():
    limits = RetryLimits(max_mem_gb=5.0)

    grown = the_choice(state=State.LOST, kind=Kind.OUT_OF_MEMORY, failures=1, limits=limits)
    again = the_choice(
        state=State.LOST,
        kind=Kind.OUT_OF_MEMORY,
        failures=2,
        limits=limits,
        asked=Resources(mem_gb=5.0),
    )

    assert grown.resources.mem_gb == 5.0
    assert not again.send
    assert again.final


def test_the_same_exception_twice_is_final():
    once = the_choice(state=State.FAILED, kind=Kind.EXCEPTION, failures=1)
    twice = the_choice(state=State.FAILED, kind=Kind.EXCEPTION, failures=2, repeated_error=True)

    assert once.send
    assert not twice.send
    assert twice.final


@pytest.mark.parametrize(
    "kind", [kind for kind in Kind if RULES[kind].budget is Budget.INTERRUPTIONS]
)
def test_interruptions_have_a_budget_of_their_own(kind):
    """Somebody else's fault does not use up the tries for the fit's own."""
    assert the_choice(state=State.LOST, kind=kind, failures=9, interruptions=10).send
    assert not the_choice(state=State.LOST, kind=kind, failures=0, interruptions=11).send


@pytest.mark.parametrize("kind", [Kind.BAD_INPUT, Kind.NON_FINITE])
def test_what_cannot_get_better_by_itself_is_never_tried_again(kind):
    choice = the_choice(state=State.FAILED, kind=kind, failures=1)

    assert not choice.send
    assert choice.final


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING])
def test_lost_sends_what_nobody_has_seen_and_leaves_what_was_seen(state):
    """A person overrules unknown, never alive."""
    seen, unseen = (
        Candidate(point_id=name * 16, asked=ASKED, state=state, alive=name == "a") for name in "ab"
    )
    choices = choose(
        [seen, unseen], command=Command.RESUME, resources=ASKED, limits=LIMITS, lost=True
    )

    assert [choice.send for choice in choices.all] == [False, True]


def test_what_was_cancelled_is_sent_only_when_asked_for():
    point = Candidate(point_id="a" * 16, asked=ASKED, state=State.CANCELLED)

    for asked_for in (False, True):
        [choice] = choose(
            [point],
            command=Command.RESUME,
            resources=ASKED,
            limits=LIMITS,
            cancelled=asked_for,
        ).all
        assert choice.send is asked_for


def test_factors_of_the_spec_say_how_requests_grow():
    limits = RetryLimits(mem_factor=2.0, time_factor=1.1, max_mem_gb=1000, max_time_min=10_000)

    memory = the_choice(limits=limits, state=State.FAILED, kind=Kind.OUT_OF_MEMORY, failures=1)
    time = the_choice(limits=limits, state=State.INTERRUPTED, kind=Kind.TIMEOUT, failures=1)

    assert memory.resources.mem_gb == 8.0
    assert time.resources.time_min == 66


def test_a_point_that_was_given_back_keeps_what_its_failures_taught():
    """Its retry came to a task that had no time left for it."""
    grown = Resources(cpus=1, mem_gb=6.0, time_min=60)

    again = the_choice(state=State.PLANNED, asked=grown, failures=1)
    fresh = the_choice(state=State.PLANNED, asked=grown, failures=0)

    assert (again.resources.mem_gb, fresh.resources.mem_gb) == (6.0, 4.0)
