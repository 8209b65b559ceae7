"""A method that needs no compiler, for tests of everything around the fit: a plugin, like one of a user's own.

It walks through its iterations, sleeping a little at each, checkpoints at each, and gives draws that depend on the
seed and on every iteration, so that a fit that was resumed wrongly gives other numbers. `fail` makes it end badly.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from pytau_hpc.errors import Interrupted, NonFinite
from pytau_hpc.inference.method import MethodKind

_DEFAULTS: dict[str, Any] = {
    "engine": "toy",
    "iterations": 3,
    "sleep_s": 0.0,
    "fail": "never",
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
    state = checkpoint.load()
    start = 0 if state is None else state.iteration
    walk = np.zeros(total) if state is None else np.array(state.arrays["walk"])
    for iteration in range(start, total):
        progress("fit", iteration, total)
        _fail(settings["fail"], iteration)
        time.sleep(settings["sleep_s"])
        # A number that depends on everything before it: a lost or repeated iteration would show.
        before = walk[iteration - 1] if iteration else 0.0
        walk[iteration] = np.sin(before * 7.0) + np.random.default_rng([seed, iteration]).normal()
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
        info={"engine": "toy"},
    )


def _fail(how: str, iteration: int) -> None:
    if how == "never" or iteration == 0:
        return
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
