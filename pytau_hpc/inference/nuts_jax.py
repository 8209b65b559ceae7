"""NUTS on the log density in JAX: engine `jax`, whose transition is ours, and `blackjax`, whose transition is theirs.

One compiled function moves one step; everything else (tuning, random numbers, what is kept) is numpy, between two
calls. Transitions take milliseconds, calls tens of microseconds. The data are arguments, so fits of one shape share the
compiled function, as in `advi_jax`. Called through `inference.METHODS`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pytau_hpc.errors import NonFinite
from pytau_hpc.inference.adaptation import Adaptation
from pytau_hpc.inference.checkpoint import CheckpointLike
from pytau_hpc.inference.jax_programs import (
    MAX_SHAPES,
    Density,
    compiled,
    density_for,
    kept,
    value_and_gradient,
)
from pytau_hpc.inference.method import Progress
from pytau_hpc.inference.nuts_kernel import Moved, Noise, transition
from pytau_hpc.inference.nuts_result import posterior_of
from pytau_hpc.inference.nuts_run import SPREAD, sample
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.models.kind import ModelKind

STARTS, JITTER, STEPS = range(3)  # streams of random numbers, by what they are for

_programs: OrderedDict[str, _Programs] = OrderedDict()


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
    rng = _random(seed, STARTS)
    start = density.point(kind.starts(data, n_states, options, rng)[0])
    programs = kept(
        _programs,
        f"{settings['engine']}.{settings['max_tree_depth']}.{density.key}",
        MAX_SHAPES,
        lambda: _Programs(density, settings["engine"], settings["max_tree_depth"]),
    )
    density.guard([start], programs.values)
    sampler = _Sampler(density, programs, settings, seed, start)
    drawn = sample(sampler, density.size, settings, checkpoint, progress)
    draws = density.draws(drawn.points.reshape(-1, density.size))
    return posterior_of(draws, drawn, settings, {"n_parameters": density.size})


def _random(seed: int, purpose: int, *which: int) -> np.random.Generator:
    sequence = np.random.SeedSequence(seed, spawn_key=(purpose, *which))
    return np.random.Generator(np.random.SFC64(sequence))


class _Programs:
    """What is compiled for one model and shape: one transition, and the density with its gradient at one point."""

    def __init__(self, density: Density, engine: str, max_depth: int) -> None:
        self.max_depth = max_depth
        size = density.size
        vector, number = np.zeros(size), np.float64(0.0)
        move = _moves_of_blackjax if engine == "blackjax" else _moves
        noise = _noise(np.random.default_rng(0), size, max_depth, engine)
        self.move = compiled(
            move(density.given, max_depth),
            *(vector, number, vector, vector, number, noise, *density.data),
        )
        self.begin = value_and_gradient(density)

    def values(self, points: Sequence[np.ndarray], data: Sequence[Any]) -> list[float]:
        return [float(self.begin(point, *data)[0]) for point in points]


def _moves(given: Callable[[Any], Any], max_depth: int) -> Callable[..., Moved]:
    def move(
        z: Any, value: Any, gradient: Any, scale: Any, step: Any, noise: Any, *data: Any
    ) -> Moved:
        return transition(given(data), max_depth, z, value, gradient, scale, step, Noise(*noise))

    return move


def _moves_of_blackjax(given: Callable[[Any], Any], max_depth: int) -> Callable[..., Moved]:
    from blackjax.mcmc import hmc, nuts

    kernel = nuts.build_kernel()

    def move(
        z: Any, value: Any, gradient: Any, scale: Any, step: Any, noise: Any, *data: Any
    ) -> Moved:
        state, info = kernel(
            jax.random.wrap_key_data(noise[0], impl="threefry2x32"),
            hmc.HMCState(z, value, gradient),
            given(data),
            step,
            scale,
            max_num_doublings=max_depth,
        )
        return Moved(
            z=state.position,
            log_density=state.logdensity,
            gradient=state.logdensity_grad,
            accept=info.acceptance_rate,
            leaves=jnp.asarray(info.num_integration_steps, jnp.int64),
            energy=info.energy,
            diverged=info.is_divergent,
        )

    return move


def _noise(
    rng: np.random.Generator, size: int, max_depth: int, engine: str
) -> tuple[np.ndarray, ...]:
    """The random numbers of one transition."""
    if engine == "blackjax":
        return (rng.integers(2**32, size=2, dtype=np.uint32),)
    return (
        rng.standard_normal(size),
        rng.random(max_depth),
        rng.random(max_depth),
        rng.random(2**max_depth),
    )


class _Sampler:
    """A chain of transitions with its tuning; see `nuts_run.Sampler`."""

    def __init__(
        self,
        density: Density,
        programs: _Programs,
        settings: Mapping[str, Any],
        seed: int,
        start: np.ndarray,
    ) -> None:
        self._density = density
        self._programs = programs
        self._settings = settings
        self._seed = seed
        self._start = start
        self._fresh()

    def _fresh(self) -> None:
        self._adaptation = Adaptation.fresh(
            self._density.size,
            tune=int(self._settings["tune"]),
            target=float(self._settings["target_accept"]),
        )

    def begin(self, chain: int) -> None:
        self._fresh()
        for attempt in range(10):
            noise = _random(self._seed, JITTER, chain, attempt).standard_normal(self._start.size)
            self._z = self._start + SPREAD * noise
            value, gradient = self._programs.begin(self._z, *self._density.data)
            self._value, self._gradient = np.asarray(value), np.asarray(gradient)
            if np.isfinite(self._value) and np.isfinite(self._gradient).all():
                return
        raise NonFinite(f"the log density is not finite around the start of chain {chain}")

    def step(self, chain: int, draw: int, *, tuning: bool) -> tuple[np.ndarray, dict[str, Any]]:
        step_size = self._adaptation.step_size
        rng = _random(self._seed, STEPS, chain, draw)
        noise = _noise(rng, self._z.size, self._programs.max_depth, self._settings["engine"])
        moved = self._programs.move(
            self._z,
            self._value,
            self._gradient,
            self._adaptation.inverse_mass,
            step_size,
            noise,
            *self._density.data,
        )
        self._z, self._gradient = np.asarray(moved.z), np.asarray(moved.gradient)
        self._value = np.asarray(moved.log_density)
        accept = float(moved.accept)
        if tuning:
            self._adaptation.learn(self._z, self._gradient, accept)
        return self._z, {
            "diverging": bool(moved.diverged),
            "energy": float(moved.energy),
            "n_steps": int(moved.leaves),
            "acceptance_rate": accept,
            "step_size": step_size,
        }

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays = {"z": self._z, "value": self._value, "gradient": self._gradient}
        return {**arrays, **self._adaptation.to_arrays()}, {}

    def restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        if arrays["z"].shape != self._start.shape:
            raise ValueError("another number of parameters")
        self._z, self._gradient = np.array(arrays["z"]), np.array(arrays["gradient"])
        self._value = np.array(arrays["value"])
        self._adaptation.restore(arrays)
