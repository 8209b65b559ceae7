"""A real SLURM cluster for the tests of this folder, all of which are marked `slurm`.

The cluster is the one that `cluster.sh` starts on this machine, never another one: a test must not send jobs to the
cluster of whoever runs pytest on a login node. A running one is used and left running; else one is started and
stopped. Where that cannot be (no root, no packages) the tests are skipped, and the reason says what to do; with
CI=true they are errors, so that a green build means that they ran.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import filelock
import pytest

HERE = Path(__file__).resolve().parent
SCRIPT = HERE / "cluster.sh"
N_NODES = 4
PROGRAMS = ("sbatch", "slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slurm)


def control(*words: str) -> subprocess.CompletedProcess[str]:
    """Run cluster.sh; its talk goes to a file, since daemons would keep a pipe open for ever."""
    with tempfile.TemporaryFile("w+") as talk:
        done = subprocess.run(
            [str(SCRIPT), *words],
            stdin=subprocess.DEVNULL,
            stdout=talk,
            stderr=subprocess.STDOUT,
            timeout=300,
        )
        talk.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, talk.read(), "")


def ask(*command: str) -> str:
    """The answer of a SLURM program, without surrounding blanks."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


@dataclass
class Cluster:
    """The cluster, and the accidents that can be arranged on it."""

    nodes: tuple[str, ...]
    has_accounting: bool
    _dead: set[str] = field(default_factory=set)
    _controller_is_dead: bool = False

    def kill_node(self, node: str) -> None:
        """The machine is gone at once: slurmd, its jobs and everything below them (SLURM notices after ~20 s)."""
        self._control("kill-node", node)
        self._dead.add(node)

    def revive_node(self, node: str) -> None:
        self._control("revive-node", node)
        self._dead.discard(node)

    def kill_controller(self) -> None:
        """No answer from squeue, sbatch, scontrol; running jobs go on."""
        self._control("kill-controller")
        self._controller_is_dead = True

    def revive_controller(self) -> None:
        self._control("revive-controller")
        self._controller_is_dead = False

    def job_ids(self) -> list[str]:
        """Every array element that is pending or running, e.g. ``["12_0", "12_1"]``."""
        return ask("squeue", "--noheader", "--array", "--format=%i").split()

    def start_now(self, job_id: str) -> None:
        """End the two minutes that a requeued job waits; returns when it has left the queue's waiting room.

        Said again and again: SLURM sets that time anew when the last bit of the former run is cleared away.
        """
        limit = time.monotonic() + 60
        while ask("squeue", "--noheader", f"--jobs={job_id}", "--format=%T") == "PENDING":
            if time.monotonic() > limit:
                pytest.fail(
                    f"job {job_id} does not start: {ask('scontrol', 'show', 'job', job_id)}"
                )
            ask("scontrol", "update", f"jobid={job_id}", "starttime=now")
            time.sleep(1)

    def tidy(self) -> None:
        """As it was: every node up, no jobs."""
        if self._controller_is_dead:
            self.revive_controller()
        for node in sorted(self._dead):
            self.revive_node(node)
        if jobs := ask("squeue", "--noheader", "--format=%A").split():
            subprocess.run(["scancel", *sorted(set(jobs))], check=False, timeout=60)
        self._control("wait-idle")

    @staticmethod
    def _control(*words: str) -> None:
        done = control(*words)
        if done.returncode != 0:
            pytest.fail(f"cluster.sh {' '.join(words)}:\n{done.stdout}")


def _unavailable(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(
            f"CI=true, but there is no SLURM cluster for the tests: {reason}", pytrace=False
        )
    pytest.skip(f"no SLURM cluster for the tests: {reason}")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The running test cluster. One pytest process at a time has it; others (xdist workers) wait for their turn."""
    if os.geteuid() != 0:
        _unavailable("only root can start one")
    if missing := [name for name in PROGRAMS if not shutil.which(name, path=_path_of_root())]:
        _unavailable(f"{', '.join(missing)} not found; `tests/slurm/cluster.sh install` (Debian)")

    with filelock.FileLock(Path(tempfile.gettempdir()) / "pytau-hpc-test-cluster.user.lock"):
        started = control("status").returncode != 0
        if started:
            done = control("start", str(N_NODES))
            if done.returncode != 0:
                _unavailable(done.stdout)
        try:
            yield Cluster(
                nodes=tuple(
                    ask("sinfo", "--noheader", "--Node", "--partition=main", "-o", "%N").split()
                ),
                has_accounting=subprocess.run(["sacct"], capture_output=True).returncode == 0,
            )
        finally:
            if started:
                control("stop")


def _path_of_root() -> str:
    """PATH with the folders of daemons, which a user's shell may leave out."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


@pytest.fixture(autouse=True)
def _tidy_cluster(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test leaves the cluster as it found it, even if it fails."""
    yield
    if "cluster" in request.fixturenames:
        request.getfixturevalue("cluster").tidy()


@pytest.fixture
def without_sacct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a cluster without accounting: sacct says so and fails."""
    folder = tmp_path / "without-sacct"
    folder.mkdir()
    fake = folder / "sacct"
    fake.write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
