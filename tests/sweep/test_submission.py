"""A submission on disk: everything comes back, and a worker reads only what is its own."""

from __future__ import annotations

import pytest

from pytau_hpc.sweep.submission import Submission, pack, read_point_ids, unpack
from tests.builders import a_submission, some_points


@pytest.fixture
def submission():
    return a_submission(some_points(10), per_task=3)


def test_a_submission_is_read_back_as_it_was(submission):
    assert Submission.from_text(submission.to_text()) == submission


def test_a_worker_gets_the_points_of_its_own_task(submission):
    for task in submission.tasks:
        read = Submission.from_text(submission.to_text(), only_task=task.number)

        assert read.tasks[task.number] == task
        assert sum(len(other.points) for other in read.tasks) == len(task.points)
        assert set(read.because) == {point.point_id for point in task.points}


def test_the_ids_are_read_without_the_points(submission, tmp_path):
    path = tmp_path / "submission.json"
    path.write_text(submission.to_text())

    number, ids = read_point_ids(path)

    assert number == submission.number
    assert ids == {point.point_id for task in submission.tasks for point in task.points}


def test_rows_are_packed_and_unpacked_whatever_their_columns_are():
    """A column that never changes, one that repeats, one that is different each time, one that is structured."""
    rows = [
        {"same": [1, {"a": None}], "few": i % 2, "each": f"x{i}", "nested": {"window": [i % 3, 4]}}
        for i in range(7)
    ]

    assert unpack(pack(rows)) == rows
    assert unpack(pack(rows), range(2, 5)) == rows[2:5]
    assert unpack(pack([])) == []
