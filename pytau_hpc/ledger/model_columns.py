"""The columns of the model database: names, types, meanings; and values as SQLite keeps them.

One list, which the table, the checks of what a user gives, the DataFrames and the documentation follow. Beside these
columns a model may have others, of the user's own. Light: no pandas.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from pytau_hpc.errors import UserError, did_you_mean
from pytau_hpc.files import canonical_json


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column. `kind` is "text", "whole", "real", "truth", "pair" (two numbers) or "json"."""

    name: str
    kind: str
    summary: str
    #: Whether it is part of what was fitted: rows that are equal in all such columns are duplicates.
    identity: bool = True


def _columns(group: Mapping[str, tuple[str, str]], identity: bool) -> list[Column]:
    return [
        Column(name=name, kind=kind, summary=summary, identity=identity)
        for name, (kind, summary) in group.items()
    ]


_IDENTIFICATION = {
    "animal_name": ("text", "animal"),
    "session_date": ("text", "date of the session, as its name or the user writes it"),
    "session_name": ("text", "name of the session: its folder or file"),
    "taste_name": ("text", "taste or stimulus; `all` for all of them"),
    "taste_num": ("whole", "index of the taste, from 0"),
    "region_name": ("text", "brain region; `all` for all neurons"),
    "laser_type": ("text", "`on`, `off`; missing for all trials"),
    "experiment_name": (
        "text",
        "name of the batch of fits: of the sweep, or as FitHandler was told",
    ),
}
_PARAMETERS = {
    "model_type": ("text", "such as `single_taste_poisson`"),
    "data_type": ("text", "`actual`, `shuffled` or `simulated`"),
    "data_transform": ("text", "`trial_shuffled`, `spike_shuffled`, `simulated`; missing for none"),
    "states": ("whole", "number of states"),
    "fit_steps": (
        "whole",
        "iterations asked for; missing where the fit went on until it converged",
    ),
    "samples": ("whole", "draws of the posterior"),
    "time_lims": ("pair", "start and end of the window, seconds"),
    "bin_width": ("real", "seconds"),
    "method": ("text", "inference method, such as `advi`"),
    "engine": ("text", "the program behind it, such as `jax`"),
    "repeat": ("whole", "number of the repeat, each with its own random numbers"),
    "parameters": (
        "json",
        "everything else that was set: options of the model, settings of the fit",
    ),
    "raw_data": ("text", "the recording: its path, relative to the study folder or absolute"),
    "data_digest": ("text", "digest of the selected recording before preprocessing"),
}
_CONTENTS = {
    "contents": (
        "json",
        "arrays in the file with their shapes: `posterior/lambda`, `posterior/tau`, `observed_data/obs`, …",
    ),
    "elbo": ("real", "evidence lower bound, from fresh draws"),
    "elbo_se": ("real", "its standard error"),
    "converged": ("truth", "whether the fit converged"),
    "iterations_run": ("whole", "iterations done"),
    "fit_date": ("text", "year-month-day"),
    "point_id": ("text", "id of the fit, the same as in a sweep"),
    "pymc_version": ("text", "version of PyMC"),
}

#: Without `model_id` and `model_path`, which every row has.
COLUMNS: Mapping[str, Column] = {
    column.name: column
    for column in (
        *_columns(_IDENTIFICATION, True),
        *_columns(_PARAMETERS, True),
        *_columns(_CONTENTS, False),
    )
}
KEYS = ("model_id", "model_path")

SQL_TYPES = {
    "text": "TEXT",
    "whole": "INTEGER",
    "real": "REAL",
    "truth": "INTEGER",
    "pair": "TEXT",
    "json": "TEXT",
}

#: A column of the user's own: anything that can be a column of a table.
_OWN_NAME = re.compile(r"[^\W\d][\w.]{0,63}\Z")


@dataclass(frozen=True)
class Stored:
    """Values of one row as SQLite keeps them: `known` columns, and the user's `own`."""

    known: dict[str, Any]
    own: dict[str, Any]


def stored(values: Mapping[str, Any], *, allowed: Collection[str] | None = None) -> Stored:
    """Check values by their columns.

    Parameters
    ----------
    allowed : own columns that there are; None where new ones may be made

    Raises
    ------
    UserError : a value that does not fit its column, or a column that there is not; all problems at once
    """
    known: dict[str, Any] = {}
    own: dict[str, Any] = {}
    problems: list[str] = []
    hint: str | None = None
    for name, value in values.items():
        if name in KEYS:
            problems.append(f"`{name}` cannot be given as a column")
        elif name in COLUMNS:
            try:
                known[name] = to_sql(COLUMNS[name].kind, value)
            except (TypeError, ValueError, OverflowError):
                problems.append(f"`{name}` must be {_EXPECTED[COLUMNS[name].kind]}, not {value!r}")
        elif allowed is not None and name not in allowed:
            problems.append(f"there is no column `{name}`")
            hint = hint or did_you_mean(name, [*COLUMNS, *allowed])
        elif not _OWN_NAME.match(name):
            problems.append(f"`{name}` cannot be the name of a column")
        else:
            try:
                own[name] = _plain(value)
                canonical_json(own[name]).encode()
            except (TypeError, ValueError):
                problems.append(f"`{name}` cannot be kept in a database: {value!r}")
    if problems:
        raise UserError("; ".join(problems), help=hint)
    return Stored(known, own)


def to_sql(kind: str, value: Any) -> Any:
    """One value as SQLite keeps it.

    Raises
    ------
    TypeError, ValueError, OverflowError : it does not fit the kind
    """
    value = _plain(value)
    return None if value is None else _TO_SQL[kind](value)


def from_sql(kind: str, value: Any) -> Any:
    """The value again: pairs are tuples, JSON what it was."""
    if value is None or kind in ("text", "whole", "real"):
        return value
    if kind == "truth":
        return bool(value)
    loaded = json.loads(value)
    return tuple(loaded) if kind == "pair" else loaded


def _plain(value: Any) -> Any:
    """Numbers of numpy, paths, dates and missing values of pandas as Python and JSON have them."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if (isinstance(value, float) and math.isnan(value)) or type(value).__name__ in _MISSING:
        return None
    return value


_MISSING = ("NAType", "NaTType")


def _text(value: Any) -> str:
    if isinstance(value, dict | list | bool):
        raise TypeError
    text = str(value)
    text.encode()  # SQLite keeps UTF-8, which has no word for some names of files
    return text


def _whole(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and value != int(value)):
        raise ValueError
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError
    return number


def _real(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _truth(value: Any) -> int:
    if value not in (0, 1):
        raise ValueError
    return int(value)


def _json(value: Any) -> str:
    text = canonical_json(value)
    text.encode()
    return text


def _pair(value: Any) -> str:
    if isinstance(value, str):
        raise TypeError
    start, end = value
    return canonical_json([_real(start), _real(end)])


_TO_SQL: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "whole": _whole,
    "real": _real,
    "truth": _truth,
    "pair": _pair,
    "json": _json,
}
_EXPECTED = {
    "text": "text",
    "whole": "a whole number",
    "real": "a number",
    "truth": "true or false",
    "pair": "two numbers, start and end",
    "json": "what JSON can say",
}


def wanted(name: str, value: Any) -> list[Any]:
    """The values that a query for a column asks for, any of which will do.

    A list, a tuple or a set means any of its items, except for a pair, where two plain numbers are one value.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence | Set):
        return [value]
    items = list(value)
    is_pair = name in COLUMNS and COLUMNS[name].kind == "pair"
    if is_pair and items and not any(isinstance(item, Sequence) for item in items):
        return [value]
    return items
