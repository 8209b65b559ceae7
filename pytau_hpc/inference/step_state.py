"""The state of PyMC's step methods as arrays and JSON, and back: what a checkpoint of `nuts_pymc` holds.

PyMC keeps all that a step method's next step depends on in nested dataclasses (`sampling_state`: step size, mass
matrix with its running estimates, counters, random generators) and can set them again. Pickle would be shorter, but a
checkpoint that is read must not be able to run code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


def encode(state: Any) -> tuple[dict[str, np.ndarray], Any]:
    """A state → its arrays by place, and JSON that refers to them.

    Raises
    ------
    TypeError : something in it is neither a number, a text, an array, nor a container of those
    """
    arrays: dict[str, np.ndarray] = {}
    return arrays, _encoded(state, "", arrays)


def _encoded(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _encoded(getattr(value, field.name), f"{place}/{field.name}", arrays)
            for field in dataclasses.fields(value)
            if not _is_fixed(field)
        }
    if isinstance(value, np.ndarray | np.generic):
        arrays[place] = np.array(value)
        return {"array": place, "scalar": isinstance(value, np.generic)}
    if isinstance(value, Mapping):
        return {key: _encoded(item, f"{place}/{key}", arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encoded(item, f"{place}/{n}", arrays) for n, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{place} of a step method's state is a {type(value).__name__}")


def decode(like: Any, arrays: Mapping[str, np.ndarray], coded: Any) -> Any:
    """The state that `encode` coded.

    Parameters
    ----------
    like : a state of the same step method, for its types and for what never changes

    Raises
    ------
    ValueError : it is the state of another step method
    """
    if dataclasses.is_dataclass(like) and not isinstance(like, type):
        changing = {field.name for field in dataclasses.fields(like) if not _is_fixed(field)}
        if not isinstance(coded, dict) or set(coded) != changing:
            raise ValueError(f"not the state of a {type(like).__name__}")
        new = {name: decode(getattr(like, name), arrays, coded[name]) for name in changing}
        return dataclasses.replace(like, **new)
    if isinstance(coded, dict) and set(coded) == {"array", "scalar"}:
        array = arrays[coded["array"]]
        if isinstance(like, np.ndarray) and like.shape != array.shape:
            raise ValueError(f"{coded['array']} has shape {array.shape}, wanted {like.shape}")
        return array[()] if coded["scalar"] else np.array(array)
    if isinstance(coded, dict):
        inner = like if isinstance(like, Mapping) else {}
        return {key: decode(inner.get(key), arrays, item) for key, item in coded.items()}
    if isinstance(like, tuple) and hasattr(like, "_fields"):
        return type(like)(
            *(decode(mine, arrays, item) for mine, item in zip(like, coded, strict=True))
        )
    if isinstance(coded, list):
        found = [decode(None, arrays, item) for item in coded]
        return tuple(found) if isinstance(like, tuple) else found
    return coded


def _is_fixed(field: dataclasses.Field[Any]) -> bool:
    """Whether PyMC only compares it, when a state is set."""
    return bool(field.metadata.get("frozen", False))
