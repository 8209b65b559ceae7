"""Is the default engine as good as PyTau's own algorithm, for every model and at three sizes?

    python benchmarks/all_models.py cells.jsonl                                   # everything: most of a day
    python benchmarks/all_models.py cells.jsonl --engines jax                     # a quarter of an hour
    python benchmarks/all_models.py cells.jsonl --models poisson_changepoint_1d --sizes small --seeds 0 1
    python benchmarks/all_models.py cells.jsonl --table

A cell is one fit: of one model, at one size, with one seed, by one engine. Each is computed in turn and added to the
file, one line of JSON; cells that are there are passed over, so that the work can be stopped at any time and taken up
again. Where an engine has changed, take its lines out first. A seed makes the data and the fit, and both engines get
the same data.

Sizes are trials × neurons × bins × states. Models without trials or neurons get one of them; a dimension is a neuron,
there are as many categories as neurons, and two tastes share the trials. All states have at least three bins.

``results/all_models.jsonl`` beside this file holds all of them (two cores, a PyTensor without BLAS; those of engine
pymc at size small from before its data were constants, which costs it up to a third).

`--table` prints a table in Markdown, of the cells that both engines have: how much better the ELBO of engine jax is,
in nats (median of the seeds, its standard error, and the least of them); CPU seconds of a fit, compilation included,
with what the fits before it have compiled (median, of compilers too); and the error of the changepoints, in bins
(median of the seeds; mean distance of the posterior median from the truth). Then the seeds where jax is worse.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SIZES = {"small": (12, 6, 30, 3), "medium": (30, 10, 40, 4), "large": (60, 15, 60, 5)}
SEEDS = range(5)
ENGINES = ("jax", "pymc")
SETTINGS: dict[str, dict[str, Any]] = {
    "jax": {"engine": "jax"},
    "pymc": {"engine": "pymc", "iterations": 80_000},
}
N_TASTES = 2
SHORTEST = 3  # bins of a state
WORSE = 2.0  # that many standard errors below nothing: jax is worse


class Cell(NamedTuple):
    model: str
    size: str
    seed: int
    engine: str


class Made(NamedTuple):
    """data : by the model's dims; tau : shape ([taste,] [trial,] changepoint), in bins"""

    data: Any
    tau: Any


def simulated(kind: Any, size: tuple[int, int, int, int], seed: int) -> Made:
    """Data of a model with changepoints that are known, and not all easy to find."""
    import numpy as np

    rng = np.random.default_rng([seed, *size])
    n_trials, n_neurons, n_bins, n_states = size
    n_tastes = N_TASTES if "taste" in kind.dims else 1
    n_trials = n_trials // n_tastes if "trial" in kind.dims else 1
    n_units = n_neurons if {"neuron", "dimension"} & set(kind.dims) else 1

    shares = rng.dirichlet(np.full(n_states, 2.0), (n_tastes, n_trials))
    lengths = SHORTEST + shares * (n_bins - SHORTEST * n_states)
    first = np.round(np.cumsum(lengths, axis=-1)[..., :-1])  # bin of states 1, 2, …
    state = (np.arange(n_bins) >= first[..., None]).sum(axis=-2)  # (taste, trial, bin)

    # Of models whose trials switch: one switch, for all tastes in the same trial.
    n_components = kind.options.get("switch_components", 1)
    switch = rng.integers(n_trials // 4, n_trials - n_trials // 4) if n_components > 1 else n_trials
    component = (np.arange(n_trials) >= switch).astype(int)

    data = np.empty((n_tastes, n_trials, n_units, n_bins))
    for taste in range(n_tastes):
        rates = rng.gamma(2.0, 0.5, (n_components, n_units, n_states))
        means = rng.normal(0.0, 2.0, (n_units, n_states))
        sds = np.ones_like(means)
        if "state" in kind.posterior_dims.get("sigma", ()):
            sds = rng.uniform(0.5, 2.0, means.shape)
        likely = rng.dirichlet(np.full(n_neurons, 0.5), n_states)
        for trial in range(n_trials):
            of_bins = state[taste, trial]
            if kind.values == "counts":
                data[taste, trial] = rng.poisson(rates[component[trial]][:, of_bins])
            elif kind.values == "real":
                data[taste, trial] = rng.normal(means[:, of_bins], sds[:, of_bins])
            else:
                data[taste, trial, 0] = [rng.choice(n_neurons, p=likely[each]) for each in of_bins]
    there = {"taste": n_tastes, "trial": n_trials, "bin": n_bins}
    lead = [there[dim] for dim in kind.posterior_dims["tau"][:-1]]
    return Made(
        data=data.reshape([there.get(dim, n_units) for dim in kind.dims]),
        # A sigmoid half a bin before the first bin of a state separates it from the last one of the state before.
        tau=first.reshape(*lead, n_states - 1) - 0.5,
    )


def cpu_seconds() -> float:
    """Of this process and the compilers it started."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def computed(cell: Cell) -> dict[str, Any]:
    """One line of the file."""
    import numpy as np

    from pytau_hpc.errors import NonFinite
    from pytau_hpc.inference import METHODS
    from pytau_hpc.inference.checkpoint import NullCheckpoint
    from pytau_hpc.models import MODELS

    kind, method = MODELS[cell.model], METHODS["advi"]
    made = simulated(kind, SIZES[cell.size], cell.seed)
    compiled: list[float] = []

    def progress(phase: str, done: int, total: int) -> None:
        if phase != "compile" and not compiled:
            compiled.append(cpu_seconds())

    begun, clock = cpu_seconds(), time.perf_counter()
    row: dict[str, Any] = cell._asdict()
    try:
        posterior = method.fit(
            kind=kind,
            data=kind.prepare(made.data),
            n_states=SIZES[cell.size][-1],
            options=kind.resolve_options({}),
            settings=method.resolve(SETTINGS[cell.engine]),
            seed=cell.seed,
            checkpoint=NullCheckpoint(),
            progress=progress,
        )
    except NonFinite as error:
        return {**row, "error": str(error)}
    return {
        **row,
        "elbo": posterior.elbo,
        "elbo_se": posterior.elbo_se,
        "seconds": cpu_seconds() - begun,
        "seconds_compiling": compiled[0] - begun,
        "seconds_wall": time.perf_counter() - clock,
        "tau_error": float(np.abs(np.median(posterior.draws["tau"], axis=0) - made.tau).mean()),
        "iterations": posterior.iterations,
        "converged": bool(posterior.converged),
        "info": {key: value for key, value in posterior.info.items() if key != "engine"},
    }


def cells(chosen: argparse.Namespace) -> Iterator[Cell]:
    """In an order in which it makes sense to stop: cheap ones first, and all models before the next seed."""
    for engine in chosen.engines:
        for size in chosen.sizes:
            for seed in chosen.seeds:
                for model in chosen.models:
                    yield Cell(model, size, seed, engine)


def rows_of(path: Path) -> dict[Cell, dict[str, Any]]:
    """What the file has, by cell. A line that a kill cut short is passed over."""
    rows = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows[Cell(*(row[key] for key in Cell._fields))] = row
    return rows


def add(path: Path, row: dict[str, Any]) -> None:
    """In one write, so that two processes may fill one file."""
    with path.open("ab", buffering=0) as file:
        file.write(f"{json.dumps(row)}\n".encode())


class Pair(NamedTuple):
    """One model, size and seed that both engines have fitted; `gain` in nats with its error from the draws."""

    jax: dict[str, Any]
    pymc: dict[str, Any]

    @property
    def gain(self) -> float:
        return self.jax["elbo"] - self.pymc["elbo"]

    @property
    def error(self) -> float:
        return float((self.jax["elbo_se"] ** 2 + self.pymc["elbo_se"] ** 2) ** 0.5)


def pairs_of(rows: dict[Cell, dict[str, Any]], chosen: argparse.Namespace) -> list[Pair]:
    one_engine = argparse.Namespace(**{**vars(chosen), "engines": ["jax"]})
    both = [
        Pair(rows[cell], rows[cell._replace(engine="pymc")])
        for cell in cells(one_engine)
        if {cell, cell._replace(engine="pymc")} <= set(rows)
    ]
    return [pair for pair in both if "error" not in {**pair.jax, **pair.pymc}]


def standard_error(pairs: Sequence[Pair]) -> float:
    """Of the mean gain: from its differences between seeds, and never less than what the draws leave open."""
    of_draws = float(sum(pair.error**2 for pair in pairs) ** 0.5) / len(pairs)
    if len(pairs) < 2:
        return of_draws
    of_seeds = statistics.stdev(pair.gain for pair in pairs) / len(pairs) ** 0.5
    return max(of_draws, of_seeds)


def table(rows: dict[Cell, dict[str, Any]], chosen: argparse.Namespace) -> str:
    """Markdown."""
    lines = [
        "| size | model | seeds | ELBO, jax - pymc | least | s, pymc | s, jax | ratio | error, pymc | error, jax |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    pairs = pairs_of(rows, chosen)
    for size in chosen.sizes:
        for model in chosen.models:
            here = [p for p in pairs if (p.jax["size"], p.jax["model"]) == (size, model)]
            if not here:
                continue
            middle = {
                (key, engine): statistics.median(getattr(pair, engine)[key] for pair in here)
                for key in ("seconds", "tau_error")
                for engine in ENGINES
            }
            gains = [pair.gain for pair in here]
            ratio = middle["seconds", "pymc"] / middle["seconds", "jax"]
            lines.append(
                f"| {size} | {model} | {len(here)} "
                f"| {statistics.median(gains):+.1f} ± {standard_error(here):.1f} | {min(gains):+.1f} "
                f"| {middle['seconds', 'pymc']:.0f} | {middle['seconds', 'jax']:.1f} | {ratio:.0f}× "
                f"| {middle['tau_error', 'pymc']:.2f} | {middle['tau_error', 'jax']:.2f} |"
            )
    worse = [pair for pair in pairs if pair.gain < -WORSE * pair.error]
    lines += [
        "",
        f"{len(pairs)} pairs; jax is worse by more than {WORSE:.0f} standard errors in {len(worse)}:",
    ]
    lines += [
        f"- {p.jax['size']}, {p.jax['model']}, seed {p.jax['seed']}: {p.gain:+.1f} ± {p.error:.1f} nats;"
        f" error {p.jax['tau_error']:.2f} bins against {p.pymc['tau_error']:.2f}; start {p.jax['info']['start']},"
        f" {p.jax['iterations']} iterations{'' if p.jax['converged'] else ', not converged'}"
        for p in worse
    ]
    lines += [
        f"- fails: {row['size']}, {row['model']}, seed {row['seed']}, {row['engine']}: {row['error']}"
        for row in rows.values()
        if "error" in row
    ]
    return "\n".join(lines)


def main() -> None:
    from pytau_hpc.inference.environment import fit_environment
    from pytau_hpc.models import MODELS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="one line of JSON for each cell")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--table", action="store_true", help="compute nothing, print the table")
    parser.add_argument(
        "--compiled", type=Path, help="where compiled code stays; by default in a folder that goes"
    )
    chosen = parser.parse_args()
    if chosen.table:
        print(table(rows_of(chosen.file), chosen))
        return
    with tempfile.TemporaryDirectory() as scratch:
        # Before anything heavy is imported: one thread.
        os.environ.update(fit_environment(1, chosen.compiled or scratch))
        for cell in cells(chosen):
            if cell in rows_of(chosen.file):
                continue
            row = computed(cell)
            add(chosen.file, row)
            said = row.get("error") or f"{row['elbo']:12.1f} nats {row['seconds']:8.1f} s"
            print(
                f"{cell.engine:5}{cell.size:7} seed {cell.seed} {cell.model:36} {said}", flush=True
            )


if __name__ == "__main__":
    main()
