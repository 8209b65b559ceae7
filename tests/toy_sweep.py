"""A sweep of toy fits through the real command line: real processes, files, signals and SQLite."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SPEC = """\
name: toy
data: {{format: synthetic, sessions: {sessions}, tastes: 2, trials: 6, neurons: 3, n_states: 3, seed: 1}}
grid:
  taste: [0, 1]
  window_ms: [[0, 2000]]
  bin_ms: [100]
  model: [single_taste_poisson]
  n_states: [2, 3]
  repeat: {repeat}
{more}
fit: {{method: toy, iterations: {iterations}, sleep_s: {sleep_s}, checkpoint_s: {checkpoint_s}}}
resources: {{mem_gb: 1, time: "00:10:00", points_per_task: {points_per_task}}}
retry: {{grace_s: {grace_s}}}
"""


@dataclass
class Toy:
    """One planned sweep and the command line in its study folder."""

    study: Path
    environment: dict[str, str]
    name: str = "toy"

    @property
    def path(self) -> Path:
        return self.study / "sweeps" / self.name

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "pytau_hpc", *words]

    def run(
        self, *words: str, ok: tuple[int, ...] = (0,), timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words),
            cwd=self.study,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode in ok, (
            f"{words} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, as a shell does."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.study,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def counts(self) -> dict[str, int]:
        status = json.loads(self.run("status", "--json").stdout)
        return {state: n for state, n in status["counts"].items() if n}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(f"file:{self.path / 'ledger.db'}?mode=ro", uri=True) as connection:
            return connection.execute(sql).fetchall()

    def results(self) -> list[Path]:
        return sorted((self.study / "models").rglob("model_*.nc"))

    def successes(self) -> Counter[str]:
        """How often the journals say that each point succeeded: once is right."""
        found: Counter[str] = Counter()
        for path in (self.path / "journal").rglob("*.jsonl"):
            for line in path.read_text().splitlines():
                if '"event":"point_succeeded"' in line:
                    found[json.loads(line)["point"]] += 1
        return found


@pytest.fixture
def toy(study: Path, tmp_path: Path) -> Callable[..., Toy]:
    """Plan a sweep of toy fits: ``toy(repeat=3, sleep_s=0.1)``."""

    def plan(
        *,
        sessions: int = 2,
        repeat: int = 1,
        iterations: int = 3,
        sleep_s: float = 0.0,
        checkpoint_s: float = 60,
        grace_s: float = 60,
        points_per_task: int | str = "auto",
        profile: str = "local",
        more: str = "",
        folder: Path | None = None,
    ) -> Toy:
        folder = folder or study
        folder.mkdir(exist_ok=True)
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "PYTAU_HPC_PLUGINS": "tests.toy",
            "PYTAU_HPC_SCRATCH": str(scratch),
            "PYTAU_HPC_PROFILE": profile,
        }
        (folder / "toy.yaml").write_text(
            SPEC.format(
                sessions=sessions,
                repeat=repeat,
                iterations=iterations,
                sleep_s=sleep_s,
                checkpoint_s=checkpoint_s,
                grace_s=grace_s,
                points_per_task=points_per_task,
                more=more,
            )
        )
        planned = Toy(folder, environment)
        planned.run("plan", "toy.yaml")
        return planned

    return plan


def processes_of(text: str) -> list[int]:
    """Every living process whose command line has `text` in it, but us."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                environment = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if text in command or text in environment:
                found.append(int(folder.name))
    return found


def kill_everything(text: str) -> None:
    """SIGKILL every process that has `text` in its command line or environment, until there is none."""
    while found := processes_of(text):
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
