"""Who made something, where, and with which versions. Imports none of the libraries that it asks about."""

from __future__ import annotations

import contextlib
import getpass
import importlib.metadata
import os
import platform
import socket
import subprocess
from pathlib import Path

LIBRARIES = ("numpy", "pymc", "pytensor", "jax", "arviz", "xarray")


def versions() -> dict[str, str | None]:
    """Versions of this package, Python and the libraries that results depend on; None where one is not installed."""
    from pytau_hpc import __version__

    found: dict[str, str | None] = {"pytau_hpc": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        found[name] = None
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def user() -> str | None:
    # Containers run under numbers that no password file knows.
    with contextlib.suppress(KeyError, OSError):
        return getpass.getuser()
    return None


def host() -> str:
    return socket.gethostname()


def git_commit(folder: Path) -> str | None:
    """Commit of the repository that a folder is in, ``-dirty`` where files were changed since; None without one."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    return commit + (
        "-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else ""
    )


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
            # A plan must not wait for, or take, the lock of somebody's work in progress.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
