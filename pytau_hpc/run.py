"""One execution of a task: what its supervisor knows about it, and whether it is still the one that counts.

Called by `worker` and `supervise`.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytau_hpc.fit import FitRequest
from pytau_hpc.sweep.journal import EventKind, Journal, read_from
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.process import this_process
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind
from pytau_hpc.sweep.submission import Array, Submission, Task, read_point_ids

#: How long before its time limit a run stops by itself: a signal may never come.
DEADLINE_MARGIN_S = 60.0


@dataclass
class Stop:
    """Why this run is to stop; the first reason stays."""

    kind: Kind | None = None
    superseded: bool = False

    @property
    def asked(self) -> bool:
        return self.kind is not None or self.superseded

    @property
    def because(self) -> str:
        if self.superseded:
            return "superseded"
        return "done" if self.kind is None else self.kind.value


@dataclass
class Run:
    """One execution of a task.

    `ends_at` is when its time limit ends it, by the monotonic clock; None where nobody limits it.
    """

    sweep: SweepDir
    submission: Submission
    array: Array
    task: Task
    number: int
    journal: Journal
    log: Path
    job: str
    ends_at: float | None
    stop: Stop = field(default_factory=Stop)
    known_submissions: set[str] = field(default_factory=set)
    taken: dict[str, set[str]] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        return f"{self.submission.uuid}.{self.task.number}.{self.number}"

    def request(self, point: Point) -> FitRequest:
        return FitRequest(
            point=point,
            study=self.sweep.study,
            checkpoints=self.sweep.checkpoint_folder(point.point_id),
            prefix=self.prefix,
            checkpoint_s=self.submission.checkpoint_s,
            job=self.job,
        )

    @property
    def time_is_up(self) -> bool:
        if self.ends_at is None:
            return False
        margin = min(DEADLINE_MARGIN_S, 0.2 * self.array.resources.time_min * 60)
        return time.monotonic() >= self.ends_at - margin

    @property
    def time_limit_is_announced(self) -> bool:
        """Whether a signal at this moment can be SLURM's warning of the time limit (it may come a minute early)."""
        if self.ends_at is None:
            return False
        return self.ends_at - time.monotonic() <= self.array.resources.warning_s + 65.0

    @property
    def has_successor(self) -> bool:
        """Whether a newer run of this task exists: then this one is a zombie, whose node was given up."""
        return self.sweep.journal(self.submission.uuid, self.task.number, self.number + 1).exists()

    def is_taken(self, point: Point) -> bool:
        """Whether a newer submission holds the point.

        Nothing that this run writes about it could do harm, but it should not compute what somebody else computes.
        """
        for uuid in set(_names(self.sweep.submissions)) - self.known_submissions:
            path = self.sweep.submission_file(uuid)
            if uuid.startswith(".") or not path.exists():
                continue
            self.known_submissions.add(uuid)
            number, point_ids = read_point_ids(path)
            if number > self.submission.number:
                self.taken[uuid] = point_ids & {one.point_id for one in self.task.points}
        return any(
            point.point_id in held and not self.sweep.refused_file(uuid).exists()
            for uuid, held in self.taken.items()
        )


def open_run(sweep: SweepDir, submission: Submission, array: Array, task: Task) -> Run:
    """Open the journal of a new run, under the next free number, and say who runs where."""
    folder = sweep.journal_of(submission.uuid)
    folder.mkdir(parents=True, exist_ok=True)
    logs = sweep.logs_of(submission.uuid)
    logs.mkdir(parents=True, exist_ok=True)
    number = 1 + max(_runs(folder, task.number), default=0)
    while True:
        try:
            journal = Journal.create(sweep.journal(submission.uuid, task.number, number))
            break
        except FileExistsError:
            number += 1
    me = this_process()
    job = job_of(os.environ)
    run = Run(
        sweep=sweep,
        submission=submission,
        array=array,
        task=task,
        number=number,
        journal=journal,
        log=logs / f"{task.number}.r{number}.log",
        job=job,
        ends_at=_ends_at(submission, array, os.environ),
        known_submissions={submission.uuid},
    )
    journal.append(
        EventKind.RUN_STARTED,
        sync=True,
        host=os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
        boot_id=me.boot_id,
        pid=me.pid,
        process_started=me.started,
        process_host=me.host,
        job=job,
        points=len(task.points),
        restart=os.environ.get("SLURM_RESTART_COUNT"),
    )
    return run


def job_of(environment: Mapping[str, str]) -> str:
    """The scheduler's name of this task, as its own tools print it; the process id without a scheduler."""
    array, element = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    if array and element:
        return f"{array}_{element}"
    return environment.get("SLURM_JOB_ID") or f"pid {os.getpid()}"


def _ends_at(submission: Submission, array: Array, environment: Mapping[str, str]) -> float | None:
    """When the time limit ends this run, by the monotonic clock; None where nobody limits it."""
    if submission.executor != "slurm":
        return None
    end = environment.get("SLURM_JOB_END_TIME")
    left = float(end) - time.time() if end else array.resources.time_min * 60.0
    return time.monotonic() + left


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _runs(folder: Path, task: int) -> list[int]:
    found = (re.fullmatch(rf"{task}\.r(\d+)\.jsonl", name) for name in _names(folder))
    return [int(match[1]) for match in found if match]


def ended_in_earlier_runs(run: Run) -> set[str]:
    """Points that an earlier run of this task finished: with a result that is still there, or with a failure.

    Whether what failed runs again is for `resume` to say.
    """
    path_of = {point.point_id: run.sweep.study / point.result_path for point in run.task.points}
    ended: set[str] = set()
    for number in range(1, run.number):
        with contextlib.suppress(FileNotFoundError):
            path = run.sweep.journal(run.submission.uuid, run.task.number, number)
            for event in read_from(path, 0).events:
                point_id = event.payload.get("point", "")
                if event.kind is EventKind.POINT_FAILED or (
                    event.kind is EventKind.POINT_SUCCEEDED and path_of[point_id].exists()
                ):
                    ended.add(point_id)
    return ended
