"""Have the points of a run fitted by a process of their own, and watch over it.

Starts the fit process and its replacements, passes on what it says to the journal, tells it to stop when the run has
to, and finds out why it died when it does. Called by `worker`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from pytau_hpc import warm_cache
from pytau_hpc.deaths import Death, OomCounter, classify
from pytau_hpc.fit import describe
from pytau_hpc.fit_process import FitProcess
from pytau_hpc.run import Run
from pytau_hpc.scratch import make_scratch, remove_scratch, scratch_base
from pytau_hpc.sweep.journal import EventKind
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.state import Kind

HEARTBEAT_S = 15.0


class FitProcesses:
    """The fit process of a run and its replacements: started when needed, replaced after a death."""

    def __init__(self, run: Run, wake: int) -> None:
        self._run = run
        self._wake = wake
        self._process: FitProcess | None = None
        self._scratch: Path | None = None

    def __enter__(self) -> FitProcesses:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process is not None:
            self._process.close()
        if self._scratch is not None:
            if exception[0] is None and not self._run.stop.asked:
                warm_cache.pack(self._scratch, self._cache)
            remove_scratch(self._scratch)

    def fit(self, point: Point) -> Mapping[str, Any]:
        """Have one point fitted; returns how it ended, also when the process died."""
        try:
            process = self._process or self._start()
        except OSError as error:  # scratch that is full or not there: the point fails, and says why
            return {"end": "failed", **describe(error)}
        counter = OomCounter.read(process.pid)
        process.command(self._run.request(point).to_json())
        report = Report(self._run, point)
        told_to_stop = taken = False
        while True:
            for message in process.hear(1.0, self._wake):
                if "end" in message:
                    return self._given_up(message) if taken else message
                report.heard(message)
                if "checkpoint" in message and self._run.has_successor:
                    self._run.stop.superseded = True
                if "checkpoint" in message and self._run.is_taken(point):
                    taken = True
            report.saw_memory(process.rss_bytes())
            _drain(self._wake)
            if self._run.time_is_up and not self._run.stop.asked:
                self._run.stop.kind = Kind.TIMEOUT
            if (self._run.stop.asked or taken) and not told_to_stop:
                process.command({"stop": self._run.stop.because})
                told_to_stop = True
            status = process.exit_status()
            if status is not None:
                last_words = [
                    message for message in process.hear(0, self._wake) if "end" in message
                ]
                self._process = None
                process.close()
                return last_words[0] if last_words else self._death(status, report, counter)

    def _given_up(self, ending: Mapping[str, Any]) -> Mapping[str, Any]:
        """The end of a fit that a newer submission has taken. A process that was told to stop fits no more."""
        if self._process is not None:
            self._process.close()
            self._process = None
        if ending["end"] != "interrupted":
            return ending
        return {"end": "skipped", "because": "a newer submission has it"}

    @property
    def _cache(self) -> Path:
        fits = [(point.model, str(point.settings.get("engine"))) for point in self._run.task.points]
        return warm_cache.cache_file(self._run.sweep.caches, fits)

    def _start(self) -> FitProcess:
        from pytau_hpc.inference.environment import fit_environment

        run = self._run
        if self._scratch is None:
            scratch = run.submission.profile.get("scratch")
            base = scratch_base(os.environ, scratch if isinstance(scratch, str) else None)
            self._scratch = make_scratch(base, run.prefix)
            warm_cache.unpack(self._cache, self._scratch)
        environment = {
            **os.environ,
            **(run.submission.profile.get("env") or {}),
            **fit_environment(run.array.resources.cpus, self._scratch),
        }
        # Missing byte code costs seconds per process, and the packages lie on a shared file system.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._process = FitProcess(environment=environment, log=run.log)
        return self._process

    def _death(self, status: int, report: Report, counter: OomCounter) -> Mapping[str, Any]:
        death = Death(
            status=status,
            last_rss_bytes=report.last_rss_bytes,
            limit_bytes=int(self._run.array.resources.mem_gb * 2**30),
            oom_kills=counter.since(),
        )
        return {
            "end": "failed",
            **classify(death),
            "max_rss_bytes": report.peak_rss_bytes,
            **report.elapsed(),
        }


class Report:
    """Passes on to the journal what is worth it: phases and checkpoints when they happen, progress now and then."""

    def __init__(self, run: Run, point: Point) -> None:
        self._run = run
        self._point = point
        self._phase = ""
        self._last = time.monotonic()
        self._started = self._last
        self.last_rss_bytes: int | None = None
        self.peak_rss_bytes: int | None = None

    def heard(self, message: Mapping[str, Any]) -> None:
        # No promise is made here, so a full disk must not end a healthy fit.
        with contextlib.suppress(OSError):
            self._write(message)

    def _write(self, message: Mapping[str, Any]) -> None:
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


@contextlib.contextmanager
def signals(run: Run) -> Iterator[int]:
    """Turn signals into `run.stop`; yields a descriptor that becomes readable when one came."""
    wake, ours = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(ours, False)

    def note(number: int, frame: FrameType | None) -> None:
        # SLURM announces a preemption, and the end of the time limit, with the signal that the array asked for;
        # which of the two it is, the time tells. SIGTERM alone may be anybody.
        if run.time_limit_is_announced:
            kind = Kind.TIMEOUT
        else:
            kind = Kind.PREEMPTED if number in (signal.SIGUSR1, signal.SIGUSR2) else Kind.KILLED
        run.stop.kind = run.stop.kind or kind

    numbers = [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means what it says
        numbers.append(signal.SIGHUP)
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
