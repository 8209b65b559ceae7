"""Whose signal it was. The texts are `scontrol show job` of a real SLURM 22.05, shortened."""

from __future__ import annotations

import time

import pytest

from pytau_hpc.preemption import is_being_preempted, learn_why, requeue_if_preempted
from pytau_hpc.run import Run, open_run
from pytau_hpc.sweep.state import Kind
from tests.builders import a_sweep

SHOWN = """\
JobId=288 ArrayJobId=280 ArrayTaskId=7 ArrayTaskThrottle=12 JobName=toy.f7812af83310.0
   JobState={state} Reason=None Dependency=(null)
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0
   PreemptEligibleTime=2026-11-22T18:48:29 PreemptTime={since}
"""


@pytest.mark.parametrize(
    ("state", "since", "preempted"),
    [
        ("RUNNING", "2026-11-22T18:48:32", True),  # in its time of grace
        ("PREEMPTED", "None", True),
        ("RUNNING", "None", False),
        ("CANCELLED", "None", False),
    ],
)
def test_slurm_shows_whether_it_preempts_a_job(state, since, preempted):
    assert is_being_preempted(SHOWN.format(state=state, since=since)) is preempted


def test_without_an_answer_it_is_not_known_to_be_one():
    assert is_being_preempted(None) is None


# -- what a run does about it -----------------------------------------------------------------------------------------


@pytest.fixture
def a_run(study, fake_slurm, monkeypatch: pytest.MonkeyPatch):
    """A run as element 4 of job 8123, or outside of any job."""

    def made(*, job: str | None = "8123", executor: str = "slurm", restarts: int = 0) -> Run:
        if job is not None:
            monkeypatch.setenv("SLURM_ARRAY_JOB_ID", job)
            monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
        if restarts:
            monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
        sweep = a_sweep(study, n=1)
        submission = sweep.submit(executor=executor)
        array = submission.arrays[0]
        return open_run(sweep.dir, submission, array, array.tasks[0])

    return made


def test_a_preempted_run_asks_to_be_requeued(a_run, fake_slurm):
    """By the id of its own element."""
    run = a_run()
    run.stop.kind = Kind.PREEMPTED

    assert requeue_if_preempted(run)
    assert fake_slurm.told == ["scontrol requeue 8123_4"]


@pytest.mark.parametrize("kind", [None, *(kind for kind in Kind if kind is not Kind.PREEMPTED)])
def test_a_run_that_ended_for_another_reason_does_not(a_run, fake_slurm, kind):
    """What was done would be done again; what had too little time or memory would have it again."""
    run = a_run()
    run.stop.kind = kind

    assert not requeue_if_preempted(run)
    assert fake_slurm.told == []


@pytest.mark.parametrize(("restarts", "again"), [(0, True), (9, True), (10, False), (11, False)])
def test_a_task_is_requeued_ten_times_at_most(a_run, fake_slurm, restarts, again):
    """Then `resume` counts it."""
    run = a_run(restarts=restarts)
    run.stop.kind = Kind.PREEMPTED

    assert requeue_if_preempted(run) is again
    assert len(fake_slurm.told) == again


@pytest.mark.parametrize("where", [{"executor": "local"}, {"job": None}])
def test_outside_of_slurm_nobody_is_asked(a_run, fake_slurm, where):
    """Not even inside of a job that a person has made: that is not ours to requeue."""
    run = a_run(**where)
    run.stop.kind = Kind.PREEMPTED

    assert not requeue_if_preempted(run)
    assert fake_slurm.told == []


def test_slurm_may_refuse_to_requeue(a_run, fake_slurm, capfd):
    """Its words are in the log of the job."""
    fake_slurm.put("scontrol", "echo 'Requested operation is presently disabled' >&2; exit 1")
    run = a_run()
    run.stop.kind = Kind.PREEMPTED

    assert not requeue_if_preempted(run)
    assert "presently disabled" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("since", "kind"), [("2026-11-22T18:48:32", Kind.PREEMPTED), ("None", Kind.KILLED)]
)
def test_whose_sigterm_it_was_slurm_is_asked_once(a_run, fake_slurm, since, kind):
    fake_slurm.shows_job(SHOWN.format(state="RUNNING", since=since))
    run = a_run()
    run.stop.kind = Kind.KILLED

    learn_why(run)
    learn_why(run)

    assert run.stop.kind is kind
    assert fake_slurm.told == ["scontrol show job 8123_4"]
    assert ('"signalled"' in run.journal.path.read_text()) is (kind is Kind.PREEMPTED)


@pytest.mark.parametrize("kind", [Kind.TIMEOUT, Kind.PREEMPTED, None])
def test_where_there_is_nothing_to_learn_slurm_is_left_alone(a_run, fake_slurm, kind):
    run = a_run()
    run.stop.kind = kind

    learn_why(run)

    assert (run.stop.kind, fake_slurm.told) == (kind, [])


@pytest.mark.parametrize(("left_s", "kind"), [(3000, Kind.PREEMPTED), (150, None)])
def test_a_warning_that_slurm_does_not_explain_is_one_of_the_time_limit_only_near_it(
    a_run, fake_slurm, monkeypatch, left_s, kind
):
    """The end of the time limit stops nothing yet: the deadline is watched."""
    monkeypatch.setenv("PYTAU_HPC_JOB_BEGAN", str(int(time.time()) - 3600 + left_s))
    fake_slurm.put("scontrol", "exit 1")
    run = a_run()
    run.stop.warned = True

    learn_why(run)

    assert run.stop.kind is kind
