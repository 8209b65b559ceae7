"""What a check of `doctor` is told, and what it answers. Plain data; nothing is looked at here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pytau_hpc.errors import PytauHpcError
from pytau_hpc.executors.profile import Profile
from pytau_hpc.sweep.manifest import Manifest
from pytau_hpc.sweep.resources import Request, Resources
from pytau_hpc.sweep.run_dir import SweepDir


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  #: it will work, but not as well, or not for everything
    PROBLEM = "problem"  #: it will not work


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at: what it is about, the verdict, what was found, what to do about it."""

    name: str
    verdict: Verdict
    says: str
    help: str | None = None


def ok(name: str, says: str) -> Check:
    return Check(name=name, verdict=Verdict.OK, says=says)


def warning(name: str, says: str, help: str | None = None) -> Check:
    return Check(name=name, verdict=Verdict.WARNING, says=says, help=help)


def problem(name: str, says: str, help: str | None = None) -> Check:
    return Check(name=name, verdict=Verdict.PROBLEM, says=says, help=help)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is examined.

    Attributes
    ----------
    sweep, manifest : the sweep and its newest plan, where there is one
    folder : where a sweep is, or would be
    profile : the profile that `submit` would use; None where it cannot be read, and `refused` says why
    refused : what is wrong with the sweep's plan or the profile
    """

    folder: Path
    sweep: SweepDir | None = None
    manifest: Manifest | None = None
    profile: Profile | None = None
    refused: tuple[PytauHpcError, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    @property
    def uses_slurm(self) -> bool:
        return self.profile is not None and self.profile.executor == "slurm"

    @property
    def asks(self) -> Resources:
        """What a task asks for."""
        request = Request() if self.manifest is None else self.manifest.request
        return (
            request if self.profile is None else request.over(self.profile.defaults)
        ).resources()

    @property
    def engines(self) -> frozenset[str]:
        """The engines that the sweep's fits use; none where there is no sweep."""
        variants = () if self.manifest is None else self.manifest.variants
        return frozenset(str(variant.settings.get("engine", "")) for variant in variants)


Examination = Callable[[Setting], Iterable[Check]]
