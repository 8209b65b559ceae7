"""Checks of the profile and the sweep's plan: everything that is wrong with them, and what a task would ask for."""

from __future__ import annotations

from collections.abc import Iterator

from pytau_hpc.doctor.check import Check, Setting, ok, problem
from pytau_hpc.errors import Invalid


def profile(setting: Setting) -> Iterator[Check]:
    """What could not be read, problem by problem; else what it comes to."""
    for error in setting.refused:
        if not isinstance(error, Invalid):
            yield problem("profile", error.message, error.help)
            continue
        for one in error.problems:
            place = ":".join(str(part) for part in (one.file, one.line) if part is not None)
            yield problem("profile", f"{place}: {one.message}", one.help)
    found = setting.profile
    if found is None:
        return
    asks = setting.asks
    where = "built in" if found.path is None else str(found.path)
    place = "" if found.slurm.partition is None else f", partition {found.slurm.partition}"
    of = "" if setting.sweep is None else f" of sweep {setting.sweep.name}"
    yield ok(
        "profile",
        f"profile {found.name} ({where}): {found.executor}{place}; a task{of} asks for {asks.cpus} CPU"
        f"{'' if asks.cpus == 1 else 's'}, {asks.mem_gb:g} GiB, {asks.time}",
    )
