"""Who a process is, so that another process can ask later whether it still lives.

A pid alone is not an identity (pids are used again). Host, boot, pid and start time together are. Standard library
only; `/proc` where it exists, psutil elsewhere.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytau_hpc.sweep.state import Liveness

#: Where a boot has no id of its own, it is known by its time, and that moves when the clock is set; so do the times at
#: which processes started. No machine boots twice within this.
_CLOCK_MOVES_S = 60.0


@dataclass(frozen=True, kw_only=True)
class ProcessIdentity:
    """One process in the world. `started` is in clock ticks since boot (Linux) or seconds since the epoch."""

    host: str
    boot_id: str
    pid: int
    started: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ProcessIdentity:
        return cls(
            host=value["host"], boot_id=value["boot_id"], pid=value["pid"], started=value["started"]
        )


@lru_cache(maxsize=1)
def boot_id() -> str:
    """A name for this boot of this machine (containers on one machine share it)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return f"{socket.gethostname()}@{psutil.boot_time():.0f}"


def _started(pid: int) -> float | None:
    """When a process started, or None where there is no such process or only its remains (a zombie entry)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
        return _started_without_proc(pid)
    except ProcessLookupError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in ("Z", "X") else float(fields[19])


def _started_without_proc(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def identity_of(pid: int) -> ProcessIdentity | None:
    """The identity of a living process of this machine."""
    started = _started(pid)
    if started is None:
        return None
    return ProcessIdentity(host=socket.gethostname(), boot_id=boot_id(), pid=pid, started=started)


def this_process() -> ProcessIdentity:
    identity = identity_of(os.getpid())
    assert identity is not None
    return identity


def liveness_of(process: ProcessIdentity) -> Liveness:
    """Alive, gone, or unknown: unknown when it ran on another machine.

    The same host with another boot id was restarted since, so the process is gone. Another host with our boot id is
    a container on this machine, whose pids we cannot read.
    """
    same_boot = _is_same_boot(process.boot_id, boot_id())
    same_host = process.host == socket.gethostname()
    if same_host and not same_boot:
        return Liveness.GONE
    if not (same_host and same_boot):
        return Liveness.UNKNOWN
    started = _started(process.pid)
    if started is None and _is_hidden(process.pid):
        return Liveness.UNKNOWN
    if started is None:
        return Liveness.GONE
    moves = _CLOCK_MOVES_S if "@" in process.boot_id else 0.0
    return Liveness.ALIVE if abs(started - process.started) <= moves else Liveness.GONE


def _is_same_boot(one: str, other: str) -> bool:
    if one == other:
        return True
    (host, by_time, when), (other_host, also, other_when) = (
        one.rpartition("@"),
        other.rpartition("@"),
    )
    if not (by_time and also and host == other_host):
        return False
    return abs(float(when) - float(other_when)) <= _CLOCK_MOVES_S


def _is_hidden(pid: int) -> bool:
    """Whether a process is there that /proc does not show to us (another user's, where it is mounted so)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False
