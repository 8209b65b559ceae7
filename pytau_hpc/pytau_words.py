"""The words of PyTau's parameters and what they are in a spec: `states` is `n_states`, seconds are milliseconds.

So that `FitHandler` and `batch_fit_models` say to `plan` what a spec would say, and the same fit has the same id. Pure.
Called by `one_point` and `batch`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pytau_hpc.data.transforms import transform_named
from pytau_hpc.errors import UserError
from pytau_hpc.files import canonical_json

#: What `FitHandler` and `batch_fit_models` do where nobody says otherwise. blech_clust records two seconds before a
#: taste is given; PyTau's examples fit the two after it.
TIME_LIMS_S = (2.0, 4.0)
BIN_WIDTH_S = 0.05
MODEL_TYPE = "single_taste_poisson"
STATES = 3

_TRANSFORM_OF_TYPE = {"actual": "none", "shuffled": "trial_shuffled", "simulated": "simulated"}


def milliseconds(name: str, seconds: Any) -> int:
    """A time in seconds as whole milliseconds, which is what recordings are sampled at.

    Raises
    ------
    UserError : not a number, or between two milliseconds
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise UserError(f"`{name}` must be a number of seconds, not {seconds!r}")
    exact = seconds * 1000
    if not math.isfinite(exact) or abs(exact - round(exact)) > 1e-6:
        raise UserError(f"`{name}` must be a whole number of milliseconds, not {seconds!r} s")
    return round(exact)


def window_ms(name: str, limits: Any) -> list[int]:
    """Start and end in seconds as a spec's window.

    Raises
    ------
    UserError : not two such numbers
    """
    if isinstance(limits, str) or not isinstance(limits, Iterable) or len(pair := [*limits]) != 2:
        raise UserError(f"`{name}` must be start and end in seconds, not {limits!r}")
    return [milliseconds(name, one) for one in pair]


def whole_ms(name: str, value: Any) -> int:
    """A time in ms, as PyTau's own calls have it.

    Raises
    ------
    UserError : not a whole number
    """
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
        raise UserError(f"`{name}` must be a whole number of ms, not {value!r}")
    return int(value)


def transform_of(name: Any) -> Any:
    """PyTau's `data_transform` or `data_type` as a spec's transform; "None" is how PyTau writes None in a file."""
    if name in (None, "None"):
        return "none"
    return _TRANSFORM_OF_TYPE.get(name, name) if isinstance(name, str) else name


def known_transform(name: str | None) -> str | None:
    """The same, of a single fit: it stays as it was given.

    Raises
    ------
    UserError : no such transform
    """
    transform_named(transform_of(name))
    return name


def laser_of(name: Any) -> Any:
    """PyTau's `laser_type`: None is all trials."""
    return "none" if name in (None, "None") else name


def options_of(model_kwargs: Any) -> dict[str, Any]:
    """PyTau's `model_kwargs`; ``{"None": None}`` is how its examples write none.

    Raises
    ------
    UserError : not a mapping
    """
    if model_kwargs is None:
        return {}
    if not isinstance(model_kwargs, Mapping):
        raise UserError(f"`model_kwargs` must be a dict, not {model_kwargs!r}")
    return {key: value for key, value in model_kwargs.items() if key != "None"}


def model_name(model: Any) -> str:
    """The name of a model, given by itself, or as a function or class of `changepoint_model`.

    Raises
    ------
    UserError : something else. A function of one's own may do anything, whatever it is called
    """
    if isinstance(model, str):
        return model
    named = getattr(model, "model_type", None)
    named = named or getattr(getattr(model, "kind", None), "name", None)
    if not isinstance(named, str):
        raise UserError(
            f"a model must be a name, or a function of changepoint_model, not {model!r}",
            help="a model of your own becomes known by $PYTAU_HPC_PLUGINS",
        )
    return named


def steps_of(fit_steps: Any) -> Any:
    """A number means exactly so many steps, as in PyTau; None goes on until the fit has converged."""
    return "auto" if fit_steps is None else fit_steps


_Translation = tuple[str, Callable[[Any], Any]]


def _same(value: Any) -> Any:
    return value


_WORDS: Mapping[str, _Translation] = {
    "states": ("n_states", _same),
    "model_type": ("model", model_name),
    "taste_num": ("taste", _same),
    "taste_name": ("taste", _same),
    "region_name": ("region", _same),
    "laser_type": ("laser", laser_of),
    "laser": ("laser", laser_of),
    "data_transform": ("transform", transform_of),
    "data_type": ("transform", transform_of),
    "transform": ("transform", transform_of),
    "time_lims": ("window_ms", lambda value: window_ms("time_lims", value)),
    "bin_width": ("bin_ms", lambda value: milliseconds("bin_width", value)),
    "fit_steps": ("iterations", steps_of),
    "fit": ("iterations", steps_of),
    "iterations": ("iterations", steps_of),
    "samples": ("draws", _same),
    "model_kwargs": ("model_options", options_of),
    "model_options": ("model_options", options_of),
}


def in_spec_words(name: str, value: Any) -> tuple[str, Any]:
    """A parameter as PyTau's users call it → the axis or setting of a spec, and its value. A spec's own words stay.

    Raises
    ------
    UserError : a time that is none
    """
    value = plain(value)
    if name not in _WORDS:
        return name, value
    word, translate = _WORDS[name]
    return word, translate(value)


def values_in_spec_words(name: str, values: Any) -> tuple[str, list[Any]]:
    """The same for an axis of a grid: a list, tuple, set, range or array of values, or a single one; each once.
    A set has an order of its own here.

    Two numbers under `time_lims` are one window.
    """
    values = plain(values)
    word = _WORDS[name][0] if name in _WORDS else name
    listed = [*values] if isinstance(values, list | tuple | range | set | frozenset) else [values]
    if word == "window_ms" and listed and not isinstance(listed[0], list | tuple):
        listed = [listed]
    found = [in_spec_words(name, value)[1] for value in listed]
    if isinstance(values, set | frozenset):
        # Text has another place in a set in every process, and the name of a batch follows from the order.
        found.sort(key=canonical_json)
    return word, [*{canonical_json(value): value for value in found}.values()]


def plain(value: Any) -> Any:
    """Numbers and arrays of numpy as Python has them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
