"""The test cluster is what the other tests of this folder take it for."""

from __future__ import annotations

import subprocess
from pathlib import Path


def test_every_element_of_an_array_runs_on_the_cluster(cluster, tmp_path: Path, eventually):
    """An array of more elements than there are nodes is worked off."""
    n = len(cluster.nodes) + 1
    script = f"touch {tmp_path}/$SLURM_ARRAY_TASK_ID"

    _sbatch(f"--array=0-{n - 1}", f"--wrap={script}")

    eventually(lambda: len(list(tmp_path.iterdir())) == n, "every element's file")


def test_nothing_survives_on_a_node_that_dies_and_its_job_is_requeued(
    cluster, tmp_path: Path, eventually
):
    """SLURM notices the dead node and puts the job back; nothing of its first run is left; the node comes back."""
    node = cluster.nodes[-1]
    runs, late = tmp_path / "runs", tmp_path / "late"
    job = _sbatch(
        f"--nodelist={node}",
        f"--wrap=echo run >> {runs}; (sleep 10; touch {late}) & sleep 600",
    )
    eventually(runs.exists, "the first run")

    cluster.kill_node(node)

    state_of_job = ["squeue", "--noheader", f"--jobs={job}", "--format=%T"]
    eventually(lambda: _answer(state_of_job) == "PENDING", "the requeue")
    assert not late.exists()
    subprocess.run(["scancel", job], check=True)
    cluster.revive_node(node)
    idle = ["sinfo", "--noheader", f"--nodes={node}", "--partition=main", "--format=%T"]
    eventually(lambda: _answer(idle) == "idle", "the node")


def _sbatch(*words: str) -> str:
    return _answer(["sbatch", "--parsable", "--output=/dev/null", *words])


def _answer(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
