"""Write the tasks as a list of commands, for GNU Parallel or whatever else runs one line after another.

Nothing is started here and nobody is asked: a person runs the list, here or on other machines, all of it or a part,
once or again. The tasks report into the same ledger as any others. One that was not run is neither lost nor late; it
waits for its person, and ``resume --lost`` gives it up. A run is known by its process, so that it is found dead at once
on the machine where it died, and on no other.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytau_hpc.errors import UserError
from pytau_hpc.executors import processes
from pytau_hpc.executors.base import (
    OpenTask,
    Sent,
    Sighting,
    Told,
    profile_value,
    worker_command,
)
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.submission import Submission

NAME = "gnu_parallel"
LIST, SCRIPT = "jobs.txt", "task.sh"

#: Says what is computed, so it has to be the same wherever the list is run.
_PLUGINS = "PYTAU_HPC_PLUGINS"


class GnuParallelExecutor:
    """See the module."""

    name = NAME
    blocks = False
    queues = False

    def files(
        self, sweep: SweepDir, submission: Submission, *, workers: int | None
    ) -> Mapping[str, str]:
        """The list, the script that its lines call, and a note of how many tasks may run at once.

        Raises
        ------
        UserError : the study folder has a name that cannot stand in one line
        """
        if not str(sweep.path).isprintable():
            raise UserError(
                f"a list of commands cannot name the folder {str(sweep.path)!r}",
                help="rename it, without line breaks and control characters",
            )
        note = {
            "format": 1,
            "at": submission.created_at,
            "job_ids": {},
            "at_once": min(processes.at_once(submission, workers), len(submission.tasks)),
        }
        return {
            SCRIPT: script_text(sweep, submission, os.environ),
            LIST: list_text(sweep, submission),
            sweep.bound_file(submission.uuid).name: json.dumps(note) + "\n",
        }

    def send(
        self,
        sweep: SweepDir,
        submission: Submission,
        *,
        workers: int | None,
        tick: Callable[[], None],
    ) -> Sent:
        return Sent(job_list=job_list(sweep, submission.uuid))

    def slots(self) -> int:
        return processes.cpus()

    def max_array_size(self) -> int:
        return sys.maxsize

    def cluster(self) -> None:
        return None

    def look(
        self, tasks: Sequence[OpenTask], *, absent: Mapping[str, float], now: float
    ) -> Sighting:
        begun = processes.look(
            [task for task in tasks if task.run is not None], absent=absent, now=now
        )
        return Sighting(
            gone=begun.gone,
            alive=begun.alive,
            reasons={task.key: "its list has not been run" for task in tasks if task.run is None},
        )

    def cancel(self, tasks: Sequence[OpenTask], *, only_queued: bool) -> Told:
        return processes.cancel(tasks, only_queued=only_queued)


def job_list(sweep: SweepDir, uuid: str) -> Path:
    """The file with one command a line."""
    return sweep.submission(uuid) / LIST


def how_to_run(sweep: SweepDir, uuid: str, *, start: Path) -> str:
    """The command that runs a list, to be typed in the folder `start`."""
    path = seen_from(start, job_list(sweep, uuid))
    return f"parallel -j {_at_once(sweep, uuid)} < {shlex.quote(str(path))}"


def seen_from(start: Path, path: Path) -> Path:
    """A path as a person in the folder `start` would type it."""
    return path.relative_to(start) if path.is_relative_to(start) else path


def _at_once(sweep: SweepDir, uuid: str) -> int:
    try:
        return int(json.loads(sweep.bound_file(uuid).read_text(encoding="utf-8"))["at_once"])
    except (OSError, ValueError, KeyError):
        return processes.cpus()


def list_text(sweep: SweepDir, submission: Submission) -> str:
    """One line of shell for each task, in plain words that every shell reads alike, and for any current folder."""
    script = shlex.quote(str(sweep.submission(submission.uuid) / SCRIPT))
    return "".join(f"bash {script} {task.number}\n" for task in submission.tasks)


def script_text(sweep: SweepDir, submission: Submission, environment: Mapping[str, str]) -> str:
    """The script that runs one task: what a batch file is for SLURM."""
    variables: dict[str, Any] = dict(profile_value(submission, "env") or {})
    if environment.get(_PLUGINS):
        variables.setdefault(_PLUGINS, environment[_PLUGINS])
    prologue = profile_value(submission, "prologue") or []
    worker = shlex.join(worker_command(sweep, submission, "")[:-1])
    lines = [
        "#!/usr/bin/env bash",
        f"# Runs one task of {submission.sweep}, number $1. Written by pytau_hpc; {LIST} has a line for each.",
        f"cd {shlex.quote(str(sweep.study))} || exit 1",
        *prologue,
        *(f"export {name}={shlex.quote(str(value))}" for name, value in variables.items()),
        # exec, so that a signal reaches the worker; the list itself may be the standard input.
        f'exec {worker} "$1" </dev/null',
    ]
    return "\n".join(lines) + "\n"
