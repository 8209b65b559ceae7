"""Which session is meant: a session's own folder, or a folder of sessions and the animal and date of one.

A folder of sessions holds them itself, or holds one folder for each animal. Below an animal's folder a session is
called after both (``mouse1/2024-01-15`` is ``mouse1_2024-01-15``), since names of sessions are unique in a study. So is
a folder whose name is only a date, however it is reached: a session has one name, and so its results one place. Called
by `one_point` and `batch`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytau_hpc.data import Reader
from pytau_hpc.data.sessions import animal_of, date_of, files_in, name_problem, natural_key
from pytau_hpc.errors import BadData, UserError
from pytau_hpc.sweep.point import Session

#: More sessions than this are not listed in a message.
_LISTED = 12


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A folder that holds a session, and what its name, and that of the animal's folder, say."""

    path: Path
    name: str
    animal: str
    date: str

    @property
    def fields(self) -> list[str]:
        return self.path.name.split("_")

    def is_of(self, animal: str | None) -> bool:
        return animal is None or animal == self.animal

    def is_from(self, date: str | None) -> bool:
        """Whether the date, in any of the usual forms, or as PyTau has it (the last field), stands in the name."""
        if date is None or date in (self.date, self.path.name, self.name, *self.fields):
            return True
        day = _day(date)
        return day is not None and day in map(_day, self.fields)


def sessions_below(
    reader: Reader,
    data_dir: Path,
    *,
    study: Path,
    animal: str | None = None,
    date: str | None = None,
) -> list[Session]:
    """The sessions of a folder, all or those of an animal and a date, in natural order of their names.

    Parameters
    ----------
    data_dir : a session's folder (or file), or a folder of sessions
    study : folder that `Session.path` becomes relative to, where the data lie in it
    animal, date : which sessions; of a single session whose name does not say it, whose it is and when it was

    Raises
    ------
    BadData : nothing there, or a folder that is no usable session
    UserError : no such animal or date among the sessions
    """
    top = Path(os.path.abspath(os.path.expanduser(data_dir)))
    if not top.exists():
        raise BadData(f"there is no folder {top}")
    if not os.access(top, os.R_OK):
        raise BadData(f"you may not read {top}")
    if top.is_file() or files_in(top, reader.suffixes):
        return [_session(reader, _named(top, animal, date), study)]
    found = _found_in(reader, top)
    if not found:
        kinds = " or ".join(reader.suffixes)
        raise BadData(f"{top} holds no session: no {kinds} file, and no folders with one")
    chosen = [one for one in found if one.is_of(animal) and one.is_from(date)]
    if not chosen:
        wanted = " ".join(filter(None, (animal and f"of {animal}", date and f"from {date}")))
        raise UserError(f"{top} holds no session {wanted}; it holds {_listed(found)}")
    return [_session(reader, one, study) for one in chosen]


def one_session(
    reader: Reader,
    data_dir: Path,
    *,
    study: Path,
    animal: str | None = None,
    date: str | None = None,
) -> Session:
    """The one session that is meant; see `sessions_below`.

    Raises
    ------
    BadData : as there
    UserError : also where several sessions fit what is said
    """
    found = sessions_below(reader, data_dir, study=study, animal=animal, date=date)
    if len(found) > 1:
        names = _listed([_Found(path=Path(s.path), name=s.name, animal="", date="") for s in found])
        raise UserError(
            f"{data_dir} holds {len(found)} sessions: {names}",
            help="say which with animal_name and session_date, or give the session's own folder",
        )
    return found[0]


def _found_in(reader: Reader, top: Path) -> list[_Found]:
    found = []
    for folder in _folders(top):
        if _holds_a_session(reader, folder):
            found.append(_by_its_name(folder))
        else:
            found += [
                _below_animal(inner, folder.name)
                for inner in _folders(folder)
                if _holds_a_session(reader, inner)
            ]
    return sorted(found, key=lambda one: natural_key(one.name))


def _by_its_name(path: Path) -> _Found:
    """What a session's own name says; where that is only a date, the folder that it lies in is the animal's."""
    stem = path.stem if path.is_file() else path.name
    if _day(stem) is not None and name_problem(path.parent.name) is None:
        return _below_animal(path, path.parent.name)
    return _Found(path=path, name=stem, animal=animal_of(stem), date=date_of(stem))


def _below_animal(path: Path, animal: str) -> _Found:
    stem = path.stem if path.is_file() else path.name
    name = stem if animal_of(stem) == animal else f"{animal}_{stem}"
    return _Found(path=path, name=name, animal=animal, date=date_of(stem))


def _named(path: Path, animal: str | None, date: str | None) -> _Found:
    """A single session. What its name says stands; what it leaves open is as the caller says.

    Raises
    ------
    UserError : the caller says something else than the name
    """
    found = _by_its_name(path)
    dated = any(_day(one) for one in found.fields)
    if not found.is_from(date):
        if dated:
            raise UserError(f"{path} is from {found.date}, not from {date}")
        found = dataclasses.replace(found, date=str(date))
    if not found.is_of(animal):
        if dated and len(found.fields) > 1:
            raise UserError(f"{path} is a session of {found.animal}, not of {animal}")
        below = _below_animal(path, str(animal))
        found = dataclasses.replace(found, name=below.name, animal=below.animal)
    return found


def _session(reader: Reader, found: _Found, study: Path) -> Session:
    for what, name in (("session", found.name), ("animal", found.animal)):
        if (why := name_problem(name)) is not None:
            raise BadData(
                f"{found.path}: the {what}'s name {name!r} {why}, and results would lie under it"
            )
    called = {"name": found.name, "animal": found.animal, "date": found.date}
    [session] = reader.sessions(
        [str(found.path)], found.path.parent, {}, study=study, called=called
    )
    return session


def _holds_a_session(reader: Reader, folder: Path) -> bool:
    try:
        return bool(files_in(folder, reader.suffixes))
    except BadData:
        return False  # not ours to read


def _folders(parent: Path) -> list[Path]:
    try:
        return [one for one in parent.iterdir() if one.is_dir() and not one.name.startswith(".")]
    except OSError:
        return []  # not ours to read


def _day(text: str) -> str | None:
    """Year, month and day as six digits, of 240115, 20240115, 2024-01-15 and the like; None where it is no date."""
    if not re.fullmatch(r"[0-9]+([-/.][0-9]+){0,2}", text):
        return None
    digits = re.sub(r"\D", "", text)
    return (
        digits[-6:]
        if len(digits) == 6 or (len(digits) == 8 and digits[:2] in ("19", "20"))
        else None
    )


def _listed(found: Sequence[_Found]) -> str:
    names = [one.name for one in found]
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
