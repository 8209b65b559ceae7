"""A sweep on a real SLURM cluster: sent, cancelled, its sender killed, refused; always finished by `resume`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.toy_sweep import toy

__all__ = ["toy"]


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a script before the real sbatch on the PATH; ``$REAL`` is the real one, ``$SENDER`` its sender."""

    def put(script: str) -> None:
        real = subprocess.run(
            ["which", "sbatch"], capture_output=True, text=True, check=True
        ).stdout.strip()
        folder = tmp_path / "shim"
        folder.mkdir()
        path = folder / "sbatch"
        # The sender has a time limit put before sbatch, perhaps in two steps.
        sender = (
            "SENDER=$PPID\n"
            "while [[ $(cat /proc/$SENDER/comm) == timeout || $(cat /proc/$SENDER/comm) == setpriv ]]; do\n"
            "  SENDER=$(awk '{print $4}' /proc/$SENDER/stat)\n"
            "done"
        )
        path.write_text(f"#!/bin/bash\nREAL={real}\n{sender}\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return put


def finished(sweep) -> bool:
    counts = sweep.counts()
    return not counts.get("queued") and not counts.get("running")


def everything_succeeded_once(sweep, n: int) -> None:
    assert sweep.counts() == {"succeeded": n}
    assert len(sweep.results()) == n
    assert max(sweep.successes().values()) == 1
    assert "Nothing to send" in sweep.run("resume", "--yes").stdout


def test_a_sweep_that_is_cancelled_three_times_is_finished_by_resume(cluster, toy, eventually):
    """scancel of the whole array, by hand: nothing lost, nothing done twice."""
    sweep = toy(repeat=6, iterations=6, sleep_s=0.1, profile="slurm", points_per_task=6)
    for command in ("submit", "resume", "resume"):
        sweep.run(command, "--yes")
        eventually(lambda: list((sweep.path / "journal").rglob("*.jsonl")), "a task's first word")
        time.sleep(2.5)
        for job in cluster.job_ids():
            subprocess.run(["scancel", job.partition("_")[0]], check=False)
        eventually(lambda: not cluster.job_ids(), "an empty queue")

    sweep.run("resume", "--yes")
    eventually(lambda: finished(sweep), "the end of the sweep")

    everything_succeeded_once(sweep, 48)


def test_an_array_whose_sender_was_killed_after_sbatch_is_adopted(cluster, toy, shim, eventually):
    """The array was accepted, nobody wrote down its job id: it is found by its name and runs, once."""
    sweep = toy(profile="slurm", sleep_s=0.1)
    shim('"$REAL" "$@"\nkill -9 $SENDER')
    sender = subprocess.run(
        sweep.command("submit", "--yes"),
        cwd=sweep.study,
        env={**sweep.environment, "PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    assert sender.returncode == -signal.SIGKILL
    assert not list((sweep.path / "submissions").glob("*/bound.json"))

    resumed = sweep.run("resume", "--yes")

    assert "Nothing to send" in resumed.stdout
    eventually(lambda: finished(sweep), "the end of the sweep")
    assert len(os.listdir(sweep.path / "submissions")) == 1
    everything_succeeded_once(sweep, 8)


def test_points_of_a_sender_that_was_killed_before_sbatch_are_free_after_the_grace_period(
    cluster, toy, shim, eventually
):
    """Nothing was accepted: for the grace period nobody can know, then the points are sent again."""
    sweep = toy(profile="slurm", grace_s=4)
    shim("kill -9 $SENDER")
    subprocess.run(
        sweep.command("submit", "--yes"),
        cwd=sweep.study,
        env={**sweep.environment, "PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )

    at_once = sweep.run("resume", "--yes")
    assert "Nothing to send" in at_once.stdout
    time.sleep(5)
    sweep.run("resume", "--yes")

    eventually(lambda: finished(sweep), "the end of the sweep")
    everything_succeeded_once(sweep, 8)


def test_what_slurm_refuses_is_said_in_its_words_and_leaves_nothing_behind(cluster, toy):
    """A partition that does not exist: exit code 1, SLURM's text, and the points are planned as before."""
    sweep = toy(profile="slurm")
    (sweep.study / "jobs").mkdir()
    (sweep.study / "jobs" / "wrong.yaml").write_text(
        "executor: slurm\nslurm: {partition: nowhere}\n"
    )

    refused = sweep.run("submit", "--yes", "--profile", "wrong", ok=(1,))

    assert "invalid partition" in refused.stderr.lower()
    assert "nowhere" in refused.stderr
    assert "Traceback" not in refused.stderr
    [submission] = (sweep.path / "submissions").iterdir()
    assert sorted(os.listdir(submission)) == ["refused.json", "submission.json"]
    assert sweep.counts() == {"planned": 8}


def test_a_fit_that_is_cancelled_in_its_middle_goes_on_from_its_checkpoint(
    cluster, toy, eventually
):
    """SIGTERM reaches the worker through srun; it checkpoints, says so, and leaves in time."""
    sweep = toy(
        sessions=1, iterations=60, sleep_s=0.1, checkpoint_s=1, profile="slurm", points_per_task=4
    )
    sweep.run("submit", "--yes")
    eventually(lambda: list((sweep.path / "checkpoints").rglob("*.npz")), "a checkpoint")

    for job in cluster.job_ids():
        subprocess.run(["scancel", job.partition("_")[0]], check=False)
    eventually(lambda: not cluster.job_ids(), "an empty queue")
    sweep.run("resume", "--yes")
    eventually(lambda: finished(sweep), "the end of the sweep")

    everything_succeeded_once(sweep, 4)
    [(kind, reached)] = sweep.rows("SELECT kind, done FROM attempt WHERE outcome = 'interrupted'")
    [resumed_from] = {
        row[0]
        for row in sweep.rows("SELECT resumed_from FROM attempt WHERE resumed_from IS NOT NULL")
    }
    assert kind == "killed"
    assert resumed_from == reached > 0


def test_a_dead_node_costs_a_task_and_no_point(cluster, toy, eventually):
    """SLURM requeues the task elsewhere; what its first run had published stays."""
    sweep = toy(repeat=2, iterations=10, sleep_s=0.2, profile="slurm", points_per_task=4)
    sweep.run("submit", "--yes")
    eventually(lambda: sweep.successes(), "a first result")
    node = json.loads(next((sweep.path / "journal").rglob("*.jsonl")).read_text().splitlines()[0])[
        "host"
    ]

    cluster.kill_node(node)

    eventually(
        lambda: (
            not cluster.job_ids()
            or [cluster.start_now(job) for job in cluster.job_ids() if _pending(job)]
            or False
        ),
        "an empty queue",
    )
    eventually(lambda: finished(sweep), "the end of the sweep")
    sweep.run("resume", "--yes")
    eventually(lambda: finished(sweep), "the end of the sweep")
    everything_succeeded_once(sweep, 16)


def _pending(job: str) -> bool:
    shown = subprocess.run(
        ["squeue", "--noheader", f"--jobs={job}", "--format=%T"], capture_output=True, text=True
    )
    return shown.stdout.strip() == "PENDING"
