"""This machine: what SLURM's programs say, the cluster's script, and the processes that all virtual nodes share."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLUSTER = Path(__file__).resolve().parents[1] / "cluster.sh"


class Hopeless(Exception):
    """The repetition cannot go on: what was waited for never came."""


def eventually(condition: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    """Wait for something to be true; returns it."""
    limit = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > limit:
            raise Hopeless(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.2)
    return answer


def ask(*command: str, timeout: float = 30) -> str:
    """What a command of SLURM says; nothing where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip()


def control(*words: str) -> None:
    """Run cluster.sh; daemons must not inherit a pipe of ours."""
    with tempfile.TemporaryFile("w+") as talk:
        done = subprocess.run(
            [str(CLUSTER), *words], stdin=subprocess.DEVNULL, stdout=talk, stderr=talk, timeout=300
        )
        if done.returncode:
            talk.seek(0)
            raise Hopeless(f"cluster.sh {' '.join(words)}: {talk.read()}")


def accounting() -> bool:
    return subprocess.run(["sacct"], capture_output=True).returncode == 0


def nodes() -> list[str]:
    return ask("sinfo", "--noheader", "--Node", "--partition=main", "-o", "%N").split()


def undrain() -> None:
    """What an administrator does: SLURM drains nodes where a controller that forgot something starts a job again."""
    for node in ask("sinfo", "-h", "-N", "-p", "main", "-t", "drain", "-o", "%N").split():
        ask("scontrol", "update", f"nodename={node}", "state=resume")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def children_of(pid: int) -> list[int]:
    return [
        int(p.name)
        for p in Path("/proc").iterdir()
        if p.name.isdigit() and parent_of(int(p.name)) == pid
    ]


def stepd_of(worker: int) -> int:
    """The slurmstepd above a worker."""
    pid = worker
    while pid > 1 and not name_of(pid).startswith("slurmstepd"):
        pid = parent_of(pid)
    return pid


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    if pid <= 1 or not alive(pid):
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def digits(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"\d+", text)]


def indices(text: str) -> list[int]:
    """``0-3,7`` → 0, 1, 2, 3, 7"""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return found
