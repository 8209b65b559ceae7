"""`cancel` on a real cluster: what runs stops at a checkpoint, what waits does not come, what is meant goes on."""

from __future__ import annotations

import json

import pytest

from tests.toy_sweep import toy

__all__ = ["toy"]


def running(sweep) -> list[str]:
    status = json.loads(sweep.run("status", "--json").stdout)
    return [point["point_id"] for point in status["running"]]


def finished(sweep) -> bool:
    counts = sweep.counts()
    return not counts.get("queued") and not counts.get("running")


def test_a_sweep_that_is_cancelled_is_taken_up_where_it_was(cluster, toy, eventually):
    """One scancel for the array; fits that ran keep their checkpoints, and nothing is charged to any point."""
    sweep = toy(
        repeat=2, iterations=60, sleep_s=0.1, checkpoint_s=1, profile="slurm", points_per_task=1
    )
    sweep.run("submit", "--yes", "--jobs", "2")
    eventually(lambda: list((sweep.path / "checkpoints").rglob("*.npz")), "a checkpoint")

    done = sweep.run("cancel", "--yes")

    [array] = {line for line in done.stdout.splitlines() if line.startswith("✓ scancel")}
    assert array.removeprefix("✓ scancel ").isdigit()
    eventually(lambda: not cluster.job_ids(), "an empty queue")
    assert sweep.counts() == {"cancelled": 16}
    assert "Nothing to cancel" in sweep.run("cancel").stdout
    assert "Nothing to send" in sweep.run("resume", "--yes").stdout
    sweep.run("resume", "--cancelled", "--yes")
    eventually(lambda: finished(sweep), "the end of the sweep")
    assert sweep.counts() == {"succeeded": 16}
    assert set(sweep.successes().values()) == {1}
    assert sweep.rows("SELECT max(resumed_from) FROM attempt")[0][0] > 0
    assert sweep.rows("SELECT sum(failures), sum(interruptions) FROM point") == [(0, 0)]


@pytest.mark.parametrize("queued_only", [False, True], ids=["some points", "queued only"])
def test_some_of_an_array_is_cancelled_and_the_rest_succeeds(cluster, toy, eventually, queued_only):
    """Elements by their number: those that run, or only those that wait."""
    sweep = toy(iterations=80, sleep_s=0.1, checkpoint_s=0.5, profile="slurm", points_per_task=1)
    sweep.run("submit", "--yes", "--jobs", "2")
    eventually(lambda: len(running(sweep)) == 2, "two fits that run")
    wish = ["--queued-only"] if queued_only else ["--where", "taste = 0"]

    done = sweep.run("cancel", "--yes", *wish)

    assert ("--state=PENDING" in done.stdout) == queued_only
    assert "_[" in done.stdout
    eventually(lambda: finished(sweep), "the end of what goes on")
    eventually(lambda: not cluster.job_ids(), "an empty queue")
    counts = sweep.counts()
    assert counts["succeeded"] + counts["cancelled"] == 8
    assert counts["succeeded"] == (2 if queued_only else 4)
