"""Submitting from inside a job, as people with an interactive session do."""

from __future__ import annotations

import subprocess

import pytest

from tests.toy_sweep import toy

__all__ = ["toy"]

pytestmark = pytest.mark.slurm


def test_a_sweep_that_is_submitted_from_inside_a_job_gets_what_it_asks_for(
    cluster, toy, eventually
):
    """The variables of the outer job do not become options of the inner ones: memory, CPUs, name, output."""
    sweep = toy(profile="slurm", sleep_s=0.3, iterations=8)
    command = " ".join(sweep.command("submit", "--yes"))
    outer = ["sbatch", "--wait", "--mem=300M", "--time=5", "--job-name=outer", "--output=/dev/null"]
    subprocess.run(
        [*outer, f"--wrap=cd {sweep.study} && {command}"],
        env=sweep.environment,
        check=True,
        capture_output=True,
    )
    inner = subprocess.run(
        ["squeue", "--noheader", "--format=%j|%m|%l"], capture_output=True, text=True, check=True
    ).stdout.split()

    assert inner
    assert all(line.startswith("toy.") and line.endswith("|1G|10:00") for line in inner)
    eventually(lambda: sweep.counts() == {"succeeded": 8}, "the end of the sweep")
