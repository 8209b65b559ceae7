"""The compiled half of the JAX engine: one chunk of optimiser steps, and log densities of many points.

Two executables serve every fit of one model and shape: the data are arguments. Compiling costs a second or two, a fit
less, so what was made is kept for the fits that follow in the same process: at most `MAX_STRUCTURES` lowered models
and `MAX_SHAPES` pairs of executables; the least recently used goes first. (A sweep's tasks visit their points in an
order that keeps shapes together.)

What makes a step cheap: the gradient alone, no value; all variational parameters in one array; random numbers made by
numpy, a chunk at a time; chain rule of the reparametrisation by hand. Called by `advi_jax`.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from pytau_hpc.files import canonical_json
from pytau_hpc.inference.lowering import Layout, Lowered, guard, lower
from pytau_hpc.models.kind import ModelKind
from pytau_hpc.models.starts import Start

log = logging.getLogger(__name__)

jax.config.update("jax_enable_x64", True)

CHUNK = 250  # optimiser steps in one call: tens of milliseconds, so that a stop is answered soon
BATCH = 32  # points whose log density is computed in one call
MAX_STRUCTURES = 8
MAX_SHAPES = 32

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # Adam's own (Kingma & Ba 2015)

# Less time in the compiler for the same code. jaxlib versions differ in what they take; what is refused is left out.
COMPILER_OPTIONS: Mapping[str, Any] = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


@dataclass
class _Structure:
    """A lowered model; `guarded` once its density in JAX was seen to be PyTensor's."""

    lowered: Lowered
    guarded: bool = False


@dataclass(frozen=True)
class _Executables:
    """What is compiled for one model and shape."""

    chunk: Callable[..., Any]
    log_densities: Callable[..., Any]


_structures: OrderedDict[str, _Structure] = OrderedDict()
_executables: OrderedDict[str, _Executables] = OrderedDict()
_refused_options: set[str] = set()

T = TypeVar("T")


def kept(cache: OrderedDict[str, T], key: str, limit: int, make: Callable[[], T]) -> T:
    """What is in a cache under a key, made where it is not; the least recently used goes first."""
    if key not in cache:
        made = make()
        while len(cache) >= limit:
            cache.popitem(last=False)
        cache[key] = made
    cache.move_to_end(key)
    return cache[key]


def forget() -> None:
    """Drop everything that is kept between fits."""
    _structures.clear()
    _executables.clear()


@dataclass(frozen=True)
class ChunkResult:
    """State after a chunk, the mean of the parameters over its steps, and how many steps were skipped."""

    z: np.ndarray
    m: np.ndarray
    v: np.ndarray
    mean: np.ndarray
    skipped: int


class Density:
    """The log density of one model with its data, lowered but not compiled.

    Points are vectors of all unconstrained parameters, shape (parameter,), in the order of `lowered.names`.

    Attributes
    ----------
    key : the same for all data of one model and shape
    data : the model's inputs, on the device
    """

    def __init__(
        self, name: str, structure: _Structure, inputs: dict[str, np.ndarray], key: str
    ) -> None:
        self.key = key
        self._name = name
        self._structure = structure
        self._inputs = inputs
        lowered = structure.lowered
        self.data = tuple(jax.device_put(inputs[name]) for name in lowered.input_names)
        self._layout = Layout.of(lowered, inputs)

    def given(self, data: Sequence[Any]) -> Callable[[Any], Any]:
        """(data) → (point) → log density; call it while JAX traces."""
        return _given(self._structure.lowered, self._layout, data)

    @property
    def size(self) -> int:
        """Number of unconstrained parameters."""
        return self._layout.size

    def point(self, start: Start) -> np.ndarray:
        """A start as a point, shape (parameter,)."""
        free = self._structure.lowered.start(start.values, self._inputs)
        return self._layout.pack(free)

    def draws(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """The model's variables at each point, arrays with a first axis of points."""
        return self._structure.lowered.draws(self._layout.unpack(points), self._inputs)

    def guard(
        self,
        points: Sequence[np.ndarray],
        values: Callable[[Sequence[np.ndarray], Sequence[Any]], Sequence[float]],
    ) -> None:
        """Compare with PyTensor at the given points, once per structure; see `lowering.guard`.

        Parameters
        ----------
        values : (points, data) → log densities, compiled
        """
        usable = [point for point in points if np.isfinite(point).all()]
        if self._structure.guarded or not usable:
            return
        ours = values(usable, self.data)
        free = [self._layout.unpack(point) for point in usable]
        guard(self._name, self._structure.lowered, ours, free, self._inputs)
        self._structure.guarded = bool(np.isfinite(ours).all())


class Programs:
    """One model with its data, ready to be fitted: a `Density` with what `advi_jax` calls of it, compiled."""

    def __init__(self, density: Density, executables: _Executables) -> None:
        self._density = density
        self._executables = executables
        self.size = density.size
        self.point = density.point
        self.draws = density.draws

    def guard(self, points: Sequence[np.ndarray]) -> None:
        """Compare with PyTensor; see `Density.guard`."""
        self._density.guard(
            points, lambda points, data: self.log_densities(np.stack(points)).tolist()
        )

    def chunk(
        self, z: np.ndarray, m: np.ndarray, v: np.ndarray, noise: np.ndarray, rates: np.ndarray
    ) -> ChunkResult:
        """Take up to `CHUNK` steps.

        Parameters
        ----------
        z, m, v : shape (2, parameter): means and rhos, and Adam's moments
        noise : standard normal, shape (step, parameter)
        rates : shape (step,), with Adam's correction for its cold start
        """
        steps = len(rates)
        if steps < CHUNK:
            noise = np.concatenate([noise, np.zeros((CHUNK - steps, self.size))])
            rates = np.concatenate([rates, np.zeros(CHUNK - steps)])
        z, m, v, total, skipped = self._executables.chunk(
            z, m, v, steps, noise, rates, *self._density.data
        )
        return ChunkResult(
            np.asarray(z), np.asarray(m), np.asarray(v), np.asarray(total) / steps, int(skipped)
        )

    def log_densities(self, points: np.ndarray) -> np.ndarray:
        """Log density of each point, shape (point,). Any number of points."""
        n_points = len(points)
        missing = -n_points % BATCH
        padded = np.concatenate([points, np.repeat(points[-1:], missing, axis=0)])
        values = [
            np.asarray(self._executables.log_densities(batch, *self._density.data))
            for batch in padded.reshape(-1, BATCH, self.size)
        ]
        return np.concatenate(values)[:n_points]


def density_for(
    kind: ModelKind, data: np.ndarray, n_states: int, options: Mapping[str, Any]
) -> Density:
    """Lower what was not lowered before."""
    model = canonical_json([kind.name, kind.version, dict(options)])
    structure = kept(
        _structures,
        model,
        MAX_STRUCTURES,
        lambda: _Structure(lower(kind.build(data, n_states, options))),
    )
    inputs = structure.lowered.as_inputs(kind.inputs(data, n_states, options))
    shapes = {name: [str(array.dtype), *array.shape] for name, array in inputs.items()}
    return Density(kind.name, structure, inputs, model + canonical_json(shapes))


def programs_for(
    kind: ModelKind, data: np.ndarray, n_states: int, options: Mapping[str, Any]
) -> Programs:
    """Lower and compile what was not lowered and compiled before."""
    density = density_for(kind, data, n_states, options)
    executables = kept(_executables, density.key, MAX_SHAPES, lambda: _compile(density))
    return Programs(density, executables)


def _given(lowered: Lowered, layout: Layout, data: Sequence[Any]) -> Callable[[Any], Any]:
    log_density = lowered.log_density(data)
    return lambda point: log_density(list(layout.unpack(point).values()))


def _compile(density: Density) -> _Executables:
    size, data, given = density.size, density.data, density.given

    def chunk(z: Any, m: Any, v: Any, steps: Any, noise: Any, rates: Any, *data: Any) -> Any:
        gradient_at = jax.grad(given(data))

        def step(i: Any, carry: Any) -> Any:
            z, m, v, total, skipped = carry
            scale, slope = jax.nn.softplus(z[1]), jax.nn.sigmoid(z[1])
            at_point = gradient_at(z[0] + scale * noise[i])
            # The entropy, sum(log(scale)), has slope / scale as its gradient with respect to rho.
            gradient = jnp.stack([at_point, at_point * noise[i] * slope + slope / scale])
            # A draw from far out can overflow. Its step is left out; whether that happens all the time is the
            # caller's question.
            usable = jnp.isfinite(gradient).all()
            gradient = jnp.where(usable, gradient, 0.0)
            m = BETA_1 * m + (1 - BETA_1) * gradient
            v = BETA_2 * v + (1 - BETA_2) * gradient**2
            z = z + rates[i] * m / (jnp.sqrt(v) + EPSILON)
            return z, m, v, total + z, skipped + ~usable

        return jax.lax.fori_loop(0, steps, step, (z, m, v, jnp.zeros_like(z), 0))

    def log_densities(points: Any, *data: Any) -> Any:
        # One point after another: a batch of them would not stay in the processor's cache.
        return jax.lax.map(given(data), points)

    state = np.zeros((2, size))
    noise, rates = np.zeros((CHUNK, size)), np.zeros(CHUNK)
    return _Executables(
        chunk=compiled(chunk, state, state, state, 0, noise, rates, *data),
        log_densities=compiled(log_densities, np.zeros((BATCH, size)), *data),
    )


def value_and_gradient(density: Density) -> Callable[..., Any]:
    """Compiled: (point, data…) → the log density and its gradient."""
    return compiled(
        lambda z, *data: jax.value_and_grad(density.given(data))(z),
        np.zeros(density.size),
        *density.data,
    )


def compiled(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    lowered = jax.jit(function).lower(*arguments)
    options = {k: v for k, v in COMPILER_OPTIONS.items() if k not in _refused_options}
    while options:
        try:
            return lowered.compile(compiler_options=options)
        except jax.errors.JaxRuntimeError as error:
            named = [key for key in options if key in str(error)]
            # An error that names no option of ours may be another failure: it comes again without any options.
            for key in named or list(options):
                _refused_options.add(key)
                del options[key]
    return lowered.compile()
