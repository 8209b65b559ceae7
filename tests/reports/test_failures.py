from __future__ import annotations

import pytest

from pytau_hpc.choose import Candidate, Command, choose
from pytau_hpc.collect import collect
from pytau_hpc.ledger import summary
from pytau_hpc.ledger.summary import Which
from pytau_hpc.reports import failures
from pytau_hpc.reports.format import plain
from pytau_hpc.retry import RetryLimits
from pytau_hpc.sweep.resources import Resources, RetrySettings
from pytau_hpc.sweep.state import Kind, State
from tests.builders import NOON, BuiltSweep, a_gone_process, a_sweep

LIMITS = RetryLimits()


def found(sweep: BuiltSweep, limits: RetryLimits = LIMITS) -> list[failures.Failure]:
    with collect(sweep.dir, now=NOON + 1000) as collected:
        rows = summary.point_rows(collected.ledger, Which(states=summary.UNSUCCESSFUL))
    return failures.failures(rows, limits)


def shown(sweep: BuiltSweep, width: int | None = 100, **how) -> str:
    return plain(failures.as_lines(found(sweep), of=len(sweep.points), width=width, **how))


@pytest.fixture
def sweep(study) -> BuiltSweep:
    """Six out of memory, two with one error and one with another, one preempted, one whose process died."""
    made = a_sweep(study, n=12)
    submission = made.submit(per_task=11, resources=Resources(mem_gb=3.0, time_min=60))
    with made.run(submission) as run:
        for point in made.points[:6]:
            run.fails(point, Kind.OUT_OF_MEMORY, max_rss_bytes=int(2.98 * 2**30))
        for point in made.points[6:8]:
            run.fails(
                point, message="dig_in_2 has 4 trials", log="sweeps/gc_states/logs/1/0.r1.log"
            )
        run.fails(made.points[8], error="KeyError", message="'tau'", frame="model.py:7 build")
        run.is_interrupted(made.points[9])
    made.run(submission, 1, process=a_gone_process()).starts(made.points[11])
    return made


def test_points_are_grouped_by_cause_the_largest_group_first(sweep):
    """Errors that are the same are one cause."""
    assert [(f.state, f.name, len(f.points)) for f in found(sweep)] == [
        (State.FAILED, "out of memory", 6),
        (State.FAILED, "ValueError", 2),
        (State.FAILED, "KeyError", 1),
        (State.LOST, "killed", 1),
        (State.INTERRUPTED, "preempted", 1),
    ]


def test_the_answer_is_what_resume_would_do(sweep):
    """`choose`, which resume calls, decides the same for every one of them."""
    for failure in found(sweep):
        for row, verdict in zip(failure.points, failure.verdicts, strict=True):
            candidate = Candidate(
                point_id=row["point_id"],
                state=State(row["state"]),
                kind=Kind(row["kind"]),
                failures=row["failures"],
                interruptions=row["interruptions"],
                repeated_error=bool(row["repeated_error"]),
                asked=Resources(mem_gb=3.0, time_min=60),
            )
            [choice] = choose(
                [candidate], command=Command.RESUME, resources=Resources(mem_gb=3.0), limits=LIMITS
            ).all
            assert (choice.send, choice.why) == (verdict.again, verdict.why)
            assert choice.resources == verdict.resources


def test_more_memory_is_shown_as_what_is_asked(sweep):
    """3 GiB were not enough; 4.5 are asked for."""
    assert "✗ out of memory · failed · 6 points · resume asks 4.50 GiB" in shown(sweep)
    assert "peak 2.98 GiB of 3.00 GiB" in shown(sweep)


def test_an_error_is_shown_once_with_its_place_and_its_log(sweep):
    """However many points raised it."""
    text = shown(sweep)

    assert text.count("ValueError: dig_in_2 has 4 trials") == 1
    assert text.count("load.py:88 load") == 1
    assert "log: sweeps/gc_states/logs/1/0.r1.log" in text


def test_on_a_terminal_a_large_group_names_a_few_points_and_the_rest_shortly(sweep):
    """Every line within the terminal."""
    text = shown(sweep, width=80)

    assert "  … 3 more: " in text
    assert max(map(len, text.splitlines())) <= 80


def test_piped_every_point_has_its_line(sweep):
    """For grep."""
    text = shown(sweep, width=None)

    assert " more: " not in text
    assert all(point.point_id[:8] in text for i, point in enumerate(sweep.points) if i != 10)


def test_the_headline_counts_states(sweep):
    """What there is, of how many."""
    assert shown(sweep).startswith("9 failed · 1 lost · 1 interrupted of 12 points")


def test_a_lost_task_is_not_blamed_on_an_older_error(study):
    """It never started, whatever its points raised before."""
    sweep = a_sweep(study, n=1)
    with sweep.run(sweep.submit()) as run:
        run.fails(sweep.points[0])
    sweep.submit(driver=a_gone_process())

    [failure] = found(sweep)

    assert (failure.state, failure.name, failure.error) == (State.LOST, "never started", None)


def test_nothing_failed_is_an_answer(study):
    """Not silence."""
    assert shown(a_sweep(study, n=2)) == "Nothing failed, of 2 points."


def test_a_point_that_has_used_up_its_tries_is_left(study):
    """The same error twice is final, and says so."""
    sweep = a_sweep(study, n=1)
    for _ in range(2):
        submission = sweep.submit()
        with sweep.run(submission) as run:
            run.fails(sweep.points[0])

    [failure] = found(sweep)

    assert failure.answer == "not again: the same error twice"
    assert failures.retry_json(failure.verdicts[0])["eligible"] is False


def test_different_answers_within_a_group_are_counted(study):
    """One of two points has had its tries already."""
    sweep = a_sweep(study, n=2)
    for points in (sweep.points[:1], sweep.points):
        submission = sweep.submit(points, per_task=2)
        with sweep.run(submission) as run:
            for point in points:
                run.fails(point, Kind.OUT_OF_MEMORY)

    [failure] = found(sweep, RetryLimits(failures=1))

    assert failure.answer == "1: not again: 2 failures; 1: resume asks 6.00 GiB"


def test_the_budgets_are_those_of_the_plan(study):
    """What the spec says under `retry`."""
    sweep = a_sweep(study, n=1, retry=RetrySettings(failures=5, interruptions=7, grace_s=60))

    limits = failures.limits_of(sweep.dir)

    assert (limits.failures, limits.interruptions) == (5, 7)


def test_a_profile_that_this_computer_does_not_have_costs_only_its_caps(study):
    """One can look at a cluster's sweep from anywhere."""
    sweep = a_sweep(study, n=1, profile="the-cluster-far-away")

    assert failures.limits_of(sweep.dir).max_mem_gb == RetryLimits().max_mem_gb
