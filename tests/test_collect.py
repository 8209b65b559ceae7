"""`collect`: what histories mean, when the scheduler answers, when it does not, and when files are missing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from pytau_hpc.collect import collect
from pytau_hpc.executors import squeue
from pytau_hpc.sweep.state import Kind
from tests.builders import a_far_process, a_gone_process, a_sweep

POINTS = "SELECT state, kind, failures, interruptions FROM point ORDER BY position"


@pytest.fixture
def slurm(monkeypatch):
    """What squeue answers: (job name, element) → state; None: it does not answer."""

    queue = SimpleNamespace(shows={})

    def ask(names, *, timeout_s=20.0):
        if queue.shows is None:
            raise squeue.NoAnswer("down")
        return {key: squeue.Seen(state=state, reason="") for key, state in queue.shows.items()}

    monkeypatch.setattr(squeue, "ask", ask)
    return queue


def rows(sweep, *, now=None, sql=POINTS, **options):
    with collect(sweep.dir, now=now, **options) as collected:
        return [tuple(row) for row in collected.ledger.connection.execute(sql)]


def rebuilt(sweep, **options):
    sweep.dir.ledger.unlink()
    return rows(sweep, **options)


def a_requeued_sweep(study):
    """One point whose run was preempted in good order; SLURM may run the task again."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    run = sweep.run(submission)
    point = submission.tasks[0].points[0]
    run.is_interrupted(point, kind=Kind.PREEMPTED)
    run.ends("preempted")
    return sweep, (submission.job_name(submission.arrays[0]), 0)


def test_a_requeued_task_stays_queued_when_squeue_fails(study, slurm):
    """Unknown changes nothing: what was known to wait still waits."""
    sweep, element = a_requeued_sweep(study)
    slurm.shows = {element: "PENDING"}
    assert rows(sweep, fresh=True)[0][0] == "queued"

    slurm.shows = None

    assert rows(sweep, fresh=True)[0][0] == "queued"
    assert rows(sweep, ask=False)[0][0] == "queued"


def test_a_preempted_task_that_slurm_has_finished_is_interrupted_also_after_a_rebuild(study, slurm):
    """That it will not come again is written down, so a new ledger knows it at once."""
    sweep, element = a_requeued_sweep(study)
    slurm.shows = {element: "CANCELLED"}
    before = rows(sweep, fresh=True)

    slurm.shows = {}

    assert before == [("interrupted", "preempted", 0, 1)]
    assert rebuilt(sweep, fresh=True) == before


def test_a_run_that_slurm_forgot_overnight_did_not_reach_its_time_limit(study, slurm):
    """Its own last word says how long it lived, not the hour at which somebody looks."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    run = sweep.run(submission)
    run.starts(submission.tasks[0].points[0])
    slurm.shows = {}
    morning = submission.created_at + 20 * 3600
    rows(sweep, now=morning, fresh=True)

    assert rows(sweep, now=morning + 61, fresh=True) == [("lost", "killed", 0, 1)]


def test_a_damaged_first_record_costs_nothing_but_itself(study):
    """The journal is the proof of the run."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit()
    run = sweep.run(submission)
    run.starts(submission.tasks[0].points[0])
    path = next(sweep.dir.journals.rglob("*.jsonl"))
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(bytes(data))

    assert rows(sweep)[0][0] == "running"


def test_a_refused_submission_that_somebody_saw_leaves_its_points_planned(study, slurm):
    """`status` in another terminal collected while sbatch ran; then SLURM refused."""
    sweep = a_sweep(study, n=2)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    assert {row[0] for row in rows(sweep)} == {"queued"}

    sweep.dir.refused_file(submission.uuid).write_text("{}")

    assert {row[0] for row in rows(sweep, fresh=True)} == {"planned"}
    assert rebuilt(sweep) == [("planned", None, 0, 0)] * 2


def test_a_run_that_starts_after_its_task_was_given_up_is_watched_again(study):
    """A worker that was still importing when its sender was killed: the run is seen, and seen to die."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(driver=a_gone_process())
    assert rows(sweep) == [("lost", "never_started", 0, 1)]

    sweep.run(submission, process=a_gone_process()).starts(submission.tasks[0].points[0])

    assert rows(sweep) == [("lost", "killed", 0, 1)]
    assert rebuilt(sweep) == [("lost", "killed", 0, 1)]


def test_budgets_do_not_depend_on_how_often_somebody_looked(study):
    """A requeue after a lost run: charged as what became of the run, also after a rebuild."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(driver=a_gone_process())
    point = submission.tasks[0].points[0]
    sweep.run(submission, process=a_gone_process()).starts(point)
    rows(sweep)
    sweep.run(submission, number=2, process=a_gone_process()).fails(point).ends()

    often = rows(sweep)

    assert often == [("failed", "exception", 1, 1)]
    assert rebuilt(sweep) == often


def test_a_session_that_was_renamed_is_looked_for_under_its_new_name(study):
    """A point's id does not hold the session's name; where its result lies does."""
    sweep = a_sweep(study, n=2)
    with_new_names = [
        replace(point, session=replace(point.session, animal="Bert")) for point in sweep.points
    ]
    rows(sweep)
    sweep = sweep.plan_again(with_new_names)
    sweep.succeed(sweep.submit())

    assert [row[0] for row in rows(sweep)] == ["succeeded", "succeeded"]
    assert rebuilt(sweep) == rows(sweep)
