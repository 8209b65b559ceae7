"""`cancel`: what it gives up, what it leaves alone, whom it tells, and what remains true when it is killed."""

from __future__ import annotations

import functools
import json
import os
import sqlite3

import pytest
from filelock import FileLock

from pytau_hpc import cancel as verb
from pytau_hpc.cancel import Wish, prepare
from pytau_hpc.collect import collect, submit_lock
from pytau_hpc.errors import LockTimeout, UserError
from pytau_hpc.sweep.cancellation import Cancellation, write
from pytau_hpc.sweep.state import Kind, State
from tests.builders import NOON, a_far_process, a_gone_process, a_sweep, some_points

TABLES = ("point", "attempt", "run", "task", "placement", "submission", "cancellation")


class Slurm:
    """A squeue that shows what a test says, and a scancel that notes how it was called; programs on the PATH."""

    def __init__(self, folder):
        self.folder = folder
        self.put("squeue", f"cat {folder}/queue")
        self.put("scancel", f'echo "$@" >> {folder}/calls')
        # Of a real one, if there is one here, nothing is to be asked.
        self.put("scontrol", "exit 1")
        self.shows()

    def put(self, name, script):
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def shows(self, submission=None, **states):
        """Elements of the submission's array, which is job 8123: ``shows(submission, _0="RUNNING")``."""
        rows = [
            f"{submission.job_name(submission.arrays[0])}|{element[1:]}|{state}|8123||None\n"
            for element, state in states.items()
        ]
        (self.folder / "queue").write_text("".join(rows))

    @property
    def calls(self):
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return Slurm(folder)


def cancel(sweep, **wish):
    return verb.cancel(sweep.dir, Wish(**wish), now=NOON + 100)


def states(sweep, **options):
    """Of every planned point, in the order of the manifest."""
    with collect(sweep.dir, now=NOON + 100, **options) as collected:
        rows = collected.ledger.connection.execute("SELECT state FROM points")
        return [row[0] for row in rows]


def charged(sweep, point):
    with collect(sweep.dir, now=NOON + 100) as collected:
        [row] = collected.ledger.connection.execute(
            "SELECT failures, interruptions FROM point WHERE point_id = ?", (point.point_id,)
        )
    return tuple(row)


def tables(sweep):
    with sqlite3.connect(sweep.dir.ledger) as connection:
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}


def test_what_is_queued_or_running_is_given_up_and_the_rest_is_left_alone(study):
    """Results stay; a failure stays one, and what was never sent can be sent."""
    sweep = a_sweep(study, n=5)
    done, failed, running, queued, _ = sweep.points
    submission = sweep.submit(sweep.points[:4], driver=a_far_process())
    sweep.succeed(submission, [0])
    with sweep.run(submission, 1) as run:
        run.fails(failed)
    sweep.run(submission, 2, process=a_far_process()).starts(running)

    done = cancel(sweep)

    assert states(sweep) == ["succeeded", "failed", "cancelled", "cancelled", "planned"]
    assert [point.point_id for point in done.prepared.points] == [running.point_id, queued.point_id]
    assert done.became[State.CANCELLED] == 2


def test_a_deleted_ledger_is_rebuilt_row_for_row_with_what_was_cancelled(study):
    """Cancelled, sent again, cancelled again in part: the files say it all."""
    sweep = a_sweep(study, n=4)
    first = sweep.submit(driver=a_far_process())
    states(sweep)
    cancel(sweep)
    with sweep.run(first, 0) as run:
        run.is_interrupted(sweep.points[0], kind=Kind.KILLED)
    states(sweep)
    second = sweep.submit(sweep.points[:3], command="resume", driver=a_far_process())
    sweep.succeed(second, [1])
    cancel(sweep, points=[sweep.points[2].point_id])
    assert states(sweep) == ["queued", "succeeded", "cancelled", "cancelled"]
    before = tables(sweep)

    sweep.dir.ledger.unlink()
    states(sweep)

    assert tables(sweep) == before


def test_a_new_plan_does_not_forget_what_was_cancelled(study):
    """A point that was dropped and comes back is still given up; one that was dropped only keeps nodes busy."""
    sweep = a_sweep(study, n=4)
    sweep.submit(driver=a_far_process())
    fewer = sweep.plan_again(sweep.points[:2])
    states(fewer)

    done = cancel(fewer)

    assert done.became[State.CANCELLED] == 4
    again = fewer.plan_again(sweep.points)
    assert states(again) == ["cancelled"] * 4
    before = tables(again)
    again.dir.ledger.unlink()
    states(again)
    assert tables(again) == before


def test_a_point_that_is_sent_again_is_not_hit_by_an_old_cancellation(study):
    sweep = a_sweep(study, n=2)
    sweep.submit(driver=a_far_process())
    cancel(sweep)

    sweep.submit(sweep.points[:1], command="resume", driver=a_far_process())

    assert states(sweep) == ["queued", "cancelled"]


def test_a_point_that_finishes_after_it_was_cancelled_is_kept(study):
    """A result wins over everything, also over a person's word."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(driver=a_far_process())
    cancel(sweep)

    sweep.succeed(submission)

    assert states(sweep) == ["succeeded"]


def test_what_finished_while_a_person_thought_is_counted_and_kept(study):
    """Between the question and the answer."""
    sweep = a_sweep(study, n=2)
    submission = sweep.submit(driver=a_far_process())

    def think(prepared):
        sweep.succeed(submission, [0])
        return True

    done = verb.cancel(sweep.dir, Wish(), confirm=think, now=NOON + 100)

    assert {state: n for state, n in done.became.items() if n} == {
        State.SUCCEEDED: 1,
        State.CANCELLED: 1,
    }
    cancellation = Cancellation.read(sweep.dir.cancellation_file(0))
    assert cancellation.points == (sweep.points[1].point_id,)


def test_what_was_sent_while_a_person_thought_was_not_agreed_to(study):
    sweep = a_sweep(study, n=2)
    sweep.submit(sweep.points[:1], driver=a_far_process())

    def think(prepared):
        sweep.submit(sweep.points[1:], driver=a_far_process())
        return True

    verb.cancel(sweep.dir, Wish(), confirm=think, now=NOON + 100)

    assert states(sweep) == ["cancelled", "queued"]


def test_a_no_leaves_everything_as_it_is(study):
    sweep = a_sweep(study, n=2)
    sweep.submit(driver=a_far_process())

    done = verb.cancel(sweep.dir, Wish(), confirm=lambda prepared: False, now=NOON + 100)

    assert done.became is None
    assert not sweep.dir.cancelled.exists()
    assert states(sweep) == ["queued", "queued"]


def test_while_a_resume_is_at_it_nothing_is_given_up(study, monkeypatch):
    """What it sends just now would be missed. The next `cancel` finds the sweep as it was."""
    monkeypatch.setattr(verb, "submit_lock", functools.partial(submit_lock, timeout_s=0.1))
    sweep = a_sweep(study, n=2)
    sweep.submit(driver=a_far_process())

    with FileLock(sweep.dir.submit_lock), pytest.raises(LockTimeout):
        cancel(sweep)

    assert not sweep.dir.cancelled.exists()
    assert states(sweep) == ["queued", "queued"]
    cancel(sweep)
    assert states(sweep) == ["cancelled", "cancelled"]


def test_nothing_is_locked_while_a_person_thinks(study):
    """Who is asked may go home; others send meanwhile."""
    sweep = a_sweep(study, n=1)
    sweep.submit(driver=a_far_process())

    def think(prepared):
        with submit_lock(sweep.dir, timeout_s=0.1):
            return True

    done = verb.cancel(sweep.dir, Wish(), confirm=think, now=NOON + 100)

    assert done.became[State.CANCELLED] == 1


# ------------------------------------------------------------------------------------------------------------- budgets


def test_a_cancellation_is_not_charged_to_a_point(study):
    """Neither to one whose fit was stopped by it, nor to one whose task never began because of it."""
    sweep = a_sweep(study, n=2)
    submission = sweep.submit(driver=a_gone_process())
    ids = tuple(point.point_id for point in sweep.points)
    write(sweep.dir, Cancellation(at=NOON, after=1, points=ids))
    run = sweep.run(submission, 0)
    run.is_interrupted(sweep.points[0], kind=Kind.KILLED)
    run.ends("killed")
    assert states(sweep) == ["cancelled", "cancelled"]

    sweep.submit(command="resume", driver=a_far_process())

    assert states(sweep) == ["queued", "queued"]
    assert [charged(sweep, point) for point in sweep.points] == [(0, 0), (0, 0)]


def test_what_went_wrong_before_a_cancellation_stays_charged(study):
    """In an earlier submission, in an earlier run of the task that was cancelled, and after it again."""
    sweep = a_sweep(study, n=1)
    [point] = sweep.points
    with sweep.run(sweep.submit()) as run:
        run.fails(point, kind=Kind.OUT_OF_MEMORY)
    second = sweep.submit(command="resume", driver=a_far_process())
    run = sweep.run(second, process=a_far_process())
    run.is_interrupted(point, kind=Kind.PREEMPTED)
    run.ends("preempted")
    sweep.run(second, number=2, process=a_far_process()).starts(point)
    assert states(sweep) == ["running"]
    cancel(sweep)
    assert charged(sweep, point) == (1, 1)

    with sweep.run(sweep.submit(command="resume")) as run:
        run.is_interrupted(point, kind=Kind.PREEMPTED)

    assert charged(sweep, point) == (1, 2)


def test_a_second_cancellation_does_not_make_the_first_one_cost_something(study):
    sweep = a_sweep(study, n=1)
    for _ in range(2):
        submission = sweep.submit(driver=a_far_process())
        run = sweep.run(submission, process=a_far_process())
        states(sweep)
        cancel(sweep)
        run.is_interrupted(sweep.points[0], kind=Kind.KILLED)
        run.ends("killed")

    assert charged(sweep, sweep.points[0]) == (0, 0)


def test_a_fit_that_failed_by_itself_while_it_was_cancelled_is_charged(study):
    """That was the fit's own fault, whoever had lost interest."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(driver=a_far_process())
    cancel(sweep)
    with sweep.run(submission) as run:
        run.fails(sweep.points[0])

    assert states(sweep) == ["cancelled"]
    assert charged(sweep, sweep.points[0]) == (1, 0)


# --------------------------------------------------------------------------------------------------- some of the points


def test_only_the_points_that_are_meant_are_given_up(study):
    """By condition, by id, by its beginning, by label, and by both together."""
    sweep = a_sweep(study, n=4)
    submission = sweep.submit(driver=a_far_process())
    sweep.run(submission, 0, process=a_far_process()).starts(sweep.points[0])
    ids = [point.point_id for point in sweep.points]

    def meant(**wish):
        return {point.point_id for point in prepare(sweep.dir, Wish(**wish)).points}

    assert meant() == set(ids)
    assert meant(where="n_states > 3") == set(ids[2:])
    assert meant(where="state = 'running'") == {ids[0]}
    assert meant(points=[ids[0], ids[1][:9]]) == set(ids[:2])
    assert meant(points=ids[:3], where="n_states > 3") == {ids[2]}


def test_points_that_are_not_there_and_conditions_that_make_no_sense_are_mistakes(study):
    sweep = a_sweep(study)
    for wish in (Wish(points=["zzz"]), Wish(where="n_staates = 4")):
        with pytest.raises(UserError):
            prepare(sweep.dir, wish)


def test_planned_points_are_left_alone_also_where_they_are_named(study):
    """They are not sent anyway; leave them out of `--where` of the next submit instead."""
    sweep = a_sweep(study, n=2)

    done = cancel(sweep, where="n_states = 2")

    assert done.prepared.points == ()
    assert states(sweep) == ["planned", "planned"]
    assert not sweep.dir.cancelled.exists()


def test_with_only_queued_what_runs_goes_on(study):
    """The file says so, too, for fits that begin before their worker reads it."""
    sweep = a_sweep(study, n=3)
    submission = sweep.submit(per_task=2, driver=a_far_process())
    sweep.run(submission, 0, process=a_far_process()).starts(sweep.points[0])

    done = cancel(sweep, queued_only=True)

    assert states(sweep) == ["running", "cancelled", "cancelled"]
    assert done.prepared.going_on == 1
    assert Cancellation.read(sweep.dir.cancellation_file(0)).only_queued


# -------------------------------------------------------------------------------------------------------- telling SLURM


def a_slurm_sweep(study, *, n=4, per_task=1):
    sweep = a_sweep(study, some_points(n))
    return sweep, sweep.submit(per_task=per_task, executor="slurm", driver=a_far_process())


def test_slurm_is_told_once_and_only_about_tasks_that_nobody_wants(study, slurm):
    """A task with another point goes on; its worker passes over the one that was cancelled."""
    sweep, submission = a_slurm_sweep(study, n=8, per_task=2)
    slurm.shows(submission, _0="PENDING", _1="PENDING", _2="RUNNING", _3="PENDING")
    wanted = sweep.points[3]

    done = cancel(sweep, where=f"point_id != '{wanted.point_id}'")

    assert slurm.calls == ["8123_[0,2-3]"]
    assert done.did == ("scancel 8123_[0,2-3]",)
    assert done.prepared.shared == 1
    assert states(sweep, ask=False).count("cancelled") == 7


def test_a_whole_array_is_cancelled_by_its_id(study, slurm):
    sweep, submission = a_slurm_sweep(study)
    slurm.shows(submission, _0="PENDING", _1="PENDING", _2="RUNNING", _3="PENDING")

    cancel(sweep)

    assert slurm.calls == ["8123"]


def test_only_pending_tasks_are_named_with_only_queued(study, slurm):
    """And scancel itself is told to stop nothing that has begun since squeue was asked."""
    sweep, submission = a_slurm_sweep(study, n=3)
    sweep.run(submission, 0, process=a_far_process()).starts(sweep.points[0])
    slurm.shows(submission, _0="RUNNING", _1="PENDING", _2="PENDING")

    cancel(sweep, queued_only=True)

    assert slurm.calls == ["--state=PENDING 8123_[1-2]"]


def test_a_cancel_that_was_killed_before_it_told_slurm_is_completed_by_the_next(study, slurm):
    """The file was written: the points are cancelled; their tasks still wait, and nobody has to be asked about them."""
    sweep, submission = a_slurm_sweep(study)
    slurm.shows(submission, _0="PENDING", _1="PENDING", _2="PENDING", _3="PENDING")
    ids = tuple(point.point_id for point in sweep.points)
    write(sweep.dir, Cancellation(at=NOON, after=submission.number, points=ids))
    assert states(sweep) == ["cancelled"] * 4

    done = cancel(sweep)

    assert slurm.calls == ["8123"]
    assert done.prepared.points == ()
    slurm.shows(submission, _0="CANCELLED")
    cancel(sweep)
    assert slurm.calls == ["8123"]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("squeue", "slurm_load_jobs error: Unable to contact slurm controller"),
        ("scancel", "scancel: error: Kill job error on job id 8123: Access/permission denied"),
    ],
)
def test_where_slurm_cannot_be_told_the_points_are_cancelled_and_it_is_told_later(
    study, slurm, program, words
):
    """It says so, with SLURM's words."""
    sweep, submission = a_slurm_sweep(study)
    slurm.shows(submission, _0="RUNNING", _1="PENDING", _2="PENDING", _3="PENDING")
    slurm.put(program, f"echo '{words}' >&2; exit 1")

    done = cancel(sweep)

    assert done.silence == words
    assert done.became[State.CANCELLED] == 4
    Slurm(slurm.folder).shows(submission, _0="RUNNING", _1="PENDING", _2="PENDING", _3="PENDING")
    assert cancel(sweep).silence is None
    assert slurm.calls == ["8123"]


def test_an_element_that_ended_a_moment_ago_is_no_failure_of_scancel(study, slurm):
    sweep, submission = a_slurm_sweep(study)
    slurm.shows(submission, _0="RUNNING", _1="PENDING", _2="PENDING", _3="PENDING")
    words = (
        "scancel: error: Kill job error on job id 8123_0: Job/step already completing or completed"
    )
    slurm.put("scancel", f"echo '{words}' >&2; exit 1")

    assert cancel(sweep).silence is None


def test_a_persons_own_filters_do_not_reach_scancel(study, slurm, monkeypatch):
    """SCANCEL_INTERACTIVE would have it ask, SCANCEL_STATE would spare what runs."""
    sweep, submission = a_slurm_sweep(study)
    slurm.shows(submission, _0="RUNNING")
    slurm.put("scancel", f"env > {slurm.folder}/environment")
    monkeypatch.setenv("SCANCEL_INTERACTIVE", "1")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/slurm.conf")

    cancel(sweep)

    seen = (slurm.folder / "environment").read_text()
    assert "SCANCEL_" not in seen
    assert "SLURM_CONF" in seen


def test_a_point_that_waits_again_in_slurm_is_given_up(study, slurm):
    """Preempted, requeued, cancelled: the task does not come a second time, and nothing is charged for it."""
    sweep, submission = a_slurm_sweep(study, n=1)
    run = sweep.run(submission, process=a_far_process())
    run.is_interrupted(sweep.points[0])
    run.ends("preempted")
    slurm.shows(submission, _0="PENDING")

    cancel(sweep)

    assert slurm.calls == ["8123"]
    assert states(sweep, ask=False) == ["cancelled"]


def test_the_file_is_plain_json_with_the_submission_that_it_is_about(study):
    sweep = a_sweep(study, n=1)
    sweep.submit(driver=a_far_process())

    cancel(sweep)

    assert json.loads(sweep.dir.cancellation_file(0).read_text()) == {
        "format": 1,
        "at": NOON + 100,
        "after": 1,
        "points": [sweep.points[0].point_id],
        "only_queued": False,
    }
