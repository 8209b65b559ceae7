"""What may stand in a profile, field by field, and which characters are let through.

Whatever reaches a shell or the scheduler's command line is checked here against a list of what is allowed, once, so
that nothing behind it has to think of quoting as a defence. `prologue` alone is shell by contract: one line an item.
Where profiles are found and how they are read is in `profile`, the only caller.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from pytau_hpc.sweep.spec import ResourcesPart
from pytau_hpc.sweep.validate import Strict, TimeField, Wrong, harmless_text, safe_value, shown

_OPTION = re.compile(r"--[a-z][a-z0-9-]*(=.*)?\Z", re.ASCII | re.DOTALL)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_FOLDER = re.compile(r"(\$\{?[A-Za-z_][A-Za-z0-9_]*\}?|/)[\w./+%@=${}-]*\Z", re.ASCII)
_PYTHON = re.compile(r"(/[\w.+@=/-]{1,1023}|[A-Za-z0-9_][\w.+-]{0,63})\Z", re.ASCII)

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
    name, has_value, _ = value[2:].partition("=")
    # Bad nodes are added to it: it has to be recognized, and to have something to add to.
    if "exclude".startswith(name) and not (name == "exclude" and has_value):
        raise Wrong(f"must name nodes, got {shown(value)}", help="write  --exclude=n1,n2")
    # sbatch takes the beginning of an option for the option.
    full = next((one for one in sorted(_OURS) if one.startswith(name)), None)
    if full:
        place = _OWN_KEY.get(full) or _RESOURCE_KEY.get(full)
        raise Wrong(
            f"must not set --{full}", help=f"it is `{place}`" if place else "pytau_hpc sets it"
        )
    return value


def _each_once(options: list[str]) -> list[str]:
    """Every option at most once: of two, sbatch would silently take the last."""
    names = [option[2:].partition("=")[0] for option in options]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Wrong(f"says --{twice} more than once", help="write one, with all of its values")
    return options


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
        try:
            harmless_text(str(one))
        except Wrong as wrong:
            raise Wrong(wrong.message, at=(name,)) from None
    return {name: str(one) for name, one in value.items()}


def _folder(value: str) -> str:
    if not _FOLDER.match(value) or ".." in value.split("/"):
        raise Wrong(
            f"must be an absolute folder or begin with a variable, got {shown(value)}",
            help="write  $TMPDIR",
        )
    return value


def _python(value: str) -> str:
    if not _PYTHON.match(value) or ".." in value.split("/"):
        raise Wrong(
            f"must be an absolute path or one command, got {shown(value)}",
            help="write  /path/to/environment/bin/python  or  python",
        )
    return value


Word = Annotated[str, AfterValidator(_word)]
Count = Annotated[int, Field(ge=1)]
Budget = Annotated[int, Field(ge=0)]
Factor = Annotated[float, Field(ge=1, allow_inf_nan=False)]


class Slurm(Strict):
    """What sbatch is told beside resources."""

    account: Word | None = None
    partition: Word | None = None
    qos: Word | None = None
    extra: Annotated[list[Annotated[str, AfterValidator(_extra)]], AfterValidator(_each_once)] = (
        Field(default=[])
    )


class Limits(Strict):
    """How far tasks may go: how many at once, how large an array, how much a retry may ask for.

    `max_submitted_tasks` : tasks of a sweep that may be queued or running in the scheduler at once
    """

    max_running_tasks: Count | None = None
    max_submitted_tasks: Count | None = None
    max_array_size: Count | None = None
    mem_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    time: TimeField | None = None


class RetryDefaults(Strict):
    """As `retry` of a spec, for specs that do not say; None where the profile does not say either."""

    failures: Budget | None = None
    interruptions: Budget | None = None
    grace_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    mem_factor: Factor | None = None
    time_factor: Factor | None = None


class ProfileFile(Strict):
    """The structure of a profile."""

    description: Annotated[str, AfterValidator(harmless_text)] = ""
    executor: Literal["slurm", "local", "gnu_parallel", "inline"]
    slurm: Slurm = Slurm()
    defaults: ResourcesPart = ResourcesPart()
    limits: Limits = Limits()
    retry: RetryDefaults = RetryDefaults()
    prologue: list[Annotated[str, AfterValidator(_shell_line)]] = Field(default=[])
    env: Annotated[dict[str, str], BeforeValidator(_environment)] = Field(default={})
    scratch: Annotated[str, AfterValidator(_folder)] | None = None
    python: Annotated[str, AfterValidator(_python)] | None = None
