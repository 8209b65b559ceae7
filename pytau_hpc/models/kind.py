"""What this package knows about a model before it builds it.

A `ModelKind` is light: the spec and `plan` read it without numpy or PyMC. The model's own module, which holds
`build` and `starts`, imports PyMC when they are called. The registry of all kinds is `pytau_hpc.models.MODELS`.
"""

from __future__ import annotations

import importlib
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pytau_hpc.errors import BadData, UserError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import pymc as pm

    from pytau_hpc.models.starts import Start


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """One changepoint model: its name, the data it takes, what it infers, and where its code is.

    Attributes
    ----------
    name : the word used in specs; the same as PyTau's function
    version : rises whenever the model's density changes, so that results of the old density are not reused
    summary : one line for people
    module : the module with ``inputs(data, n_states, options)``, ``build(inputs, options)`` and
        ``starts(data, n_states, options, rng)``; and with ``settled(data, options)`` where parts of data do not show
        what a value means
    dims : names of the axes of the data; the last is always ``"bin"``
    values : what the data hold: counts (integers from 0), real numbers, or categories (integers from 0)
    posterior_dims : for each fitted variable, the names of its axes
    min_states : the smallest number of states that makes sense
    absent : the axes that data may lack, the first to be missing first; in the order of `dims` where not given
    options : options of the model with their defaults; a value must be of its default's type
    option_checks : by option, from a value to what it must be, or None where it is
    """

    name: str
    version: int
    summary: str
    module: str
    dims: tuple[str, ...]
    values: Literal["counts", "real", "categories"]
    posterior_dims: Mapping[str, tuple[str, ...]]
    min_states: int = 2
    absent: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    option_checks: Mapping[str, Callable[[Any], str | None]] = field(default_factory=dict)

    def resolve_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The model's options with defaults filled in, numbers as the default writes them (2 → 2.0).

        Raises
        ------
        UserError : an option that the model does not have, or a value that it cannot be
        """
        unknown = [key for key in options if key not in self.options]
        if unknown:
            known = ", ".join(self.options) or "none"
            raise UserError(
                f"{self.name} has no option {', '.join(map(repr, unknown))}; its options: {known}.",
                help=did_you_mean(unknown[0], self.options),
            )
        resolved = {**self.options, **{key: self._typed(key, options[key]) for key in options}}
        wrong = [
            f"`{key}` of {self.name} must be {wanted}, got {resolved[key]!r}"
            for key, check in self.option_checks.items()
            if (wanted := check(resolved[key]))
        ]
        if wrong:
            raise UserError("\n".join(wrong))
        return resolved

    def _typed(self, key: str, value: Any) -> Any:
        default = self.options[key]
        fits = default is None or isinstance(value, _LIKE.get(type(default), type(default)))
        if isinstance(value, bool) and not isinstance(default, bool | None):
            fits = False
        if not fits:
            what = _NAMES.get(type(default), type(default).__name__)
            raise UserError(f"`{key}` of {self.name} must be {what}, got {value!r}")
        return value if default is None else type(default)(value)

    def accepts(
        self, shape: Sequence[int], dims: Sequence[str], n_states: int | None = None
    ) -> str | None:
        """Why this model cannot take data of that shape, or None when it can.

        Data with fewer axes than the model's are fine: they get axes of length 1 (see `prepare`).
        """
        if len(shape) > len(self.dims):
            got, wanted = " × ".join(dims), " × ".join(self.dims)
            hint = "; choose one taste" if "taste" in dims and "taste" not in self.dims else ""
            return f"{self.name} takes {wanted}, not {got}{hint}"
        if not shape or min(shape) < 1:
            return f"{self.name} cannot be fitted to an empty array of shape {tuple(shape)}"
        if n_states is not None and n_states < self.min_states:
            return f"{self.name} needs at least {self.min_states} states, not {n_states}"
        if shape[-1] < max(2, n_states or 0):
            return f"{shape[-1]} bins are too few for {n_states or 2} states"
        return None

    def accepts_values(self, *, minimum: float, n_not_finite: int, is_integer: bool) -> str | None:
        """Why this model cannot take such values, or None when it can."""
        if n_not_finite:
            return f"{self.name} cannot be fitted to NaN or infinite values ({n_not_finite} found)"
        if self.values != "real" and (not is_integer or minimum < 0):
            what = "fractions" if not is_integer else "negative values"
            return f"{self.name} takes {self.values} (0, 1, 2, …); the data hold {what}"
        return None

    def prepare(self, array: np.ndarray) -> np.ndarray:
        """Check an array and give it the model's axes and number type.

        Parameters
        ----------
        array : as preprocessing leaves it, last axis bins, at most as many axes as `dims`. Where there are fewer, the
            first of `absent` are missing: trials × bins are one neuron where `absent` begins with "neuron"

        Returns
        -------
        int64 array for counts and categories, float64 for real values; one axis for each of `dims`

        Raises
        ------
        BadData : the shape or the values are not what the model takes
        """
        import numpy as np

        array = np.asarray(array)
        lacking = (self.absent or self.dims[:-1])[: max(0, len(self.dims) - array.ndim)]
        names = (
            [dim for dim in self.dims if dim not in lacking]
            if array.ndim <= len(self.dims)
            else [f"axis {axis}" for axis in range(array.ndim)]
        )
        problem = self.accepts(array.shape, names)
        if problem is None:
            finite = np.isfinite(array)
            problem = self.accepts_values(
                minimum=float(array[finite].min()) if finite.any() else 0.0,
                n_not_finite=int(array.size - finite.sum()),
                is_integer=bool((array[finite] == np.round(array[finite])).all()),
            )
        if problem is not None:
            raise BadData(problem)
        dtype = np.float64 if self.values == "real" else np.int64
        lengths = dict(zip(names, array.shape, strict=True))
        shape = tuple(lengths.get(dim, 1) for dim in self.dims)
        return np.ascontiguousarray(array.reshape(shape), dtype=dtype)

    def settled(self, data: np.ndarray, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options with which parts of prepared data mean the same as all of them: for fits and scores of such parts.

        They are no options that a person could give, so they are in no point and no result.
        """
        settle = getattr(importlib.import_module(self.module), "settled", None)
        return dict(options) if settle is None else settle(data, options)

    def inputs(
        self, data: np.ndarray, n_states: int, options: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """All that the model is told about the data and the number of states, by the name of its `pm.Data`."""
        return importlib.import_module(self.module).inputs(data, n_states, options)

    def build(self, data: np.ndarray, n_states: int, options: Mapping[str, Any]) -> pm.Model:
        """The PyMC model of prepared data. Every shape in it is symbolic, taken from the shapes of its inputs."""
        inputs = self.inputs(data, n_states, options)
        return importlib.import_module(self.module).build(inputs, options)

    def starts(
        self, data: np.ndarray, n_states: int, options: Mapping[str, Any], rng: np.random.Generator
    ) -> list[Start]:
        """Places to start an optimiser from, the most promising first; PyMC's own initial point is the last."""
        return importlib.import_module(self.module).starts(data, n_states, options, rng)


# numpy's numbers are numbers, too.
_LIKE: Mapping[type, type] = {int: numbers.Integral, float: numbers.Real}
_NAMES: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
}


def at_least(smallest: int) -> Callable[[Any], str | None]:
    """A check for an option that is a whole number."""
    return lambda value: None if value >= smallest else f"at least {smallest}"


def above(bound: float) -> Callable[[Any], str | None]:
    """A check for an option that is a number."""
    return lambda value: (
        None if math.isfinite(value) and value > bound else f"a finite number above {bound:g}"
    )
