"""`doctor` and `profile init` on a real cluster: they ask, and change nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pytau_hpc.executors.profile import read_profile


def test_a_profile_that_was_made_for_the_cluster_has_no_problem_there(
    cluster, study: Path, pytau_hpc_cli
):
    """Every line is about the real one, and no job was sent."""
    jobs = cluster.job_ids()
    pytau_hpc_cli("profile", "init", "mine", check=True)
    profile = read_profile(study / "jobs" / "mine.yaml")

    done = pytau_hpc_cli("doctor", "--profile", "mine", "--json", check=True)

    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert (profile.slurm.partition, profile.limits.time) == ("main", 60)
    assert profile.limits.mem_gb == 4.8
    assert {"slurm", "limits", "accounting", "partition", "time", "memory", "preemption"} <= set(
        checks
    )
    assert "pytautest" in checks["slurm"]["says"]
    assert [name for name, check in checks.items() if check["verdict"] == "problem"] == []
    assert cluster.job_ids() == jobs


def test_the_preempted_partition_is_said_to_be_one(cluster, study: Path, pytau_hpc_cli):
    """In the profile, and by doctor."""
    pytau_hpc_cli("profile", "init", "low", "--partition", "low", check=True)

    done = pytau_hpc_cli("doctor", "--profile", "low", check=True)

    assert "may be preempted" in (study / "jobs" / "low.yaml").read_text()
    assert "may be preempted and are then requeued; 10 s before" in done.stdout


def test_a_partition_that_is_not_there_is_the_problem_that_sbatch_would_have(
    cluster, study: Path, pytau_hpc_cli
):
    """SLURM's own judgement agrees."""
    (study / "typo.yaml").write_text("executor: slurm\nslurm: {partition: mian}\n")

    done = pytau_hpc_cli("doctor", "--profile", "./typo.yaml")

    asked = subprocess.run(
        ["sbatch", "--test-only", "--partition=mian", "--wrap=true"], capture_output=True, text=True
    )
    assert (done.returncode, asked.returncode) == (1, 1)
    assert "there is no partition `mian`" in done.stdout
    assert "did you mean `main`?" in done.stdout


@pytest.mark.usefixtures("without_sacct")
def test_a_cluster_whose_sacct_does_not_work_is_no_problem(cluster, pytau_hpc_cli):
    """It is said, and not needed."""
    done = pytau_hpc_cli("doctor", "--profile", "slurm", "--json", check=True)

    [check] = [c for c in json.loads(done.stdout)["checks"] if c["name"] == "accounting"]
    assert check["verdict"] == ("warning" if cluster.has_accounting else "ok")
