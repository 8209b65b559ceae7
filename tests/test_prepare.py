"""`prepare`: what limits, profiles and earlier submissions make of what was chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytau_hpc.choose import Command
from pytau_hpc.executors import squeue
from pytau_hpc.executors.profile import find_profile
from pytau_hpc.prepare import Order, first_tasks, prepare
from pytau_hpc.sweep.resources import Request
from tests.builders import NOON, a_far_process, a_submission, a_sweep, some_points


@pytest.fixture
def profile(tmp_path):
    """A profile for a cluster, made of some lines of YAML."""

    def made(text: str):
        path = tmp_path / "cluster.yaml"
        path.write_text(f"executor: slurm\n{text}")
        return find_profile(str(path))

    return made


@pytest.fixture(autouse=True)
def empty_queue(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(squeue, "ask", lambda names, timeout_s=20.0: {})


def the_order(profile, **asked) -> Order:
    return Order(
        command=Command.SUBMIT, profile=profile, request=Request(points_per_task=1), **asked
    )


def test_the_window_of_the_profile_leaves_the_rest_for_later(study, profile):
    """Six tasks, four may be in the queue, one of them already is."""
    sweep = a_sweep(study, n=6)
    sweep.submit(sweep.points[:1], executor="slurm", driver=a_far_process())

    prepared = prepare(
        sweep.dir, the_order(profile("limits: {max_submitted_tasks: 4}\n")), now=NOON
    )

    assert prepared.submission is not None
    sent = {task.points[0].point_id for task in prepared.submission.tasks}
    assert len(sent) == 3
    assert sent < {point.point_id for point in sweep.points[1:]}
    assert prepared.postponed == 2


def test_a_full_window_sends_nothing_and_says_so(study, profile):
    sweep = a_sweep(study, n=3)
    sweep.submit(sweep.points[:2], executor="slurm", driver=a_far_process())

    prepared = prepare(
        sweep.dir, the_order(profile("limits: {max_submitted_tasks: 2}\n")), now=NOON
    )

    assert (prepared.submission, prepared.postponed) == (None, 1)


def test_the_first_tasks_of_several_arrays_keep_their_numbers():
    one = a_submission(some_points(4), executor="slurm").arrays[0]
    two = replace(one, number=1, first=4)

    kept = first_tasks((one, two), 5)

    assert [(array.first, len(array.tasks)) for array in kept] == [(0, 4), (4, 1)]


def test_the_spec_says_more_about_tries_than_the_profile(study, profile):
    from pytau_hpc.sweep.resources import RetrySettings

    sweep = a_sweep(study, n=1, retry=RetrySettings(grace_s=5))
    cluster = profile("retry: {grace_s: 300, failures: 0}\n")

    prepared = prepare(sweep.dir, the_order(cluster), now=NOON)

    assert prepared.submission is not None
    assert prepared.submission.grace_s == 5
