"""What a worker learns from the files of `cancel`."""

from __future__ import annotations

import pytest

from pytau_hpc.errors import PytauHpcError
from pytau_hpc.sweep.cancellation import Cancellation, Cancellations, write
from tests.builders import NOON, a_sweep


def a_cancellation(*points: str, after: int = 1, **more) -> Cancellation:
    return Cancellation(at=NOON, after=after, points=points, **more)


@pytest.fixture
def sweep(study):
    return a_sweep(study).dir


def test_a_cancellation_is_read_as_it_was_written(sweep):
    cancellation = a_cancellation("a", "b", only_queued=True)

    assert Cancellation.read(write(sweep, cancellation)) == cancellation


def test_each_cancellation_is_a_file_of_its_own(sweep):
    """Written once, never replaced."""
    paths = [write(sweep, a_cancellation(point)) for point in "abc"]

    assert [path.name for path in paths] == ["000000.json", "000001.json", "000002.json"]
    assert [Cancellation.read(path).points for path in paths] == [("a",), ("b",), ("c",)]


def test_a_cancellation_is_seen_as_soon_as_it_is_there(sweep):
    """A run that has asked before asks again."""
    cancelled = Cancellations(sweep, submission=1, points=["a", "b"])
    assert not cancelled.hit("a")

    write(sweep, a_cancellation("a"))

    assert cancelled.hit("a")
    assert cancelled.hit("a", begun=True)
    assert not cancelled.hit("b")


def test_a_submission_that_came_after_a_cancellation_is_not_meant(sweep):
    """`resume --cancelled` sends the point again, and that counts."""
    write(sweep, a_cancellation("a", after=3))

    hit = [Cancellations(sweep, submission=n, points=["a"]).hit("a") for n in (2, 3, 4)]

    assert hit == [True, True, False]


def test_where_only_queued_points_were_given_up_a_fit_that_has_begun_goes_on(sweep):
    """It may have begun between the look at it and the file."""
    write(sweep, a_cancellation("a", only_queued=True))
    cancelled = Cancellations(sweep, submission=1, points=["a"])

    assert cancelled.hit("a")
    assert not cancelled.hit("a", begun=True)


def test_a_task_has_nothing_to_begin_when_all_of_its_points_were_given_up(sweep):
    write(sweep, a_cancellation("a"))
    write(sweep, a_cancellation("b", only_queued=True))
    cancelled = Cancellations(sweep, submission=1, points=["a", "b", "c"])

    assert cancelled.hit_all(["a", "b"])
    assert not cancelled.hit_all(["a", "b", "c"])


def test_a_file_that_is_still_being_written_is_not_read(sweep):
    """Publication gives it its name when it is whole."""
    sweep.cancelled.mkdir()
    (sweep.cancelled / ".000000.json.login.1.ab.tmp").write_text('{"format"')

    assert not Cancellations(sweep, submission=1, points=["a"]).hit("a")


def test_a_file_of_another_format_is_refused(sweep):
    path = write(sweep, a_cancellation("a"))
    path.write_text(path.read_text().replace('"format": 1', '"format": 7'))

    with pytest.raises(PytauHpcError, match="format 7"):
        Cancellation.read(path)
