from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pytau_hpc import follow as module
from pytau_hpc.errors import LockTimeout
from pytau_hpc.follow import Began, Over, Waiting, follow
from pytau_hpc.sweep.journal import Event
from pytau_hpc.sweep.state import Kind, State
from tests.builders import BuiltSweep, a_gone_process, a_sweep


class World:
    """What happens while somebody follows: one thing at each nap, which lasts as long as it has to."""

    def __init__(self, *happens: Callable[[], object]) -> None:
        self._happens: Iterator[Callable[[], object]] = iter(happens)
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        # Long enough that the state is looked at again each time.
        self.now += seconds + module.LOOK_EVERY_S
        happen = next(self._happens, None)
        assert happen is not None, "it goes on though nothing will happen any more"
        happen()

    def clock(self) -> float:
        return self.now


def heard(sweep: BuiltSweep, *happens: Callable[[], object]) -> list[str]:
    """What `follow` tells of the first point, in words."""
    world = World(*happens)
    told = follow(sweep.dir, sweep.points[0].point_id, sleep=world.sleep, clock=world.clock)
    return [words(one) for one in told]


def words(one: object) -> str:
    match one:
        case Began():
            return f"began run {one.entry.run}"
        case Waiting():
            return "waiting"
        case Over():
            return f"over: {one.seen.row['state']}"
        case Event():
            return one.kind.value
    assert isinstance(one, str)
    return one


def write(sweep: BuiltSweep, submission, text: str, run: int = 1) -> None:
    """Append to the log of a run of the first task."""
    folder = sweep.dir.logs_of(submission.uuid)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"0.r{run}.log").open("a") as file:
        file.write(text)


def mark(point) -> str:
    return f"── {point.point_id} {point.label} started 2026-11-22 12:00:00+00:00\n"


@pytest.fixture
def sweep(study) -> BuiltSweep:
    return a_sweep(study, n=2)


def test_a_point_is_followed_from_the_queue_to_its_end(sweep):
    """A journal and a log that are not there yet are waited for, and the last words of both are told."""
    submission = sweep.submit(per_task=2)
    point = sweep.points[0]
    runs = []

    told = heard(
        sweep,
        lambda: runs.append(sweep.run(submission)),
        lambda: runs[0].starts(point),
        lambda: write(sweep, submission, mark(point) + "a warning\n"),
        lambda: runs[0].progresses(point, 100, 200),
        lambda: (write(sweep, submission, "the last word"), runs[0].fails(point)),
    )

    assert told[:2] == ["waiting", "waiting"]
    assert told[2:] == [
        "began run 1",
        "point_started",
        "a warning",
        "progress",
        "the last word",
        "point_started",
        "point_failed",
        "over: failed",
    ]


def test_a_requeue_is_followed_into_its_new_run(sweep):
    """The first run was preempted; the scheduler (here: the next run) comes to the point again."""
    submission = sweep.submit()
    point = sweep.points[0]
    first = sweep.run(submission)
    write(sweep, submission, mark(point) + "of the first run\n")
    first.starts(point)
    second = []

    def preempted() -> None:
        first.is_interrupted(point)
        first.ends("preempted")
        second.append(sweep.run(submission, number=2))

    told = heard(
        sweep,
        preempted,
        lambda: second[0].starts(point),
        lambda: write(sweep, submission, mark(point) + "of the second run\n", run=2),
        lambda: second[0].succeeds(point),
    )

    assert told.count("began run 1") == told.count("began run 2") == 1
    assert told.index("of the first run") < told.index("point_interrupted")
    assert told.index("began run 2") < told.index("of the second run")
    assert told[-1] == "over: succeeded"


def test_other_points_of_the_task_are_not_followed(sweep):
    """Nor is anybody told that they are over."""
    submission = sweep.submit(per_task=2)
    point, other = sweep.points
    run = sweep.run(submission)
    run.starts(other)
    write(sweep, submission, mark(other) + "of the other\n")

    told = heard(
        sweep,
        lambda: run.succeeds(other),
        lambda: (run.starts(point), write(sweep, submission, mark(point) + "mine\n")),
        lambda: run.succeeds(point),
    )

    assert "of the other" not in told
    assert "mine" in told
    assert told.count("point_succeeded") == 1


def test_what_is_there_already_is_told_shortly(sweep):
    """Then line by line."""
    submission = sweep.submit()
    point = sweep.points[0]
    run = sweep.run(submission)
    run.starts(point)
    for done in range(50):
        run.progresses(point, done, 50)
    write(sweep, submission, mark(point) + "".join(f"line {i}\n" for i in range(100)))

    told = heard(
        sweep,
        lambda: write(sweep, submission, "".join(f"more {i}\n" for i in range(100))),
        lambda: run.succeeds(point),
    )

    assert sum(one.startswith("line ") for one in told) == module.LAST_LINES
    assert sum(one.startswith("more ") for one in told) == 100
    assert told.count("progress") == module.LAST_EVENTS


def test_a_run_that_dies_without_a_word_ends_it_too(sweep):
    """As soon as it is found dead."""
    submission = sweep.submit()
    sweep.run(submission, process=a_gone_process()).starts(sweep.points[0])

    assert heard(sweep) == ["began run 1", "point_started", "over: lost"]


def test_a_point_that_is_not_under_way_is_over_at_once(sweep):
    """With what it wrote."""
    submission = sweep.submit()
    with sweep.run(submission) as run:
        run.fails(sweep.points[0], Kind.BAD_INPUT)

    assert heard(sweep) == ["began run 1", "point_started", "point_failed", "over: failed"]


def test_a_ledger_that_somebody_else_holds_is_looked_at_later(sweep, monkeypatch):
    """Following is no reason to fail, and no reason to miss anything."""
    submission = sweep.submit()
    run = sweep.run(submission)
    run.starts(sweep.points[0])
    look, times = module.look, []

    def busy_once(*words, **options):
        times.append(1)
        if len(times) == 2:
            raise LockTimeout("another process is updating it")
        return look(*words, **options)

    monkeypatch.setattr(module, "look", busy_once)

    told = heard(sweep, lambda: None, lambda: None, lambda: run.succeeds(sweep.points[0]))

    assert told[-2:] == ["point_succeeded", f"over: {State.SUCCEEDED}"]
