"""Values of a spec as cells of a CSV file, and back, without loss.

A cell holds JSON, except that text which could not be taken for JSON stands without quotes: ``4`` is a number, ``"4"``
is text, ``gc`` is text, an empty cell is nothing. So pandas and a spreadsheet read the columns as one would expect.
"""

from __future__ import annotations

import json
from typing import Any

from pytau_hpc.files import canonical_json


class CellWriter:
    """Values → cells. Values repeat over rows, so each is converted once."""

    def __init__(self) -> None:
        self._known: dict[tuple[type, Any], str] = {}

    def text(self, value: Any) -> str:
        if isinstance(value, (list, tuple, dict)):
            return canonical_json(value)
        # 1 and True are equal as keys of a dict; their types are not.
        key = (type(value), value)
        if key not in self._known:
            self._known[key] = _text(value)
        return self._known[key]


class CellReader:
    """Cells → values. What is returned for a list or mapping is shared by all rows that have it: do not change it."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def value(self, cell: str) -> Any:
        if cell not in self._known:
            self._known[cell] = _value(cell)
        return self._known[cell]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if (
        isinstance(value, str)
        and value
        and _value(value) == value
        and isinstance(_value(value), str)
    ):
        return value
    return canonical_json(value)


def _value(cell: str) -> Any:
    if cell == "":
        return None
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def shape_text(shape: tuple[int, ...]) -> str:
    """``30x10x40``."""
    return "x".join(map(str, shape))


def shape_of(cell: str) -> tuple[int, ...]:
    return tuple(map(int, cell.split("x")))
