"""Run one task: the supervisor around the fits.

Light on purpose (no numpy). It starts one fit process and hands it the task's points one after another; writes the
journal of this run; turns signals and its own deadline into "checkpoint, then stop"; notices when the fit process
dies and why; stops when a newer run or submission has taken its points. Called by ``python -m pytau_hpc worker``,
whatever executor started that.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from pytau_hpc.deaths import Death, OomCounter, classify
from pytau_hpc.errors import PytauHpcError
from pytau_hpc.fit import FitRequest, StopButton, fit_point
from pytau_hpc.fit_process import FitProcess
from pytau_hpc.scratch import make_scratch, remove_scratch, scratch_base
from pytau_hpc.sweep.journal import EventKind, Journal, read_from
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.process import this_process
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind
from pytau_hpc.sweep.submission import Array, Submission, Task

HEARTBEAT_S = 15.0
#: How long before its time limit a run stops by itself: a signal may never come.
DEADLINE_MARGIN_S = 60.0


@dataclass
class _Stop:
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
class _Run:
    """What the functions below share about one execution of a task."""

    sweep: SweepDir
    submission: Submission
    array: Array
    task: Task
    number: int
    journal: Journal
    log: Path
    job: str
    deadline: float | None
    stop: _Stop = field(default_factory=_Stop)
    known_submissions: set[str] = field(default_factory=set)

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

    def is_superseded(self) -> bool:
        """Whether a newer run of this task exists, or a newer submission that holds any of its points.

        Then this run is a zombie: its node was given up, or its sender declared it dead. Nothing that it writes can
        do harm, but it should not go on computing what somebody else computes.
        """
        if self.sweep.journal(self.submission.uuid, self.task.number, self.number + 1).exists():
            return True
        ours = {point.point_id for point in self.task.points}
        for uuid in set(_names(self.sweep.submissions)) - self.known_submissions:
            path = self.sweep.submission_file(uuid)
            if uuid.startswith(".") or not path.exists():
                continue
            other = Submission.read(path)
            self.known_submissions.add(uuid)
            if other.number > self.submission.number and any(
                point.point_id in ours for task in other.tasks for point in task.points
            ):
                return True
        return False


def run_task(sweep: SweepDir, uuid: str, number: int, *, in_this_process: bool = False) -> None:
    """Run one task to its end, or to where it is stopped.

    Parameters
    ----------
    in_this_process : fit here instead of in a child (the inline executor): no supervision, no signals
    """
    submission = Submission.read(sweep.submission_file(uuid))
    array = submission.array_of(number)
    task = array.tasks[number - array.first]
    run = _open_run(sweep, submission, array, task)
    try:
        if in_this_process:
            _fit_all(run, lambda point: _fit_here(run, point), wake=None)
        else:
            with _signals(run.stop) as wake, _FitProcesses(run, wake) as fits:
                _fit_all(run, fits.fit, wake=wake)
        run.journal.append(EventKind.RUN_ENDED, sync=True, because=run.stop.because)
    finally:
        run.journal.close()


def _open_run(sweep: SweepDir, submission: Submission, array: Array, task: Task) -> _Run:
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
    run = _Run(
        sweep=sweep,
        submission=submission,
        array=array,
        task=task,
        number=number,
        journal=journal,
        log=logs / f"{task.number}.r{number}.log",
        job=job,
        deadline=_deadline(submission, array, os.environ),
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


def _fit_all(run: _Run, fit: Callable[[Point], Mapping[str, Any]], wake: int | None) -> None:
    failed_before = _failed_in_earlier_runs(run)
    for point in run.task.points:
        if run.stop.asked:
            return
        if run.is_superseded():
            run.stop.superseded = True
            return
        if point.point_id in failed_before:
            continue
        if (run.sweep.study / point.result_path).exists():
            run.journal.append(EventKind.POINT_SKIPPED, point=point.point_id, because="its result is there already")
            continue
        if _time_is_up(run):
            run.stop.kind = Kind.TIMEOUT
            return
        run.journal.append(EventKind.POINT_STARTED, sync=True, point=point.point_id)
        _record_ending(run, point, fit(point))


def _record_ending(run: _Run, point: Point, ending: Mapping[str, Any]) -> None:
    told = {key: value for key, value in ending.items() if key not in ("end", "traceback") and value is not None}
    if ending["end"] == "succeeded":
        run.journal.append(EventKind.POINT_SUCCEEDED, sync=True, point=point.point_id, **told)
    elif ending["end"] == "interrupted":
        kind = (run.stop.kind or Kind.KILLED).value
        run.journal.append(EventKind.POINT_INTERRUPTED, sync=True, point=point.point_id, **{**told, "kind": kind})
    else:
        if ending.get("traceback"):
            with run.log.open("a", encoding="utf-8") as log:
                log.write(f"\n── {point.point_id} {point.label} failed\n{ending['traceback']}\n")
        log_name = str(run.log.relative_to(run.sweep.study))
        run.journal.append(EventKind.POINT_FAILED, sync=True, point=point.point_id, log=log_name, **told)


# -- the fit process, supervised ------------------------------------------------------------------------------------


class _FitProcesses:
    """The fit process of a run and its replacements: started when needed, replaced after a death."""

    def __init__(self, run: _Run, wake: int) -> None:
        self._run = run
        self._wake = wake
        self._process: FitProcess | None = None
        self._scratch: Path | None = None

    def __enter__(self) -> _FitProcesses:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process is not None:
            self._process.close()
        if self._scratch is not None:
            remove_scratch(self._scratch)

    def fit(self, point: Point) -> Mapping[str, Any]:
        """Have one point fitted; returns how it ended, also when the process died."""
        process = self._process or self._start()
        counter = OomCounter.read(process.pid)
        process.command(self._run.request(point).to_json())
        report = _Report(self._run, point)
        told_to_stop = False
        while True:
            for message in process.hear(1.0, self._wake):
                if "end" in message:
                    return message
                report.heard(message)
                if "checkpoint" in message and self._run.is_superseded():
                    self._run.stop.superseded = True
            report.saw_memory(process.rss_bytes())
            _drain(self._wake)
            if _time_is_up(self._run) and not self._run.stop.asked:
                self._run.stop.kind = Kind.TIMEOUT
            if self._run.stop.asked and not told_to_stop:
                process.command({"stop": self._run.stop.because})
                told_to_stop = True
            status = process.exit_status()
            if status is not None:
                last_words = [message for message in process.hear(0, self._wake) if "end" in message]
                self._process = None
                process.close()
                return last_words[0] if last_words else self._death(status, report, counter)

    def _start(self) -> FitProcess:
        from pytau_hpc.inference.environment import fit_environment

        run = self._run
        if self._scratch is None:
            scratch = run.submission.profile.get("scratch")
            base = scratch_base(os.environ, scratch if isinstance(scratch, str) else None)
            self._scratch = make_scratch(base, run.prefix)
        environment = {**os.environ, **fit_environment(run.array.resources.cpus, self._scratch)}
        # Missing byte code costs seconds per process, and the packages lie on a shared file system.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._process = FitProcess(environment=environment, log=run.log)
        return self._process

    def _death(self, status: int, report: _Report, counter: OomCounter) -> Mapping[str, Any]:
        death = Death(
            status=status,
            last_rss_bytes=report.last_rss_bytes,
            limit_bytes=int(self._run.array.resources.mem_gb * 2**30),
            oom_kills=counter.since(),
            stopping=self._run.stop.asked,
        )
        return {"end": "failed", **classify(death), "max_rss_bytes": report.peak_rss_bytes, **report.elapsed()}


class _Report:
    """Passes on to the journal what is worth it: phases and checkpoints when they happen, progress now and then."""

    def __init__(self, run: _Run, point: Point) -> None:
        self._run = run
        self._point = point
        self._phase = ""
        self._last = time.monotonic()
        self._started = self._last
        self.last_rss_bytes: int | None = None
        self.peak_rss_bytes: int | None = None

    def heard(self, message: Mapping[str, Any]) -> None:
        if "checkpoint" in message:
            self._run.journal.append(
                EventKind.CHECKPOINT, point=self._point.point_id, iteration=message["checkpoint"]
            )
        elif "progress" in message:
            now = time.monotonic()
            new_phase = message["progress"] != self._phase and now - self._last >= 1.0
            if new_phase or now - self._last >= HEARTBEAT_S:
                self._phase, self._last = message["progress"], now
                self._run.journal.append(
                    EventKind.PROGRESS,
                    point=self._point.point_id,
                    phase=message["progress"],
                    done=message["done"],
                    total=message["total"],
                    rss=self.last_rss_bytes,
                )

    def saw_memory(self, rss_bytes: int | None) -> None:
        if rss_bytes is not None:
            self.last_rss_bytes = rss_bytes
            self.peak_rss_bytes = max(rss_bytes, self.peak_rss_bytes or 0)

    def elapsed(self) -> dict[str, float]:
        return {"elapsed_s": round(time.monotonic() - self._started, 3)}


def _fit_here(run: _Run, point: Point) -> Mapping[str, Any]:
    report = _Report(run, point)
    return fit_point(run.request(point), report.heard, StopButton())


# -- small facts about where we run ---------------------------------------------------------------------------------


def job_of(environment: Mapping[str, str]) -> str:
    """The scheduler's name of this task, as its own tools print it; the process id without a scheduler."""
    array, element = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    if array and element:
        return f"{array}_{element}"
    return environment.get("SLURM_JOB_ID") or f"pid {os.getpid()}"


def _deadline(submission: Submission, array: Array, environment: Mapping[str, str]) -> float | None:
    """When this run has to be over, by the monotonic clock; None where nobody limits it."""
    if submission.executor != "slurm":
        return None
    end = environment.get("SLURM_JOB_END_TIME")
    left = float(end) - time.time() if end else array.resources.time_min * 60.0
    margin = min(DEADLINE_MARGIN_S, 0.2 * left)
    return time.monotonic() + left - margin


def _time_is_up(run: _Run) -> bool:
    return run.deadline is not None and time.monotonic() >= run.deadline


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _runs(folder: Path, task: int) -> list[int]:
    found = (re.fullmatch(rf"{task}\.r(\d+)\.jsonl", name) for name in _names(folder))
    return [int(match[1]) for match in found if match]


def _failed_in_earlier_runs(run: _Run) -> set[str]:
    """Points that failed in an earlier run of this task: whether they run again is for `resume` to say."""
    failed: set[str] = set()
    for number in range(1, run.number):
        with contextlib.suppress(FileNotFoundError):
            path = run.sweep.journal(run.submission.uuid, run.task.number, number)
            for event in read_from(path, 0).events:
                if event.kind is EventKind.POINT_FAILED:
                    failed.add(event.payload["point"])
    return failed


@contextlib.contextmanager
def _signals(stop: _Stop) -> Iterator[int]:
    """Turn signals into `stop`; yields a descriptor that becomes readable when one came."""
    wake, ours = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(ours, False)

    def note(number: int, frame: FrameType | None) -> None:
        # SLURM announces a preemption, and the end of the time limit, with the signal that the array asked for;
        # which of the two it is, the deadline tells. SIGTERM alone may be anybody.
        announced = number in (signal.SIGUSR1, signal.SIGUSR2)
        stop.kind = stop.kind or (Kind.PREEMPTED if announced else Kind.KILLED)

    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
    before = {number: signal.signal(number, note) for number in numbers}
    before_wakeup = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
    try:
        yield wake
    finally:
        signal.set_wakeup_fd(before_wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(wake)
        os.close(ours)


def _drain(wake: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(wake, 4096)


def main(sweep: Path, submission: str, task: int) -> int:
    """The `worker` command: 0 when the run ended in good order, whatever became of its points."""
    try:
        run_task(SweepDir(Path(os.path.abspath(sweep))), submission, task)
    except PytauHpcError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0
