"""What `plan` learns from the data: which sessions there are, and the facts of every array that is selected from them.

Reading every array of a study takes minutes, and a second plan usually needs nothing new: facts are kept in
``sweeps/.data_facts.json`` and used for as long as the session's files have the same sizes and times. A wrong cache
cannot make a wrong result, since the worker compares the digest again before it fits.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytau_hpc.data import Reader, Values
from pytau_hpc.data.facts import Facts
from pytau_hpc.data.sessions import unreadable_folders
from pytau_hpc.errors import BadData, Problem
from pytau_hpc.files import canonical_json, write_atomic
from pytau_hpc.sweep.document import Address
from pytau_hpc.sweep.point import Selection, Session
from pytau_hpc.sweep.spec import Spec

Progress = Callable[[int, int], None]
Array = tuple[str, Selection]
"""A session's name and what is selected from it."""

_FORMAT = 1


def find_sessions(
    spec: Spec, reader: Reader, base: Path, study: Path
) -> tuple[list[Session], list[Problem]]:
    """The sessions that a spec names, with what it says about them; and what is wrong with them."""
    problems: list[Problem] = []
    plain = [entry.path for entry in spec.sessions if not _overrides(entry)]
    named: list[Session] = []

    def note(address: Address, error: BadData) -> None:
        for line in error.message.splitlines():
            problems.append(spec.document.problem(address, line, help=error.help))

    # What `animals` and `dates` say is about the sessions that patterns find; an entry speaks for itself.
    options = {
        key: value for key, value in spec.data_options.items() if key not in ("animals", "dates")
    }
    for index, entry in enumerate(spec.sessions):
        if not _overrides(entry):
            continue
        address: Address = ("data", "sessions", index)
        try:
            named += reader.sessions(
                [entry.path], base, options, study=study, called=_overrides(entry)
            )
        except BadData as error:
            note(address, error)
    found: list[Session] = []
    try:
        if plain or not reader.on_disk:
            known = {Path(os.path.abspath(study / one.path)) for one in named if one.path}
            found += reader.sessions(plain, base, spec.data_options, study=study, without=known)
    except BadData as error:
        note(("data", "sessions"), error)
    found += named
    problems += _twice(spec, found)
    return found, problems


def passed_over(
    spec: Spec, reader: Reader, base: Path, study: Path, sessions: Sequence[Session]
) -> tuple[str, ...]:
    """Notes about folders where a glob found no session, or might not look, so that nobody misses one unnoticed."""
    if not reader.on_disk:
        return ()
    used = [study / session.path for session in sessions if session.path]
    folders = {
        Path(os.path.abspath(match))
        for entry in spec.sessions
        for match in glob.glob(str(base / Path(entry.path).expanduser()), recursive=True)
        if os.path.isdir(match)
    }
    closed = {
        folder
        for entry in spec.sessions
        for folder in unreadable_folders(entry.path, base, reader.suffixes)
    }
    kinds = " or ".join(reader.suffixes)
    notes = []
    for why, those in (
        (f"passed over without a {kinds} file", folders - closed),
        ("passed over, since you may not read it", closed),
    ):
        names = sorted(
            folder.name
            for folder in those
            if not any(path == folder or path.is_relative_to(folder) for path in used)
        )
        if names:
            notes.append(f"{why}: {', '.join(names[:3])}" + (", …" if len(names) > 3 else ""))
    return tuple(notes)


def _overrides(entry: Any) -> dict[str, str]:
    said = {"name": entry.session, "animal": entry.animal, "date": entry.date}
    return {key: value for key, value in said.items() if value is not None}


def _twice(spec: Spec, sessions: Sequence[Session]) -> list[Problem]:
    by_name: dict[str, set[str]] = {}
    names = [session.name for session in sessions]
    for session in sessions:
        by_name.setdefault(session.name, set()).add(session.path)
    return [
        spec.document.problem(
            ("data", "sessions"),
            f"two sessions are called {name}: {', '.join(sorted(paths))}",
            help="give one of them another name:  {path: …, session: …}",
        )
        for name, paths in by_name.items()
        if names.count(name) > 1
    ]


@dataclass(kw_only=True)
class Gathered:
    """Facts by array, and what kept the others from being read: message → sessions, by axis and value or None."""

    facts: dict[Array, Facts] = field(default_factory=dict)
    refused: dict[tuple[str | None, Any, str], list[str]] = field(default_factory=dict)
    n_read: int = 0

    def refuse(self, axis: str | None, value: Any, message: str, session: str) -> None:
        sessions = self.refused.setdefault((axis, value, message), [])
        if session not in sessions:
            sessions.append(session)


def gather(
    reader: Reader,
    options: Mapping[str, Any],
    wanted: Mapping[Session, Sequence[Selection]],
    study: Path,
    cache: FactsCache,
    progress: Progress | None = None,
) -> Gathered:
    """Facts of every selected array, from the cache where that is still right, else by reading it."""
    gathered = Gathered()
    total = sum(len(selections) for selections in wanted.values())
    seen = 0
    for session, selections in wanted.items():
        here = (
            dataclasses.replace(session, path=str(study / session.path))
            if session.path
            else session
        )
        files = files_of(reader, here)
        missing = []
        for selection in selections:
            facts = cache.get(reader, options, session, selection, files)
            if facts is None:
                missing.append(selection)
            else:
                gathered.facts[session.name, selection] = facts
        seen += len(selections) - len(missing)
        for selection in _possible(reader, options, here, missing, gathered):
            facts = _read(reader, options, here, selection, gathered)
            if facts is not None:
                gathered.facts[session.name, selection] = facts
                if files_of(reader, here) == files:  # else it was written to meanwhile
                    cache.put(reader, options, session, selection, files, facts)
            seen += 1
            if progress is not None:
                progress(seen, total)
        _refuse_twins(session.name, selections, gathered)
    return gathered


def _refuse_twins(session: str, selections: Sequence[Selection], gathered: Gathered) -> None:
    """A taste that is asked for by its index and by its name is the same array, planned twice."""
    first: dict[tuple[str, str, str], Selection] = {}
    for one in selections:
        facts = gathered.facts.get((session, one))
        if facts is None:
            continue
        other = first.setdefault((facts.digest, one.region, one.laser), one)
        if type(other.taste) is not type(one.taste):
            message = f"taste {one.taste} is the same array as taste {other.taste}"
            gathered.refuse("taste", one.taste, message, session)


def _possible(
    reader: Reader,
    options: Mapping[str, Any],
    session: Session,
    selections: Sequence[Selection],
    gathered: Gathered,
) -> list[Selection]:
    """The selections that the session offers; each axis's values are checked on their own."""
    if not selections:
        return []
    try:
        values = reader.values(session, options)
    except BadData as error:
        gathered.refuse(None, None, error.message, session.name)
        return []
    good: dict[tuple[str, Any], bool] = {}
    for selection in selections:
        for axis in ("taste", "region", "laser"):
            key = (axis, getattr(selection, axis))
            if key not in good:
                good[key] = _offers(values, *key, session, gathered)
    return [
        one
        for one in selections
        if all(good[axis, getattr(one, axis)] for axis in ("taste", "region", "laser"))
    ]


def _offers(values: Values, axis: str, value: Any, session: Session, gathered: Gathered) -> bool:
    problems = values.problems(dataclasses.replace(Selection(), **{axis: value}))
    for message in problems:
        gathered.refuse(axis, value, message, session.name)
    return not problems


def _read(
    reader: Reader,
    options: Mapping[str, Any],
    session: Session,
    selection: Selection,
    gathered: Gathered,
) -> Facts | None:
    from pytau_hpc.data.recording import facts

    gathered.n_read += 1
    try:
        return facts(reader.read(session, selection, options))
    except BadData as error:
        gathered.refuse(None, None, error.message, session.name)
        return None


Files = tuple[tuple[str, int, int], ...]


def files_of(reader: Reader, session: Session) -> Files | None:
    """Names, sizes and times (ns) of the files that a session's arrays come from; None where there are none.

    The `.info` files beside a session's file count too: its reader takes tastes and regions from there.
    """
    if not session.path:
        return None
    path = Path(session.path)
    found = []
    try:
        if path.is_dir():
            kinds = (*reader.suffixes, ".info")
            files = [one for one in path.iterdir() if one.suffix.lower() in kinds]
        else:
            beside = os.listdir(path.parent)
            files = [path, *(path.parent / one for one in beside if one.lower().endswith(".info"))]
        for one in sorted(files):
            status = one.stat()
            found.append((one.name, status.st_size, status.st_mtime_ns))
    except OSError:
        return None
    return tuple(found)


class FactsCache:
    """Facts of arrays that were read before. Nothing depends on it but time."""

    def __init__(self, study: Path) -> None:
        self.path = study / "sweeps" / ".data_facts.json"
        self._entries: dict[str, Any] = {}
        self._changed = False
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            if content["format"] == _FORMAT:
                self._entries = dict(content["entries"])
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def get(
        self,
        reader: Reader,
        options: Mapping[str, Any],
        session: Session,
        selection: Selection,
        files: Files | None,
    ) -> Facts | None:
        entry = self._entries.get(_key(reader, options, session, selection))
        try:
            if entry is None or files is None or tuple(map(tuple, entry["files"])) != files:
                return None
            return Facts.from_json(entry["facts"])
        except (KeyError, TypeError, ValueError):
            return None

    def put(
        self,
        reader: Reader,
        options: Mapping[str, Any],
        session: Session,
        selection: Selection,
        files: Files | None,
        facts: Facts,
    ) -> None:
        if files is not None:
            key = _key(reader, options, session, selection)
            self._entries[key] = {"files": [list(file) for file in files], "facts": facts.to_json()}
            self._changed = True

    def save(self) -> None:
        """Write what was learned; a study that cannot be written to says so elsewhere."""
        if self._changed:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(
                self.path, json.dumps({"format": _FORMAT, "entries": self._entries}) + os.linesep
            )
            self._changed = False


def _key(reader: Reader, options: Mapping[str, Any], session: Session, selection: Selection) -> str:
    # Whose session it is and when it was recorded do not change its arrays.
    reading = {key: value for key, value in options.items() if key not in ("animals", "dates")}
    return canonical_json([reader.name, reading, session.path, dataclasses.asdict(selection)])
