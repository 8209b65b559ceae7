"""From a PyMC model to functions that an engine can call: its log density in JAX, its initial point, its draws.

A model is lowered once per structure, not once per data set: all shapes in its graph are symbolic, so the same graph
serves any number of trials, neurons, bins and states. JAX needs concrete shapes, and gets them when it traces
(`jax_interpreter`).

Nothing here compiles C: what PyTensor itself evaluates (the reference density of the guard, initial values, the
draws' transformations) runs in its Python mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor
from pymc.initial_point import make_initial_point_expression
from pymc.logprob.utils import ParameterValueError
from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.replace import clone_replace, vectorize_graph
from pytensor.graph.traversal import graph_inputs

from pytau_hpc.errors import PytauHpcError
from pytau_hpc.inference.jax_interpreter import LogDensity, traceable

Arrays = Mapping[str, np.ndarray]

GUARD_RTOL = 1e-8


@dataclass(frozen=True)
class Lowered:
    """One model structure, ready for data of any shape.

    `inputs` are the arrays of the model's `pm.Data` by name. "Free" values live in the unconstrained space where the
    optimiser moves, and have the names of the model's random variables.

    Attributes
    ----------
    names : the free variables, in the order that all functions here use
    input_names, input_dtypes : the model's `pm.Data`, in the order that `log_density` takes
    log_density : (inputs) → (free values) → scalar, both as sequences of arrays; call them while JAX traces
    """

    names: tuple[str, ...]
    input_names: tuple[str, ...]
    input_dtypes: tuple[str, ...]
    log_density: Callable[[Sequence[Any]], LogDensity]
    _reference: Callable[..., Any]
    _initial: Callable[..., Any]
    _unconstrain: Callable[..., Any]
    _draw: Callable[..., Any]
    _drawn_names: tuple[str, ...]

    def as_inputs(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """Arrays by the names of the model's `pm.Data`, in its order and in the number types that it wants."""
        return {
            name: np.ascontiguousarray(arrays[name], dtype=dtype)
            for name, dtype in zip(self.input_names, self.input_dtypes, strict=True)
        }

    def reference_log_density(self, free: Arrays, inputs: Arrays) -> float:
        """PyTensor's own value of the log density, with every check of parameters that PyMC makes."""
        try:
            return float(self._reference(*self._ordered(free), *self._inputs(inputs)))
        except ParameterValueError:  # what PyMC's own functions turn into minus infinity
            return -np.inf

    def start(self, values: Arrays, inputs: Arrays) -> dict[str, np.ndarray]:
        """Free values for a start given in the model's own space; what is missing is PyMC's initial value."""
        initial = dict(zip(self.names, self._initial(*self._inputs(inputs)), strict=True))
        unknown = set(values) - set(initial)
        if unknown:
            raise KeyError(f"a start names variables that the model does not have: {unknown}")
        chosen = {**initial, **{name: np.asarray(v, np.float64) for name, v in values.items()}}
        for name, value in chosen.items():
            if value.shape != initial[name].shape:
                raise ValueError(f"{name} starts with {value.shape}, wanted {initial[name].shape}")
        free = self._unconstrain(*(chosen[name] for name in self.names), *self._inputs(inputs))
        return {name: np.asarray(v) for name, v in zip(self.names, free, strict=True)}

    def draws(self, free: Arrays, inputs: Arrays) -> dict[str, np.ndarray]:
        """Draws in the model's own space, deterministic variables included.

        Parameters
        ----------
        free : arrays with a first axis of draws
        """
        values = self._draw(*self._ordered(free), *self._inputs(inputs))
        n_draws = len(free[self.names[0]])
        drawn = zip(self._drawn_names, values, strict=True)
        # A deterministic variable of the data alone has no axis of draws of its own.
        return {
            name: v if len(v) == n_draws else np.broadcast_to(v, (n_draws, *v.shape[1:]))
            for name, v in drawn
        }

    def _ordered(self, free: Arrays) -> list[np.ndarray]:
        return [np.asarray(free[name], np.float64) for name in self.names]

    def _inputs(self, inputs: Arrays) -> list[np.ndarray]:
        return [inputs[name] for name in self.input_names]


@dataclass(frozen=True)
class Layout:
    """How the free variables lie in one vector."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, lowered: Lowered, inputs: Mapping[str, np.ndarray]) -> Layout:
        free = lowered.start({}, inputs)
        return cls(lowered.names, tuple(free[name].shape for name in lowered.names))

    @property
    def size(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.shapes)

    def pack(self, free: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.concatenate([free[name].ravel() for name in self.names])

    def unpack(self, points: Any) -> dict[str, Any]:
        """Cut the last axis of `points` (numpy's or JAX's) into the variables."""
        found, begin = {}, 0
        for name, shape in zip(self.names, self.shapes, strict=True):
            end = begin + int(np.prod(shape))
            found[name] = points[..., begin:end].reshape((*points.shape[:-1], *shape))
            begin = end
        return found


def lower(model: pm.Model) -> Lowered:
    """Lower a model whose shapes all come from its `pm.Data`."""
    data = list(model.data_vars)
    # A shared variable may be narrower than the array that made it (int32 for int64): the graph decides the type.
    inputs = [variable.type(name=variable.name) for variable in data]
    input_named = {variable.name: variable for variable in inputs}
    free = [model.rvs_to_values[rv] for rv in model.free_RVs]

    def of_inputs(outputs: Sequence[Any]) -> list[Any]:
        # By name, since PyMC copies the data's variables when it makes initial points.
        found = (v for v in graph_inputs(outputs) if isinstance(v, SharedVariable))
        replace = {v: input_named[v.name] for v in found if v.name in input_named}
        return clone_replace(list(outputs), replace=replace)

    [log_density] = of_inputs([model.logp()])
    initial = of_inputs(
        make_initial_point_expression(
            free_rvs=model.free_RVs,
            rvs_to_transforms=model.rvs_to_transforms,
            initval_strategies=dict(model.rvs_to_initial_values),
        )
    )
    given = [rv.type(name=rv.name) for rv in model.free_RVs]
    unconstrained = of_inputs(
        make_initial_point_expression(
            free_rvs=model.free_RVs,
            rvs_to_transforms=model.rvs_to_transforms,
            initval_strategies=dict(zip(model.free_RVs, given, strict=True)),
            return_transformed=True,
        )
    )
    drawn = [*model.free_RVs, *model.deterministics]
    batches = [
        pytensor.tensor.tensor(shape=(None, *value.type.shape), dtype=value.dtype) for value in free
    ]
    draws = vectorize_graph(
        of_inputs(model.replace_rvs_by_values(drawn)), dict(zip(free, batches, strict=True))
    )
    return Lowered(
        names=tuple(rv.name for rv in model.free_RVs),
        input_names=tuple(variable.name for variable in data),
        input_dtypes=tuple(variable.dtype for variable in data),
        log_density=traceable(free, inputs, log_density),
        _reference=_python_function([*free, *inputs], log_density),
        _initial=_python_function(inputs, initial),
        _unconstrain=_python_function([*given, *inputs], unconstrained),
        _draw=_python_function([*batches, *inputs], draws),
        _drawn_names=tuple(variable.name for variable in drawn),
    )


def lower_observed(model: pm.Model, n_axes: int) -> Callable[[Sequence[Any]], LogDensity]:
    """The log density of the data alone, summed over all but its first `n_axes` axes: (inputs) → (free values) → array.

    Free values and inputs in the order of `Lowered.names` and `Lowered.input_names`.
    """
    data = list(model.data_vars)
    inputs = [variable.type(name=variable.name) for variable in data]
    free = [model.rvs_to_values[rv] for rv in model.free_RVs]
    [elements] = model.logp(vars=model.observed_RVs, sum=False)
    summed = elements.sum(axis=tuple(range(n_axes, elements.ndim)))
    [output] = clone_replace([summed], replace=dict(zip(data, inputs, strict=True)))
    return traceable(free, inputs, output)


def guard(
    name: str,
    lowered: Lowered,
    jax_values: Sequence[float],
    points: Sequence[Arrays],
    inputs: Arrays,
) -> None:
    """Refuse a model whose JAX log density is not PyTensor's.

    JAX silently drops PyMC's checks of parameters: a density that PyMC calls impossible can be a finite,
    meaningless number there.

    Raises
    ------
    PytauHpcError : the two differ at one of `points`
    """
    for point, ours in zip(points, jax_values, strict=True):
        reference = lowered.reference_log_density(point, inputs)
        if not np.isclose(ours, reference, rtol=GUARD_RTOL, atol=1e-6, equal_nan=True):
            raise PytauHpcError(
                f"the log density of {name} is {ours} in JAX but {reference} in PyTensor; "
                "its fit would mean nothing.",
                help="use `engine: pymc` for this model, and tell us",
            )


def _python_function(inputs: Sequence[Any], outputs: Any) -> Callable[..., Any]:
    # Without a compiler: even the folding of constants would call it, for seconds each time.
    with pytensor.config.change_flags(cxx=""):
        return pytensor.function(
            list(inputs),
            outputs,
            mode=Mode(linker="py", optimizer="fast_compile"),
            on_unused_input="ignore",
            allow_input_downcast=True,
        )
