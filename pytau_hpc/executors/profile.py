"""A profile says how a cluster is used: account, partition, limits, what a shell needs first. Never what is computed.

Two are built in; others are YAML files, named on the command line, by ``$PYTAU_HPC_PROFILE`` or in the spec, and looked
up in ``./jobs/`` and in the configuration folders of the user and the site. What reaches the scheduler is checked
against lists of allowed characters; `prologue` is shell by contract and belongs to whoever may write the file.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from pytau_hpc.errors import ProfileInvalid, UserError, did_you_mean
from pytau_hpc.sweep.document import Address, Document
from pytau_hpc.sweep.resources import Request, format_time
from pytau_hpc.sweep.spec import ResourcesPart
from pytau_hpc.sweep.validate import (
    Strict,
    TimeField,
    Wrong,
    in_order,
    safe_value,
    shown,
    validated,
)
from pytau_hpc.yaml_strict import load, parse

VARIABLE = "PYTAU_HPC_PROFILE"

_OPTION = re.compile(r"--[a-z][a-z0-9-]*(=.*)?\Z", re.ASCII | re.DOTALL)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_FOLDER = re.compile(r"(\$\{?[A-Za-z_][A-Za-z0-9_]*\}?|/)[\w./+%@=${}-]*\Z", re.ASCII)

#: What we give to sbatch ourselves. A second value would break how tasks are started, stopped or found again.
_OURS = frozenset(
    [
        "array",
        "chdir",
        "clusters",
        "cpus-per-task",
        "error",
        "export",
        "export-file",
        "get-user-env",
        "gid",
        "input",
        "job-name",
        "kill-on-invalid-dep",
        "mem",
        "mem-per-cpu",
        "nodes",
        "ntasks",
        "ntasks-per-node",
        "open-mode",
        "output",
        "parsable",
        "quiet",
        "requeue",
        "no-requeue",
        "signal",
        "test-only",
        "time",
        "uid",
        "verbose",
        "wait",
        "wait-all-nodes",
        "wrap",
        "help",
        "usage",
        "version",
        "account",
        "partition",
        "qos",
    ]
)
_OWN_KEY = {"account": "slurm.account", "partition": "slurm.partition", "qos": "slurm.qos"}
_RESOURCE_KEY = {
    "time": "defaults.time",
    "mem": "defaults.mem_gb",
    "cpus-per-task": "defaults.cpus",
}


def _extra(value: str) -> str:
    """One more option for sbatch."""
    if not _OPTION.match(value):
        raise Wrong(f"must be one option of sbatch, got {shown(value)}", help="write  --name=value")
    safe_value(value)
    name = value[2:].partition("=")[0]
    if name in _OURS:
        place = _OWN_KEY.get(name) or _RESOURCE_KEY.get(name)
        raise Wrong(
            f"must not set --{name}", help=f"it is `{place}`" if place else "pytau_hpc sets it"
        )
    return value


def _word(value: str) -> str:
    """A value of an option: no spaces, and nothing that begins like an option."""
    safe_value(value)
    if " " in value or value.startswith("-"):
        raise Wrong(f"must be one word, got {shown(value)}")
    return value


def _shell_line(value: str) -> str:
    if not value.strip() or any(character in value for character in "\n\r\0"):
        raise Wrong(
            f"must be one line of shell, got {shown(value)}",
            help="write one line for each list item",
        )
    return value


def _environment(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    for name, one in value.items():
        if not _ENV_NAME.match(name):
            raise Wrong("is not the name of an environment variable", at=(name,))
        if isinstance(one, bool) or not isinstance(one, (str, int, float)):
            raise Wrong(f"must be text, got {shown(one)}", at=(name,), help='put it in quotes: "…"')
        if any(character in str(one) for character in "\n\r\0"):
            raise Wrong("must be one line", at=(name,))
    return {name: str(one) for name, one in value.items()}


def _folder(value: str) -> str:
    if not _FOLDER.match(value) or ".." in value.split("/"):
        raise Wrong(
            f"must be an absolute folder or begin with a variable, got {shown(value)}",
            help="write  $TMPDIR",
        )
    return value


Word = Annotated[str, AfterValidator(_word)]


class Slurm(Strict):
    """What sbatch is told beside resources."""

    account: Word | None = None
    partition: Word | None = None
    qos: Word | None = None
    extra: list[Annotated[str, AfterValidator(_extra)]] = Field(default=[])


class Limits(Strict):
    """How far tasks may go: how many at once, how large an array, how much a retry may ask for."""

    max_running_tasks: Annotated[int, Field(ge=1)] | None = None
    max_array_size: Annotated[int, Field(ge=1)] | None = None
    mem_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    time: TimeField | None = None


class ProfileFile(Strict):
    """The structure of a profile."""

    description: str = ""
    executor: Literal["slurm", "local", "inline"]
    slurm: Slurm = Slurm()
    defaults: ResourcesPart = ResourcesPart()
    limits: Limits = Limits()
    prologue: list[Annotated[str, AfterValidator(_shell_line)]] = Field(default=[])
    env: Annotated[dict[str, str], BeforeValidator(_environment)] = Field(default={})
    scratch: Annotated[str, AfterValidator(_folder)] | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A profile that was read.

    Attributes
    ----------
    name, path : how it is called, and its file; `path` is None for one that is built in
    defaults : what tasks ask for where neither the spec nor the command line says
    limits : see `Limits`; `limits.time` in minutes
    """

    name: str
    path: Path | None
    description: str
    executor: str
    slurm: Slurm
    defaults: Request
    limits: Limits
    prologue: tuple[str, ...]
    env: Mapping[str, str]
    scratch: str | None

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
            "prologue": list(self.prologue),
            "env": dict(self.env),
            "scratch": self.scratch,
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
    return _checked(load(path), path.stem, path)


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
        prologue=tuple(written.prologue),
        env=written.env,
        scratch=written.scratch,
    )


_PARTS: Mapping[str, type[Strict]] = {"slurm": Slurm, "defaults": ResourcesPart, "limits": Limits}


def _known_keys(address: Address) -> list[str]:
    part = ProfileFile if not address else _PARTS.get(str(address[0]))
    return list(part.model_fields) if part else []
