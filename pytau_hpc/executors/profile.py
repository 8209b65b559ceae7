"""A profile says how a cluster is used: account, partition, limits, what a shell needs first. Never what is computed.

Two are built in; others are YAML files, named on the command line, by ``$PYTAU_HPC_PROFILE`` or in the spec, and looked
up in ``./jobs/`` and in the configuration folders of the user and the site. What may stand in them is in
`profile_fields`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytau_hpc.errors import ProfileInvalid, UserError, did_you_mean
from pytau_hpc.executors.profile_fields import Limits, ProfileFile, RetryDefaults, Slurm
from pytau_hpc.sweep.document import Address, Document
from pytau_hpc.sweep.resources import Request, format_time
from pytau_hpc.sweep.spec import ResourcesPart
from pytau_hpc.sweep.validate import Strict, Wrong, in_order, safe_name, validated
from pytau_hpc.yaml_strict import load, parse

VARIABLE = "PYTAU_HPC_PROFILE"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A profile that was read.

    Attributes
    ----------
    name, path : how it is called, and its file; `path` is None for one that is built in
    defaults : what tasks ask for where neither the spec nor the command line says
    limits : see `Limits`; `limits.time` in minutes
    retry : what the file says about tries, for specs that do not; only the keys that it gives
    python : the Python of the workers; None for the one that submits
    """

    name: str
    path: Path | None
    description: str
    executor: str
    slurm: Slurm
    defaults: Request
    limits: Limits
    retry: Mapping[str, Any]
    prologue: tuple[str, ...]
    env: Mapping[str, str]
    scratch: str | None
    python: str | None

    def retry_caps(self) -> dict[str, Any]:
        """How far a retry may grow a request, as `retry.RetryLimits` takes it; only what the profile says."""
        caps = {"max_mem_gb": self.limits.mem_gb, "max_time_min": self.limits.time}
        return {name: value for name, value in caps.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """As in a file, with the name: what a submission keeps."""
        limits = self.limits.model_dump()
        limits["time"] = None if self.limits.time is None else format_time(self.limits.time)
        return {
            "name": self.name,
            "executor": self.executor,
            "slurm": self.slurm.model_dump(),
            "defaults": self.defaults.to_json(),
            "limits": limits,
            "retry": dict(self.retry),
            "prologue": list(self.prologue),
            "env": dict(self.env),
            "scratch": self.scratch,
            "python": self.python,
        }


BUILT_IN: Mapping[str, str] = {
    "local": """\
description: processes of this computer
executor: local
""",
    "slurm": """\
description: SLURM with the cluster's own defaults for account and partition
executor: slurm
limits: {max_running_tasks: 50}
scratch: $TMPDIR
""",
}


@dataclass(frozen=True, kw_only=True)
class Found:
    """A profile that can be named: `where` says which folder it is in, or ``built in``."""

    name: str
    path: Path | None
    where: str


def find_profile(
    asked: str | None = None,
    in_spec: str | None = None,
    *,
    study: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Profile:
    """The profile to use: the one asked for, else ``$PYTAU_HPC_PROFILE``, else the spec's, else `default_name`.

    Parameters
    ----------
    asked : a name or a file, from the command line
    in_spec : the same, from the spec
    study : the study folder, whose ``jobs/`` is searched after that of the current folder

    Raises
    ------
    UserError : there is no such profile
    ProfileInvalid : with everything that is wrong with it
    """
    environ = os.environ if environ is None else environ
    name = asked or environ.get(VARIABLE) or in_spec or default_name(environ)
    if _is_file_name(name):
        path = Path(os.path.expanduser(name))
        in_study = study / path if study is not None else path
        return read_profile(in_study if in_study.is_file() and not path.is_file() else path)
    known = list_profiles(study)
    for one in known:
        if one.name == name:
            return read_profile(one.path) if one.path else _built_in(name)
    names = [one.name for one in known]
    raise UserError(
        f"there is no profile `{name}`; there is {', '.join(names)}",
        help=did_you_mean(name, names)
        or f"profiles are YAML files in {', '.join(map(str, profile_folders(study)))}",
    )


def default_name(environ: Mapping[str, str]) -> str:
    """What is used where nobody names a profile: SLURM where it is installed, else this computer."""
    return "slurm" if shutil.which("sbatch", path=environ.get("PATH")) else "local"


def profile_folders(study: Path | None = None) -> list[Path]:
    """Where names of profiles are looked up, the first one wins."""
    import platformdirs

    beside = [Path.cwd() / "jobs"]
    if study is not None and study / "jobs" not in beside:
        beside.append(study / "jobs")
    return [
        *beside,
        platformdirs.user_config_path("pytau_hpc") / "profiles",
        platformdirs.site_config_path("pytau_hpc") / "profiles",
    ]


def list_profiles(study: Path | None = None) -> list[Found]:
    """Every profile that can be named, in the order of the search; a name that is taken hides later ones."""
    found: dict[str, Found] = {}
    for place in profile_folders(study):
        for path in sorted([*place.glob("*.yaml"), *place.glob("*.yml")]):
            found.setdefault(path.stem, Found(name=path.stem, path=path, where=str(place)))
    for name in BUILT_IN:
        found.setdefault(name, Found(name=name, path=None, where="built in"))
    return list(found.values())


def read_profile(path: Path) -> Profile:
    """Read a profile's file. Raises as `find_profile`."""
    try:
        name = safe_name(path.stem)
    except Wrong as wrong:
        raise UserError(f"the name of a profile {wrong.message}", help=wrong.help) from None
    return _checked(load(path), name, path)


def _built_in(name: str) -> Profile:
    return _checked(parse(BUILT_IN[name], file=f"built-in profile {name}"), name, None)


def _is_file_name(name: str) -> bool:
    return "/" in name or name.endswith((".yaml", ".yml"))


def _checked(document: Document, name: str, path: Path | None) -> Profile:
    written, problems = validated(ProfileFile, document, _known_keys)
    if problems or written is None:
        raise ProfileInvalid(document.file, in_order(problems))
    return Profile(
        name=name,
        path=path,
        description=written.description,
        executor=written.executor,
        slurm=written.slurm,
        defaults=written.defaults.request(),
        limits=written.limits,
        retry=written.retry.model_dump(exclude_none=True),
        prologue=tuple(written.prologue),
        env=written.env,
        scratch=written.scratch,
        python=written.python,
    )


_PARTS: Mapping[str, type[Strict]] = {
    "slurm": Slurm,
    "defaults": ResourcesPart,
    "limits": Limits,
    "retry": RetryDefaults,
}


def _known_keys(address: Address) -> list[str]:
    part = ProfileFile if not address else _PARTS.get(str(address[0]))
    return list(part.model_fields) if part else []
