"""A worker as SLURM runs it, with real signals: what it writes down, and what it asks SLURM for."""

from __future__ import annotations

import json
import signal

import pytest

PREEMPTED = "JobId=8001 ArrayTaskId=0\n   JobState=RUNNING PreemptTime=2026-11-22T18:48:32\n"
NOT_PREEMPTED = "JobId=8001 ArrayTaskId=0\n   JobState=RUNNING PreemptTime=None\n"


@pytest.fixture
def job(fake_slurm, toy):
    """A sweep of long toy fits that sbatch has taken as job 8001, and the environment of its first element."""
    sweep = toy(sessions=1, iterations=4000, sleep_s=0.05, checkpoint_s=0.1, profile="slurm")
    sweep.run("submit", "--yes", "--points-per-task", "1")
    sweep.environment |= {"SLURM_ARRAY_JOB_ID": "8001", "SLURM_ARRAY_TASK_ID": "0"}
    return sweep


@pytest.mark.parametrize(
    ("shown", "because", "asked"),
    [
        (PREEMPTED, "preempted", ["scontrol requeue 8001_0"]),
        (NOT_PREEMPTED, "killed", []),
    ],
    ids=["preempted", "killed"],
)
def test_a_worker_that_is_told_to_stop_goes_back_to_the_queue_if_it_is_preempted(
    job, fake_slurm, eventually, shown, because, asked
):
    """And only then; its last word comes first."""
    fake_slurm.shows_job(shown)
    [uuid] = [path.name for path in (job.path / "submissions").iterdir()]
    journal = job.path / "journal" / uuid / "0.r1.jsonl"
    worker = job.start("worker", str(job.path), uuid, "0")
    eventually(lambda: journal.exists() and '"checkpoint"' in journal.read_text(), "a checkpoint")

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(timeout=120) == 0
    last = json.loads(journal.read_text().splitlines()[-1])
    assert (last["event"], last["because"]) == ("run_ended", because)
    told = [line for line in fake_slurm.told if line.startswith("scontrol requeue")]
    assert told == asked
    assert "scontrol show job 8001_0" in fake_slurm.told
