"""How fast is the default engine, against PyTau's own algorithm (engine pymc), on the same data in the same process?

    python benchmarks/engine.py                          # a small recording: about two minutes
    python benchmarks/engine.py --size medium --fits 10  # 30 trials × 10 neurons × 40 bins, 4 states

Prints, for each engine, CPU seconds until the first result (lowering and compilation with cold caches, not the import
of libraries, which is shown apart), the median of the fits after it, the loss (negative ELBO, lower is better) and the
error of the changepoints, whose truth is known; then the ratios. CPU seconds, of compilers too, since other programs
on the machine would count in wall seconds.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIZES = {"small": (12, 6, 30, 3), "medium": (30, 10, 40, 4), "large": (60, 15, 60, 5)}
MODEL = "single_taste_poisson"


@dataclass(frozen=True)
class Fit:
    """One fit: CPU seconds, negative ELBO in nats, mean error of the changepoints in bins."""

    seconds: float
    loss: float
    error: float


def cpu_seconds() -> float:
    """Of this process and the compilers it started."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def simulated(
    seed: int, n_trials: int, n_neurons: int, n_bins: int, n_states: int
) -> tuple[Any, Any]:
    """Counts, shape (trial, neuron, bin), and the changepoints, shape (trial, changepoint), in bins."""
    import numpy as np

    rng = np.random.default_rng(seed)
    tau = np.sort(rng.uniform(1, n_bins - 2, (n_trials, n_states - 1)), axis=1)
    rates = rng.gamma(2.0, 0.5, (n_neurons, n_states))
    state = (np.arange(n_bins) >= tau[..., None]).sum(axis=1)
    return rng.poisson(rates[:, state].swapaxes(0, 1)), tau


def fit(engine: str, size: tuple[int, int, int, int], seed: int) -> Fit:
    begun = cpu_seconds()
    import numpy as np

    from pytau_hpc.inference import METHODS
    from pytau_hpc.inference.checkpoint import NullCheckpoint
    from pytau_hpc.models import MODELS

    data, truth = simulated(seed, *size)
    kind = MODELS[MODEL]
    posterior = METHODS["advi"].fit(
        kind=kind,
        data=kind.prepare(data),
        n_states=size[-1],
        options={},
        settings=METHODS["advi"].resolve({"engine": engine}),
        seed=seed,
        checkpoint=NullCheckpoint(),
        progress=lambda phase, done, total: None,
    )
    seconds = cpu_seconds() - begun
    # A sigmoid half a bin before the first bin of a state separates it from the last one of the state before.
    error = np.abs(np.median(posterior.draws["tau"], axis=0) + 0.5 - truth).mean()
    return Fit(seconds, -posterior.elbo, float(error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--fits", type=int, default=5, help="fits of engine jax after the first")
    parser.add_argument(
        "--pymc-fits", type=int, default=1, help="fits of engine pymc after the first"
    )
    chosen = parser.parse_args()
    size = SIZES[chosen.size]
    print(f"{MODEL}, {size[0]} trials × {size[1]} neurons × {size[2]} bins, {size[3]} states")
    begun = cpu_seconds()
    importlib.import_module("pytau_hpc.inference.advi_jax")
    print(f"imports: {cpu_seconds() - begun:.1f} s")
    print(
        "engine   first (s)   median of the rest (s)   fits   loss of the same data   error (bins)"
    )
    rest, firsts = {}, {}
    for engine, n_fits in (("jax", chosen.fits), ("pymc", chosen.pymc_fits)):
        first, *others = [fit(engine, size, seed) for seed in range(n_fits + 1)]
        firsts[engine] = first
        rest[engine] = statistics.median(one.seconds for one in others or [first])
        print(
            f"{engine:6} {first.seconds:11.2f} {rest[engine]:24.2f} {n_fits + 1:6}"
            f" {first.loss:23.1f} {first.error:14.2f}",
            flush=True,
        )
    print(
        f"\njax / pymc: first result {firsts['pymc'].seconds / firsts['jax'].seconds:.0f}× cheaper,"
        f" each further one {rest['pymc'] / rest['jax']:.0f}× cheaper,"
        f" loss {firsts['pymc'].loss - firsts['jax'].loss:+.1f} nats better"
    )


if __name__ == "__main__":
    from pytau_hpc.inference.environment import fit_environment

    with tempfile.TemporaryDirectory() as scratch:
        # Cold caches, one thread: what the first task of a sweep meets on a node.
        os.environ.update(fit_environment(1, Path(scratch)))
        main()
