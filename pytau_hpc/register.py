"""From results on disk to rows of the model database.

Nothing is registered while it is fitted: workers never wait for a lock. Whoever asks the database looks through the
models folder first (`scan`), which costs little where nothing is new: a folder whose time of change is the known one is
not opened, a file that was looked at is not opened again. So a model that a sweep fitted is found by `FitHandler`, and
one that `FitHandler` fitted by a sweep, since both write the same file under the same name.

Called by `database_handler`, and by whoever has just published a result and wants its row at once
(`register_result`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytau_hpc.errors import PytauHpcError
from pytau_hpc.ledger.model_database import ModelDatabase, Seen
from pytau_hpc.result_rows import ResultRows, folders_in

log = logging.getLogger(__name__)

#: A folder that changed less than this ago may change again within the same tick of its clock, or of another host's.
_SETTLED_S = 60.0
#: Rows are written in portions, so that a first look at many thousands of results can be stopped and goes on later.
_PORTION = 500


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a look through the models folder found: results that are registered now, and files that are no results.

    A folder stands for all files in it.
    """

    registered: int = 0
    unreadable: Mapping[Path, str] = field(default_factory=dict)


def database_of(study: Path) -> ModelDatabase:
    """The model database of a study folder; made where it is missing."""
    return ModelDatabase(study / "models" / "database.db")


def register_result(study: Path, result_path: str | os.PathLike[str]) -> int:
    """Give one result its row, now.

    Parameters
    ----------
    study : study folder; its database is ``models/database.db``
    result_path : relative to the study folder (`Point.result_path`), or absolute

    Returns
    -------
    id of the model

    Raises
    ------
    ResultInvalid : no such file, or not a result of ours
    """
    path = study / result_path
    rows = ResultRows(study)
    [model_id] = database_of(study).add([(path, rows.of(path))])
    return model_id


def columns_of_result(study: Path, path: Path) -> dict[str, Any]:
    """What the database says of a result.

    Raises
    ------
    ResultInvalid : no such file, or not a result of ours
    """
    return ResultRows(study).of(path)


def scan(database: ModelDatabase, *, now: float | None = None) -> Scan:
    """Register every result in the models folder that is not known yet: ``<animal>/<session>/model_*.nc``.

    A file that cannot be read is reported and looked at again when it has changed. Several processes may scan at once.
    """
    now = time.time() if now is None else now
    database.refresh()
    settled = database.settled()
    rows = ResultRows(database.folder.parent)
    registered = 0
    unreadable: dict[Path, str] = {}
    for folder in _session_folders(database.folder):
        if not _is_utf8(folder):
            unreadable[folder] = f"{str(folder)!r} is not UTF-8, and no database can keep it"
            continue
        name = folder.relative_to(database.folder).as_posix()
        try:
            changed_ns = folder.stat().st_mtime_ns
            if settled.get(name) == changed_ns:
                continue
            new = _new_results(folder, name, database.seen(name))
        except OSError:
            continue  # removed meanwhile, or not ours to read
        complete = True
        for start in range(0, len(new), _PORTION):
            portion: list[tuple[Seen, Mapping[str, Any]]] = []
            for seen in new[start : start + _PORTION]:
                path = folder / seen.name
                try:
                    database.stored_path(path)
                    portion.append((seen, rows.of(path)))
                except PytauHpcError as error:
                    # Perhaps a copy that is still being made: its folder stays open to the next look.
                    unreadable[path] = str(error)
                    complete = False
            database.note(portion)
            registered += len(portion)
            log.info(
                "registered %d of %d new results in %s", start + len(portion), len(new), folder
            )
        if complete and now - changed_ns / 1e9 > _SETTLED_S:
            database.settle(name, changed_ns)
    return Scan(registered=registered, unreadable=unreadable)


@dataclass(frozen=True, kw_only=True)
class Strays:
    """Which models have no file, and which files no model.

    Attributes
    ----------
    gone : ids of models whose file is not there
    files : all files that could be a model
    unlisted : those that no model has
    unreadable : those of them that look like a result and cannot be read; perhaps a copy that is still being made
    """

    gone: list[int]
    files: list[Path]
    unlisted: list[Path]
    unreadable: list[Path]


def strays(database: ModelDatabase) -> Strays:
    """Compare the database with its folder, and with the files elsewhere that it names."""
    # Listed before they are looked at: a result that is published meanwhile must not be taken for one without a model.
    files = list(_files_of_models(database.folder))
    unreadable = scan(database).unreadable
    listed = database.files()
    known = set(listed.values())
    unlisted = [path for path in files if path not in known and not _is_export(path, known)]
    return Strays(
        gone=[model_id for model_id, path in listed.items() if not path.exists()],
        files=files,
        unlisted=unlisted,
        unreadable=[path for path in unlisted if path in unreadable or path.parent in unreadable],
    )


def _is_export(path: Path, known: set[Path]) -> bool:
    """Whether a pickle is the other form of a result that lies beside it."""
    return path.suffix == ".pkl" and path.with_suffix(".nc") in known


def _files_of_models(folder: Path) -> Iterator[Path]:
    """Every file below a folder that could be a model: our results, and pickles as PyTau writes them."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and (_is_result(name) or name.endswith(".pkl")):
                yield Path(parent, name)


def _is_utf8(path: Path) -> bool:
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _session_folders(models: Path) -> Iterator[Path]:
    for animal in folders_in(models):
        yield from folders_in(animal)


def _new_results(folder: Path, name: str, known: Mapping[str, tuple[int, int]]) -> list[Seen]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_result(entry.name):
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat()
                    if known.get(entry.name) != (status.st_mtime_ns, status.st_size):
                        found.append(
                            Seen(
                                folder=name,
                                name=entry.name,
                                mtime_ns=status.st_mtime_ns,
                                size=status.st_size,
                            )
                        )
    return sorted(found, key=lambda seen: seen.name)


def _is_result(name: str) -> bool:
    return name.startswith("model_") and name.endswith(".nc")
