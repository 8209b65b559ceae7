"""The SQLite file of the model database: its tables, its lock, and opening it.

One call, one connection, one transaction, under one lock; so several processes, on several hosts, never spoil it, and
one that is killed leaves the file as it was before its call. Called by `model_database`.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock, Timeout

from pytau_hpc.errors import LockTimeout, PytauHpcError, UserError
from pytau_hpc.ledger.model_columns import COLUMNS, SQL_TYPES

SCHEMA_VERSION = 1
#: Says "a model database of pytau_hpc" in the file's header.
_APPLICATION_ID = 0x7054_4D44

_TABLES = f"""
CREATE TABLE model (
  -- Never given twice, so that a script that kept an id cannot meet another model under it.
  model_id INTEGER PRIMARY KEY AUTOINCREMENT,
  -- Relative to the folder of the database, which can be moved as a whole; absolute where the file lies elsewhere.
  model_path TEXT NOT NULL UNIQUE,
  {", ".join(f'"{name}" {SQL_TYPES[column.kind]}' for name, column in COLUMNS.items())},
  -- The user's own columns, a JSON object.
  own TEXT NOT NULL DEFAULT '{{}}'
);
CREATE INDEX model_point ON model (point_id);
-- Files that were looked at: what is not changed since is not looked at again, whether it has a row or not.
CREATE TABLE seen (folder TEXT NOT NULL, name TEXT NOT NULL, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL,
                   PRIMARY KEY (folder, name)) WITHOUT ROWID;
-- Folders in which nothing was added or removed since they were looked through.
CREATE TABLE settled (folder TEXT PRIMARY KEY, mtime_ns INTEGER NOT NULL) WITHOUT ROWID;
"""


def lock_of(path: Path) -> Path:
    """The file that is locked while the database is used."""
    return path.with_suffix(".lock")


@contextmanager
def opened(path: Path, *, lock_timeout_s: float) -> Iterator[sqlite3.Connection]:
    """A connection inside one transaction, under the lock; committed at the end, and closed.

    Raises
    ------
    LockTimeout : another process has been using the file for longer than that
    UserError : a database of something else, or of another version
    PytauHpcError : damaged, or the file system refused (disk full, an I/O error, no locks)
    """
    lock = FileLock(lock_of(path), timeout=lock_timeout_s, mode=0o664)
    try:
        lock.acquire()
    except Timeout:
        raise LockTimeout(
            f"another process is using {path} and did not finish within {lock_timeout_s:.0f} s",
            help="try again; the lock frees itself when that process ends",
        ) from None
    except (OSError, NotImplementedError) as error:
        raise PytauHpcError(f"the database {path} cannot be locked: {error}") from error
    try:
        connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        try:
            _prepare(connection, path)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                # Where the disk is full SQLite has done so itself; a second time would hide the reason.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise  # ours
        except sqlite3.OperationalError as error:
            raise PytauHpcError(f"the database {path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise _damaged(path, error) from error
        finally:
            connection.close()
    finally:
        lock.release()


def copy_in_memory(path: Path, *, timeout_s: float = 5.0) -> sqlite3.Connection:
    """A private copy in memory, for folders that we may not write to; whole, whoever is writing meanwhile.

    Parameters
    ----------
    timeout_s : how long to wait for a writer

    Raises
    ------
    UserError : a database of something else, or of another version
    PytauHpcError : damaged, or not ours to read
    """
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        if path.exists():
            try:
                _copy(f"{path.as_uri()}?mode=ro", connection, timeout_s)
            except sqlite3.OperationalError:
                _copy_taken_back(path, connection, timeout_s)
        _prepare(connection, path)
    except OSError as error:
        connection.close()
        raise PytauHpcError(f"the database {path} cannot be read: {error}") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _damaged(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _copy(uri: str, into: sqlite3.Connection, timeout_s: float) -> None:
    with closing(sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)) as source:
        # SQLite's lock for readers, before `backup`, which would wait for it without an end.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(into)


def _copy_taken_back(path: Path, into: sqlite3.Connection, timeout_s: float) -> None:
    """Copy a file whose writer died, or stands still, in the middle; its change is taken back in a copy of our own."""
    with TemporaryDirectory() as private:
        for one in (path, path.with_name(f"{path.name}-journal")):
            if one.exists():
                shutil.copyfile(one, Path(private, one.name))
        _copy(Path(private, path.name).as_uri(), into, timeout_s)
    [sound] = into.execute("PRAGMA quick_check(1)").fetchone()
    if sound != "ok":
        raise sqlite3.DatabaseError(sound)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Pragmas as for the ledger (`connection`), and the tables of a new file.

    Raises
    ------
    UserError : a database of something else, or of a later version
    """
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA mmap_size = 0")
    connection.execute("PRAGMA trusted_schema = OFF")
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        connection.executescript(
            f"BEGIN; {_TABLES} PRAGMA application_id = {_APPLICATION_ID};"
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    [application] = connection.execute("PRAGMA application_id").fetchone()
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION_ID:
        raise UserError(
            f"{path} is a database of something else",
            help="name a new file, such as models/database.db",
        )
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path} has format {version}; this version of pytau_hpc reads {SCHEMA_VERSION}",
            help="use the version of pytau_hpc that made it",
        )


def _damaged(path: Path, error: sqlite3.Error) -> PytauHpcError:
    return PytauHpcError(
        f"{path} is not a sound database: {error}",
        help="move it aside: the rows of results come back by themselves, those added or edited by hand do not",
    )
