"""What a sweep has used of what it asked for, by run."""

from __future__ import annotations

import pytest

from pytau_hpc.collect import collect
from pytau_hpc.ledger.used import Used, used_so_far
from pytau_hpc.sweep.journal import EventKind
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.sweep.state import Kind
from tests.builders import NOON, BuiltRun, BuiltSweep, a_gone_process, a_point, a_sweep

GIB = 2**30


@pytest.fixture
def sweep(study) -> BuiltSweep:
    return a_sweep(study, [a_point(repeat=i) for i in range(4)])


def used(sweep: BuiltSweep, now: float = NOON + 1000) -> Used:
    with collect(sweep.dir, now=now, ask=False) as collected:
        return used_so_far(collected.ledger, now)


def ends(run: BuiltRun, **what: float) -> None:
    """As a worker ends its journal."""
    run.journal.append(EventKind.RUN_ENDED, because="done", **what)
    run.journal.close()


def test_a_sweep_that_never_ran_has_used_nothing(sweep):
    """And of what it asked for nothing is known."""
    found = used(sweep)

    assert (found.cpu_s, found.elapsed_s, found.held_cpu_s) == (0, 0, 0)
    assert found.left_cpu_s is None
    assert (found.mem_fraction, found.cpu_fraction, found.time_fraction) == (None, None, None)


def test_a_run_is_held_to_what_it_said(sweep):
    """Ten minutes on two CPUs, of which the imports are a part; a quarter of its time; half of its memory at most."""
    asked = Resources(cpus=2, mem_gb=4.0, time_min=40)
    run = sweep.run(sweep.submit(per_task=4, executor="slurm", resources=asked))
    run.succeeds(sweep.points[0], max_rss_bytes=GIB)
    run.succeeds(sweep.points[1], max_rss_bytes=2 * GIB)
    ends(run, elapsed_s=600.0, cpu_s=900.0, max_rss_bytes=2 * GIB)

    found = used(sweep)

    assert found.held_cpu_s == 1200
    assert found.cpu_s == 108
    assert (found.mem_fraction, found.cpu_fraction, found.time_fraction) == (0.5, 0.75, 0.25)


def test_a_run_that_did_not_say_is_known_by_its_fits(sweep):
    """Its peak is the largest of theirs, its time that of its records."""
    asked = Resources(cpus=1, mem_gb=4.0, time_min=10)
    with sweep.run(sweep.submit(per_task=4, executor="slurm", resources=asked)) as run:
        run.succeeds(sweep.points[0], elapsed_s=100, cpu_s=80, max_rss_bytes=GIB)
        run.succeeds(sweep.points[1], elapsed_s=200, cpu_s=160, max_rss_bytes=3 * GIB).wait(60)

    found = used(sweep)

    assert found.held_cpu_s == 360
    assert (found.mem_fraction, found.time_fraction) == (0.75, 0.6)
    assert found.cpu_fraction == pytest.approx(0.8)


def test_a_run_that_died_counts_until_it_was_heard_of_last(sweep):
    """Its memory does, too; how long it would have taken, nobody knows."""
    asked = Resources(mem_gb=2.0)
    submission = sweep.submit(
        per_task=4, executor="local", resources=asked, driver=a_gone_process()
    )
    run = sweep.run(submission, process=a_gone_process()).starts(sweep.points[0]).wait(90)
    run.progresses(sweep.points[0], 5, 10, rss=GIB)
    with collect(sweep.dir, now=NOON + 5000) as collected:
        found = used_so_far(collected.ledger, NOON + 5000)

    assert found.held_cpu_s == 90
    assert found.mem_fraction == 0.5
    assert found.time_fraction is None


def test_what_was_sent_may_still_hold_the_rest_of_its_time(sweep):
    """One task done, one in its third minute of ten, two in the queue, two CPUs each."""
    asked = Resources(cpus=2, time_min=10)
    submission = sweep.submit(per_task=1, executor="slurm", resources=asked)
    sweep.succeed(submission, [0])
    sweep.run(submission, 1, at=NOON + 880).starts(sweep.points[1])

    found = used(sweep)

    assert found.left_cpu_s == 2 * (480 + 600 + 600)
    assert found.held_cpu_s == 2 * (60 + 120)


def test_nothing_is_left_where_nobody_ends_a_task_for_its_time(sweep):
    """On this computer a time limit is a note."""
    sweep.submit(executor="local")

    assert used(sweep).left_cpu_s is None


def test_fits_that_failed_have_used_something(sweep):
    """They cost as much."""
    with sweep.run(sweep.submit(per_task=4)) as run:
        run.fails(sweep.points[0], Kind.OUT_OF_MEMORY, elapsed_s=50, cpu_s=40)
        run.skips(sweep.points[1])

    found = used(sweep)

    assert (found.cpu_s, found.elapsed_s) == (40, 50)
