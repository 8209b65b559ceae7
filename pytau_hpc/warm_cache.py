"""Compiled code of earlier tasks, packed into one file per sweep and set-up, to start the next task's scratch with.

A cold compile directory costs a task minutes (PyTensor) or many seconds (JAX); a copy of a warm one costs a moment.
Compiled code is code: an archive is unpacked only if this user owns it and its folder, and nobody else may write to
either. The first one wins, since any is as good as another. Called by `supervise`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import stat
import tarfile
import zlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pytau_hpc.files import fsync_file, publish_no_replace, staged

#: What is kept of a scratch folder: see `inference.environment`.
_KEPT = ("jax", "pytensor")
_PACKAGES = ("pytau_hpc", "pymc", "pytensor", "jax", "jaxlib", "numpy")
#: A cache that is larger costs more to copy to every node than it saves.
_MOST_BYTES = 256 * 2**20


def cache_file(folder: Path, fits: Iterable[tuple[str, str]]) -> Path:
    """The archive for this user, machine, set of packages and kind of fits.

    Parameters
    ----------
    folder : the sweep's folder of caches
    fits : (model, engine) of the task's points
    """
    what = [
        platform.python_version(),
        platform.platform(),
        _cpu(),
        *(_version(package) for package in _PACKAGES),
        *(f"{model}/{engine}" for model, engine in sorted(set(fits))),
    ]
    name = hashlib.sha256(repr(what).encode()).hexdigest()[:16]
    # A folder for each user, closed to the others: a sweep may be worked on by a whole lab.
    return folder / str(os.getuid()) / f"{name}.tar.gz"


def unpack(archive: Path, scratch: Path) -> bool:
    """Start a scratch folder with an archive's content. False where there is none that may be trusted."""
    if not (_is_ours_alone(archive) and _is_ours_alone(archive.parent)):
        return False
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(scratch, filter="data")
    except (OSError, EOFError, zlib.error, tarfile.TarError):
        return False
    return True


def pack(scratch: Path, archive: Path) -> bool:
    """Make an archive of a scratch folder's compiled code, if there is none yet. Never an error: it only saves time."""
    with contextlib.suppress(OSError, tarfile.TarError):
        kept = [scratch / name for name in _KEPT if (scratch / name).is_dir()]
        if archive.exists() or not kept or sum(map(_size, kept)) > _MOST_BYTES:
            return False
        archive.parent.parent.mkdir(parents=True, exist_ok=True)
        archive.parent.mkdir(mode=0o700, exist_ok=True)
        with staged(archive) as temporary:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with tarfile.open(temporary, "w:gz", compresslevel=1) as tar:
                for folder in kept:
                    tar.add(folder, arcname=folder.name, filter=_plain_files)
            fsync_file(temporary)
            return publish_no_replace(temporary, archive)
    return False


def _plain_files(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return (
        member
        if (member.isfile() or member.isdir()) and not member.name.endswith(".lock")
        else None
    )


def _is_ours_alone(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return (
        found.st_uid == os.getuid()
        and not stat.S_ISLNK(found.st_mode)
        and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def _cpu() -> str:
    """The processor with its features: machine code for another one may crash."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "".join(sorted({line for line in lines if line.startswith(("model name", "flags"))}))
    return platform.processor()
