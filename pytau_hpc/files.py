"""Writing files so that a reader never sees half of one, and digests of what is in them.

Two ways to write something that others read: `write_atomic` (the old file or the whole new one) for what has one
writer, and `publish_no_replace` (a complete file gets its final name, the first one wins) for what several processes
may finish at once. Nothing here knows what is in the files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: How a file system says that it has no hard links, or none (or no more) for this file.
_NO_LINKS = frozenset(
    [
        errno.EPERM,
        errno.EACCES,
        errno.ENOSYS,
        errno.EOPNOTSUPP,
        errno.ENOTSUP,
        errno.EINVAL,
        errno.EMLINK,
    ]
)


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, no NaN.

    Raises
    ------
    ValueError : a float that is not finite
    TypeError : a value that JSON does not have
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def beside(path: Path) -> Path:
    """A hidden name in the same folder that only this call uses."""
    return path.with_name(
        f".{path.name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"
    )


def fsync_dir(folder: Path) -> None:
    """Make the names in a folder durable. File systems that cannot sync a folder keep their own promise."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Flush a closed file's bytes to disk (quota and disk-full errors surface here, not at `close`)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to; removed at the end if it is still there."""
    temporary = beside(path)
    try:
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def _write_and_sync(path: Path, content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace `path` so that a reader sees the old file or the whole new one, never half."""
    with staged(path) as temporary:
        _write_and_sync(temporary, content)
        os.replace(temporary, path)
    fsync_dir(path.parent)


def publish_text(path: Path, content: str) -> bool:
    """Write a new file under a name that nobody may overwrite. False where the name was taken already."""
    with staged(path) as temporary:
        _write_and_sync(temporary, content)
        return publish_no_replace(temporary, path)


def publish_no_replace(source: Path, final: Path) -> bool:
    """Give a complete, synced file its final name; the first one wins.

    Returns True when `final` is now our file, False when another one was there before. A network file system may
    report an error for a link that was made (the answer was lost), so the verdict is read from the target. Where
    links do not exist, see `_publish_without_links`; `source` is then gone.
    """
    try:
        os.link(source, final)
    except FileExistsError:
        return _same_inode(source, final)
    except OSError as error:
        if _same_inode(source, final):
            return True
        if error.errno not in _NO_LINKS:
            raise
        return _publish_without_links(source, final)
    fsync_dir(final.parent)
    return True


def _same_inode(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False


def _publish_without_links(source: Path, final: Path) -> bool:
    """The same promise from two renames: the claim *is* the file, so that a claim cannot outlive its claimant.

    The file moves into a folder of its own, and that folder is renamed to the claim's name, which fails where a claim
    with a file in it is there: of several processes one succeeds. A file that stands in the claim is complete, and
    whoever finds it there (its owner, or anybody after the owner died) may give it the final name: each does the same
    rename, and only the first one finds something to rename. An empty claim is one that was published.
    """
    claim = final.with_name(f".{final.name}.claim")
    private = beside(claim)
    ours = private.name
    private.mkdir()
    try:
        os.rename(source, private / ours)
        while not final.exists():
            if _claimed(private, claim):
                _publish_claim(claim, final)
                break
            _publish_claim(claim, final)
        # Ours was published, by us or by somebody who found it in the claim, when it is in neither folder any more.
        won = not (private / ours).exists() and not (claim / ours).exists()
    finally:
        for folder in (private, claim):
            with contextlib.suppress(OSError):
                (folder / ours).unlink()
            with contextlib.suppress(OSError):
                folder.rmdir()
    fsync_dir(final.parent)
    return won


def _claimed(private: Path, claim: Path) -> bool:
    """Whether our folder became the claim; False where another file stands in it."""
    try:
        os.rename(private, claim)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        # Some file systems do not rename onto a folder even where it is empty.
        with contextlib.suppress(OSError):
            claim.rmdir()
        return False
    return True


def _publish_claim(claim: Path, final: Path) -> None:
    """Give the file in the claim, whoever put it there, its final name; nothing where somebody was faster.

    What is in the claim is looked at before the target: a file that was seen in it while there was no target is the
    only one that can become the target.
    """
    try:
        waiting = os.listdir(claim)
    except FileNotFoundError:
        return
    if final.exists():
        return
    for name in waiting:
        with contextlib.suppress(FileNotFoundError):
            os.rename(claim / name, final)
