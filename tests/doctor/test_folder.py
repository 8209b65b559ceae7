"""Doctor on the folder of a sweep: what its file system does, room, clocks, and who may write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytau_hpc import doctor
from pytau_hpc.doctor import Check, Setting, Verdict
from pytau_hpc.doctor.folder import file_system, permissions, room
from pytau_hpc.doctor.mounts import Mount
from pytau_hpc.executors.profile import read_profile
from pytau_hpc.probe import Found, Locking, Publishing
from tests.builders import a_sweep

GOOD = Found(
    exclusive=True,
    publishing=Publishing.LINK,
    replaces=True,
    syncs=True,
    locking=Locking.WORKS,
    clock_ahead_s=0.0,
)
LAB = Path("/lab/sweeps")
DISK = Mount(point="/", kind="ext4")


def verdicts(found: Found, mount: Mount | None = DISK, *, slurm: bool = False) -> dict[str, Check]:
    """The worst check of each name."""
    order = [Verdict.OK, Verdict.WARNING, Verdict.PROBLEM]
    checks = sorted(
        file_system(LAB, found, mount, slurm=slurm), key=lambda c: order.index(c.verdict)
    )
    return {check.name: check for check in checks}


def test_a_good_file_system_is_said_to_be_one():
    """In three lines."""
    assert {check.verdict for check in verdicts(GOOD).values()} == {Verdict.OK}


@pytest.mark.parametrize(
    ("found", "name", "verdict"),
    [
        (replace(GOOD, publishing=Publishing.CLAIM), "file system", Verdict.WARNING),
        (replace(GOOD, publishing=Publishing.NONE), "file system", Verdict.PROBLEM),
        (replace(GOOD, exclusive=False), "file system", Verdict.PROBLEM),
        (replace(GOOD, replaces=False), "file system", Verdict.PROBLEM),
        (replace(GOOD, syncs=False), "file system", Verdict.WARNING),
        (replace(GOOD, locking=Locking.NO_EFFECT), "locks", Verdict.PROBLEM),
        (replace(GOOD, locking=Locking.NOT_RELEASED), "locks", Verdict.PROBLEM),
        (replace(GOOD, locking=Locking.NOT_SUPPORTED), "locks", Verdict.WARNING),
        (replace(GOOD, locking=Locking.UNKNOWN), "locks", Verdict.WARNING),
        (replace(GOOD, clock_ahead_s=-90.0), "clock", Verdict.WARNING),
        (replace(GOOD, clock_ahead_s=2.0), "clock", Verdict.OK),
    ],
)
def test_what_a_file_system_lacks_is_said(found, name, verdict):
    """Wrong clocks and missing links are lived with; a name that can be taken twice is not."""
    checks = verdicts(found)

    assert checks[name].verdict is verdict
    assert {other.verdict for key, other in checks.items() if key != name} == {Verdict.OK}


@pytest.mark.parametrize("option", ["nolock", "local_lock=all", "localflock"])
def test_locks_that_stay_on_one_computer_are_a_warning(option):
    """They work here, and that is all that can be tried here."""
    mount = Mount(point="/lab", kind="nfs", options=frozenset(["rw", option]))

    assert verdicts(GOOD, mount)["locks"].verdict is Verdict.WARNING


def test_a_cluster_cannot_see_this_computers_memory():
    """A study in /dev/shm is for local work."""
    memory = Mount(point="/dev/shm", kind="tmpfs")

    assert verdicts(GOOD, memory, slurm=True)["file system"].verdict is Verdict.PROBLEM
    assert verdicts(GOOD, memory)["file system"].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("free", "files", "points", "verdict"),
    [
        (100 * 2**30, None, 0, Verdict.OK),
        (100 * 2**30, 10**6, 1000, Verdict.OK),
        (2**30, None, 0, Verdict.WARNING),
        (100 * 2**30, 100_000, 50_000, Verdict.WARNING),
        (2**20, None, 0, Verdict.PROBLEM),
        (100 * 2**30, 100_000, 200_000, Verdict.PROBLEM),
    ],
)
def test_room_is_measured_by_what_the_sweep_will_write(free, files, points, verdict):
    """Bytes, and files where they are limited."""
    [check] = room(free=free, files=files, points=points)

    assert check.verdict is verdict


def test_folders_and_profiles_that_everybody_may_write_are_a_warning(study: Path):
    """A prologue runs as whoever submits."""
    sweep = a_sweep(study)
    path = study / "here.yaml"
    path.write_text("executor: local\n")
    setting = Setting(
        folder=sweep.dir.path, sweep=sweep.dir, profile=read_profile(path), environ={}
    )
    study.chmod(0o755)
    path.chmod(0o664)
    assert list(permissions(setting)) == []

    path.chmod(0o666)
    sweep.dir.path.chmod(0o777)
    [check] = permissions(setting)

    assert check.verdict is Verdict.WARNING
    assert (check.help or "").startswith("chmod o-w ")
    assert str(path) in check.says
    assert str(sweep.dir.path) in check.says


def test_a_sticky_folder_is_nobody_elses(tmp_path: Path):
    """As /tmp."""
    tmp_path.chmod(0o1777)

    assert list(permissions(Setting(folder=tmp_path, environ={}))) == []


# -- all of it --------------------------------------------------------------------------------------------------------


def test_a_check_that_cannot_look_is_a_problem_of_its_own(tmp_path: Path, monkeypatch):
    """The others go on."""

    def fails(setting: Setting):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(doctor, "CHECKS", {"disk": fails, "permissions": permissions})
    tmp_path.chmod(0o777)

    checks = list(doctor.examine(Setting(folder=tmp_path, environ={})))

    assert [(check.name, check.verdict) for check in checks] == [
        ("disk", Verdict.PROBLEM),
        ("permissions", Verdict.WARNING),
    ]


def test_a_check_that_hangs_is_given_up():
    """By another thread, since the one that hangs can do nothing."""
    import threading

    told = threading.Event()

    def checks():
        yield doctor.HANGS
        assert told.wait(60)

    assert list(doctor.patiently(checks, told.set, limit_s=0.05)) == [doctor.HANGS]
    assert told.is_set()
