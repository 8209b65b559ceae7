"""From a PyMC model to functions that an engine can call: its log density in JAX, its initial point, its draws.

A model is lowered once per structure, not once per data set: all shapes in its graph are symbolic, so the same graph
serves any number of trials, neurons, bins and states. JAX needs concrete shapes, and gets them when it traces: the
graph is interpreted node by node, and whatever depends on shapes alone is computed right there, by PyTensor's own
Python code, while whatever depends on values goes through PyTensor's JAX dispatch (`_Interpreter`).

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
from pytensor.compile.mode import get_mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.traversal import graph_inputs
from pytensor.graph.replace import clone_replace, vectorize_graph
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.link.jax.dispatch.shape import JAXShapeTuple
from pytensor.tensor.shape import Shape, Shape_i

from pytau_hpc.errors import PytauHpcError

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
    log_density: Callable[[Sequence[Any]], Callable[[Sequence[Any]], Any]]
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
        return float(self._reference(*self._ordered(free), *self._inputs(inputs)))

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
        log_density=_jax_log_density(free, inputs, log_density),
        _reference=_python_function([*free, *inputs], log_density),
        _initial=_python_function(inputs, initial),
        _unconstrain=_python_function([*given, *inputs], unconstrained),
        _draw=_python_function([*batches, *inputs], draws),
        _drawn_names=tuple(variable.name for variable in drawn),
    )


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
    return pytensor.function(
        list(inputs),
        outputs,
        mode="FAST_COMPILE",
        on_unused_input="ignore",
        allow_input_downcast=True,
    )


def _jax_log_density(
    free: Sequence[Any], inputs: Sequence[Any], log_density: Any
) -> Callable[[Sequence[Any]], Callable[[Sequence[Any]], Any]]:
    graph = FunctionGraph([*free, *inputs], [log_density], clone=True)
    # XLA fuses by itself; unfused, what depends on the data alone stays apart and is computed once (`given`).
    get_mode("JAX").excluding("fusion").optimizer.rewrite(graph)
    return _Interpreter(graph, n_free=len(free)).given


def _is_known(value: Any) -> bool:
    # Constants of other kinds (slices, None) are known too; only JAX's own arrays and tracers are not.
    return isinstance(value, np.ndarray | np.generic | int | float | bool | slice | type(None))


class _PythonNode:
    """PyTensor's Python code for one node, made at its first use."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._thunk: Any = None

    def __call__(self, arguments: Sequence[Any]) -> list[Any]:
        if self._thunk is None:
            self._storage = {
                variable: [None] for variable in (*self._node.inputs, *self._node.outputs)
            }
            computed = {variable: [True] for variable in self._storage}
            self._thunk = self._node.op.make_py_thunk(self._node, self._storage, computed, [])
        for variable, argument in zip(self._node.inputs, arguments, strict=True):
            self._storage[variable][0] = argument
        for variable in self._node.outputs:
            self._storage[variable][0] = None
        self._thunk()
        return [np.array(self._storage[variable][0]) for variable in self._node.outputs]


class _JaxNode:
    """PyTensor's JAX translation of one node, made at its first use."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._function: Callable[..., Any] | None = None

    def __call__(self, arguments: Sequence[Any]) -> Sequence[Any]:
        if self._function is None:
            self._function = jax_funcify(self._node.op, node=self._node)
        # Scalar constants become Python numbers, as in PyTensor's own conversion: some are static (an axis to sort).
        results = self._function(
            *(
                argument.item()
                if isinstance(variable, Constant) and np.ndim(argument) == 0 and argument is not None
                else argument
                for variable, argument in zip(self._node.inputs, arguments, strict=True)
            )
        )
        return results if len(self._node.outputs) > 1 else [results]


_Step = tuple[Any, _PythonNode, _JaxNode]


class _Interpreter:
    """Evaluates a rewritten graph under a JAX trace, one node after another.

    A value is *known* while JAX traces if it is a constant, a shape, or computed from known values alone; it is then
    a numpy array, so that reshapes, ranges and allocations see the concrete numbers they need.
    """

    def __init__(self, graph: FunctionGraph, n_free: int) -> None:
        self._free, self._data = graph.inputs[:n_free], graph.inputs[n_free:]
        self._output = graph.outputs[0]
        self._of_data: list[_Step] = []
        self._of_free: list[_Step] = []
        depends_on_free = set(self._free)
        for node in graph.toposort():
            depends = any(variable in depends_on_free for variable in node.inputs)
            depends_on_free.update(node.outputs if depends else ())
            step = (node, _PythonNode(node), _JaxNode(node))
            (self._of_free if depends else self._of_data).append(step)

    def given(self, data: Sequence[Any]) -> Callable[[Sequence[Any]], Any]:
        """The log density as a function of the free values, with all that depends on the data alone computed now."""
        of_data = dict(zip(self._data, data, strict=True))
        self._run(self._of_data, of_data)

        def log_density(free: Sequence[Any]) -> Any:
            values = {**of_data, **dict(zip(self._free, free, strict=True))}
            self._run(self._of_free, values)
            return values[self._output]

        return log_density

    def _run(self, steps: Sequence[_Step], values: dict[Any, Any]) -> None:
        for node, in_python, in_jax in steps:
            arguments = [
                variable.data if isinstance(variable, Constant) else values[variable]
                for variable in node.inputs
            ]
            if isinstance(node.op, Shape):
                results: Sequence[Any] = [np.asarray(np.shape(arguments[0]), dtype=np.int64)]
            elif isinstance(node.op, Shape_i):
                results = [np.asarray(np.shape(arguments[0])[node.op.i], dtype=np.int64)]
            elif isinstance(node.op, JAXShapeTuple):
                results = [tuple(arguments)]  # has no Python code of its own
            elif all(_is_known(argument) for argument in arguments):
                results = in_python(arguments)
            else:
                results = in_jax(arguments)
            values.update(zip(node.outputs, results, strict=True))
