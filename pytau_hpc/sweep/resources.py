"""What a task may use and how often a point may be tried: values, their text forms, and who overrides whom.

None of this is part of a point's identity: the same fit with more memory is the same fit. What a retry asks for is
decided in `retry`; how a request reaches the scheduler, in `executors`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

_SLURM_TIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<dh>\d+)(?::(?P<dm>\d+)(?::(?P<ds>\d+))?)?"
    r"|(?P<h>\d+):(?P<hm>\d+):(?P<hs>\d+)"
    r"|(?P<m>\d+)(?::(?P<s>\d+))?)\Z",
    re.ASCII,
)
#: The variable in which a batch file notes when its job began, in seconds by the node's clock.
BEGAN = "PYTAU_HPC_JOB_BEGAN"
MAX_TIME_MIN = 366 * 24 * 60


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one task may use: CPUs, memory in GiB, walltime in minutes."""

    cpus: int = 1
    mem_gb: float = 4.0
    time_min: int = 60

    @property
    def time(self) -> str:
        return format_time(self.time_min)

    def at_least(self, other: Resources) -> Resources:
        """The larger of the two, each for itself."""
        return Resources(
            cpus=max(self.cpus, other.cpus),
            mem_gb=max(self.mem_gb, other.mem_gb),
            time_min=max(self.time_min, other.time_min),
        )

    @property
    def warning_s(self) -> int:
        """How long before its time limit a task asks to be warned, in seconds."""
        return min(120, self.time_min * 30)

    def to_json(self) -> dict[str, Any]:
        return {"cpus": self.cpus, "mem_gb": self.mem_gb, "time_min": self.time_min}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Resources:
        return cls(cpus=row["cpus"], mem_gb=row["mem_gb"], time_min=row["time_min"])


PointsPerTask = int | Literal["auto"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one source (command line, spec, profile) asks for; None where it says nothing."""

    cpus: int | None = None
    mem_gb: float | None = None
    time_min: int | None = None
    points_per_task: PointsPerTask | None = None
    adapt: bool | None = None

    @classmethod
    def of(cls, resources: Resources) -> Request:
        """A request for exactly these resources."""
        return cls(cpus=resources.cpus, mem_gb=resources.mem_gb, time_min=resources.time_min)

    def over(self, weaker: Request) -> Request:
        """The request, completed by a weaker one: command line > spec > profile."""
        return Request(
            **{
                field.name: getattr(self, field.name)
                if getattr(self, field.name) is not None
                else other
                for field, other in (
                    (field, getattr(weaker, field.name)) for field in fields(Request)
                )
            }
        )

    def resources(self) -> Resources:
        """The resources asked for, with the built-in ones where nobody says anything."""
        return Resources(
            **{name: value for name, value in self._resources().items() if value is not None}
        )

    @property
    def per_task(self) -> PointsPerTask:
        return "auto" if self.points_per_task is None else self.points_per_task

    @property
    def adapts(self) -> bool:
        """Whether requests and tasks follow what was measured; they do unless somebody says no."""
        return self.adapt is not False

    def _resources(self) -> dict[str, Any]:
        return {"cpus": self.cpus, "mem_gb": self.mem_gb, "time_min": self.time_min}

    def to_json(self) -> dict[str, Any]:
        """Only what is asked for."""
        values = {
            **self._resources(),
            "points_per_task": self.points_per_task,
            "adapt": self.adapt,
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Request:
        return cls(**row)


@dataclass(frozen=True, kw_only=True)
class RetrySettings:
    """Budgets of a point, how requests grow, and how long silence must last; None where one source says nothing.

    failures : how often a point that failed on its own account may be tried again
    interruptions : how often one that was preempted, lost its node or was stopped may be started again
    grace_s : seconds of successful scheduler answers without the task before it counts as gone
    mem_factor, time_factor : by how much a retry asks for more, after too little memory or time
    """

    failures: int | None = None
    interruptions: int | None = None
    grace_s: float | None = None
    mem_factor: float | None = None
    time_factor: float | None = None

    def over(self, weaker: RetrySettings) -> RetrySettings:
        """Completed by weaker settings: spec > profile > built-in."""
        return RetrySettings(**{**weaker.to_json(), **self.to_json()})

    def to_json(self) -> dict[str, Any]:
        """Only what is said."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> RetrySettings:
        return cls(**row)


#: Where neither the spec nor the profile says anything.
BUILT_IN_RETRY = RetrySettings(
    failures=2, interruptions=10, grace_s=60, mem_factor=1.5, time_factor=1.5
)


def parse_time(text: str | int) -> int:
    """Minutes of a time limit as SLURM writes it, rounded up to a whole minute.

    SLURM's forms are ``minutes``, ``minutes:seconds``, ``hours:minutes:seconds``, ``days-hours``,
    ``days-hours:minutes`` and ``days-hours:minutes:seconds`` (man sbatch, ``--time``).

    Raises
    ------
    ValueError : not one of these forms, nothing at all, or more than a year
    """
    written = isinstance(text, (str, int)) and not isinstance(text, bool)
    found = _SLURM_TIME.match(str(text)) if written else None
    if found is None:
        raise ValueError(
            f"`{text}` is not a time: write hours:minutes:seconds, days-hours:minutes:seconds or minutes"
        )
    part = {name: int(value or 0) for name, value in found.groupdict().items()}
    seconds = (
        part["days"] * 86400
        + (part["dh"] + part["h"]) * 3600
        + (part["dm"] + part["hm"] + part["m"]) * 60
        + (part["ds"] + part["hs"] + part["s"])
    )
    if not 0 < seconds <= MAX_TIME_MIN * 60:
        raise ValueError(f"the time `{text}` must be more than nothing and at most a year")
    return math.ceil(seconds / 60)


def format_time(minutes: int) -> str:
    """``01:30:00``, or ``2-00:00:00`` from a day on: the form that sbatch reads and squeue prints."""
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    clock = f"{hours:02}:{minutes:02}:00"
    return f"{days}-{clock}" if days else clock
