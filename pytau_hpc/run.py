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
from typing import Any

from pytau_hpc.fit import FitRequest
from pytau_hpc.sweep.cancellation import Cancellations
from pytau_hpc.sweep.journal import EventKind, Journal, read_from
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.process import this_process
from pytau_hpc.sweep.resources import BEGAN
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind
from pytau_hpc.sweep.submission import Array, Submission, Task, read_point_ids

#: How long before its time limit a run stops by itself: a signal may never come.
DEADLINE_MARGIN_S = 60.0
#: SLURM's signal at the limit itself is at most so much off from what we think the limit is.
_AT_THE_LIMIT_S = 15.0
#: About what importing and compiling cost a fit that goes on from a checkpoint.
_START_S = 30.0


@dataclass
class Stop:
    """Why this run is to stop; the first reason stays."""

    kind: Kind | None = None
    superseded: bool = False
    warned: bool = False  #: a signal that may announce the time limit, or a preemption
    was_asked_about: bool = False  #: the scheduler was asked whose signal it was

    @property
    def asked(self) -> bool:
        return self.kind is not None or self.superseded

    @property
    def because(self) -> str:
        if self.superseded:
            return "superseded"
        return "done" if self.kind is None else self.kind.value


@dataclass
class Used:
    """What a run uses: the most memory that a fit held, in bytes, and time."""

    began: float = field(default_factory=time.monotonic)
    cpu_before_s: float = field(default_factory=lambda: _cpu_s())
    max_rss_bytes: int | None = None

    def saw(self, ending: Mapping[str, Any]) -> None:
        """Take account of a fit that has ended."""
        if ending.get("max_rss_bytes"):
            self.max_rss_bytes = max(int(ending["max_rss_bytes"]), self.max_rss_bytes or 0)

    def to_json(self) -> dict[str, Any]:
        return {
            "elapsed_s": round(time.monotonic() - self.began, 3),
            "cpu_s": round(_cpu_s() - self.cpu_before_s, 3),
            "max_rss_bytes": self.max_rss_bytes,
        }


def _cpu_s() -> float:
    """CPU seconds of this process and of those that it started and waited for: its fit processes."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


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
    host: str
    ends_at: float | None
    stop: Stop = field(default_factory=Stop)
    used: Used = field(default_factory=Used)
    known_submissions: set[str] = field(default_factory=set)
    taken: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._cancellations = Cancellations(
            self.sweep,
            submission=self.submission.number,
            points=[point.point_id for point in self.task.points],
        )

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
    def memory_bytes(self) -> int:
        """The memory that the task asked for."""
        return int(self.array.resources.mem_gb * 2**30)

    def say_that_it_stops(self) -> None:
        """Write down that the run was told to stop, and why: it may be killed before it comes to its last word."""
        if self.stop.kind is not None:
            with contextlib.suppress(OSError):
                self.journal.append(EventKind.SIGNALLED, sync=True, kind=self.stop.kind.value)

    def has_time_for(self, expected_s: float | None) -> bool:
        """Whether it makes sense to begin a fit now: it can end in the time that is left, or come to a checkpoint that
        saves more than starting again costs.
        """
        if self.ends_at is None or expected_s is None:
            return True
        left_s = self.ends_at - self._margin_s - time.monotonic()
        return left_s >= min(expected_s, 2 * self.submission.checkpoint_s + _START_S)

    @property
    def _margin_s(self) -> float:
        return min(DEADLINE_MARGIN_S, 0.2 * self.array.resources.time_min * 60)

    @property
    def time_is_up(self) -> bool:
        if self.ends_at is None:
            return False
        return time.monotonic() >= self.ends_at - self._margin_s

    @property
    def is_under_slurm(self) -> bool:
        return self.submission.executor == "slurm" and "_" in self.job

    @property
    def time_is_over(self) -> bool:
        """Whether SLURM's own end of the time limit has come, give or take what a clock may be off."""
        return self.ends_at is not None and time.monotonic() >= self.ends_at - _AT_THE_LIMIT_S

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
            if (number, uuid) > (self.submission.number, self.submission.uuid):
                self.taken[uuid] = point_ids & {one.point_id for one in self.task.points}
        return any(
            point.point_id in held and not self.sweep.refused_file(uuid).exists()
            for uuid, held in self.taken.items()
        )

    def is_cancelled(self, point: Point, *, begun: bool = False) -> bool:
        """Whether a person gave the point up since it was sent; `begun`: its fit is under way."""
        return self._cancellations.hit(point.point_id, begun=begun)


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
    host = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    run = Run(
        sweep=sweep,
        submission=submission,
        array=array,
        task=task,
        number=number,
        journal=journal,
        log=logs / f"{task.number}.r{number}.log",
        job=job,
        host=host,
        ends_at=_ends_at(submission, array, os.environ),
        known_submissions={submission.uuid},
    )
    journal.append(
        EventKind.RUN_STARTED,
        sync=True,
        host=host,
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
    limit_s = array.resources.time_min * 60.0
    began = environment.get(BEGAN, "")
    # Both by this node's clock, which may be wrong, but not within minutes.
    gone_s = time.time() - float(began) if began.isdigit() else 0.0
    left = limit_s - min(max(0.0, gone_s), limit_s)
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
