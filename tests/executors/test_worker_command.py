"""The command that runs a task: the same for every executor, with the Python of the profile."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytau_hpc.executors.base import worker_command
from pytau_hpc.executors.sbatch import batch_text
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.submission import Submission
from tests.builders import a_submission, some_points


def a_submission_with(**profile: object) -> Submission:
    submission = a_submission(some_points(2), executor="slurm")
    return replace(submission, profile={**submission.profile, **profile})


@pytest.mark.parametrize(
    ("profile", "python"),
    [
        ({}, sys.executable),
        ({"python": None}, sys.executable),
        ({"python": "python3"}, "python3"),
        ({"python": "/opt/env/bin/python"}, "/opt/env/bin/python"),
    ],
)
def test_the_python_is_the_one_that_submits_unless_the_profile_says_otherwise(profile, python):
    """An older submission's profile says nothing."""
    sweep = SweepDir(Path("/study/sweeps/gc_states"))
    submission = a_submission_with(**profile)

    command = worker_command(sweep, submission, 3)

    assert command == [
        python, "-m", "pytau_hpc", "worker", str(sweep.path), submission.uuid, "3",
    ]  # fmt: skip


def test_a_batch_file_runs_the_prologue_then_sets_the_environment_then_the_worker(tmp_path):
    """As bash runs it, with a `srun` and a Python that only say how they were called."""
    for name, text in {
        "srun": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
        "their-python": 'IFS="|"; echo "$*|$NAME|$FROM_PROLOGUE"',
    }.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    sweep = SweepDir(tmp_path / "my study" / "sweeps" / "gc_states")
    submission = a_submission_with(
        python="their-python",
        prologue=[f"PATH={tmp_path}/bin:$PATH", 'export FROM_PROLOGUE="$(echo yes)"'],
        env={"NAME": "it's $(touch canary) a b"},
    )

    said = subprocess.run(
        ["bash", "-c", batch_text(sweep, submission, submission.arrays[0])],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout == (
        f"-m|pytau_hpc|worker|{sweep.path}|{submission.uuid}|1|it's $(touch canary) a b|yes\n"
    )
    assert not list(tmp_path.rglob("canary"))
