"""A method that needs no compiler, for tests of everything around the fit: a plugin, like one of a user's own.

It walks through its iterations, sleeping a little at each, checkpoints at each, and gives draws that depend on the
seed and on every iteration, so that a fit that was resumed wrongly gives other numbers.

`fail` makes it end badly, in the first `fail_times` executions only (-1: always). `need_mb` is the memory that it takes
where `fail` is ``oom_step`` (so that whoever enforces limits kills the whole step), or that it pretends to need where
`fail` is ``oom_child`` (it fills most of what its job was given, and dies as by the kernel's hand).

Where $PYTAU_TOY_TRACE names a folder, every iteration is noted there, in a file a seed: what was computed twice shows.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytau_hpc.errors import Interrupted, NonFinite
from pytau_hpc.inference.method import MethodKind

_DEFAULTS: dict[str, Any] = {
    "engine": "toy",
    "iterations": 3,
    "sleep_s": 0.0,
    "fail": "never",
    "fail_times": -1,
    "need_mb": 0,
    "draws": 8,
}


def _resolve(settings: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in settings.items() if key in _DEFAULTS and value != "auto"}
    return {**_DEFAULTS, **given}


METHODS = {
    "toy": MethodKind(
        name="toy",
        summary="no inference at all",
        engines={"toy": "tests.toy"},
        settings=_DEFAULTS,
        resolve=_resolve,
    )
}


def fit(*, kind, data, n_states, options, settings, seed, checkpoint, progress):
    """See the module."""
    import numpy as np

    from pytau_hpc.inference.posterior import Posterior

    total = settings["iterations"]
    trace = _Trace(seed)
    fails = _fails(settings, trace)
    state = checkpoint.load()
    start = 0 if state is None else state.iteration
    walk = np.zeros(total) if state is None else np.array(state.arrays["walk"])
    for iteration in range(start, total):
        progress("fit", iteration, total)
        if fails:
            _fail(settings, iteration)
        time.sleep(settings["sleep_s"])
        # A number that depends on everything before it: a lost or repeated iteration would show.
        before = walk[iteration - 1] if iteration else 0.0
        walk[iteration] = np.sin(before * 7.0) + np.random.default_rng([seed, iteration]).normal()
        trace.note(iteration)
        if checkpoint.due():
            checkpoint.save({"walk": walk}, {}, iteration + 1)
            if checkpoint.stop_requested:
                raise Interrupted(iteration + 1)
    rng = np.random.default_rng([seed, total])
    n_trials, n_bins = data.shape[0], data.shape[-1]
    tau = np.sort(rng.uniform(0, n_bins - 1, (settings["draws"], n_trials, n_states - 1)), axis=-1)
    rates = rng.gamma(2.0, 1.0, (settings["draws"], data.shape[1], n_states)) + abs(walk[-1])
    return Posterior(
        draws={"tau": tau, "lambda": rates},
        elbo=float(walk[-1]),
        elbo_se=0.0,
        converged=True,
        iterations=total,
        loss=-walk,
        loss_every=1,
        info={"engine": "toy", "seed": str(seed)},
    )


class _Trace:
    """What this execution does, for whoever looks afterwards; nowhere unless $PYTAU_TOY_TRACE says where."""

    def __init__(self, seed: int) -> None:
        folder = os.environ.get("PYTAU_TOY_TRACE")
        self.path = Path(folder) / str(seed) if folder else None

    def note(self, iteration: int) -> None:
        if self.path is not None:
            with self.path.open("a") as file:  # one write of a short line to the end of the file
                file.write(f"{os.getpid()} {iteration} {time.time():.3f}\n")

    def count(self, what: str) -> int:
        """How often this was called for the seed before."""
        if self.path is None:
            return 0
        with self.path.with_suffix(f".{what}").open("ab") as file:
            file.write(b".")
            return file.tell() - 1


def _fails(settings: Mapping[str, Any], trace: _Trace) -> bool:
    if settings["fail"] == "never":
        return False
    if settings["fail"] == "oom_child":  # as often as it is given too little
        return int(os.environ.get("SLURM_MEM_PER_NODE", 0)) < settings["need_mb"]
    return settings["fail_times"] < 0 or trace.count("failed") < settings["fail_times"]


def _fail(settings: Mapping[str, Any], iteration: int) -> None:
    how = settings["fail"]
    if how == "never" or iteration == 0:
        return
    if how == "oom_step":
        _hold(settings["need_mb"], seconds=4.0)  # whoever is in time to kill it, does
        return
    if how == "oom_child":
        mb = 0.92 * int(os.environ["SLURM_MEM_PER_NODE"]) - _resident_mb()
        _hold(mb, seconds=2.5, then=signal.SIGKILL)
    if how == "deaf":  # neither signals nor deadlines reach a fit that is deep in foreign code
        time.sleep(3600)
    if how == "exception":
        raise RuntimeError("the toy was told to fail")
    if how == "non_finite":
        raise NonFinite("the toy reached NaN")
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "memory":
        held = bytearray(1 << 40)
        del held
    time.sleep(60)


def _hold(mb: float, *, seconds: float, then: signal.Signals | None = None) -> None:
    """Take memory for real, and keep it for a while; die with it by the signal `then`."""
    held = b"x" * (int(max(0.0, mb)) << 20)
    time.sleep(seconds)
    if then is not None:
        os.kill(os.getpid(), then)
    del held


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
