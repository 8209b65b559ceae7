"""Checks of the folder that a sweep is in: what its file system can do, room, clock, and who else may write there.

The file system is tried in another process (`pytau_hpc.probe`): one that hangs becomes a line of the report.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pytau_hpc.doctor.check import Check, Setting, ok, problem, warning
from pytau_hpc.doctor.mounts import Mount, mount_of
from pytau_hpc.probe import Found, Locking, NoAnswer, Publishing, places, probe_elsewhere

#: A result is some 100 kB, a journal and its logs less; a study of 1000 points needs some 200 MB and 3000 files.
_FEW_BYTES = 2 * 2**30
_TOO_FEW_BYTES = 50 * 2**20
_FEW_FILES = 20_000
_TOO_FEW_FILES = 500
_FILES_PER_POINT = 3

#: A clock that is further off makes displayed times wrong; nothing else depends on clocks.
_CLOCK_S = 5.0


def folder(setting: Setting) -> Iterator[Check]:
    """The file system of the sweep, and of the results where that is another one."""
    for place in [setting.folder] if setting.sweep is None else places(setting.sweep):
        yield from _file_system(place, setting)


def _file_system(place: Path, setting: Setting) -> Iterator[Check]:
    mount = mount_of(place)
    kind = "" if mount is None else f" ({mount.kind})"
    try:
        found = probe_elsewhere(place)
    except NoAnswer as silence:
        yield problem(
            "file system",
            f"{place}{kind} cannot be written: {silence}",
            "nothing can be planned, run or brought up to date there; `status` shows what it can",
        )
        return
    yield from file_system(place, found, mount, slurm=setting.uses_slurm)
    yield from _room(place, setting)


def permissions(setting: Setting) -> Iterator[Check]:
    """Folders and profiles in which everybody may write: what is in them is read, and partly run, as you."""
    places = [setting.folder]
    if setting.sweep is not None:
        places += [setting.sweep.study, setting.sweep.models]
    profile = None if setting.profile is None else setting.profile.path
    if profile is not None:
        places += [profile, profile.parent]
    names = [str(path) for path in dict.fromkeys(places) if _anybody_may_write(path)]
    if names:
        yield warning(
            "permissions",
            f"everybody on this computer may write {', '.join(names)}; a profile's prologue runs as you",
            f"chmod o-w {' '.join(names)}",
        )


def _anybody_may_write(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    # In a sticky folder such as /tmp nobody can replace what is somebody else's.
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def file_system(
    place: Path, found: Found, mount: Mount | None, *, slurm: bool = False
) -> Iterator[Check]:
    """What a trial and the list of mounts say about a file system. Pure.

    Parameters
    ----------
    slurm : whether other computers will work there
    """
    kind = "" if mount is None else f" ({mount.kind})"
    yield _writing(f"{place}{kind}", found)
    yield from _locks(f"{place}{kind}", found, mount)
    if slurm and mount is not None and mount.is_in_memory:
        yield problem(
            "file system",
            f"{place} is in this computer's memory{kind}: the nodes cannot see it",
            "plan the sweep in a folder that all nodes see",
        )
    if abs(found.clock_ahead_s) > _CLOCK_S:
        ahead = "ahead of" if found.clock_ahead_s > 0 else "behind"
        yield warning(
            "clock",
            f"the file server's clock is {abs(found.clock_ahead_s):.0f} s {ahead} this computer's",
            "only times that are shown are wrong by that; tell whoever runs the computers",
        )
    else:
        yield ok("clock", "this computer's clock agrees with the file server's")


def _writing(where: str, found: Found) -> Check:
    wrong = []
    if not found.exclusive:
        wrong.append("a file can be created twice (O_EXCL)")
    if not found.replaces:
        wrong.append("a rename does not replace")
    if found.publishing is Publishing.NONE:
        wrong.append("neither hard links nor renames of folders keep what is there")
    if wrong:
        return problem(
            "file system",
            f"{where} cannot keep a sweep: {'; '.join(wrong)}",
            "use another file system for the study folder",
        )
    able = ["renames", "exclusive creation"]
    lacks = []
    if found.publishing is Publishing.CLAIM:
        lacks.append("there are no hard links: results are published by renames instead")
    else:
        able.insert(0, "hard links")
    if not found.syncs:
        lacks.append("folders cannot be synced: a power failure may take the last results")
    says = f"{where} is writable; {', '.join(able)} work"
    if lacks:
        says = f"{says}, but {'; '.join(lacks)}"
        return warning("file system", says, "nothing to do: it only costs time")
    return ok("file system", says)


def _locks(where: str, found: Found, mount: Mount | None) -> Iterator[Check]:
    """Locks keep two commands of persons apart; workers need none."""
    advice = "let only one person at a time run plan, submit, resume and status of a sweep"
    if found.locking is Locking.WORKS and mount is not None and mount.locks_stay_here:
        options = ", ".join(sorted(mount.options & {"nolock", "localflock"})) or "local_lock"
        yield warning("locks", f"locks on {where} do not reach other computers ({options})", advice)
    elif found.locking is Locking.WORKS:
        yield ok("locks", "a lock of one process keeps another one out, and ends with it")
    elif found.locking is Locking.NO_EFFECT:
        yield problem("locks", f"locks on {where} have no effect", advice)
    elif found.locking is Locking.NOT_SUPPORTED:
        yield warning(
            "locks",
            f"there are no locks on {where}: lock files are used, which a killed command leaves behind",
            f"{advice}; remove sweeps/<name>/*.lock when a command waits for nobody",
        )
    elif found.locking is Locking.NOT_RELEASED:
        yield problem("locks", f"locks on {where} are not released", advice)
    else:
        yield warning("locks", f"whether locks work on {where} could not be tried", advice)


def _room(place: Path, setting: Setting) -> Iterator[Check]:
    disk = os.statvfs(place)
    points = 0 if setting.manifest is None else setting.manifest.n_points
    # No number of files means that there is no limit (btrfs and most network file systems).
    yield from room(
        free=disk.f_bavail * disk.f_frsize,
        files=disk.f_favail if disk.f_files else None,
        points=points,
    )


def room(*, free: int, files: int | None, points: int) -> Iterator[Check]:
    """Whether there is room for results. Pure; quotas of a user are not seen.

    Parameters
    ----------
    free : bytes
    files : how many more files there can be; None without a limit
    points : of the sweep, 0 where there is none
    """
    has = f"{free / 2**30:.1f} GiB free" + ("" if files is None else f", room for {files} files")
    needed = _FILES_PER_POINT * points
    if free < _TOO_FEW_BYTES or (files is not None and files < max(_TOO_FEW_FILES, points)):
        yield problem("space", f"the disk is full: {has}", "make room, or move the study folder")
    elif free < _FEW_BYTES or (files is not None and files < max(_FEW_FILES, needed)):
        why = f"; {points} points make about {needed} files" if points else ""
        yield warning("space", f"not much room: {has}{why}", "make room before a large sweep")
    else:
        yield ok("space", has)
