"""Finding sessions on disk and naming them.

A session's name is its folder's name (a file's name without the suffix), its animal the first `_` field of that, its
date the first field of six digits. Results are written under ``models/<animal>/<session>/``, so names must be safe in
a path. Opens no file. Called by `Reader.sessions`.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from pytau_hpc.errors import BadData, did_you_mean
from pytau_hpc.sweep.point import Session

_SAFE = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]*")


def _absolute(path: Path) -> Path:
    """Absolute, without ``..``, and with links left alone: a link in the study folder is part of the study."""
    return Path(os.path.abspath(path))


def natural_key(text: str) -> tuple[list[int | str], str]:
    """Sort key under which ``dig_in_2`` comes before ``dig_in_10``. The text itself breaks ties such as 01 and 1."""
    parts = re.split(r"([0-9]+)", text)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], text


def animal_of(name: str) -> str:
    return name.split("_")[0]


def date_of(name: str) -> str:
    """The first field of six digits (YYMMDD; a time of day may follow it), else the last field as in PyTau."""
    fields = name.split("_")
    return next((field for field in fields if re.fullmatch(r"[0-9]{6}", field)), fields[-1])


def name_problem(name: str) -> str | None:
    """Why a name cannot be part of a path, or None."""
    if _SAFE.fullmatch(name):
        return None
    if name.startswith((".", "-")):
        return "starts with a dot or a dash"
    odd = sorted({character for character in name if not _SAFE.fullmatch("a" + character)})
    return f"contains {' '.join(map(repr, odd))}" if odd else "is empty"


def files_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files of a folder with one of the suffixes, in natural order; hidden ones are nobody's session.

    Raises
    ------
    BadData : you may not read the folder
    """
    try:
        found = [
            path
            for path in folder.iterdir()
            if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
        ]
    except PermissionError as error:
        raise BadData(f"you may not read {folder}") from error
    return sorted(found, key=lambda path: natural_key(path.name))


def only_file(path: Path, suffixes: Sequence[str]) -> Path:
    """The file of a session: the path itself, or the one such file in the folder.

    Raises
    ------
    BadData : nothing there, several files, or you may not read it
    """
    try:
        if path.is_file():
            return path
        if not path.is_dir():
            raise BadData(f"{path} does not exist")
    except PermissionError as error:  # a folder above it is closed
        raise BadData(f"you may not read {path}") from error
    found = files_in(path, suffixes)
    kinds = " or ".join(suffixes)
    if not found:
        raise BadData(f"{path} holds no {kinds} file")
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise BadData(
            f"{path} holds {len(found)} {kinds} files ({names})",
            help=f"name the one to use in `sessions`: {path.name}/{found[0].name}",
        )
    return found[0]


def find_sessions(
    patterns: Sequence[str],
    base: Path,
    *,
    suffixes: Sequence[str],
    folders: bool,
    animals: Mapping[str, str],
    dates: Mapping[str, str],
    called: Mapping[str, str] | None = None,
    without: Collection[Path] = (),
    study: Path | None = None,
) -> list[Session]:
    """Sessions that the patterns match, in natural order of their names.

    Parameters
    ----------
    patterns : globs (``**`` too) or paths, relative to `base`
    suffixes : how the format's files end; other files are passed over by a glob
    folders : whether a folder with one such file is a session
    animals, dates : by session name, what overrides the name's own fields
    called : name, animal or date of every session found, as somebody said; stands before all else
    without : absolute paths of sessions that are known already, and not found a second time
    study : `Session.path` is relative to it (default `base`), absolute where the data lie elsewhere

    Raises
    ------
    BadData : with every problem found, one a line
    """
    base = _absolute(base)
    study = base if study is None else _absolute(study)
    problems: list[str] = []
    paths: list[Path] = []
    if isinstance(patterns, str):
        patterns = [patterns]
    if not patterns:
        problems.append("no sessions are named: `sessions` is empty")
    for pattern in patterns:
        matched, problem = _matches(pattern, base, suffixes, folders)
        paths += matched
        problems += [problem] if problem else []

    known = {*without, *(path.parent for path in without if path.is_file())}
    unique = dict.fromkeys(
        path for path in paths if path not in known and path.parent not in without
    )
    # `data/**` matches a folder and the file in it: that is one session, the folder.
    kept = [path for path in unique if not (path.is_file() and folders and path.parent in unique)]

    sessions: list[Session] = []
    names: list[str] = []
    for path in kept:
        try:
            only_file(path, suffixes)
        except BadData as error:
            problems.append(error.message + (f"; {error.help}" if error.help else ""))
            continue
        name = path.stem if path.is_file() else path.name
        session = Session(
            name=name,
            animal=str(animals.get(name, animal_of(name))),
            date=str(dates.get(name, date_of(name))),
            path=path.relative_to(study).as_posix() if path.is_relative_to(study) else str(path),
        )
        names.append(name)
        # Results lie under what is said, so that raw recordings need not be renamed for it.
        session = dataclasses.replace(session, **(called or {}))
        sessions.append(session)
        problems += _naming_problems(session, path, called or {})

    if called and "name" in called and len(sessions) > 1:
        matched_by = ", ".join(f"`{pattern}`" for pattern in patterns)
        problems.append(
            f"{matched_by} matches {len(sessions)} sessions; only one can be called {called['name']}"
        )
    else:
        problems += _collisions(sessions)
    problems += _unused("animals", animals, names) + _unused("dates", dates, names)
    if problems:
        raise BadData("\n".join(dict.fromkeys(problems)))
    return sorted(sessions, key=lambda session: (natural_key(session.name), session.path))


def _matches(
    pattern: str, base: Path, suffixes: Sequence[str], folders: bool
) -> tuple[list[Path], str | None]:
    """Usable paths of one pattern, or why there are none."""
    pattern = str(Path(pattern).expanduser())
    literal = base / pattern
    try:
        # A real name wins over its meaning as a glob: folders called `AM[1]` exist.
        if literal.exists():
            found = [literal]
        else:
            # Path.glob takes no absolute patterns and would find hidden files.
            found = [base / match for match in glob.glob(pattern, root_dir=base, recursive=True)]
        paths = [_absolute(path) for path in found]
        nowhere = "" if paths else _where_it_ends(literal)
    except PermissionError as error:  # a folder above all that could match is closed
        return [], f"`{pattern}`: you may not read {error.filename or literal}"
    usable, closed = [], []
    for path in paths:
        try:
            if _is_session(path, suffixes, folders):
                usable.append(path)
        except (BadData, PermissionError):
            closed.append(path)
    if usable:
        return sorted(usable, key=lambda path: natural_key(str(path))), None
    kinds = " or ".join(suffixes)
    if closed:
        also = f" and {len(closed) - 1} more" if len(closed) > 1 else ""
        return [], f"`{pattern}`: you may not read {closed[0]}{also}"
    if paths:
        what = f"a {kinds} file" + (f" or a folder that holds a {kinds} file" if folders else "")
        also = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        return [], f"`{pattern}` matches {paths[0]}{also}, but nothing there is {what}"
    return [], f"`{pattern}` matches nothing: {nowhere}"


def unreadable_folders(pattern: str, base: Path, suffixes: Sequence[str]) -> list[Path]:
    """Folders that a glob matches, or would have looked into, and that you may not read."""
    relative = Path(pattern).expanduser()
    found: dict[Path, None] = {}
    for part in (relative, *relative.parents):
        if glob.has_magic(str(part)):
            for match in glob.glob(str(part), root_dir=base, recursive=True):
                folder = _absolute(base / match)
                try:
                    if os.path.isdir(folder):
                        files_in(folder, suffixes)
                except BadData:
                    found[folder] = None
    return list(found)


def _is_session(path: Path, suffixes: Sequence[str], folders: bool) -> bool:
    if path.is_file():
        return path.suffix.lower() in suffixes
    return folders and path.is_dir() and bool(files_in(path, suffixes))


def _where_it_ends(target: Path) -> str:
    """Where a search that found nothing stopped: the deepest folder that exists, and what is missing in it."""
    missing = target.name
    for folder in target.parents:
        if folder.is_dir():
            names = sorted((entry.name for entry in folder.iterdir()), key=natural_key)
            shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            return f"looked in {folder} for `{missing}`; it holds {shown or 'nothing'}"
        missing = folder.name
    return f"looked for {target}"


def _naming_problems(session: Session, path: Path, called: Mapping[str, str]) -> list[str]:
    found = []
    allowed = "letters, digits, . _ - + are allowed"
    if (why := name_problem(session.name)) is not None:
        found.append(
            f"{path}: the session's name {why}, and its results would lie under that name ({allowed}); "
            "rename it, or say in the spec what to call it: {path: …, session: NAME}"
        )
    elif (why := name_problem(session.animal)) is not None:
        how = "animal: NAME" if called else f"animals: {{{session.name}: NAME}}"
        found.append(
            f"{path}: the animal's name {session.animal!r} {why} ({allowed}); "
            f"say which animal it is: {how}"
        )
    return found


def _collisions(sessions: Iterable[Session]) -> list[str]:
    by_name: dict[str, list[Session]] = {}
    for session in sessions:
        by_name.setdefault(session.name, []).append(session)
    return [
        f"{len(same)} sessions are called {name} ({', '.join(one.path for one in same)}); rename all but one"
        for name, same in by_name.items()
        if len(same) > 1
    ]


def _unused(option: str, mapping: Mapping[str, str], names: Sequence[str]) -> list[str]:
    found = []
    for name in mapping:
        if name not in names:
            hint = did_you_mean(name, names)
            found.append(
                f"`{option}` names a session that was not found: {name}"
                + (f" ({hint})" if hint else "")
            )
    return found
