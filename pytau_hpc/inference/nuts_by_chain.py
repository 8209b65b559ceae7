"""NUTS by nutpie or NumPyro, for those who have them: whole chains, one after another, on the log density in JAX.

Both keep their state to themselves, so a checkpoint holds whole chains only: an interrupted fit loses at most the chain
it was in, and draws that chain again from its own seed. Called through `inference.METHODS`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pytau_hpc.inference.checkpoint import CheckpointLike
from pytau_hpc.inference.jax_programs import (
    MAX_SHAPES,
    Density,
    density_for,
    kept,
    value_and_gradient,
)
from pytau_hpc.inference.method import Progress
from pytau_hpc.inference.nuts_result import posterior_of
from pytau_hpc.inference.nuts_run import SPREAD, Stopped, sample_by_chain
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.models.kind import ModelKind

STARTS, JITTER, STEPS = range(3)  # streams of random numbers, by what they are for

Chain = tuple[np.ndarray, dict[str, np.ndarray]]
_programs: OrderedDict[str, Callable[..., Any]] = OrderedDict()


def fit(
    *,
    kind: ModelKind,
    data: np.ndarray,
    n_states: int,
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int,
    checkpoint: CheckpointLike,
    progress: Progress,
) -> Posterior:
    """Draw from the posterior of one model; see `MethodKind.fit`."""
    progress("compile", 0, 0)
    density = density_for(kind, data, n_states, options)
    start = density.point(kind.starts(data, n_states, options, _random(seed, STARTS))[0])
    at = kept(_programs, density.key, MAX_SHAPES, lambda: value_and_gradient(density))

    def values(points: Sequence[np.ndarray], data: Sequence[Any]) -> list[float]:
        return [float(at(point, *data)[0]) for point in points]

    density.guard([start], values)
    draw = {"nutpie": _nutpie, "numpyro": _numpyro}[settings["engine"]]

    def draw_chain(chain: int) -> Chain:
        z = start + SPREAD * _random(seed, JITTER, chain).standard_normal(start.size)
        number = int(_random(seed, STEPS, chain).integers(2**31))
        return draw(density, at, z, number, settings, checkpoint)

    drawn = sample_by_chain(draw_chain, density.size, settings, checkpoint, progress)
    draws = density.draws(drawn.points.reshape(-1, density.size))
    return posterior_of(draws, drawn, settings, {"n_parameters": density.size})


def _random(seed: int, purpose: int, *which: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, *which)))


def _nutpie(
    density: Density,
    at: Callable[..., Any],
    z: np.ndarray,
    seed: int,
    settings: Mapping[str, Any],
    checkpoint: CheckpointLike,
) -> Chain:
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    def log_density(point: np.ndarray) -> tuple[float, np.ndarray]:
        if checkpoint.stop_requested:
            raise Stopped
        value, gradient = at(point, *density.data)
        return float(value), np.asarray(gradient)

    model = from_pyfunc(
        density.size,
        lambda: log_density,
        lambda *seeds: lambda point: {"point": np.asarray(point)},
        [np.dtype(np.float64)],
        [(density.size,)],
        ["point"],
        make_initial_point_fn=lambda seed: z,
    )
    try:
        trace = nutpie.sample(
            model,
            draws=int(settings["draws"]),
            tune=int(settings["tune"]),
            chains=1,
            cores=1,
            seed=seed,
            save_warmup=False,
            progress_bar=False,
            target_accept=float(settings["target_accept"]),
            maxdepth=int(settings["max_tree_depth"]),
        )
    except Exception as error:
        if checkpoint.stop_requested:  # what nutpie makes of `Stopped` is its own affair
            raise Stopped from error
        raise
    told = trace["sample_stats"]
    return np.asarray(trace["posterior"]["point"])[0], {
        "diverging": np.asarray(told["diverging"])[0],
        "energy": np.asarray(told["energy"])[0],
        "n_steps": np.asarray(told["n_steps"])[0],
        "acceptance_rate": np.asarray(told["mean_tree_accept"])[0],
        "step_size": np.asarray(told["step_size"])[0],
    }


def _numpyro(
    density: Density,
    at: Callable[..., Any],
    z: np.ndarray,
    seed: int,
    settings: Mapping[str, Any],
    checkpoint: CheckpointLike,
) -> Chain:
    from numpyro.infer import MCMC, NUTS

    log_density = density.given(density.data)
    kernel = NUTS(
        potential_fn=lambda point: -log_density(point),
        target_accept_prob=float(settings["target_accept"]),
        max_tree_depth=int(settings["max_tree_depth"]),
    )
    sampler = MCMC(
        kernel,
        num_warmup=int(settings["tune"]),
        num_samples=int(settings["draws"]),
        progress_bar=False,
    )
    sampler.run(
        jax.random.key(seed),
        init_params=jax.numpy.asarray(z),
        extra_fields=("diverging", "energy", "num_steps", "accept_prob", "adapt_state.step_size"),
    )
    told = {name: np.asarray(array) for name, array in sampler.get_extra_fields().items()}
    return np.asarray(sampler.get_samples()), {
        "diverging": told["diverging"],
        "energy": told["energy"],
        "n_steps": told["num_steps"],
        "acceptance_rate": told["accept_prob"],
        "step_size": told["adapt_state.step_size"],
    }
