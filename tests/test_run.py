"""What a run knows about itself: time, and whether it still counts."""

from __future__ import annotations

import time

import pytest

from pytau_hpc.run import Run, open_run
from pytau_hpc.sweep.resources import Resources
from tests.builders import a_sweep


@pytest.fixture
def a_run(study, monkeypatch: pytest.MonkeyPatch):
    """A run under SLURM whose time limit ends in so many seconds, counted from now."""

    def made(left_s: float, *, time_min: int = 60) -> Run:
        monkeypatch.setenv("PYTAU_HPC_JOB_BEGAN", str(int(time.time() + left_s - 60 * time_min)))
        sweep = a_sweep(study, n=1)
        submission = sweep.submit(executor="slurm", resources=Resources(time_min=time_min))
        array = submission.arrays[0]
        return open_run(sweep.dir, submission, array, array.tasks[0])

    return made


@pytest.mark.parametrize(
    ("left_s", "expected_s", "begins"),
    [
        (3600, 600, True),
        (600, 500, True),  # the margin of a minute is left, too
        (600, 5000, True),  # not to its end, but to some checkpoints
        (200, 5000, False),  # what it would compute is not worth its start
        (200, 100, True),
        (120, 100, False),
        (120, None, True),  # nothing is known: the first fit of a run is always begun
    ],
)
def test_a_fit_is_begun_if_it_can_end_or_come_to_a_checkpoint_worth_having(
    a_run, left_s, expected_s, begins
):
    assert a_run(left_s).has_time_for(expected_s) is begins


def test_without_a_time_limit_there_is_always_time(study):
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="local")
    array = submission.arrays[0]

    assert open_run(sweep.dir, submission, array, array.tasks[0]).has_time_for(1e9)


@pytest.mark.parametrize(("left_s", "up"), [(20, False), (10, True)])
def test_a_short_limit_has_a_short_margin(a_run, left_s, up):
    """A fifth of the limit, at most a minute."""
    assert a_run(left_s, time_min=1).time_is_up is up


# -- whether a point is somebody else's -------------------------------------------------------------------------------


def a_run_of(sweep, submission) -> Run:
    array = submission.arrays[0]
    return open_run(sweep.dir, submission, array, array.tasks[0])


def test_a_newer_submission_takes_its_points_away(study):
    """Those that it holds, and no others."""
    sweep = a_sweep(study, n=2)
    run = a_run_of(sweep, sweep.submit(per_task=2))
    assert not any(run.is_taken(point) for point in sweep.points)

    sweep.submit(sweep.points[1:], command="resume")

    assert [run.is_taken(point) for point in sweep.points] == [False, True]


def test_an_older_submission_takes_nothing_away(study):
    """Whenever it is seen first."""
    sweep = a_sweep(study, n=1)
    sweep.submit()

    run = a_run_of(sweep, sweep.submit(command="resume"))

    assert not run.is_taken(sweep.points[0])


@pytest.mark.parametrize("looked_before", [False, True])
def test_a_newer_submission_that_was_refused_takes_nothing_away(study, looked_before):
    """Also where it was refused only after this run had seen it."""
    sweep = a_sweep(study, n=1)
    run = a_run_of(sweep, sweep.submit())
    newer = sweep.submit(command="resume")
    if looked_before:
        assert run.is_taken(sweep.points[0])

    sweep.dir.refused_file(newer.uuid).write_text('{"format": 1, "at": 0}')

    assert not run.is_taken(sweep.points[0])


def test_a_submission_that_is_being_written_takes_nothing_away_yet(study):
    """Its folder is there before its file is."""
    sweep = a_sweep(study, n=1)
    run = a_run_of(sweep, sweep.submit())
    sweep.dir.submission("0123456789ab").mkdir()
    assert not run.is_taken(sweep.points[0])

    sweep.submit(command="resume")

    assert run.is_taken(sweep.points[0])
