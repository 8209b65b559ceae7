"""Why a fit process died, from what its supervisor can see. Pure, except for reading a cgroup's counters."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytau_hpc.sweep.state import NEARLY_ALL, Kind


@dataclass(frozen=True, kw_only=True)
class Death:
    """What was seen of it. `status` as `subprocess` gives it: negative for a signal."""

    status: int
    last_rss_bytes: int | None
    limit_bytes: int
    oom_kills: int


def classify(death: Death) -> dict[str, Any]:
    """Kind, error and message of a death without a last word."""
    if death.status >= 0:
        return _told(
            Kind.EXCEPTION, "ProcessExit", f"the fit process ended with exit status {death.status}"
        )
    name = signal.Signals(-death.status).name
    if death.status == -signal.SIGKILL:
        if death.oom_kills > 0:
            return _told(Kind.OUT_OF_MEMORY, name, "the kernel killed the fit for its memory")
        rss = death.last_rss_bytes or 0
        if rss >= NEARLY_ALL * death.limit_bytes:
            gib = 2**30
            return _told(
                Kind.OUT_OF_MEMORY,
                name,
                f"killed while it held {rss / gib:.2f} of {death.limit_bytes / gib:.2f} GiB",
            )
        return _told(Kind.KILLED, name, "the fit process was killed from outside")
    if death.status == -signal.SIGTERM:
        return _told(Kind.KILLED, name, "the fit process was terminated from outside")
    return _told(Kind.EXCEPTION, name, f"the fit process crashed ({name})")


def _told(kind: Kind, error: str, message: str) -> dict[str, Any]:
    return {"kind": kind.value, "error": error, "message": message}


@dataclass(frozen=True)
class OomCounter:
    """How often the kernel killed for memory in this process's cgroup (0 where that cannot be read)."""

    path: Path | None
    before: int

    @classmethod
    def read(cls, pid: int) -> OomCounter:
        path = _events_file(pid)
        return cls(path=path, before=_oom_kills(path))

    def since(self) -> int:
        return max(0, _oom_kills(self.path) - self.before)


def _events_file(pid: int) -> Path | None:
    try:
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                return Path("/sys/fs/cgroup") / path.lstrip("/") / "memory.events"
            if "memory" in controllers.split(","):
                return Path("/sys/fs/cgroup/memory") / path.lstrip("/") / "memory.oom_control"
    except (OSError, ValueError):
        pass
    return None


def _oom_kills(path: Path | None) -> int:
    if path is None:
        return 0
    try:
        for line in path.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0
