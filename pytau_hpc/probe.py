"""What a file system can do: exclusive creation, links, renames, locks, syncing, and whose clock it keeps.

Everything is tried, nothing is looked up: what a mount is called says little about what it does. The trial happens in a
hidden folder that is removed again. `doctor` asks for all of it, in a process of its own so that a file system that
hangs does not hang the one who asks; `submit` asks only how results can be published.

As a program (``python -m pytau_hpc.probe FOLDER``) it prints what it found as JSON.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from pytau_hpc.errors import CannotWrite, PytauHpcError
from pytau_hpc.sweep.run_dir import SweepDir

#: How the hidden folder is called, should it ever be seen.
PREFIX = ".pytau-hpc-probe-"

_PROGRAM = "pytau_hpc.probe"


class Publishing(StrEnum):
    """How a complete file can get its final name so that the first one wins."""

    LINK = "link"  #: a hard link, which never replaces
    CLAIM = "claim"  #: a folder that is renamed to a name that nobody may have taken (`files.publish_no_replace`)
    NONE = "none"  #: not at all: the file system cannot be used


class Locking(StrEnum):
    """What a lock of one process means to another one on the same computer."""

    WORKS = "works"
    NO_EFFECT = "no effect"  #: both get it
    NOT_SUPPORTED = "not supported"
    NOT_RELEASED = "not released"  #: held after the holder let it go
    UNKNOWN = "unknown"  #: the second process could not be started, or said nothing


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a file system can do.

    exclusive : of two that create one file with O_EXCL, the second is refused
    replaces : a rename puts a new file in the place of an old one
    syncs : a folder can be synced, so that new names survive a power failure
    clock_ahead_s : how far the clock of whoever keeps the files is ahead of this computer's, in seconds
    """

    exclusive: bool
    publishing: Publishing
    replaces: bool
    syncs: bool
    locking: Locking
    clock_ahead_s: float

    @classmethod
    def from_json(cls, text: str) -> Found:
        value = json.loads(text)
        return cls(
            **{
                **value,
                "publishing": Publishing(value["publishing"]),
                "locking": Locking(value["locking"]),
            }
        )


class NoAnswer(Exception):
    """The file system could not be tried; the words say why."""


def probe(folder: Path, *, clock: Callable[[], float] = time.time) -> Found:
    """Try everything in a folder.

    Raises
    ------
    OSError : not even a folder can be made there
    """
    with _hidden(folder) as place:
        return Found(
            exclusive=_is_exclusive(place),
            publishing=_publishing(place),
            replaces=_replaces(place),
            syncs=_syncs(place),
            locking=_locking(place),
            clock_ahead_s=_clock_ahead(place, clock),
        )


def probe_elsewhere(folder: Path, *, timeout_s: float = 30.0) -> Found:
    """`probe` in a process of its own, which is left behind where the file system does not let it go.

    Raises
    ------
    NoAnswer : nothing can be written there, or it takes too long
    """
    process = subprocess.Popen(
        [sys.executable, "-m", _PROGRAM, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    )
    try:
        answer, words = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        # Not waited for: a process that waits for a file server cannot even be killed.
        process.kill()
        raise NoAnswer(f"it did not answer within {timeout_s:.0f} s") from None
    if process.returncode != 0:
        lines = words.strip().splitlines()
        raise NoAnswer(lines[-1] if lines else f"the trial ended with {process.returncode}")
    return Found.from_json(answer)


def check_publishing(sweep: SweepDir) -> tuple[str, ...]:
    """Whether submissions and results can be published where they go; what is worth a note. Quick, leaves nothing.

    Raises
    ------
    CannotWrite : nothing can be written there
    PytauHpcError : results would overwrite each other
    """
    notes = []
    for folder in places(sweep):
        way = how_to_publish(folder)
        if way is Publishing.NONE:
            raise PytauHpcError(
                f"the file system of {folder} can publish no results: it has no hard links, and renames of folders "
                "replace what is there",
                help="move the study folder to another file system; `pytau-hpc doctor` says what this one can do",
            )
        if way is Publishing.CLAIM:
            notes.append(
                f"the file system of {folder} has no hard links; results are published by renames instead"
            )
    return tuple(notes)


def places(sweep: SweepDir) -> list[Path]:
    """The folders of a sweep on different file systems: its own, and models/ where that is a link to another one."""
    models = sweep.models if sweep.models.is_dir() else sweep.study
    same = os.stat(models).st_dev == os.stat(sweep.path).st_dev
    return [sweep.path] if same else [sweep.path, models]


def how_to_publish(folder: Path) -> Publishing:
    """How a file can be published in a folder.

    Raises
    ------
    CannotWrite : nothing can be written there
    """
    try:
        with _hidden(folder) as place:
            return _publishing(place)
    except OSError as error:
        raise CannotWrite(f"cannot write in {folder}: {error.strerror or error}") from None


@contextlib.contextmanager
def _hidden(folder: Path) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _is_exclusive(place: Path) -> bool:
    path = place / "exclusive"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        return True
    return False


def _publishing(place: Path) -> Publishing:
    """The first way that works *and* refuses to replace what is there."""
    first, second, target = place / "first", place / "second", place / "published"
    first.write_text("first")
    second.write_text("second")
    try:
        os.link(first, target)
    except OSError:
        return Publishing.CLAIM if _claims(place) else Publishing.NONE
    try:
        os.link(second, target)
    except FileExistsError:
        return Publishing.LINK
    except OSError:
        pass
    return Publishing.NONE


def _claims(place: Path) -> bool:
    """Whether a folder moves with what is in it, and never onto one that has something in it."""
    mine, other, claim = place / "mine", place / "other", place / "claim"
    for folder in (mine, other):
        folder.mkdir()
        (folder / folder.name).write_text(folder.name)
    try:
        os.rename(mine, claim)
    except OSError:
        return False
    try:
        os.rename(other, claim)
    except OSError as error:
        return error.errno in (errno.ENOTEMPTY, errno.EEXIST) and (claim / "mine").exists()
    return False


def _replaces(place: Path) -> bool:
    new, old = place / "new", place / "old"
    new.write_text("new")
    old.write_text("old")
    try:
        os.replace(new, old)
    except OSError:
        return False
    return old.read_text() == "new"


def _syncs(place: Path) -> bool:
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def _clock_ahead(place: Path, clock: Callable[[], float]) -> float:
    """How far a new file's time is outside of when it was written; 0 where it may be right."""
    path = place / "now"
    before = clock()
    path.write_text("now")
    after = clock()
    # A file's time may be cut to whole seconds, or two.
    written = path.stat().st_mtime
    if written > after:
        return written - after
    return min(0.0, written + _RESOLUTION_S - before)


_RESOLUTION_S = 2.0


# -- locks, between two processes -------------------------------------------------------------------------------------


def _locking(place: Path) -> Locking:
    """Hold a lock while another process tries to get it, then let it go and have it try again."""
    from filelock import FileLock

    path = place / "lock"
    lock = FileLock(path, timeout=0, fallback_to_soft=False)
    try:
        lock.acquire()
    except (OSError, NotImplementedError):
        return Locking.NOT_SUPPORTED
    try:
        try:
            other = subprocess.Popen(
                [sys.executable, "-m", _PROGRAM, "--lock", str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=_environment(),
            )
        except OSError:
            return Locking.UNKNOWN
        assert other.stdin is not None
        assert other.stdout is not None
        while_held = other.stdout.readline().strip()
    finally:
        lock.release()
    with contextlib.suppress(OSError):
        other.stdin.write("again\n")
        other.stdin.close()
    afterwards = other.stdout.readline().strip()
    other.stdout.close()
    other.wait()
    if while_held == _GOT_IT:
        return Locking.NO_EFFECT
    if while_held != _HELD:
        return Locking.UNKNOWN
    return Locking.WORKS if afterwards == _GOT_IT else Locking.NOT_RELEASED


_GOT_IT, _HELD = "got it", "held"


def _try_lock(path: Path) -> str:
    from filelock import FileLock, Timeout

    try:
        with FileLock(path, timeout=0, fallback_to_soft=False):
            return _GOT_IT
    except Timeout:
        return _HELD


def _environment() -> dict[str, str]:
    """For our own program, from whatever folder and with whatever installation we were started."""
    ours = str(Path(__file__).resolve().parents[1])
    paths = [ours, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _main(words: list[str]) -> int:
    if words[0] == "--lock":
        print(_try_lock(Path(words[1])), flush=True)
        sys.stdin.readline()
        print(_try_lock(Path(words[1])), flush=True)
        return 0
    try:
        found = probe(Path(words[0]))
    except OSError as error:
        print(error.strerror or error, file=sys.stderr)
        return 1
    print(json.dumps(asdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
