"""Run one task: what every array element, local process and GNU Parallel job does.

Light on purpose (no numpy). Takes the task's points one after another: is it still needed, is there time, fit it,
write down how it ended. Fits happen in a process of their own that `supervise` watches. Called by ``python -m
pytau_hpc worker``, whatever executor started that.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytau_hpc.earlier_runs import running_already
from pytau_hpc.errors import PytauHpcError
from pytau_hpc.executors.last_words import MARK
from pytau_hpc.fit import StopButton, fit_point
from pytau_hpc.pack import cost
from pytau_hpc.preemption import learn_why, requeue_if_preempted
from pytau_hpc.run import Run, ended_in_earlier_runs, open_run
from pytau_hpc.supervise import FitProcesses, Report, signals
from pytau_hpc.sweep.journal import EventKind
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind
from pytau_hpc.sweep.submission import Submission


def run_task(sweep: SweepDir, uuid: str, number: int, *, in_this_process: bool = False) -> None:
    """Run one task to its end, or to where it is stopped.

    Parameters
    ----------
    in_this_process : fit here instead of in a child (the inline executor): no supervision, no signals
    """
    submission = Submission.read(sweep.submission_file(uuid), only_task=number)
    array = submission.array_of(number)
    task = array.tasks[number - array.first]
    pid = running_already(sweep, submission, number)
    if pid is not None:
        print(f"task {number} runs already, as process {pid}", file=sys.stderr)
        return
    run = open_run(sweep, submission, array, task)
    if submission.executor == "slurm":
        print(f"{MARK}{run.number} of task {number} on {run.host}, {run.job}", flush=True)
    try:
        if in_this_process:
            _fit_all_here(run)
        else:
            # A second signal must not end us before the last word.
            with signals(run) as wake:
                with FitProcesses(run, wake) as fits:
                    _fit_all(run, fits.fit)
                _say_the_last_word(run)
    finally:
        run.journal.close()
    requeue_if_preempted(run)


def _say_the_last_word(run: Run) -> None:
    learn_why(run)
    run.journal.append(
        EventKind.RUN_ENDED, sync=True, because=run.stop.because, **run.used.to_json()
    )


def _fit_all(run: Run, fit: Callable[[Point], Mapping[str, Any]]) -> None:
    done_before = ended_in_earlier_runs(run)
    pace = _Pace()
    for point in run.task.points:
        if run.stop.asked:
            return
        if run.has_successor:
            run.stop.superseded = True
            return
        if point.point_id in done_before or run.is_taken(point):
            continue
        if run.is_cancelled(point):
            run.journal.append(EventKind.POINT_SKIPPED, point=point.point_id, because="cancelled")
            continue
        if run.time_is_up or not run.has_time_for(pace.expected_s(point)):
            run.stop.kind = Kind.TIMEOUT
            if not pace.tried:
                # Its whole time limit was too short even to begin: said of the point, or nobody would ask for more.
                run.journal.append(EventKind.POINT_STARTED, sync=True, point=point.point_id)
                _record_ending(run, point, {"end": "interrupted"})
            return
        run.journal.append(EventKind.POINT_STARTED, sync=True, point=point.point_id)
        ending = fit(point)
        learn_why(run)
        run.used.saw(ending)
        pace.saw(point, ending)
        _record_ending(run, point, ending)


class _Pace:
    """How long fits take here, by those that this run has finished."""

    def __init__(self) -> None:
        self._slowest: float | None = None
        self.tried = False

    def saw(self, point: Point, ending: Mapping[str, Any]) -> None:
        self.tried = True
        elapsed_s = ending.get("elapsed_s")
        if ending["end"] == "succeeded" and elapsed_s:
            self._slowest = max(self._slowest or 0.0, elapsed_s / cost(point))

    def expected_s(self, point: Point) -> float | None:
        """Seconds, rather too many than too few; None where nothing is known."""
        return None if self._slowest is None else self._slowest * cost(point)


def _record_ending(run: Run, point: Point, ending: Mapping[str, Any]) -> None:
    told = {
        key: value
        for key, value in ending.items()
        if key not in ("end", "traceback") and value is not None
    }
    if ending["end"] == "succeeded":
        run.journal.append(EventKind.POINT_SUCCEEDED, sync=True, point=point.point_id, **told)
    elif ending["end"] == "skipped":
        run.journal.append(
            EventKind.POINT_SKIPPED,
            point=point.point_id,
            because=ending.get("because", "its result is there already"),
        )
    elif ending["end"] == "interrupted":
        # Where SLURM starts runs, a newer one of this task means that it had given up the node of this one.
        given_up = run.stop.superseded and run.submission.executor == "slurm"
        why = run.stop.kind or (Kind.NODE if given_up else Kind.KILLED)
        kind = why.value
        _clear_if_done(run, point)
        run.journal.append(
            EventKind.POINT_INTERRUPTED, sync=True, point=point.point_id, **{**told, "kind": kind}
        )
    else:
        if ending.get("traceback"):
            with run.log.open("a", encoding="utf-8") as log:
                log.write(f"\n── {point.point_id} {point.label} failed\n{ending['traceback']}\n")
        log_name = str(run.log.relative_to(run.sweep.study))
        run.journal.append(
            EventKind.POINT_FAILED, sync=True, point=point.point_id, log=log_name, **told
        )


def _clear_if_done(run: Run, point: Point) -> None:
    """Remove the checkpoints that this run wrote after somebody else had finished the point."""
    if (run.sweep.study / point.result_path).exists():
        folder = run.sweep.checkpoint_folder(point.point_id)
        with contextlib.suppress(OSError):
            for path in folder.glob(f"{run.prefix}.*"):
                path.unlink(missing_ok=True)
            folder.rmdir()


def _fit_all_here(run: Run) -> None:
    """Nobody stands beside a fit in this process: of a Ctrl-C it hears as everything in Python does."""
    interrupts: list[KeyboardInterrupt] = []

    def fit(point: Point) -> Mapping[str, Any]:
        try:
            return _fit_here(run, point)
        except KeyboardInterrupt as interrupt:
            interrupts.append(interrupt)
            run.stop.kind = Kind.KILLED
            return {"end": "interrupted"}

    _fit_all(run, fit)
    _say_the_last_word(run)
    if interrupts:
        raise interrupts[0]


def _fit_here(run: Run, point: Point) -> Mapping[str, Any]:
    report = Report(run, point)
    stop = StopButton()

    def heard(message: Mapping[str, Any]) -> None:
        report.heard(message)
        if "checkpoint" in message and run.is_cancelled(point, begun=True):
            stop.press("cancelled")

    return fit_point(run.request(point), heard, stop)


def main(sweep: Path, submission: str, task: int) -> int:
    """The `worker` command: 0 when the run ended in good order, whatever became of its points."""
    try:
        run_task(SweepDir(Path(os.path.abspath(sweep))), submission, task)
    except PytauHpcError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0
