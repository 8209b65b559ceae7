"""Which points of a task a run still begins, by how long those before took; what a fit does is for the test to say."""

from __future__ import annotations

import time

import pytest

from pytau_hpc.run import open_run
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.sweep.state import Kind
from pytau_hpc.worker import _fit_all
from tests.builders import a_point, a_sweep


@pytest.mark.parametrize(
    ("elapsed_s", "n_begun", "stop"),
    [(10.0, 3, None), (5000.0, 1, Kind.TIMEOUT)],
)
def test_a_fit_that_would_not_come_far_is_left_for_another_run(
    study, monkeypatch: pytest.MonkeyPatch, elapsed_s, n_begun, stop
):
    """Some two minutes are left to three fits alike: enough for short ones. Of long ones only the first is tried."""
    monkeypatch.setenv("PYTAU_HPC_JOB_BEGAN", str(int(time.time()) - 3600 + 200))
    sweep = a_sweep(study, [a_point(repeat=repeat) for repeat in range(3)])
    submission = sweep.submit(executor="slurm", per_task=3, resources=Resources(time_min=60))
    array = submission.arrays[0]
    run = open_run(sweep.dir, submission, array, array.tasks[0])
    begun = []

    def fit(point):
        begun.append(point)
        return {"end": "succeeded", "elapsed_s": elapsed_s}

    _fit_all(run, fit)

    assert begun == list(sweep.points[:n_begun])
    assert run.stop.kind is stop
