"""PyMC's own NUTS, one step at a time, so that it can be interrupted after any draw.

``pm.sample`` cannot start from a saved state; its step methods can. So the loop is ours (`nuts_run`), and the steps,
the tuning (``jitter+adapt_diag``) and the compiled log density are PyMC's. Saved and restored, a chain goes on bit for
bit, tuning included. Called through `inference.METHODS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pytau_hpc.errors import UserError
from pytau_hpc.inference.checkpoint import CheckpointLike
from pytau_hpc.inference.lowering import Layout, lower
from pytau_hpc.inference.method import Progress
from pytau_hpc.inference.nuts_result import posterior_of
from pytau_hpc.inference.nuts_run import SPREAD, sample
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.inference.step_state import decode, encode
from pytau_hpc.models.kind import ModelKind

STARTS, JITTER, STEPS = range(3)  # streams of random numbers, by what they are for


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
    model = kind.build(data, n_states, options)
    refuse_discrete(kind.name, model)
    lowered = lower(model)
    inputs = lowered.as_inputs(kind.inputs(data, n_states, options))
    layout = Layout.of(lowered, inputs)
    first = kind.starts(data, n_states, options, _random(seed, STARTS))[0]
    start = layout.pack(lowered.start(first.values, inputs))
    sampler = _Sampler(model, layout, start, settings, seed)
    drawn = sample(sampler, layout.size, settings, checkpoint, progress)
    draws = lowered.draws(layout.unpack(drawn.points.reshape(-1, layout.size)), inputs)
    return posterior_of(draws, drawn, settings, {"n_parameters": layout.size})


def refuse_discrete(name: str, model: Any) -> None:
    """Raise `UserError` for a model that has variables without a gradient."""
    if model.discrete_value_vars:
        names = ", ".join(variable.name for variable in model.discrete_value_vars)
        raise UserError(
            f"{name} has discrete variables ({names}), which nuts cannot sample",
            help="sum over them in the model, as mixtures do",
        )


def _random(seed: int, purpose: int, *which: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, *which)))


class _Sampler:
    """PyMC's step method; see `nuts_run.Sampler`."""

    def __init__(
        self,
        model: Any,
        layout: Layout,
        start: np.ndarray,
        settings: Mapping[str, Any],
        seed: int,
    ) -> None:
        import pymc as pm
        from pymc.step_methods.hmc.quadpotential import QuadPotentialDiagAdapt

        self._values = {rv.name: model.rvs_to_values[rv].name for rv in model.free_RVs}
        self._layout = layout
        self._start = start
        self._seed = seed
        self._tune, self._n_draws = int(settings["tune"]), int(settings["draws"])
        with model:
            initial = self._as_point(start)
            order = [variable.name for variable in model.continuous_value_vars]
            flat = np.concatenate([initial[name].ravel() for name in order])
            potential = QuadPotentialDiagAdapt(
                flat.size, flat, np.ones_like(flat), 10, rng=np.random.default_rng(0)
            )
            self._step = pm.NUTS(
                potential=potential,
                target_accept=float(settings["target_accept"]),
                max_treedepth=int(settings["max_tree_depth"]),
                rng=np.random.default_rng(0),
            )
        self._fresh = self._step.sampling_state
        self._point = initial

    def _as_point(self, z: np.ndarray) -> dict[str, np.ndarray]:
        free = self._layout.unpack(z)
        return {self._values[name]: np.asarray(value) for name, value in free.items()}

    def _as_vector(self, point: Mapping[str, np.ndarray]) -> np.ndarray:
        return self._layout.pack(
            {name: np.asarray(point[value]) for name, value in self._values.items()}
        )

    def begin(self, chain: int) -> None:
        # What one chain learned must not reach the next.
        self._step.sampling_state = self._fresh
        rng = _random(self._seed, STEPS, chain)
        if hasattr(self._step, "setup_chain"):  # PyMC 6
            self._step.setup_chain(rng, self._tune, self._n_draws)
        else:
            self._step.set_rng(rng)
        self._step.tune = True
        self._step.reset_tuning()
        self._step.iter_count = 0
        noise = _random(self._seed, JITTER, chain).standard_normal(self._start.size)
        self._point = self._as_point(self._start + SPREAD * noise)

    def step(self, chain: int, draw: int, *, tuning: bool) -> tuple[np.ndarray, dict[str, Any]]:
        if not tuning and self._step.tune:
            self._step.stop_tuning()
        self._point, [statistics] = self._step.step(self._point)
        return self._as_vector(self._point), {
            "diverging": bool(statistics["diverging"]),
            "energy": float(statistics["energy"]),
            "n_steps": int(statistics["tree_size"]),
            "acceptance_rate": float(statistics["mean_tree_accept"]),
            "step_size": float(statistics["step_size"]),
        }

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays, coded = encode(self._step.sampling_state)
        z = self._as_vector(self._point)
        return {**{f"step{place}": array for place, array in arrays.items()}, "z": z}, coded

    def restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        if arrays["z"].shape != self._start.shape:
            raise ValueError("another number of parameters")
        places = {name.removeprefix("step"): array for name, array in arrays.items()}
        self._step.sampling_state = decode(self._fresh, places, dict(meta))
        self._point = self._as_point(np.array(arrays["z"]))
