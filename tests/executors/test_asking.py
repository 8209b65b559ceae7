"""How squeue is asked, and how long a task may be missing from its answers."""

from __future__ import annotations

import pytest

from pytau_hpc.collect import collect
from pytau_hpc.executors import squeue
from pytau_hpc.sweep.process import this_process
from tests.builders import NOON, a_far_process, a_gone_process, a_sweep


def state(sweep, *, at: float) -> tuple[str, str | None]:
    """Of the only point, as somebody sees it who asks so many seconds after it was sent."""
    with collect(sweep.dir, now=NOON + at, fresh=True) as collected:
        [row] = collected.ledger.connection.execute("SELECT state, kind FROM point")
    return tuple(row)


def test_squeue_is_asked_without_a_persons_own_filters_and_for_whole_lists(
    fake_slurm, monkeypatch: pytest.MonkeyPatch
):
    """A filter would make jobs look gone; a shortened list of elements could not be read."""
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")
    monkeypatch.setenv("SQUEUE_PARTITION", "debug")
    monkeypatch.setenv("SQUEUE_FORMAT", "%i")
    monkeypatch.setenv("SLURM_BITSTR_LEN", "64")
    monkeypatch.setenv("SLURM_CONF", "/etc/our/slurm.conf")

    assert squeue.ask(["gc.0123456789ab.0"]) == {}

    told = fake_slurm.environment_of_squeue
    assert {n: v for n, v in told.items() if n.startswith(("SQUEUE_", "SLURM_"))} == {
        "SLURM_BITSTR_LEN": "0",
        "SLURM_CONF": "/etc/our/slurm.conf",
    }
    [words] = fake_slurm.told
    assert {"--array", "--states=all", "--name=gc.0123456789ab.0"} <= set(words.split())


def test_all_open_arrays_of_a_sweep_are_asked_for_at_once(study, fake_slurm):
    """Each question costs the controller something."""
    sweep = a_sweep(study, n=2)
    names = []
    for point in sweep.points:
        submission = sweep.submit([point], executor="slurm", driver=a_far_process())
        names.append(submission.job_name(submission.arrays[0]))
        fake_slurm.shows("PENDING", submission, [0])

    with collect(sweep.dir, now=NOON, fresh=True) as collected:
        assert collected.alive == {(name.split(".")[1], 0) for name in names}

    [words] = [line for line in fake_slurm.told if line.startswith("squeue ")]
    assert f"--name={','.join(sorted(names))}" in words.split()


def test_a_squeue_that_fails_changes_nothing(study, fake_slurm):
    """However long it does, and whoever sent the task."""
    sweep = a_sweep(study, n=1)
    sweep.submit(executor="slurm", driver=a_gone_process())
    fake_slurm.put("squeue", "echo 'slurm_load_jobs error: Unable to contact' >&2; exit 1")

    assert [state(sweep, at=seconds)[0] for seconds in (0, 3600, 86400)] == ["queued"] * 3


# -- senders ----------------------------------------------------------------------------------------------------------


def test_a_task_that_its_sender_did_not_come_to_is_given_up_after_the_grace_period(
    study, fake_slurm
):
    """It died before that."""
    sweep = a_sweep(study, n=1)
    sweep.submit(executor="slurm", driver=a_gone_process(), grace_s=60)

    assert state(sweep, at=0) == ("queued", None)
    assert state(sweep, at=59) == ("queued", None)
    assert state(sweep, at=61) == ("lost", "never_started")


def test_a_sender_on_another_machine_is_given_ten_minutes(study, fake_slurm):
    """Nobody here can say whether it is still at it; a second copy of its points would be the price."""
    sweep = a_sweep(study, n=1)
    sweep.submit(executor="slurm", driver=a_far_process(), grace_s=60)

    assert state(sweep, at=0) == ("queued", None)
    assert state(sweep, at=300) == ("queued", None)
    assert state(sweep, at=599) == ("queued", None)
    assert state(sweep, at=601) == ("lost", "never_started")


def test_a_sender_on_another_machine_that_said_that_it_is_done_is_not_waited_for(study, fake_slurm):
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm", driver=a_far_process(), grace_s=60)
    sweep.dir.bound_file(submission.uuid).write_text('{"format": 1, "done": true}')

    assert state(sweep, at=0) == ("queued", None)
    assert state(sweep, at=61) == ("lost", "never_started")


@pytest.mark.parametrize("grace_s", [60, 1800])
def test_a_sender_that_lives_is_waited_for(study, fake_slurm, grace_s):
    sweep = a_sweep(study, n=1)
    sweep.submit(executor="slurm", driver=this_process(), grace_s=grace_s)

    assert [state(sweep, at=seconds)[0] for seconds in (0, 3600)] == ["queued", "queued"]


def test_a_grace_period_of_more_than_ten_minutes_holds_for_other_machines_too(study, fake_slurm):
    sweep = a_sweep(study, n=1)
    sweep.submit(executor="slurm", driver=a_far_process(), grace_s=1800)

    assert state(sweep, at=0)[0] == "queued"
    assert state(sweep, at=1799)[0] == "queued"
    assert state(sweep, at=1801)[0] == "lost"
