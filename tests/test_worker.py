"""What a worker does with the points of its task; the process is this one, the files are real."""

from __future__ import annotations

import time

import pytest

from pytau_hpc.collect import collect
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.worker import run_task
from tests.builders import a_sweep

POINTS = "SELECT kind, interruptions, state FROM point ORDER BY position"


@pytest.fixture
def a_late_task(study, monkeypatch: pytest.MonkeyPatch):
    """Two points in one task, whose time limit of a minute was used up by what came before its worker."""
    monkeypatch.setenv("PYTAU_HPC_JOB_BEGAN", str(int(time.time() - 55)))
    sweep = a_sweep(study, n=2)
    submission = sweep.submit(executor="slurm", per_task=2, resources=Resources(time_min=1))
    return sweep, submission


def test_a_limit_that_is_too_short_to_begin_is_charged_to_the_point(a_late_task):
    """Otherwise nobody would ask for more time, and it would be sent for ever. The others had no turn."""
    sweep, submission = a_late_task

    run_task(sweep.dir, submission.uuid, 0, in_this_process=True)

    with collect(sweep.dir, ask=False) as collected:
        first, second = (tuple(row) for row in collected.ledger.connection.execute(POINTS))
    assert first == ("timeout", 1, "interrupted")
    assert second == (None, 0, "planned")
