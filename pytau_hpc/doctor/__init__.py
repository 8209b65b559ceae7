"""Look at everything that a sweep needs, and say what is wrong with it and what to do about it.

`CHECKS` lists what is looked at; each is a function from a `Setting` to checks, in a module that stands beside this
one. Nothing that stays is written, nothing heavy is imported, and whatever is asked has a time limit. Called by the
command `doctor`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pytau_hpc.doctor import folder, machine, profile, slurm
from pytau_hpc.doctor.check import Check, Examination, Setting, Verdict, problem
from pytau_hpc.errors import NotASweep, PytauHpcError
from pytau_hpc.executors.profile import find_profile
from pytau_hpc.sweep.manifest import read_manifest
from pytau_hpc.sweep.run_dir import SweepDir, find_sweep

__all__ = ["CHECKS", "HANGS", "Check", "Setting", "Verdict", "examine", "patiently", "setting"]

CHECKS: Mapping[str, Examination] = {
    "packages": machine.packages,
    "compiler": machine.compiler,
    "profile": profile.profile,
    "python": machine.python_of_tasks,
    "scratch": machine.scratch,
    "compile cache": machine.compile_folder,
    "slurm": slurm.slurm,
    "file system": folder.folder,
    "permissions": folder.permissions,
}


def setting(sweep: str | None, profile: str | None) -> Setting:
    """What is to be examined: the sweep that is named (or the only one), the profile that `submit` would use.

    Raises
    ------
    NotASweep : a sweep was named, and there is none of that name
    """
    place = _sweep(sweep)
    refused: list[PytauHpcError] = []
    manifest = found = None
    if place is not None:
        try:
            manifest = read_manifest(place.path)
        except PytauHpcError as error:
            refused.append(error)
    try:
        found = find_profile(
            profile,
            None if manifest is None else manifest.profile,
            study=None if place is None else place.study,
        )
    except PytauHpcError as error:
        refused.append(error)
    return Setting(
        folder=Path.cwd() if place is None else place.path,
        sweep=place,
        manifest=manifest,
        profile=found,
        refused=tuple(refused),
    )


def _sweep(name: str | None) -> SweepDir | None:
    try:
        return find_sweep(name)
    except NotASweep:
        if name is not None:
            raise
        return None


def examine(setting: Setting) -> Iterator[Check]:
    """Every check in turn, each as soon as it is done."""
    for name, check in CHECKS.items():
        try:
            yield from check(setting)
        except OSError as error:
            yield problem(name, f"could not be looked at: {error}")


#: Longer than all time limits of one check together.
PATIENCE_S = 180.0

HANGS = problem(
    "file system",
    f"nothing happened for {PATIENCE_S:.0f} s: a file system does not answer",
    "`df` hangs at the one that it is; tell whoever runs the computers",
)


def patiently(
    start: Callable[[], Iterator[Check]],
    give_up: Callable[[], None],
    *,
    limit_s: float = PATIENCE_S,
) -> Iterator[Check]:
    """The checks of `start()`; `give_up` is called, in a thread of its own, where the next one takes too long.

    A process that waits for a dead file server cannot be told anything, but another of its threads can still speak.
    """
    checks: Iterator[Check] | None = None
    while True:
        timer = threading.Timer(limit_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            checks = start() if checks is None else checks
            check = next(checks, None)
        finally:
            timer.cancel()
        if check is None:
            return
        yield check
