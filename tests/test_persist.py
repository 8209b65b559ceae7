"""What ``--auto-resume`` does at each look: how often it sends, what it asks for, and when it is over."""

from __future__ import annotations

import functools
import time

import pytest
from filelock import FileLock

from pytau_hpc import submit as sending
from pytau_hpc.choose import Command
from pytau_hpc.collect import collect, submit_lock
from pytau_hpc.errors import CannotWrite, SchedulerUnreachable, SubmitRefused
from pytau_hpc.executors import slurm
from pytau_hpc.executors.profile import find_profile
from pytau_hpc.persist import Persistence
from pytau_hpc.prepare import Order
from pytau_hpc.sweep.cancellation import Cancellation, write
from pytau_hpc.sweep.resources import Request, Resources
from pytau_hpc.sweep.state import Kind
from pytau_hpc.sweep.submission import Submission
from tests.builders import a_far_process, a_sweep
from tests.fake_slurm import FAILED, refuses

NOT_NOW = f"{FAILED}Unable to contact slurm controller (connect failure)"
NEVER = f"{FAILED}Invalid account or account/partition combination specified"


class Waiting:
    """Somebody who waits, with a clock of his own; `told` is what he was told."""

    def __init__(self, sweep, order: Order) -> None:
        self.now = 1000.0
        self.told: list[str] = []
        self._persistence = Persistence(sweep.dir, order, clock=lambda: self.now)

    def looks(self, *, after_s: float = 0.0, going_on: int = 0, succeeded: int = 0) -> bool:
        """One look, so many seconds after the last; whether it is over."""
        self.now += after_s
        return self._persistence.is_over(going_on, succeeded, tell=self.told.append)


@pytest.fixture
def order(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """What a person asked for with a profile of some lines of YAML; nothing waits for a controller."""
    monkeypatch.setattr(slurm, "_FIRST_WAIT_S", 0.0)

    def made(text: str = "", *, request: Request | None = None, **asked) -> Order:
        path = tmp_path / "cluster.yaml"
        path.write_text(f"executor: slurm\n{text}")
        return Order(
            command=Command.SUBMIT,
            profile=find_profile(str(path)),
            request=request or Request(points_per_task=1),
            **asked,
        )

    return made


def newest(sweep) -> Submission:
    submissions = [
        Submission.read(path / "submission.json") for path in sweep.dir.submissions.iterdir()
    ]
    return max(submissions, key=lambda submission: submission.number)


def fails(sweep, submission, kind=Kind.OUT_OF_MEMORY):
    """The first task of a submission runs and fails, and SLURM is through with it."""
    [point] = submission.tasks[0].points
    with sweep.run(submission, submission.tasks[0].number, at=time.time()) as run:
        run.fails(point, kind=kind)


@pytest.fixture
def half_done(study, fake_slurm):
    """Two points: one failed, and another one waits in the queue."""
    sweep = a_sweep(study, n=2)
    submission = sweep.submit(executor="slurm", driver=a_far_process(), at=time.time())
    fails(sweep, submission)
    fake_slurm.shows("PENDING", submission, [1])
    return sweep


# -- how often --------------------------------------------------------------------------------------------------------


def test_while_something_goes_on_it_sends_every_five_minutes(half_done, fake_slurm, order):
    """What may be tried again meanwhile is gathered: few submissions, not one for each failure."""
    waiting = Waiting(half_done, order())

    sent = []
    for _ in range(21):
        waiting.looks(after_s=30, going_on=1)
        if len(fake_slurm.calls) > len(sent):
            sent.append(waiting.now - 1000)
            fails(half_done, newest(half_done))

    assert sent == [300, 600]
    assert waiting.told == [
        "↻ sent 1 point again (submission 2)",
        "↻ sent 1 point again (submission 3)",
    ]


def test_when_nothing_goes_on_it_sends_at_once(half_done, fake_slurm, order):
    waiting = Waiting(half_done, order())

    assert not waiting.looks(after_s=1)

    assert len(fake_slurm.calls) == 1


def test_after_a_controller_that_takes_nothing_it_pauses_a_minute_and_goes_on(
    half_done, fake_slurm, order
):
    """It says so, and it is not over."""
    fake_slurm.answers(later=refuses(NOT_NOW))
    waiting = Waiting(half_done, order())

    assert not waiting.looks()
    tried = len(fake_slurm.calls)
    assert waiting.told == [f"! SLURM does not take jobs now:\n  {NOT_NOW}"]
    assert not waiting.looks(after_s=59)
    assert len(fake_slurm.calls) == tried
    fake_slurm.answers()
    assert not waiting.looks(after_s=1)

    assert len(fake_slurm.calls) == tried + 1
    assert "sent 1 point again" in waiting.told[-1]


def test_it_waits_longer_and_longer_while_nothing_succeeds(half_done, fake_slurm, order):
    """What ends every fit at once would else use up all their tries in a minute."""
    waiting = Waiting(half_done, order())

    sent = []
    for _ in range(900):
        calls = len(fake_slurm.calls)
        assert not waiting.looks(after_s=1)
        if len(fake_slurm.calls) > calls:
            sent.append(waiting.now - 1001)
            fails(half_done, newest(half_done), Kind.NODE)

    assert sent == [0, 60, 180, 420]
    assert waiting.told[:3] == [
        "↻ sent 1 point again (submission 2)",
        "! nothing has succeeded since then: again in 1 min",
        "↻ sent 1 point again (submission 3)",
    ]


def test_what_succeeds_meanwhile_ends_the_pause(half_done, fake_slurm, order):
    """The trouble is over."""
    waiting = Waiting(half_done, order())
    for after_s in (1, 60):
        waiting.looks(after_s=after_s)
        fails(half_done, newest(half_done), Kind.NODE)

    waiting.looks(after_s=1, going_on=1, succeeded=1)
    waiting.looks(after_s=300, going_on=1, succeeded=1)

    assert len(fake_slurm.calls) == 3


def test_a_round_that_took_longer_than_the_pause_is_followed_by_the_next_one_at_once(
    half_done, fake_slurm, order
):
    """Many hours of fits that reach their time limit are nothing to wait after."""
    waiting = Waiting(half_done, order())
    waiting.looks(after_s=1)
    fails(half_done, newest(half_done), Kind.NODE)

    waiting.looks(after_s=7200)

    assert len(fake_slurm.calls) == 2


def test_a_disk_that_is_full_is_waited_for(half_done, fake_slurm, order, monkeypatch):
    """For a minute, then for two: it is not the end of a sweep that still runs."""
    full = True

    def check(sweep) -> list[str]:
        if full:
            raise CannotWrite("cannot write in models: No space left on device")
        return []

    monkeypatch.setattr(sending, "check_publishing", check)
    waiting = Waiting(half_done, order())

    assert not waiting.looks()
    assert waiting.told == ["! cannot write in models: No space left on device"]
    assert not waiting.looks(after_s=60)
    assert not waiting.looks(after_s=119)
    assert len(waiting.told) == 2
    full = False
    assert not waiting.looks(after_s=1)

    assert len(fake_slurm.calls) == 1


def test_the_pause_begins_when_the_controller_was_given_up(half_done, order, monkeypatch):
    """To find that it takes nothing may take longer than the pause."""
    waiting = Waiting(half_done, order())

    def takes_long(sweep) -> list[str]:
        waiting.now += 80
        raise SchedulerUnreachable("SLURM does not take jobs now")

    monkeypatch.setattr(sending, "check_publishing", takes_long)

    waiting.looks()
    waiting.looks(after_s=59)
    assert len(waiting.told) == 1
    waiting.looks(after_s=1)
    assert len(waiting.told) == 2


def test_while_somebody_else_sends_it_pauses_too(half_done, fake_slurm, order, monkeypatch):
    monkeypatch.setattr(sending, "submit_lock", functools.partial(submit_lock, timeout_s=0.1))
    waiting = Waiting(half_done, order())

    with FileLock(half_done.dir.submit_lock):
        assert not waiting.looks()

    assert fake_slurm.calls == []
    assert "another submit or resume" in waiting.told[0]
    assert not waiting.looks(after_s=60)
    assert len(fake_slurm.calls) == 1


def test_a_refusal_for_good_ends_the_wait(half_done, fake_slurm, order):
    """Trying again would not help, and nobody would see it."""
    fake_slurm.answers(later=refuses(NEVER))

    with pytest.raises(SubmitRefused):
        Waiting(half_done, order()).looks()


# -- when it is over --------------------------------------------------------------------------------------------------


def test_it_is_over_when_nothing_goes_on_and_nothing_may_be_tried_again(half_done, order):
    sweep = half_done
    waiting = Waiting(sweep, order())

    assert not waiting.looks()
    sweep.succeed(newest(sweep))
    assert not waiting.looks(after_s=300, going_on=1)
    assert waiting.looks(after_s=300)


def test_it_is_not_over_while_the_window_of_the_profile_is_full(study, fake_slurm, order):
    """What was cancelled is still in the queue, and takes the place of what was never sent."""
    sweep = a_sweep(study, n=2)
    submission = sweep.submit(
        sweep.points[:1], executor="slurm", driver=a_far_process(), at=time.time()
    )
    given_up = (sweep.points[0].point_id,)
    write(sweep.dir, Cancellation(at=time.time(), after=1, points=given_up))
    fake_slurm.shows("PENDING", submission, [0])
    waiting = Waiting(sweep, order("limits: {max_submitted_tasks: 1}\n"))

    assert not waiting.looks()
    assert fake_slurm.calls == []
    fake_slurm.shows("CANCELLED", submission, [0])
    assert not waiting.looks(after_s=60)

    assert len(fake_slurm.calls) == 1


# -- what it asks for -------------------------------------------------------------------------------------------------


def test_what_the_first_order_asked_for_does_not_overrule_what_failures_teach(
    study, fake_slurm, order
):
    """``submit --mem 1 --time 30:00 --auto-resume``: what was never sent gets that, what failed gets more."""
    sweep = a_sweep(study, n=3)
    submission = sweep.submit(
        sweep.points[1:],
        executor="slurm",
        driver=a_far_process(),
        at=time.time(),
        resources=Resources(mem_gb=1, time_min=30),
    )
    short, small = submission.tasks
    with sweep.run(submission, short.number, at=time.time() - 1800) as run:
        run.fails(short.points[0], kind=Kind.TIMEOUT, elapsed_s=1790.0)
    with sweep.run(submission, small.number, at=time.time()) as run:
        run.fails(small.points[0], kind=Kind.OUT_OF_MEMORY)
    request = Request(mem_gb=1, time_min=30, points_per_task=1)

    Waiting(sweep, order(request=request)).looks()

    asked = {
        task.points[0].point_id: (array.resources.mem_gb, array.resources.time_min)
        for array in newest(sweep).arrays
        for task in array.tasks
    }
    assert [asked[point.point_id] for point in sweep.points] == [(1, 30), (1, 45), (1.5, 30)]


@pytest.mark.parametrize("judgement", ["errors", "cancelled", "lost"])
def test_what_a_person_judged_once_is_not_judged_again_for_ever(
    study, fake_slurm, order, judgement
):
    """--errors, --cancelled and --lost were about what there was at that moment."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(
        executor="slurm", driver=a_far_process(), at=time.time() - 3600, grace_s=86400
    )
    if judgement == "errors":
        fails(sweep, submission, kind=Kind.BAD_INPUT)
    elif judgement == "cancelled":
        ids = (sweep.points[0].point_id,)
        write(sweep.dir, Cancellation(at=time.time(), after=1, points=ids))

    waiting = Waiting(sweep, order(**{judgement: True}))

    assert waiting.looks()
    assert fake_slurm.calls == []
    with collect(sweep.dir, ask=False) as collected:
        [row] = collected.ledger.connection.execute("SELECT state FROM points")
    assert row[0] == {"errors": "failed", "cancelled": "cancelled", "lost": "queued"}[judgement]
