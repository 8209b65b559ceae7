"""The fit process: load → preprocess → model → inference → publish, one point after another.

Started by a worker's supervisor (`python -m pytau_hpc.fit FD`); imports and compiled code are paid for once for all
points of a task. It talks to the supervisor in lines of JSON, writes results and checkpoints, and never touches the
journal. `fit_point` is also what the inline executor calls.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import platform
import queue
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytau_hpc.errors import BadData, Interrupted, NonFinite, UserError
from pytau_hpc.files import publish_no_replace, staged
from pytau_hpc.sweep.point import Point, seed_of
from pytau_hpc.sweep.state import Kind

Say = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class FitRequest:
    """One point to fit and where its files go. `prefix` names this run's checkpoints, `job` the scheduler's job.

    `experiment` is the name that a person gave to this and other fits; None in a sweep, whose name is known.
    """

    point: Point
    study: Path
    checkpoints: Path
    prefix: str
    checkpoint_s: float
    job: str | None = None
    experiment: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "point": self.point.to_json(),
            "study": str(self.study),
            "checkpoints": str(self.checkpoints),
            "prefix": self.prefix,
            "checkpoint_s": self.checkpoint_s,
            "job": self.job,
            "experiment": self.experiment,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FitRequest:
        return cls(
            point=Point.from_json(value["point"]),
            study=Path(value["study"]),
            checkpoints=Path(value["checkpoints"]),
            prefix=value["prefix"],
            checkpoint_s=value["checkpoint_s"],
            job=value["job"],
            experiment=value.get("experiment"),
        )


class StopButton:
    """Passes "checkpoint now, then stop" from the thread that hears it to the checkpoint of the fit that runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._listener: Callable[[str], None] | None = None

    def press(self, reason: str) -> None:
        with self._lock:
            self._reason = self._reason or reason
            if self._listener is not None:
                self._listener(self._reason)

    def connect(self, listener: Callable[[str], None] | None) -> None:
        """Who is told; told at once where the button was pressed before."""
        with self._lock:
            self._listener = listener
            if listener is not None and self._reason is not None:
                listener(self._reason)


def fit_point(request: FitRequest, say: Say, stop: StopButton) -> dict[str, Any]:
    """Fit one point and publish its result; always returns one closing message, whatever happens.

    Returns
    -------
    a message with ``"end"``: ``succeeded`` with usage and quality, ``skipped`` where a valid result was there,
    ``interrupted`` with the iteration, or ``failed`` with kind, error, message, frame and traceback
    """
    watch = _Usage()
    try:
        if _is_there(request):
            return {"end": "skipped"}
        ending = {"end": "succeeded", **_fit_and_publish(request, say, stop)}
    except Interrupted as interrupted:
        ending = {"end": "interrupted", "iteration": interrupted.iteration}
    except (
        Exception
    ) as error:  # a worker's last duty is to say why it failed; the traceback goes along
        ending = {"end": "failed", **describe(error)}
    finally:
        stop.connect(None)
    return {**ending, **watch.read()}


def _is_there(request: FitRequest) -> bool:
    """Whether a valid result is there already. One that is damaged is put aside, under a hidden name."""
    final = request.study / request.point.result_path
    if not final.exists():
        return False
    from pytau_hpc.inference.result_file import ResultInvalid, verify

    try:
        verify(final, request.point.point_id)
    except ResultInvalid as damage:
        print(f"put aside: {damage}", flush=True)
        os.replace(final, final.with_name(f".damaged.{final.name}"))
        return False
    return True


def _fit_and_publish(request: FitRequest, say: Say, stop: StopButton) -> dict[str, Any]:
    from pytau_hpc.data.load import load
    from pytau_hpc.inference import METHODS
    from pytau_hpc.inference.checkpoint import Checkpoint
    from pytau_hpc.inference.result_file import verify, write_result
    from pytau_hpc.models import MODELS

    point = request.point

    def progress(phase: str, done: int, total: int) -> None:
        say({"progress": phase, "done": done, "total": total})

    progress("loading", 0, 0)
    loaded = load(
        session=point.session,
        source=point.source,
        selection=point.selection,
        preprocessing=point.preprocessing,
        repeat=point.repeat,
        expected_digest=point.data_digest,
        study=request.study,
    )
    kind = MODELS[point.model]
    data = kind.prepare(loaded.array)
    checkpoint = Checkpoint(
        request.checkpoints,
        request.prefix,
        point_id=point.point_id,
        engine=str(point.settings.get("engine")),
        interval_s=request.checkpoint_s,
        on_save=lambda iteration: say({"checkpoint": iteration}),
    )
    stop.connect(checkpoint.request_stop)
    posterior = METHODS[point.method].fit(
        kind=kind,
        data=data,
        n_states=point.n_states,
        options=point.model_options,
        settings=point.settings,
        seed=seed_of(point.point_id),
        checkpoint=checkpoint,
        progress=progress,
    )
    # From here on the fit is complete: a stop now would only throw it away.
    stop.connect(None)
    progress("saving", posterior.iterations, posterior.iterations)
    quality = _quality(posterior)
    final = request.study / point.result_path
    final.parent.mkdir(parents=True, exist_ok=True)
    attrs = {
        "point_id": point.point_id,
        "point": point.to_json(),
        "provenance": _provenance(request),
        "quality": quality,
    }
    with staged(final) as temporary:
        write_result(
            temporary, posterior=posterior, data=data, dims=kind.dims, kind=kind, attrs=attrs
        )
        verify(temporary, point.point_id)
        published = publish_no_replace(temporary, final)
    _remove_leftovers(final)
    checkpoint.clear()
    return {**quality, "published": published, "resumed_from": checkpoint.resumed_from}


def _remove_leftovers(final: Path) -> None:
    """Remove what killed attempts at the same point had staged beside its result, which is there now."""
    for path in final.parent.glob(f".{final.name}.*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()


def _quality(posterior: Any) -> dict[str, Any]:
    """What the ledger keeps of a fit, as plain finite numbers."""
    quality = {
        "elbo": _finite(posterior.elbo),
        "elbo_se": _finite(posterior.elbo_se),
        "converged": int(bool(posterior.converged)),
        "iterations_run": int(posterior.iterations),
    }
    if posterior.rhat_max is not None:  # of Markov chains
        quality["rhat_max"] = _finite(posterior.rhat_max)
        quality["ess_min"] = _finite(posterior.ess_min)
        quality["divergences"] = posterior.divergences
    return quality


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _provenance(request: FitRequest) -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in ("pytau_hpc", "pymc", "pytensor", "jax", "numpy", "arviz", "xarray"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "job": request.job,
        **({"experiment": request.experiment} if request.experiment else {}),
        "python": platform.python_version(),
        "versions": versions,
    }


def describe(error: BaseException) -> dict[str, Any]:
    """An error as the journal keeps it: kind, type, message, the last frame of ours or theirs, and the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    return {
        "kind": kind_of(error).value,
        "error": type(error).__name__,
        "message": str(error) or type(error).__name__,
        "frame": None if last is None else f"{Path(last.filename).name}:{last.lineno} {last.name}",
        "traceback": "".join(traceback.format_exception(error)),
    }


def kind_of(error: BaseException) -> Kind:
    """Which kind of failure an exception is."""
    if isinstance(error, (BadData, UserError)):
        return Kind.BAD_INPUT
    if isinstance(error, (NonFinite, FloatingPointError)):
        return Kind.NON_FINITE
    if isinstance(error, MemoryError):
        return Kind.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Kind.NO_SPACE
    return Kind.EXCEPTION


class _Usage:
    """Wall and CPU seconds and peak memory of this process since it was made."""

    def __init__(self) -> None:
        _reset_peak_rss()
        self._wall = time.monotonic()
        self._cpu = time.process_time()

    def read(self) -> dict[str, Any]:
        return {
            "elapsed_s": round(time.monotonic() - self._wall, 3),
            "cpu_s": round(time.process_time() - self._cpu, 3),
            "max_rss_bytes": _peak_rss_bytes(),
        }


def _reset_peak_rss() -> None:
    """Start VmHWM anew (Linux), so that a point is not charged for the one before it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_rss_bytes() -> int:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Read commands until the input closes."""
    out = os.fdopen(int(sys.argv[1]), "wb", buffering=0)
    lock = threading.Lock()

    def say(message: Mapping[str, Any]) -> None:
        data = json.dumps(message, default=str).encode() + b"\n"
        with lock:
            out.write(data)

    stop = StopButton()
    requests: queue.SimpleQueue[FitRequest] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            command = json.loads(line)
            if "stop" in command:
                stop.press(command["stop"])
            else:
                requests.put(FitRequest.from_json(command))
        # The supervisor is gone, or done with us. A fit must not outlive it.
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    # What a fit prints is in the log at once: for whoever follows it, and after a kill.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    while True:
        request = requests.get()
        _mark_start(request.point)
        say(fit_point(request, say, stop))


def _mark_start(point: Point) -> None:
    """Write into the log where the output of a point begins: points of a task share a log, and `logs` shows one.

    Bytes, since the locale's encoding may not know the dashes; and a disk that is full is no reason not to fit.
    """
    now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    with contextlib.suppress(OSError):
        os.write(1, f"── {point.point_id} {point.label} started {now}\n".encode())


if __name__ == "__main__":
    main()
