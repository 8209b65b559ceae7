"""Where everything of a sweep lies on disk. Names only: nothing here reads or writes.

The *study folder* holds ``sweeps/<name>/`` and, beside it and shared by all sweeps, ``models/``. Every path that is
stored in a file is relative to the study folder, so that the folder can be moved as a whole.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pytau_hpc.errors import NotASweep, did_you_mean


@dataclass(frozen=True)
class SweepDir:
    """The folder of one sweep."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def study(self) -> Path:
        return self.path.parent.parent

    @property
    def models(self) -> Path:
        return self.study / "models"

    @property
    def revisions(self) -> Path:
        return self.path / "revisions"

    @property
    def submissions(self) -> Path:
        return self.path / "submissions"

    @property
    def journals(self) -> Path:
        return self.path / "journal"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def caches(self) -> Path:
        """Compiled code to start tasks with: saves time only, can be deleted."""
        return self.path / "cache"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.db"

    @property
    def ledger_lock(self) -> Path:
        return self.path / "ledger.lock"

    @property
    def submit_lock(self) -> Path:
        return self.path / "submit.lock"

    def submission(self, uuid: str) -> Path:
        return self.submissions / uuid

    def submission_file(self, uuid: str) -> Path:
        return self.submissions / uuid / "submission.json"

    def refused_file(self, uuid: str) -> Path:
        """There where the scheduler refused the submission, whole: none of it was sent, its points are free."""
        return self.submissions / uuid / "refused.json"

    def bound_file(self, uuid: str) -> Path:
        return self.submissions / uuid / "bound.json"

    def gone(self, uuid: str) -> Path:
        """Folder of the verdicts "this run (or task) was found gone", one file each, written once."""
        return self.submissions / uuid / "gone"

    @property
    def cancelled(self) -> Path:
        """Folder of what `cancel` gave up, one file each time, written once."""
        return self.path / "cancelled"

    def cancellation_file(self, number: int) -> Path:
        return self.cancelled / f"{number:06}.json"

    def journal_of(self, uuid: str) -> Path:
        return self.journals / uuid

    def journal(self, uuid: str, task: int, run: int) -> Path:
        return self.journals / uuid / f"{task}.r{run}.jsonl"

    def checkpoint_folder(self, point_id: str) -> Path:
        return self.checkpoints / point_id[:2] / point_id

    def logs_of(self, uuid: str) -> Path:
        return self.logs / uuid


def find_sweep(name: str | None, start: Path | None = None) -> SweepDir:
    """The sweep that a person means: a path, a name below ``sweeps/`` here or above, or the only sweep there is.

    Raises
    ------
    NotASweep : nothing there, or several and no name given; the message lists what there is
    """
    here = Path(os.path.abspath(start or Path.cwd()))
    if name is not None:
        direct = Path(os.path.abspath(here / name))
        if is_sweep(direct):
            return SweepDir(direct)
        for folder in (here, *here.parents):
            if is_sweep(folder / "sweeps" / name):
                return SweepDir(folder / "sweeps" / name)
    elif is_sweep(here):
        return SweepDir(here)
    known = _sweeps_near(here)
    if name is None and len(known) == 1:
        return SweepDir(known[0])
    names = [path.name for path in known]
    if name is not None:
        raise NotASweep(
            f"no sweep `{name}`; looked for sweeps/{name} in {here} and the folders above it",
            help=did_you_mean(name, names)
            or (f"there is {', '.join(names[:5])}" if names else _how_to_plan()),
        )
    if names:
        raise NotASweep(f"which sweep? here are {', '.join(names)}", help="name one of them")
    raise NotASweep(
        f"no sweep here; looked for sweeps/ in {here} and the folders above it", help=_how_to_plan()
    )


def _how_to_plan() -> str:
    return "make one with  python -m pytau_hpc plan SPEC.yaml"


def is_sweep(folder: Path) -> bool:
    return folder.parent.name == "sweeps" and (
        (folder / "revisions").is_dir() or (folder / "manifest.yaml").is_file()
    )


def _sweeps_near(here: Path) -> list[Path]:
    for folder in (here, *here.parents):
        if (folder / "sweeps").is_dir():
            return sorted(path for path in (folder / "sweeps").iterdir() if is_sweep(path))
    return []
