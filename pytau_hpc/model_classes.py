"""The models as classes and functions: data in, PyMC model out, with arguments in PyTau's order.

Made from the registry, so that a model that is added has its class and its function. Called by the door
`changepoint_model`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pytau_hpc.data.generated import gen_test_array
from pytau_hpc.data.quality import check_data_quality
from pytau_hpc.errors import BadData, UserError
from pytau_hpc.models import MODELS, ModelKind

#: PyTau's order of arguments, where it is not (data_array, n_states, options).
_ORDERS: Mapping[str, tuple[str, ...]] = {
    "single_taste_poisson_trial_switch": ("switch_components", "n_states"),
    "all_taste_poisson_trial_switch": ("switch_components", "n_states"),
    "single_taste_poisson_dirichlet": ("max_states",),
    "gaussian_changepoint_mean_dirichlet": ("max_states",),
}
#: PyTau's largest numbers of states where they are to be found.
_MAX_STATES = {"single_taste_poisson_dirichlet": 10, "gaussian_changepoint_mean_dirichlet": 15}
#: Other words for the number of states and for the data.
_WORDS = {"states": "n_states", "max_states": "n_states", "data": "data_array"}


class ChangepointModel:
    """A model with its data; `generate_model` makes the PyMC model.

    Attributes
    ----------
    kind : what the registry knows of the model
    data_array : the data, as they were given
    n_states : number of states
    options : options of the model, with defaults
    """

    kind: ClassVar[ModelKind]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        if not hasattr(type(self), "kind"):  # PyTau's base class takes anything
            return
        data, n_states, options = _bound(self.kind, arguments, named)
        self.data_array = np.asarray(data)
        self.n_states = n_states
        self.options = self.kind.resolve_options(options)
        self._prepared = _prepared(self.kind, self.data_array, n_states)

    @cached_property
    def data(self) -> npt.NDArray[Any]:
        """The data with all axes of the model."""
        return self._prepared

    def generate_model(self) -> Any:
        """The PyMC model."""
        self._must_be_a_model()
        model = self.kind.build(self._prepared, self.n_states, self.options)
        model.changepoint_model = self
        return model

    def test(self) -> bool:
        """Make sure that the log density is finite at the initial point. True where it is."""
        self._must_be_a_model()
        model = self.generate_model()
        value = model.compile_logp(mode="FAST_COMPILE")(model.initial_point())
        if not np.isfinite(value):
            raise BadData(f"the log density of {self.kind.name} is {value} at its initial point")
        return True

    def _must_be_a_model(self) -> None:
        if not hasattr(type(self), "kind"):
            raise NotImplementedError("this is the base of the models, and none itself")


def _bound(
    kind: ModelKind, arguments: Sequence[Any], named: Mapping[str, Any]
) -> tuple[Any, int, dict[str, Any]]:
    """Data, number of states and options, in PyTau's order or by name.

    Raises
    ------
    TypeError : arguments that are missing, too many or given twice
    UserError : a number of states that is not a whole number
    """
    order = ("data_array", *_ORDERS.get(kind.name, ("n_states", *kind.options)))
    if len(arguments) > len(order):
        raise TypeError(f"{kind.name} takes {', '.join(order)}; {len(arguments)} values were given")
    given: dict[str, Any] = {}
    pairs = [*zip(order, arguments, strict=False), *named.items()]
    for key, value in ((_WORDS.get(key, key), value) for key, value in pairs):
        if key in given:
            raise TypeError(f"{kind.name} got more than one value for {key!r}")
        given[key] = value
    if kind.name in _MAX_STATES:
        given.setdefault("n_states", _MAX_STATES[kind.name])
    missing = [key for key in ("data_array", "n_states") if key not in given]
    if missing:
        raise TypeError(f"{kind.name} needs {' and '.join(missing)}")
    data, n_states = given.pop("data_array"), given.pop("n_states")
    try:
        return data, operator.index(n_states), given
    except TypeError:
        raise UserError(
            f"the number of states of {kind.name} must be a whole number, not {n_states!r}"
        ) from None


class UnfitData(BadData, ValueError):
    """Data that a model does not take; a ValueError, which is what PyTau raises."""


def _prepared(kind: ModelKind, data: npt.NDArray[Any], n_states: int) -> npt.NDArray[Any]:
    try:
        if np.ndim(data) <= len(kind.dims):  # else `prepare` says what is wrong
            check_data_quality(data, "data_array", values=kind.values)
        prepared = kind.prepare(data)
    except BadData as error:
        raise UnfitData(error.message, help=error.help) from None
    problem = kind.accepts(prepared.shape, kind.dims, n_states)
    if problem:
        raise UnfitData(problem)
    return prepared


def class_name(name: str) -> str:
    """PyTau's name of the class of a model: `poisson_changepoint_1d` → PoissonChangepoint1D."""
    return "".join(
        part.upper() if part[0].isdigit() else part.capitalize() for part in name.split("_")
    )


def model_class(name: str) -> type[ChangepointModel]:
    """The class of one of `MODELS`."""
    kind = MODELS[name]
    document = f"{kind.summary[0].upper()}{kind.summary[1:]}; data {' × '.join(kind.dims)}."
    attributes = {"kind": kind, "__doc__": document, "__module__": __name__}
    return type(class_name(name), (ChangepointModel,), attributes)


def model_function(name: str) -> Callable[..., Any]:
    """The function of one of `MODELS`: its arguments are those of the class, its value is the PyMC model."""
    cls = model_class(name)

    def make(*arguments: Any, **named: Any) -> Any:
        return cls(*arguments, **named).generate_model()

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"{cls.__doc__} Returns the PyMC model."
    make.model_type = name  # type: ignore[attr-defined]
    return make


def run_all_tests() -> None:
    """Make sure that the log density of every model is finite at its initial point."""
    shapes: dict[int, tuple[int, ...]] = {
        1: (100,),
        2: (10, 100),
        3: (5, 10, 100),
        4: (2, 5, 10, 100),
    }
    for name, kind in MODELS.items():
        noise = "normal" if kind.values == "real" else "poisson"
        data = gen_test_array(shapes[len(kind.dims)], 3, noise)
        model_class(name)(data_array=data, n_states=3).test()
