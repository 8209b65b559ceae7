"""`prepare`: what limits, profiles and earlier submissions make of what was chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytau_hpc.choose import Command
from pytau_hpc.executors.profile import find_profile
from pytau_hpc.prepare import Order, first_tasks, prepare
from pytau_hpc.sweep.resources import Request
from pytau_hpc.sweep.state import Kind
from tests.builders import NOON, a_far_process, a_point, a_submission, a_sweep, some_points


@pytest.fixture
def profile(tmp_path):
    """A profile for a cluster, made of some lines of YAML."""

    def made(text: str):
        path = tmp_path / "cluster.yaml"
        path.write_text(f"executor: slurm\n{text}")
        return find_profile(str(path))

    return made


@pytest.fixture(autouse=True)
def empty_queue(fake_slurm) -> None:
    """squeue shows nothing, whatever cluster there is here."""


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


# -- what was measured, and what failures taught ----------------------------------------------------------------------


def resumed(sweep, profile):
    """What each point that `resume` sends asks for, in GiB and minutes, by id."""
    order = replace(the_order(profile("")), command=Command.RESUME)
    prepared = prepare(sweep.dir, order, now=NOON + 7200)
    return {
        choice.point_id: (choice.resources.mem_gb, choice.resources.time_min)
        for choice in prepared.choices.sent
    }


@pytest.fixture
def many_of_a_class(study):
    """40 fits of one class that each needed half a GiB and a minute; another two are not done."""
    sweep = a_sweep(study, [a_point(repeat=repeat) for repeat in range(42)])
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    sweep.succeed(submission, range(40), max_rss_bytes=2**29, elapsed_s=60.0)
    return sweep, submission


def test_what_was_measured_decides_where_nothing_failed(many_of_a_class, profile):
    """Less than the 4 GiB and the hour that nobody has asked for."""
    sweep, submission = many_of_a_class
    for task in (40, 41):
        with sweep.run(submission, task) as run:
            run.is_interrupted(sweep.points[task], kind=Kind.NODE)

    asked = resumed(sweep, profile)

    assert set(asked.values()) == {(1.0, 10)}
    assert set(asked) == {point.point_id for point in sweep.points[40:]}


def test_averages_do_not_lower_what_a_failure_taught(many_of_a_class, profile):
    """The 40 others were content with half a GiB and a minute; these two were not, with eight times that."""
    sweep, submission = many_of_a_class
    hungry, slow = sweep.points[40:]
    with sweep.run(submission, 40) as run:
        run.fails(hungry, kind=Kind.OUT_OF_MEMORY)
    with sweep.run(submission, 41) as run:
        run.fails(slow, kind=Kind.TIMEOUT, elapsed_s=3590.0)

    asked = resumed(sweep, profile)

    assert asked == {hungry.point_id: (6.0, 60), slow.point_id: (4.0, 90)}
