"""What a ledger says about the use of resources, read from real journals."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytau_hpc.collect import collect
from pytau_hpc.ledger.measured import Fits, Measurements, Success, measurements, of_study
from pytau_hpc.sweep.fit_class import Classifier
from pytau_hpc.sweep.journal import EventKind
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.sweep.state import Kind
from tests.builders import NOON, BuiltSweep, a_point, a_sweep

GIB = 2**30


@pytest.fixture
def sweep(study) -> BuiltSweep:
    """Six points of one class."""
    return a_sweep(study, [a_point(repeat=i) for i in range(6)])


def measured(sweep: BuiltSweep) -> Measurements:
    class_of = Classifier()
    with collect(sweep.dir, now=NOON + 1000) as collected:
        return measurements(collected.ledger, {p.point_id: class_of(p) for p in sweep.points})


def the_fits(sweep: BuiltSweep) -> Fits:
    [fits] = measured(sweep).fits.values()
    return fits


def test_only_the_first_fit_of_a_process_is_cold(sweep):
    """It pays for imports and compiling; the others of its run do not."""
    submission = sweep.submit(per_task=3)
    for task in (0, 1):
        with sweep.run(submission, task) as run:
            a, b, c = submission.tasks[task].points
            run.succeeds(a, elapsed_s=50).succeeds(b, elapsed_s=20).succeeds(c, elapsed_s=21)

    fits = the_fits(sweep)

    assert sorted((fit.elapsed_s, fit.warm) for fit in fits.successes) == [
        *[(20, True)] * 2,
        *[(21, True)] * 2,
        *[(50, False)] * 2,
    ]


def test_a_process_that_died_is_followed_by_a_cold_one(sweep):
    """What it had compiled is gone; a fit that raised leaves its process alive."""
    with sweep.run(sweep.submit(per_task=6)) as run:
        run.succeeds(sweep.points[0]).fails(sweep.points[1]).succeeds(sweep.points[2])
        run.fails(sweep.points[3], Kind.OUT_OF_MEMORY).succeeds(sweep.points[4])

    assert [fit.warm for fit in the_fits(sweep).successes] == [False, True, False]


def test_the_start_of_a_run_is_measured_to_the_end_of_its_first_fit(sweep):
    """From the run's first record: the start of the process is in it, too."""
    run = sweep.run(sweep.submit(per_task=6)).wait(12)
    run.succeeds(sweep.points[0], elapsed_s=50).succeeds(sweep.points[1]).ends()

    [start] = measured(sweep).starts

    assert (start.executor, start.wall_s, start.elapsed_s) == ("local", 62, 50)


def test_a_run_that_begins_with_a_failure_says_nothing_about_starts(sweep):
    """Nobody knows how much of it was the start."""
    with sweep.run(sweep.submit(per_task=6)) as run:
        run.fails(sweep.points[0]).succeeds(sweep.points[1])

    assert measured(sweep).starts == []


def test_a_resumed_fit_took_what_its_parts_took(sweep):
    """An hour before the interruption and ten minutes after are seventy minutes."""
    [point] = sweep.points[:1]
    first = sweep.submit([point])
    run = sweep.run(first).starts(point).wait(3600)
    told = {"elapsed_s": 3600.0, "cpu_s": 3500.0, "iteration": 900}
    run.journal.append(EventKind.POINT_INTERRUPTED, point=point.point_id, kind="preempted", **told)
    run.ends("preempted")
    again = sweep.submit([point], command="resume")
    with sweep.run(again, at=NOON + 5000) as run:
        run.succeeds(point, elapsed_s=600, cpu_s=500, resumed_from=900, max_rss_bytes=GIB)

    found = measured(sweep)

    [fits] = found.fits.values()
    assert fits.successes == [Success(4200, 4000, GIB, warm=False)]
    assert found.starts == []


@pytest.mark.usefixtures("fake_slurm")
def test_running_out_of_memory_proves_the_request_too_little_under_slurm(sweep):
    """Elsewhere nobody enforces the request: what the process had is what is known."""
    on_cluster = sweep.submit(sweep.points[:1], executor="slurm", resources=Resources(mem_gb=3.0))
    here = sweep.submit(sweep.points[1:2], resources=Resources(mem_gb=3.0))
    for submission in (on_cluster, here):
        with sweep.run(submission) as run:
            run.fails(submission.tasks[0].points[0], Kind.OUT_OF_MEMORY, max_rss_bytes=2 * GIB)

    bounds = {executor: fits for (_, executor), fits in measured(sweep).fits.items()}

    assert bounds["slurm"].too_little_bytes == [3 * GIB]
    assert bounds["local"].too_little_bytes == [2 * GIB]


def test_a_fit_that_reached_its_time_limit_is_a_lower_bound_until_it_succeeds(sweep):
    """It takes at least as long as it has taken so far."""
    submission = sweep.submit(sweep.points[:2], per_task=2)
    with sweep.run(submission) as run:
        run.fails(sweep.points[0], Kind.TIMEOUT, elapsed_s=500)
        run.fails(sweep.points[1], Kind.TIMEOUT, elapsed_s=700)
    with sweep.run(sweep.submit(sweep.points[1:2])) as run:
        run.succeeds(sweep.points[1], elapsed_s=900)

    fits = the_fits(sweep)

    assert fits.unfinished_s == [500]
    assert [fit.elapsed_s for fit in fits.successes] == [900]


def test_what_was_skipped_or_is_running_says_nothing(sweep):
    """Neither has used anything yet that could be compared."""
    run = sweep.run(sweep.submit(per_task=6))
    run.skips(sweep.points[0]).succeeds(sweep.points[1]).starts(sweep.points[2])

    found = measured(sweep)

    [fits] = found.fits.values()
    assert len(fits.successes) == 1
    assert len(found.starts) == 1


def test_a_study_is_all_of_its_sweeps_that_can_be_read(study, sweep):
    """One has no ledger, one a broken one, one nothing to tell; the plan of another must not fail for that."""
    sweep.succeed(sweep.submit(per_task=6))
    named: dict[str, Callable[[BuiltSweep], object]] = {
        "unread": lambda made: None,
        "silent": lambda made: collect(made.dir).ledger.close(),
        "broken": lambda made: made.dir.ledger.write_bytes(b"not a database" * 100),
        "of another version": lambda made: _with_schema(made, "0"),
    }
    for name, happens in named.items():
        happens(a_sweep(study, n=2, name=name))
    collect(sweep.dir).ledger.close()

    [found] = of_study(study)

    [fits] = found.fits.values()
    assert len(fits.successes) == 6
    assert of_study(study, but=sweep.dir.name) == []
    assert of_study(study / "nowhere") == []


def _with_schema(made: BuiltSweep, version: str) -> None:
    made.succeed(made.submit())
    with collect(made.dir) as collected:
        collected.ledger.set_meta("schema", version)


def test_reading_another_sweep_leaves_its_ledger_alone(study, sweep):
    """It may be somebody else's, and it may be in use."""
    sweep.succeed(sweep.submit(per_task=6))
    collect(sweep.dir).ledger.close()
    before = (sweep.dir.ledger.stat().st_mtime_ns, sorted(p.name for p in sweep.dir.path.iterdir()))

    of_study(study)

    after = (sweep.dir.ledger.stat().st_mtime_ns, sorted(p.name for p in sweep.dir.path.iterdir()))
    assert after == before


def test_points_of_other_plans_are_passed_over(study, sweep):
    """Their classes are not known here."""
    sweep.succeed(sweep.submit(per_task=6))
    collect(sweep.dir).ledger.close()
    sweep.plan_again(sweep.points[:2])

    [found] = of_study(study)

    [fits] = found.fits.values()
    assert len(fits.successes) == 2
