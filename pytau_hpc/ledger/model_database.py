"""The model database: one SQLite file that says which models there are and what each of them is.

Unlike a sweep's ledger it is more than an index: rows can be added and edited by hand, and those come back from
nowhere. So it is never thrown away here. Rows of results are made by `register`, which looks through the folder; this
module knows SQLite, the lock, and paths, and opens no result and no pickle. Light: no pandas.

Every call takes the lock, opens the file, does its work in one transaction and closes it again. Nothing is carried from
call to call, so an object may be pickled, and forked processes may use it at once. Workers of a sweep never do.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytau_hpc.errors import UserError
from pytau_hpc.ledger.model_columns import (
    COLUMNS,
    from_sql,
    stored,
    wanted,
)
from pytau_hpc.ledger.model_file import copy_in_memory, lock_of, opened
from pytau_hpc.ledger.model_sql import (
    Seen,
    is_known,
    is_told,
    keep_seen,
    one_of,
    own_columns,
    path_of,
    upsert,
    whole,
)


class ModelDatabase:
    """One database file; made where it is missing.

    Parameters
    ----------
    path : such as ``models/database.db``; the folder it lies in is the folder of the models
    lock_timeout_s : how long to wait for another process

    Raises
    ------
    UserError : the path is a folder, or the file is something else
    """

    def __init__(self, path: str | os.PathLike[str], *, lock_timeout_s: float = 60.0) -> None:
        self.given = Path(os.path.expanduser(path))
        self.path = Path(os.path.abspath(self.given))
        self._lock_timeout_s = lock_timeout_s
        self._private: sqlite3.Connection | None = None
        self._copied: tuple[int, int, int] | None = None
        if self.path.is_dir():
            raise UserError(
                f"{path} is a folder", help=f"name a file: {Path(path) / 'database.db'}"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {self.folder}: {error}") from error
        with self._opened():
            pass

    @property
    def folder(self) -> Path:
        """The folder of the models, absolute."""
        return self.path.parent

    @property
    def read_only(self) -> bool:
        """Whether we may not write here; questions are then answered from a copy in memory."""
        # Each belongs to whoever made it; with one of them closed to us, nothing can be written.
        journal = self.path.with_name(f"{self.path.name}-journal")
        needed = (self.folder, self.path, lock_of(self.path), journal)
        return any(one.exists() and not os.access(one, os.W_OK) for one in needed)

    # -- rows ---------------------------------------------------------------------------------------------------------

    def rows(self, columns: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows that have these values, the oldest first; all where none are given.

        Parameters
        ----------
        columns : exact values, or lists of values any of which will do; None asks for a missing value

        Returns
        -------
        dicts with `model_id`, `model_path`, every known column, and the user's own where a row has them

        Raises
        ------
        UserError : no such column, or a value that cannot be in it
        """
        asked = dict(columns or {})
        with self._opened() as connection:
            conditions, values = ["1"], []
            for name in ("model_id", "model_path"):
                if name in asked:
                    condition, given = one_of(name, *self._keys(name, asked.pop(name)))
                    conditions.append(condition)
                    values += given
            others = own_columns(connection, asked)
            own = {name: asked.pop(name) for name in others & asked.keys()}
            for name, value in asked.items():
                exact = wanted(name, value)
                checked = [stored({name: each}, allowed=others).known[name] for each in exact]
                condition, given = one_of(name, *checked)
                conditions.append(condition)
                values += given
            found = connection.execute(
                f"SELECT * FROM model WHERE {' AND '.join(conditions)} ORDER BY model_id", values
            )
            names = [column[0] for column in found.description]
            rows = [self._row(dict(zip(names, row, strict=True))) for row in found]
        return [row for row in rows if all(_fits(row, *item) for item in own.items())]

    def add(self, rows: Sequence[tuple[str | os.PathLike[str], Mapping[str, Any]]]) -> list[int]:
        """Add models, or complete the rows of files that have one already.

        Parameters
        ----------
        rows : path of the file, relative to the current folder, and its columns; unknown ones become own columns

        Returns
        -------
        their ids, in the same order

        Raises
        ------
        UserError : a value that does not fit its column
        """
        self._must_be_writable()
        checked = [(self.stored_path(path), stored(values)) for path, values in rows]
        with self._opened() as connection:
            ids = [upsert(connection, path, values) for path, values in checked]
            # What a user says of a file is not said again by the next look at it.
            found = [seen for path, _ in checked if (seen := self._seen_now(path)) is not None]
            keep_seen(connection, found)
        return ids

    def update(self, model_id: int, columns: Mapping[str, Any]) -> None:
        """Change columns of one model; None makes a value missing.

        Raises
        ------
        UserError : no such model, or no such column
        """
        self._must_be_writable()
        with self._opened() as connection:
            path = path_of(connection, model_id)
            values = stored(columns, allowed=own_columns(connection, columns))
            upsert(connection, path, values)

    def delete(self, model_ids: Iterable[int]) -> list[Path]:
        """Remove rows, not files. A file whose row was removed stays without one until it is changed or added again.

        Returns
        -------
        where the files of these rows are, or were

        Raises
        ------
        UserError : no such model; then none is removed
        """
        self._must_be_writable()
        with self._opened() as connection:
            ids = list(dict.fromkeys(whole(model_id) for model_id in model_ids))
            paths = [self.absolute(path_of(connection, model_id)) for model_id in ids]
            connection.executemany("DELETE FROM model WHERE model_id = ?", [(one,) for one in ids])
        return paths

    # -- what was looked at ------------------------------------------------------------------------------------------

    def settled(self) -> dict[str, int]:
        """Folders that were looked through, with the time of their last change then (ns)."""
        with self._opened() as connection:
            return dict(connection.execute("SELECT folder, mtime_ns FROM settled"))

    def seen(self, folder: str) -> dict[str, tuple[int, int]]:
        """Files of a folder that were looked at: time of change (ns) and size, by name."""
        with self._opened() as connection:
            rows = connection.execute(
                "SELECT name, mtime_ns, size FROM seen WHERE folder = ?", (folder,)
            )
            return {name: (mtime_ns, size) for name, mtime_ns, size in rows}

    def note(self, found: Sequence[tuple[Seen, Mapping[str, Any]]]) -> None:
        """Write down files that were looked at, with their columns.

        What another process wrote down of the same file meanwhile stays as it is: it may have been edited since.
        """
        with self._opened() as connection:
            for seen, values in found:
                path, checked = f"{seen.folder}/{seen.name}", stored(values)
                if not (is_known(connection, seen) or is_told(connection, path, checked)):
                    upsert(connection, path, checked)
            keep_seen(connection, [seen for seen, _ in found])

    def settle(self, folder: str, mtime_ns: int) -> None:
        """Write down that a folder was looked through, and when it had last changed."""
        with self._opened() as connection:
            connection.execute("INSERT OR REPLACE INTO settled VALUES (?, ?)", (folder, mtime_ns))

    def refresh(self) -> None:
        """Where we may only read: forget the copy once others have written, to see it.

        Until then it keeps what was noted, so that results are not read again for every question.
        """
        if self._private is not None and self._copied != self._state():
            self._private.close()
            self._private = None

    # -- paths --------------------------------------------------------------------------------------------------------

    def stored_path(self, path: str | os.PathLike[str]) -> str:
        """A path as the database keeps it.

        Raises
        ------
        UserError : it is not UTF-8
        """
        absolute = Path(os.path.abspath(path))
        try:
            os.fspath(absolute).encode()
        except UnicodeEncodeError:
            raise UserError(f"{str(absolute)!r} cannot be kept in a database: not UTF-8") from None
        if not absolute.is_relative_to(self.folder):
            # Perhaps it is, by another name of the folder: home directories are often reached over links.
            real = Path(os.path.realpath(absolute.parent), absolute.name)
            folder = os.path.realpath(self.folder)
            if not real.is_relative_to(folder):
                return str(absolute)
            return real.relative_to(folder).as_posix()
        return absolute.relative_to(self.folder).as_posix()

    def absolute(self, model_path: str) -> Path:
        return self.folder / model_path

    def shown_path(self, model_path: str) -> str:
        """A path as the user can open it: begins like the path of the database that he gave."""
        return str(self.given.parent / model_path)

    def files(self) -> dict[int, Path]:
        """Where the file of each model is, or was; absolute."""
        with self._opened() as connection:
            rows = connection.execute("SELECT model_id, model_path FROM model ORDER BY model_id")
            return {model_id: self.absolute(path) for model_id, path in rows}

    # -- inside -------------------------------------------------------------------------------------------------------

    def _row(self, raw: dict[str, Any]) -> dict[str, Any]:
        own = json.loads(raw.pop("own"))
        return {
            "model_id": raw.pop("model_id"),
            "model_path": self.shown_path(raw.pop("model_path")),
            **{name: from_sql(COLUMNS[name].kind, value) for name, value in raw.items()},
            **own,
        }

    def _keys(self, name: str, value: Any) -> list[Any]:
        exact = wanted(name, value)
        if name == "model_path":
            return [self.stored_path(path) for path in exact]
        return [whole(each) for each in exact]

    def _seen_now(self, model_path: str) -> Seen | None:
        """The state of a file below the folder; None where there is none."""
        folder, _, name = model_path.rpartition("/")
        try:
            status = self.absolute(model_path).stat()
        except OSError:
            return None
        return Seen(folder=folder, name=name, mtime_ns=status.st_mtime_ns, size=status.st_size)

    def _state(self) -> tuple[int, int, int] | None:
        """Which file it is, and when it was changed; None where there is none."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _must_be_writable(self) -> None:
        if self.read_only:
            raise UserError(
                f"{self.path} cannot be changed: the folder or the file is read-only for you",
                help="copy the folder, or use a database of your own",
            )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection inside one transaction, under the lock; or to the copy, where we may only read."""
        if self.read_only:
            if self._private is None:
                self._copied = self._state()
                self._private = copy_in_memory(self.path)
            yield self._private
            return
        with opened(self.path, lock_timeout_s=self._lock_timeout_s) as connection:
            yield connection

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_private": None}


def _fits(row: Mapping[str, Any], name: str, value: Any) -> bool:
    return row.get(name) in [stored({name: each}).own[name] for each in wanted(name, value)]


__all__ = ["ModelDatabase", "Seen"]
