"""A task's private folder on node-local disk, where compilers keep their files.

It is made by the worker's supervisor, removed when the task ends, and swept by the next task on the same node when
its owner was killed. Compile caches never lie on the shared file system: thousands of small files there, locked by
every task at once, are what made the old pipeline slow.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pytau_hpc.sweep.process import ProcessIdentity, liveness_of, this_process
from pytau_hpc.sweep.state import Liveness

_OWNER = "owner.json"


def scratch_base(environment: Mapping[str, str], profile_scratch: str | None = None) -> Path:
    """Where scratch folders go: ``$PYTAU_HPC_SCRATCH``, the profile's, ``$SLURM_TMPDIR``, ``$TMPDIR``."""
    named = environment.get("PYTAU_HPC_SCRATCH") or os.path.expandvars(profile_scratch or "")
    if not named or "$" in named:
        named = (
            environment.get("SLURM_TMPDIR") or environment.get("TMPDIR") or tempfile.gettempdir()
        )
    return Path(named)


def make_scratch(base: Path, name: str) -> Path:
    """A new folder of this process, readable by its user alone; orphans of dead processes beside it are removed."""
    ours = base / f"pytau-hpc-{os.getuid()}"
    ours.mkdir(mode=0o700, parents=True, exist_ok=True)
    if ours.stat().st_uid != os.getuid() or ours.is_symlink():
        # Somebody else made the name in a shared /tmp: stay out of it.
        ours = Path(tempfile.mkdtemp(prefix="pytau-hpc-", dir=base))
    _sweep_orphans(ours)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=ours))
    (folder / _OWNER).write_text(json.dumps(this_process().to_json()))
    return folder


def remove_scratch(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _sweep_orphans(ours: Path) -> None:
    for folder in ours.iterdir():
        try:
            owner = ProcessIdentity.from_json(json.loads((folder / _OWNER).read_text()))
        except (OSError, ValueError, KeyError):
            continue  # being made at this moment, or not ours
        if liveness_of(owner) is Liveness.GONE:
            remove_scratch(folder)
