"""Lists of commands: what their lines and their script say, in the hands of real shells."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytau_hpc.errors import UserError
from pytau_hpc.executors import executor, files_of
from pytau_hpc.executors.base import OpenTask
from pytau_hpc.executors.gnu_parallel import LIST, SCRIPT, how_to_run, script_text
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind
from pytau_hpc.sweep.submission import Submission
from tests.builders import a_far_process, a_gone_process, a_submission, some_points, this_process

ODD = 'it\'s $(touch canary); `touch canary` & {} %s "x" *'


def a_list(n: int = 3, **profile: object) -> Submission:
    """A submission of `n` tasks."""
    submission = a_submission(some_points(n), executor="gnu_parallel")
    return replace(submission, profile={**submission.profile, **profile})


def written(sweep: SweepDir, submission: Submission, workers: int | None = None) -> Path:
    """Lay the files beside the submission, as `submit` does; returns the list."""
    folder = sweep.submission(submission.uuid)
    folder.mkdir(parents=True)
    for name, text in files_of(sweep, submission, workers=workers).items():
        (folder / name).write_text(text)
    return folder / LIST


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A Python that only says with which words and which environment it was called."""
    program = tmp_path / "python"
    program.write_text(
        '#!/bin/sh\nIFS="|"\necho "$*|$PWD|$NAME|$FROM_PROLOGUE"; test ! -t 0 && cat\n'
    )
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "fish", "csh", "ksh"])
def test_every_line_runs_one_task_from_any_folder_in_any_shell(tmp_path, python, shell):
    """Prologue first, then the environment, then the worker with the profile's Python, in the study folder."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    study = tmp_path / "study"
    sweep = SweepDir(study / "sweeps" / "gc_states")
    submission = a_list(
        python=python,
        prologue=['export FROM_PROLOGUE="$(echo yes; true)"'],
        env={"NAME": ODD},
    )
    lines = written(sweep, submission).read_text().splitlines()

    said = [
        subprocess.run([shell, "-c", line], cwd="/", text=True, capture_output=True, check=True)
        for line in lines
    ]

    assert [one.stdout for one in said] == [
        f"-m|pytau_hpc|worker|{sweep.path}|{submission.uuid}|{task}|{study}|{ODD}|yes\n"
        for task in range(3)
    ]
    assert not list(tmp_path.rglob("canary"))


@pytest.mark.parametrize("runner", ["bash", "xargs", "parallel"])
def test_a_study_folder_may_have_an_odd_name(tmp_path, python, runner):
    """Nothing of it is taken for shell, or for a place where GNU Parallel would put something."""
    if shutil.which(runner) is None:
        pytest.skip(f"no {runner} here")
    sweep = SweepDir(tmp_path / ODD / "sweeps" / "gc_states")
    jobs = written(sweep, a_list(python=python))
    command = {
        "bash": ["bash", str(jobs)],
        "xargs": ["sh", "-c", "tr '\\n' '\\0' | xargs -0 -P 2 -n 1 sh -c"],
        "parallel": ["parallel", "-j", "2"],
    }[runner]

    with jobs.open() as lines:
        done = subprocess.run(
            command, stdin=lines, cwd=tmp_path, text=True, capture_output=True, check=True
        )

    said = sorted(done.stdout.splitlines())
    assert [line.split("|")[3:6:2] for line in said] == [
        [str(sweep.path), str(i)] for i in range(3)
    ]
    assert not list(tmp_path.rglob("canary"))


def test_a_study_folder_whose_name_has_a_line_break_is_refused(tmp_path):
    """A list has one task a line."""
    sweep = SweepDir(tmp_path / "a\nb" / "sweeps" / "gc_states")

    with pytest.raises(UserError, match="cannot name the folder"):
        files_of(sweep, a_list(), workers=None)


def test_the_worker_gets_the_python_that_submits_unless_the_profile_names_one(tmp_path):
    sweep = SweepDir(tmp_path / "sweeps" / "gc_states")

    assert f"exec {sys.executable} -m pytau_hpc" in script_text(sweep, a_list(), {})
    assert "exec python -m pytau_hpc" in script_text(sweep, a_list(python="python"), {})


def test_what_says_what_is_computed_goes_along(tmp_path):
    """The list may be run from another shell, on another machine."""
    sweep = SweepDir(tmp_path / "sweeps" / "gc_states")

    text = script_text(sweep, a_list(), {"PYTAU_HPC_PLUGINS": "ours", "PYTAU_HPC_SCRATCH": "/x"})

    assert "export PYTAU_HPC_PLUGINS=ours" in text
    assert "SCRATCH" not in text


@pytest.mark.parametrize(
    ("limits", "workers", "said"), [({}, 3, 3), ({"max_running_tasks": 2}, None, 2), ({}, 50, 4)]
)
def test_the_command_runs_as_many_tasks_at_once_as_was_asked_for(tmp_path, limits, workers, said):
    """And not more than there are."""
    sweep = SweepDir(tmp_path / "my study" / "sweeps" / "gc_states")
    submission = a_list(4, limits=limits)
    jobs = written(sweep, submission, workers)

    from_the_study = how_to_run(sweep, submission.uuid, start=sweep.study)
    from_elsewhere = how_to_run(sweep, submission.uuid, start=Path("/"))

    folder = f"sweeps/gc_states/submissions/{submission.uuid}"
    assert from_the_study == f"parallel -j {said} < {folder}/jobs.txt"
    assert from_elsewhere == f"parallel -j {said} < '{str(jobs)[1:]}'"


def test_the_script_is_beside_the_list(tmp_path):
    sweep = SweepDir(tmp_path / "sweeps" / "gc_states")
    jobs = written(sweep, a_list())

    assert (jobs.parent / SCRIPT).exists()
    assert subprocess.run(["bash", "-n", str(jobs.parent / SCRIPT)]).returncode == 0


# -- liveness ---------------------------------------------------------------------------------------------------------


def a_task(number: int, **changes: object) -> OpenTask:
    given = {"driver": a_gone_process(), "run": None, **changes}
    return OpenTask(
        submission="s", task=number, array=0, element=number, job_name="x.s.0", grace_s=0,
        time_limit_s=60, **given,
    )  # fmt: skip


def test_a_task_that_nobody_ran_is_neither_gone_nor_alive():
    """Whoever wrote the list has ended long ago, as he should; `--lost` may take what is not alive."""
    tasks = [a_task(0), a_task(1, driver=this_process()), a_task(2, driver=a_far_process())]

    seen = executor("gnu_parallel").look(tasks, absent={}, now=1e9)

    assert seen.gone == ()
    assert seen.alive == frozenset()
    assert seen.waiting == frozenset()
    assert set(seen.reasons) == {task.key for task in tasks}


def test_a_run_is_known_by_its_process():
    """Dead on this machine: gone at once. On another: nobody can say from here."""
    tasks = [
        a_task(0, run=1, run_process=this_process()),
        a_task(1, run=1, run_process=a_gone_process()),
        a_task(2, run=2, run_process=a_far_process()),
    ]

    seen = executor("gnu_parallel").look(tasks, absent={}, now=1e9)

    assert [(one.task, one.run, one.kind) for one in seen.gone] == [(1, 1, Kind.KILLED)]
    assert seen.alive == {("s", 0)}
    assert not seen.reasons
