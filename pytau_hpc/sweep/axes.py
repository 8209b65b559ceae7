"""The axes that every sweep has: what their values may be, and what they are when the spec does not say.

An axis of the grid that is not here is a setting of the inference method or an option of the model. A value's check
returns the value or raises `Wrong`; the same check serves the grid, `exclude`, `include` and rows of a CSV file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytau_hpc.sweep.grid import same_value
from pytau_hpc.sweep.validate import Wrong, one_of, shown

MAX_REPEATS = 100_000


class ModelLike(Protocol):
    """What the spec needs to know of a model (`models.ModelKind`)."""

    @property
    def version(self) -> int: ...
    @property
    def min_states(self) -> int: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    def resolve_options(self, options: Mapping[str, Any]) -> dict[str, Any]: ...


class MethodLike(Protocol):
    """What the spec needs to know of an inference method (`inference.MethodKind`)."""

    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def resolve(self) -> Callable[[Mapping[str, Any]], dict[str, Any]]: ...


class ReaderLike(Protocol):
    """What the spec needs to know of a reader (`data.Reader`)."""

    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def on_disk(self) -> bool: ...
    def check_options(self, options: Mapping[str, Any]) -> dict[str, str]: ...


@dataclass(frozen=True, kw_only=True)
class Known:
    """The registries that a spec may name things of."""

    models: Mapping[str, ModelLike]
    methods: Mapping[str, MethodLike]
    readers: Mapping[str, ReaderLike]
    transforms: Collection[str]


Check = Callable[[Any, Known], Any]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis of every sweep. Without a default the grid must give it."""

    check: Check
    default: tuple[Any, ...] | None


def whole(value: Any, *, at_least: int) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        is_whole = isinstance(value, float) and value.is_integer()
        hint = f"write {int(value)}" if is_whole and abs(value) < 1e15 else None
        if isinstance(value, str) and value.isdecimal():
            hint = f"write {value}, without quotes"
        raise Wrong(f"must be a whole number, got {shown(value)}", help=hint)
    if value < at_least:
        raise Wrong(f"must be at least {at_least}, got {value}")
    return value


def _text(value: Any, what: str) -> str:
    if isinstance(value, str) and value.strip() and value.isprintable():
        return value
    hint = None
    if isinstance(value, (bool, int, float)):
        hint = f'write it in quotes: "{shown(value).strip("`")}"'
    raise Wrong(f"must be {what}, got {shown(value)}", help=hint)


def _taste(value: Any, known: Known) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool):
        return whole(value, at_least=0)
    return _text(value, "a taste's index or name, or `all`")


def _region(value: Any, known: Known) -> str:
    return _text(value, "the name of a region, or `all`")


def _laser(value: Any, known: Known) -> str:
    return _text(value, "a laser condition in words (none, on, off)")


def _transform(value: Any, known: Known) -> str:
    return one_of("none" if value is None else value, known.transforms, "transform")


def _model(value: Any, known: Known) -> str:
    return one_of(value, known.models, "model")


def _n_states(value: Any, known: Known) -> int:
    return whole(value, at_least=2)


def _repeat(value: Any, known: Known) -> int:
    return whole(value, at_least=0)


def _bin_ms(value: Any, known: Known) -> int | None:
    return None if value is None else whole(value, at_least=1)


def _window_ms(value: Any, known: Known) -> list[int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise Wrong(
            f"must be [start, end] in ms, got {shown(value)}",
            help="write  window_ms: [[2000, 4000]]",
        )
    for index, edge in enumerate(value):
        try:
            whole(edge, at_least=0)
        except Wrong as wrong:
            raise Wrong(wrong.message, help=wrong.help, at=(index,)) from None
    start, end = value
    if end <= start:
        raise Wrong(
            f"must end after it starts, got {shown(value)}", help="write [start, end] in ms"
        )
    return [start, end]


AXES: Mapping[str, Axis] = {
    "taste": Axis(check=_taste, default=(0,)),
    "region": Axis(check=_region, default=("all",)),
    "laser": Axis(check=_laser, default=("none",)),
    "transform": Axis(check=_transform, default=("none",)),
    "window_ms": Axis(check=_window_ms, default=(None,)),
    "bin_ms": Axis(check=_bin_ms, default=(None,)),
    "model": Axis(check=_model, default=None),
    "n_states": Axis(check=_n_states, default=None),
    "repeat": Axis(check=_repeat, default=(0,)),
}
"""In the order of the manifest's columns, after the session."""

FROM_PYTAU = {
    "states": "n_states",
    "n_state": "n_states",
    "bin_width": "bin_ms",
    "time_lims": "window_ms",
    "window": "window_ms",
    "model_type": "model",
    "region_name": "region",
    "taste_num": "taste",
    "tastes": "taste",
    "data_transform": "transform",
    "repeats": "repeat",
    "fit": "iterations",
    "fit_steps": "iterations",
    "samples": "draws",
}
"""Words of PyTau's parameters and near misses, for "did you mean"."""


def listed(name: str, value: Any) -> list[Any]:
    """The values of an axis as it stands in the grid; a single value is a list of one.

    Raises
    ------
    Wrong : an empty list, a flat window, an impossible number of repeats
    """
    if name == "repeat" and not isinstance(value, list):
        if whole(value, at_least=1) > MAX_REPEATS:
            raise Wrong(f"must be at most {MAX_REPEATS}, got {value}")
        return list(range(value))
    if not isinstance(value, list):
        return [value]
    if not value:
        raise Wrong("must not be empty")
    if name == "window_ms" and not any(isinstance(one, list) or one is None for one in value):
        nested = f"[{', '.join(str(part) for part in value)}]"
        raise Wrong(
            f"must be a list of windows, got one flat window {nested}",
            help=f"write  window_ms: [{nested}]",
        )
    return value


def checked_values(
    name: str, values: Sequence[Any], known: Known, *, repeats: bool = False
) -> tuple[list[Any], list[Wrong]]:
    """The values of an axis, and what is wrong with them (with the index in `at`).

    What is wrong stays among the values, so that rows can be checked all the same; a value that is there twice stays
    once, unless it may be there again (`repeats`: in a zip group).
    """
    check = AXES[name].check if name in AXES else _anything
    kept: list[Any] = []
    wrongs: list[Wrong] = []
    seen = set()
    for index, value in enumerate(values):
        one = value
        try:
            one = check(value, known)
        except Wrong as wrong:
            wrongs.append(Wrong(wrong.message, help=wrong.help, at=(index, *wrong.at)))
        if same_value(one) in seen and not repeats:
            wrongs.append(Wrong(f"is {shown(one)} again", help="keep one of the two", at=(index,)))
            continue
        seen.add(same_value(one))
        kept.append(one)
    return kept, wrongs


def _anything(value: Any, known: Known) -> Any:
    return value
