"""Evaluate a PyTensor graph under a JAX trace, with shapes that are known only then.

PyTensor's own translation to JAX wants the numbers behind reshapes and ranges when it translates, so it serves one
shape only. Here the graph is walked at each trace instead: what is *known* while JAX traces (constants, shapes, and
whatever is computed from those alone) is computed by PyTensor's Python code, and everything else by PyTensor's own
JAX function of the node. The graph is rewritten once, and serves all shapes. Called by `lowering`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pytensor.compile.mode import get_mode
from pytensor.graph.basic import Constant
from pytensor.graph.fg import FunctionGraph
from pytensor.link.jax.dispatch import jax_funcify
from pytensor.link.jax.dispatch.shape import JAXShapeTuple
from pytensor.tensor.shape import Shape, Shape_i

LogDensity = Callable[[Sequence[Any]], Any]


def traceable(
    free: Sequence[Any], data: Sequence[Any], output: Any
) -> Callable[[Sequence[Any]], LogDensity]:
    """A scalar graph of `free` and `data` as a function of arrays: (data) → (free) → scalar.

    What depends on the data alone is computed when the first of the two is called: outside of a loop over the second.
    """
    graph = FunctionGraph([*free, *data], [output], clone=True)
    with warnings.catch_warnings():
        # XLA needs no BLAS; only PyTensor's C code does.
        warnings.filterwarnings("ignore", message="PyTensor could not link to a BLAS")
        # XLA fuses by itself; unfused, what depends on the data alone stays apart from the rest.
        get_mode("JAX").excluding("fusion").optimizer.rewrite(graph)
    return _Interpreter(graph, n_free=len(free)).given


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
            self._node.op.prepare_node(self._node, self._storage, computed, impl="py")
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
            with warnings.catch_warnings():
                # JAX drops PyTensor's parameter checks and says so each time. That it may is made sure once, by
                # comparing the two log densities before a structure is used.
                warnings.filterwarnings("ignore", message="Skipping Check")
                self._function = jax_funcify(self._node.op, node=self._node)
        # Scalar constants become Python numbers, as in PyTensor's own conversion: some are static (an axis to sort).
        results = self._function(
            *(
                argument.item()
                if isinstance(variable, Constant)
                and np.ndim(argument) == 0
                and argument is not None
                else argument
                for variable, argument in zip(self._node.inputs, arguments, strict=True)
            )
        )
        return results if len(self._node.outputs) > 1 else [results]


_Step = tuple[Any, _PythonNode, _JaxNode]


class _Interpreter:
    """Walks a rewritten graph, one node after another."""

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

    def given(self, data: Sequence[Any]) -> LogDensity:
        """The output as a function of the free values, with all that depends on the data alone computed now."""
        of_data = dict(zip(self._data, data, strict=True))
        self._run(self._of_data, of_data)

        def output(free: Sequence[Any]) -> Any:
            values = {**of_data, **dict(zip(self._free, free, strict=True))}
            self._run(self._of_free, values)
            return values[self._output]

        return output

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


def _is_known(value: Any) -> bool:
    # Constants of other kinds (slices, None) are known too; only JAX's own arrays and tracers are not.
    return isinstance(value, np.ndarray | np.generic | int | float | bool | slice | type(None))
