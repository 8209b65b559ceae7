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
from pytau_hpc.preemption import learn_why
from pytau_hpc.run import Run
from pytau_hpc.scratch import make_scratch, remove_scratch, scratch_base
from pytau_hpc.sweep.journal import EventKind
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.state import Kind

HEARTBEAT_S = 15.0
#: From this share of its memory on, every growth of a fit is worth a record.
_NEAR_THE_LIMIT = 0.7
#: A fit that is told to stop before its first iteration (it loads, or compiles) has nothing to save, and may not listen
#: for minutes: it is ended after this long.
_NOTHING_TO_SAVE_S = 3.0


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
            try:
                if exception[0] is None and not self._run.stop.asked:
                    warm_cache.pack(self._scratch, self._cache)
            finally:
                remove_scratch(self._scratch)

    def fit(self, point: Point) -> Mapping[str, Any]:
        """Have one point fitted; returns how it ended, also when the process died."""
        try:
            process = self._process or self._start()
        except OSError as error:  # scratch that is full or not there: the point fails, and says why
            return {"end": "failed", **self._cannot_start(describe(error))}
        counter = OomCounter.read(process.pid)
        process.command(self._run.request(point).to_json())
        report = Report(self._run, point)
        told_to_stop_at: float | None = None
        taken = cancelled = False
        while True:
            for message in process.hear(1.0, self._wake):
                if "end" in message:
                    return self._given_up(message, taken) if taken or cancelled else message
                report.heard(message)
                if "checkpoint" in message and self._run.has_successor:
                    self._run.stop.superseded = True
                if "checkpoint" in message and self._run.is_taken(point):
                    taken = True
                if "checkpoint" in message and self._run.is_cancelled(point, begun=True):
                    cancelled = True
            report.saw_memory(process.rss_bytes())
            _drain(self._wake)
            if not self._run.stop.asked:
                learn_why(self._run)
            if self._run.time_is_up and not self._run.stop.asked:
                self._run.stop.kind = Kind.TIMEOUT
            if (self._run.stop.asked or taken or cancelled) and told_to_stop_at is None:
                process.command({"stop": self._run.stop.because})
                told_to_stop_at = time.monotonic()
                self._run.say_that_it_stops()
                learn_why(self._run)
            hopeless = (
                told_to_stop_at is not None
                and not report.has_iterated
                and time.monotonic() - told_to_stop_at >= _NOTHING_TO_SAVE_S
            )
            if hopeless:
                process.kill()
            status = process.exit_status()
            if status is not None:
                last_words = [
                    message for message in process.hear(0, self._wake) if "end" in message
                ]
                self._process = None
                process.close()
                report.saw_memory(process.peak_rss_bytes)
                if last_words:
                    return last_words[0]
                if hopeless:
                    return {"end": "interrupted", **report.used()}
                return self._death(status, report, counter)

    def _given_up(self, ending: Mapping[str, Any], taken: bool) -> Mapping[str, Any]:
        """The end of a fit that was cancelled, or that a newer submission has taken.

        A process that was told to stop fits no more: the next point gets a new one.
        """
        if self._process is not None:
            self._process.close()
            self._process = None
        if ending["end"] != "interrupted" or not taken:
            return ending
        return {"end": "skipped", "because": "a newer submission has it"}

    @property
    def _cache(self) -> Path:
        fits = [(point.model, str(point.settings.get("engine"))) for point in self._run.task.points]
        return warm_cache.cache_file(self._run.sweep.caches, fits)

    def _start(self) -> FitProcess:
        from pytau_hpc.inference.environment import allotted_cpus, fit_environment

        run = self._run
        if self._scratch is None:
            scratch = run.submission.profile.get("scratch")
            base = scratch_base(os.environ, scratch if isinstance(scratch, str) else None)
            self._scratch = make_scratch(base, run.prefix)
            warm_cache.unpack(self._cache, self._scratch)
        environment = {
            **os.environ,
            **(run.submission.profile.get("env") or {}),
            **fit_environment(allotted_cpus(run.array.resources.cpus, os.environ), self._scratch),
        }
        # Missing byte code costs seconds per process, and the packages lie on a shared file system.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._process = FitProcess(environment=environment, log=run.log)
        return self._process

    def _death(self, status: int, report: Report, counter: OomCounter) -> Mapping[str, Any]:
        death = Death(
            status=status,
            last_rss_bytes=report.last_rss_bytes,
            limit_bytes=self._run.memory_bytes,
            oom_kills=counter.since(),
        )
        told: Mapping[str, Any] = classify(death)
        if status > 0 and not report.heard_something:
            told = self._cannot_start({**told, "message": f"{told['message']} before it began"})
        return {"end": "failed", **told, **report.used()}

    def _cannot_start(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fits cannot even begin here: the node's fault, not the point's, and the others need not try."""
        kind = Kind.NO_SPACE if told["kind"] == Kind.NO_SPACE.value else Kind.NODE
        self._run.stop.kind = self._run.stop.kind or kind
        return {**told, "kind": kind.value}


class Report:
    """Passes on to the journal what is worth it: phases and checkpoints when they happen, progress now and then."""

    def __init__(self, run: Run, point: Point) -> None:
        self._run = run
        self._point = point
        self._phase = ""
        self._last = time.monotonic()
        self._started = self._last
        self._said_rss_bytes = 0
        self.heard_something = False
        self.has_iterated = False
        self.last_rss_bytes: int | None = None
        self.peak_rss_bytes: int | None = None

    def heard(self, message: Mapping[str, Any]) -> None:
        self.heard_something = True
        self.has_iterated |= "checkpoint" in message or bool(message.get("done"))
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
            self._warn_of_memory(rss_bytes)

    def _warn_of_memory(self, rss_bytes: int) -> None:
        """Write down growing memory near the limit at once: the next word may be cut off with everything else."""
        near = rss_bytes >= _NEAR_THE_LIMIT * self._run.memory_bytes
        if near and rss_bytes > 1.02 * self._said_rss_bytes:
            self._said_rss_bytes = rss_bytes
            with contextlib.suppress(OSError):
                self._run.journal.append(
                    EventKind.PROGRESS,
                    point=self._point.point_id,
                    phase=self._phase or None,
                    rss=rss_bytes,
                )

    def used(self) -> dict[str, Any]:
        """What the fit used, as far as it was seen from outside."""
        return {
            "max_rss_bytes": self.peak_rss_bytes,
            "elapsed_s": round(time.monotonic() - self._started, 3),
        }


@contextlib.contextmanager
def signals(run: Run) -> Iterator[int]:
    """Turn signals into `run.stop`; yields a descriptor that becomes readable when one came."""
    wake, ours = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(ours, False)

    def note(number: int, frame: FrameType | None) -> None:
        # SLURM announces a preemption, and the end of the time limit, with the signal that the array asked for; which
        # of the two it is, `learn_why` asks. SIGTERM may be anybody, unless the time is up to the second.
        if number in (signal.SIGUSR1, signal.SIGUSR2) and run.is_under_slurm:
            run.stop.warned = True
        elif number in (signal.SIGUSR1, signal.SIGUSR2):
            run.stop.kind = run.stop.kind or Kind.PREEMPTED
        else:
            run.stop.kind = run.stop.kind or (Kind.TIMEOUT if run.time_is_over else Kind.KILLED)

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
