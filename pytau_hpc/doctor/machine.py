"""Checks of this computer: Python, packages, compiler, scratch, and where compilers keep their files."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytau_hpc.doctor.check import Check, Setting, ok, problem, warning
from pytau_hpc.doctor.mounts import Mount, mount_of
from pytau_hpc.doctor.requirements import Requirement, holds, needed_python, requirements
from pytau_hpc.scratch import scratch_base

#: Those whose versions stand in every report; the others are named where something is wrong with them.
_SHOWN = ("pymc", "pytensor", "jax", "arviz", "numpy", "h5netcdf", "submitit", "filelock")

#: Compiled code of one task is some 20 MB, of a few tasks at once on a node not much more.
_SCRATCH_BYTES = 2**30


def packages(setting: Setting) -> Iterator[Check]:
    """Python, and every package that is needed: there, and of a version that will do."""
    from pytau_hpc import __version__

    python = platform.python_version()
    wanted = requirements()
    versions = {requirement.name: requirement.installed for requirement in wanted}
    shown = [f"{name} {versions[name]}" for name in _SHOWN if versions.get(name)]
    yield ok("packages", " · ".join([f"Python {python}", f"pytau_hpc {__version__}", *shown]))
    if not Requirement(name="python", bounds=needed_python()).allows(python):
        yield problem("packages", f"Python {needed_python()} is needed, not {python}")
    for requirement in wanted:
        yield from _package(requirement)
    if not wanted:
        says = "pytau_hpc is not installed, and there is no pyproject.toml that says what it needs"
        yield warning("packages", says, "pip install -e .")


def _package(requirement: Requirement) -> Iterator[Check]:
    version = requirement.installed
    install = f'pip install "{requirement}"'
    if version is None:
        yield problem("packages", f"{requirement.name} is not installed", install)
    elif not requirement.allows(version):
        says = f"{requirement.name} {version} is installed, but {requirement.bounds} is needed"
        yield problem("packages", says, install)


def python_of_tasks(setting: Setting) -> Iterator[Check]:
    """The Python that the profile names: only this one's packages can be looked at here."""
    named = None if setting.profile is None else setting.profile.python
    if named is None:
        return
    says = f"tasks run `{named}`, as the profile says; the packages above are those of this Python"
    if named.startswith("/") and not os.access(named, os.X_OK):
        yield warning("python", f"{says}, and there is no {named} on this computer")
    else:
        yield ok("python", says)


def compiler(setting: Setting) -> Iterator[Check]:
    """A C++ compiler and Python's headers: engine `pymc` needs them, and only where PyTensor compiles to C."""
    pytensor = Requirement(name="pytensor", bounds="").installed
    if pytensor is not None and holds(pytensor, ">=", "3"):
        yield ok("compiler", f"no C++ compiler needed: PyTensor {pytensor} compiles by Numba")
        return
    is_needed = "pymc" in setting.engines
    bad = problem if is_needed else warning
    who = "engine pymc" if is_needed else "engine pymc, should you choose it,"
    found = shutil.which(_flag(setting.environ, "cxx") or "g++") or shutil.which("clang++")
    if found is None:
        yield bad(
            "compiler",
            f"no C++ compiler: {who} would fall back to slow Python",
            "conda install -c conda-forge gxx   or   module load gcc",
        )
    elif not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        yield bad(
            "compiler",
            f"C++ compiler {found}, but Python's headers are missing: {who} would fall back to slow Python",
            "install python3-dev (or python3-devel), or use conda's Python",
        )
    else:
        yield ok("compiler", f"C++ compiler {found}")


def scratch(setting: Setting) -> Iterator[Check]:
    """Where tasks keep compiled code: as the profile's words expand here, writable, with room, not shared."""
    named = None if setting.profile is None else setting.profile.scratch
    base = scratch_base(setting.environ, named)
    # A folder of the nodes need not be on the login node.
    bad = warning if setting.uses_slurm else problem
    where = f"scratch {base}" + (f" ({named})" if named and named != str(base) else "")
    if setting.uses_slurm:
        where += " on this computer"
    place = _there(base)
    if place != base:
        where += ", not there yet"
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        yield bad(
            "scratch",
            f"{where}: cannot write there ({error.strerror or error})",
            "set `scratch` in the profile, or $PYTAU_HPC_SCRATCH, to a folder on the node's own disk",
        )
        return
    yield from _scratch_folder(where, place, mount_of(place))


def _there(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists: tasks make what is missing."""
    return next((path for path in (folder, *folder.parents) if path.exists()), folder)


def _scratch_folder(where: str, base: Path, mount: Mount | None) -> Iterator[Check]:
    free = shutil.disk_usage(base).free
    kind = "" if mount is None else f" ({mount.kind})"
    if mount is not None and mount.is_shared:
        yield warning(
            "scratch",
            f"{where}: a file system that computers share{kind}; compiled code belongs on the node's own disk",
            "set `scratch` in the profile to a local folder, such as /tmp",
        )
    elif free < _SCRATCH_BYTES:
        yield warning("scratch", f"{where}: only {free / 2**20:.0f} MiB free", "make room there")
    elif os.statvfs(base).f_flag & os.ST_NOEXEC:
        yield warning(
            "scratch",
            f"{where}: mounted noexec, so that what PyTensor compiles cannot be loaded from there",
            "set `scratch` in the profile to another folder",
        )
    else:
        memory = ", in memory" if mount is not None and mount.is_in_memory else ""
        yield ok("scratch", f"{where}: writable, {free / 2**30:.0f} GiB free{memory}{kind}")


def compile_folder(setting: Setting) -> Iterator[Check]:
    """PyTensor's own folder: not used by tasks, but by whoever runs PyMC by hand."""
    named = _flag(setting.environ, "base_compiledir") or _flag(setting.environ, "compiledir")
    folder = Path(os.path.expanduser(named or "~/.pytensor"))
    mount = mount_of(folder)
    if mount is not None and mount.is_shared:
        yield warning(
            "compile cache",
            f"PyTensor's own compile cache is on a shared file system ({folder}, {mount.kind}): slow, "
            "and locked by one process at a time",
            "tasks use scratch instead; nothing to do unless you run PyMC by hand",
        )


def _flag(environ: Mapping[str, str], name: str) -> str | None:
    """One of PyTensor's settings, as the environment gives it."""
    found = re.search(rf"(?:^|,)\s*{name}\s*=\s*([^,]*)", environ.get("PYTENSOR_FLAGS", ""))
    return found[1].strip() or None if found else None
