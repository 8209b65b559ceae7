"""The statements of the model database: rows by path, and what was looked at. Called by `model_database` alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytau_hpc.errors import UserError
from pytau_hpc.files import canonical_json
from pytau_hpc.ledger.model_columns import COLUMNS, Stored, to_sql

#: SQLite takes 999 in its older versions.
_MOST_PARAMETERS = 500
#: What differs between two results of one name, and nobody edits.
_OF_ONE_RESULT = ("point_id", "elbo", "elbo_se", "iterations_run", "contents")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A file below the models folder that was looked at: where it is (relative), and its state at that time."""

    folder: str
    name: str
    mtime_ns: int
    size: int


def one_of(name: str, *values: Any) -> tuple[str, list[Any]]:
    """SQL for "this column has one of these values"; None is a missing value."""
    present = [value for value in values if value is not None]
    parts = [f'"{name}" IN ({", ".join("?" * len(present))})'] if present else []
    parts += [f'"{name}" IS NULL'] if len(present) < len(values) else []
    if len(present) > _MOST_PARAMETERS:
        # A JSON array is one parameter; not for a few values, since SQLite reads numbers a little less exactly.
        parts[0] = f'"{name}" IN (SELECT value FROM json_each(?))'
        present = [json.dumps(present)]
    return f"({' OR '.join(parts) or '0'})", present


def own_columns(connection: sqlite3.Connection, asked: Iterable[str]) -> set[str]:
    """The own columns that there are. That means reading all rows, and so only where one is asked for."""
    if all(name in COLUMNS for name in asked):
        return set()
    found = connection.execute(
        "SELECT DISTINCT key FROM model, json_each(model.own) WHERE model.own != '{}'"
    )
    return {name for (name,) in found}


def path_of(connection: sqlite3.Connection, model_id: int) -> str:
    row = connection.execute(
        "SELECT model_path FROM model WHERE model_id = ?", (whole(model_id),)
    ).fetchone()
    if row is None:
        raise UserError(
            f"there is no model {model_id} in the database", help="query() lists what there is"
        )
    return str(row[0])


def whole(model_id: Any) -> int:
    try:
        return int(to_sql("whole", model_id))
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"`model_id` must be a whole number, not {model_id!r}") from None


def upsert(connection: sqlite3.Connection, path: str, values: Stored) -> int:
    """Insert a row, or change the given columns of the one that has this path; in a transaction."""
    names = list(values.known)
    listed = ", ".join(f'"{name}"' for name in ["model_path", *names, "own"])
    changes = [f'"{name}" = excluded."{name}"' for name in [*names, "own"]]
    connection.execute(
        f"INSERT INTO model ({listed}) VALUES ({', '.join('?' * (len(names) + 2))}) "
        f"ON CONFLICT (model_path) DO UPDATE SET {', '.join(changes)}",
        [path, *values.known.values(), canonical_json(_own_with(connection, path, values.own))],
    )
    [model_id] = connection.execute(
        "SELECT model_id FROM model WHERE model_path = ?", (path,)
    ).fetchone()
    return int(model_id)


def _own_with(
    connection: sqlite3.Connection, path: str, changed: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Own columns of a row with some of them changed, each to the value as it is given; None takes one away."""
    row = connection.execute("SELECT own FROM model WHERE model_path = ?", (path,)).fetchone()
    if row is None:
        return changed
    kept = {name: value for name, value in json.loads(row[0]).items() if name not in changed}
    return kept | {name: value for name, value in changed.items() if value is not None}


def is_known(connection: sqlite3.Connection, seen: Seen) -> bool:
    known = connection.execute(
        "SELECT mtime_ns, size FROM seen WHERE folder = ? AND name = ?", (seen.folder, seen.name)
    ).fetchone()
    return known == (seen.mtime_ns, seen.size)


def is_told(connection: sqlite3.Connection, path: str, values: Stored) -> bool:
    """Whether the row is of this very result: in a copied folder all files are new, and the edits must not be lost."""
    names = [name for name in _OF_ONE_RESULT if name in values.known]
    row = connection.execute(
        f"SELECT {', '.join([*names, 'own'])} FROM model WHERE model_path = ? AND point_id NOT NULL",
        (path,),
    ).fetchone()
    if row is None:
        return False
    own = json.loads(row[-1])
    return list(row[:-1]) == [values.known[name] for name in names] and all(
        own.get(name) == value for name, value in values.own.items()
    )


def keep_seen(connection: sqlite3.Connection, found: Sequence[Seen]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO seen (folder, name, mtime_ns, size) VALUES (?, ?, ?, ?)",
        [(seen.folder, seen.name, seen.mtime_ns, seen.size) for seen in found],
    )
