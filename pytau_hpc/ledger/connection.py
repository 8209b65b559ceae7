"""Opening the SQLite file of a ledger: pragmas, schema, and what to do with one that cannot be used.

The file is an index. One of another schema version, or one that SQLite does not take for a database, is thrown away;
one that merely cannot be written is left alone. Called by `ledger.Ledger`.
"""

from __future__ import annotations

import sqlite3
from importlib import resources
from pathlib import Path

from pytau_hpc.errors import PytauHpcError

SCHEMA_VERSION = "6"


class LedgerDamaged(PytauHpcError):
    """The file is not a sound database. It is an index: throw it away and build it again."""


class LedgerUnwritable(PytauHpcError):
    """The file cannot be written (read-only, disk full, an I/O error); what is in it is not in doubt."""


def in_our_words(error: sqlite3.Error) -> PytauHpcError | None:
    """The error of ours that one of SQLite's stands for; None where it is a bug of ours."""
    if isinstance(error, sqlite3.OperationalError):
        about_the_disk = ("readonly", "full", "I/O", "unable to open", "locked")
        if any(word in str(error) for word in about_the_disk):
            return LedgerUnwritable(f"the ledger cannot be written: {error}")
        return None
    ours = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
    return None if isinstance(error, ours) else LedgerDamaged(f"the ledger is damaged: {error}")


def connect(path: Path) -> sqlite3.Connection:
    """Open the file to write to it; made where it is missing or of no use.

    Raises
    ------
    LedgerUnwritable : read-only, disk full, locked for too long
    """
    connection = _try_to_connect(path)
    if connection is None:
        remove(path)
        connection = _try_to_connect(path)
        assert connection is not None
    return connection


def _try_to_connect(path: Path) -> sqlite3.Connection | None:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        # A rollback journal that is truncated, never WAL: the file may lie on a network file system, where WAL's
        # shared memory does not exist and where a deleted journal may still be seen by another host.
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute("PRAGMA trusted_schema = OFF")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _create(connection)
        if _is_ours(connection):
            return connection
    except sqlite3.OperationalError as error:
        connection.close()
        raise in_our_words(error) or error from error
    except sqlite3.DatabaseError:
        pass  # not a database: thrown away
    connection.close()
    return None


def connect_to_memory(copy_of: Path | None = None) -> sqlite3.Connection:
    """A private ledger, started from the file where that can be read: for folders that we may not write to."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    if copy_of is not None and copy_of.exists():
        try:
            with sqlite3.connect(f"file:{copy_of}?mode=ro&immutable=1", uri=True) as source:
                source.backup(connection)
            if _is_ours(connection):
                return connection
        except sqlite3.DatabaseError:
            pass
        connection.close()
        connection = sqlite3.connect(":memory:", isolation_level=None)
    _create(connection)
    return connection


def remove(path: Path) -> None:
    """Throw a ledger away."""
    for leftover in (path, path.with_name(path.name + "-journal")):
        leftover.unlink(missing_ok=True)


def _is_ours(connection: sqlite3.Connection) -> bool:
    version = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    return version is not None and version[0] == SCHEMA_VERSION


def _create(connection: sqlite3.Connection) -> None:
    schema = resources.files("pytau_hpc.ledger").joinpath("schema.sql").read_text(encoding="utf-8")
    connection.executescript("BEGIN;" + schema + "COMMIT;")
    connection.execute("INSERT INTO meta VALUES ('schema', ?)", (SCHEMA_VERSION,))
