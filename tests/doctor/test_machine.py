"""Doctor on this computer: versions without imports, compilers, scratch, mounts."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from pytau_hpc.doctor import Setting, Verdict, machine
from pytau_hpc.doctor.mounts import Mount, mount_of
from pytau_hpc.doctor.requirements import Requirement, holds, parse, requirements
from pytau_hpc.executors.profile import read_profile


def a_setting(folder: Path, profile: str = "executor: local\n", **environ: str) -> Setting:
    path = folder / "here.yaml"
    path.write_text(profile)
    return Setting(folder=folder, profile=read_profile(path), environ=environ)


# -- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "relation", "bound", "it_does"),
    [
        ("5.28.5", ">=", "5.28", True),
        ("5.9", ">=", "5.28", False),
        ("6.0.0", "<", "6", False),
        ("6.0rc1", "<", "6", False),
        ("2", "==", "2.0.0", True),
        ("2.4.6", "==", "2.*", True),
        ("2.4.6", "!=", "2.4.*", False),
        ("1.4.9", "~=", "1.4.2", True),
        ("1.5.0", "~=", "1.4.2", False),
    ],
)
def test_versions_compare_by_their_numbers(version, relation, bound, it_does):
    """Not by their letters."""
    assert holds(version, relation, bound) is it_does


def test_requirements_of_extras_and_other_pythons_are_left_out():
    """As pip would."""
    lines = [
        "arviz<1,>=0.23; python_version < '3.12'",
        "arviz<2,>=1.1; python_version >= '3.12'",
        "filelock>=4.2.1",
        "pyarrow>=15; extra == 'parquet'",
        "pytensor",
    ]

    assert [str(found) for found in parse(lines, python="3.11")] == [
        "arviz<1,>=0.23",
        "filelock>=4.2.1",
        "pytensor",
    ]
    assert "arviz<2,>=1.1" in map(str, parse(lines, python="3.12"))


def test_what_this_package_needs_is_known_and_installed_here():
    """Whoever runs these tests has it all."""
    needed = {requirement.name: requirement for requirement in requirements()}

    assert {"pymc", "jax", "filelock", "submitit", "h5netcdf"} <= set(needed)
    assert needed["filelock"].bounds == ">=4.2.1"
    assert all(found.allows(found.installed or "0") for found in needed.values())


def test_a_package_that_is_missing_or_too_old_is_a_problem(tmp_path, monkeypatch):
    """With the line to type."""
    wanted = [
        Requirement(name="no-such-package", bounds=">=2"),
        Requirement(name="pytest", bounds=">=1000"),
    ]
    monkeypatch.setattr(machine, "requirements", lambda: wanted)

    versions, missing, old = machine.packages(a_setting(tmp_path))

    assert versions.verdict is Verdict.OK
    assert platform.python_version() in versions.says
    assert (missing.verdict, missing.help) == (
        Verdict.PROBLEM,
        'pip install "no-such-package>=2"',
    )
    assert old.verdict is Verdict.PROBLEM
    assert ">=1000 is needed" in old.says


def test_a_profile_with_its_own_python_is_said_to_have_one(tmp_path):
    """The versions that are shown are those of another one."""
    there = a_setting(tmp_path, f"executor: local\npython: {Path('/bin/sh')}\n")
    missing = a_setting(tmp_path, "executor: local\npython: /no/such/python\n")

    assert [check.verdict for check in machine.python_of_tasks(there)] == [Verdict.OK]
    assert [check.verdict for check in machine.python_of_tasks(missing)] == [Verdict.WARNING]


# -- compilers --------------------------------------------------------------------------------------------------------


def test_without_a_compiler_only_engine_pymc_suffers(tmp_path, monkeypatch):
    """And only where PyTensor compiles to C."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(Requirement, "installed", "2.38.3")
    [before_3] = machine.compiler(a_setting(tmp_path))
    monkeypatch.setattr(Requirement, "installed", "3.0.1")
    [from_3_on] = machine.compiler(a_setting(tmp_path))

    assert before_3.verdict is Verdict.WARNING
    assert "module load gcc" in (before_3.help or "")
    assert from_3_on.verdict is Verdict.OK


def test_the_compiler_that_pytensor_was_told_to_use_counts(tmp_path, monkeypatch):
    """$PYTENSOR_FLAGS."""
    compiler = tmp_path / "my-g++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(Requirement, "installed", "2.38.3")
    monkeypatch.setattr(machine.sysconfig, "get_path", lambda name: str(tmp_path))
    (tmp_path / "Python.h").touch()

    [check] = machine.compiler(a_setting(tmp_path, PYTENSOR_FLAGS=f"floatX=float64,cxx={compiler}"))

    assert (check.verdict, str(compiler) in check.says) == (Verdict.OK, True)


# -- scratch ----------------------------------------------------------------------------------------------------------


def test_scratch_is_where_the_profiles_words_lead_here(tmp_path, monkeypatch):
    """Expanded, tried, and left as it was."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("MY_DISK", str(scratch))

    [check] = machine.scratch(a_setting(tmp_path, "executor: local\nscratch: $MY_DISK\n"))

    assert str(scratch) in check.says
    assert check.verdict is not Verdict.PROBLEM
    assert list(scratch.iterdir()) == []


def test_scratch_that_cannot_be_written_is_a_problem_here_and_a_warning_for_a_cluster(tmp_path):
    """The nodes may have it, the login node need not."""
    file = tmp_path / "file"
    file.touch()
    verdicts = []
    for executor in ("local", "slurm"):
        setting = a_setting(tmp_path, f"executor: {executor}\nscratch: {file}\n")
        verdicts += [check.verdict for check in machine.scratch(setting)]

    assert verdicts == [Verdict.PROBLEM, Verdict.WARNING]


def test_scratch_that_is_not_there_yet_is_tried_above(tmp_path):
    """Tasks make it; doctor does not."""
    scratch = tmp_path / "a" / "b"

    [check] = machine.scratch(a_setting(tmp_path, f"executor: local\nscratch: {scratch}\n"))

    assert "not there yet" in check.says
    assert not (tmp_path / "a").exists()


# -- mounts -----------------------------------------------------------------------------------------------------------


def test_a_folder_is_on_the_longest_mount_above_it():
    """/proc is one of its own on every Linux."""
    assert mount_of(Path("/proc/self")) is not None
    assert getattr(mount_of(Path("/proc/self")), "kind", None) == "proc"
    assert getattr(mount_of(Path("/")), "point", None) == "/"


@pytest.mark.parametrize(
    ("kind", "is_shared"),
    [
        ("nfs4", True),
        ("lustre", True),
        ("fuse.sshfs", True),
        ("gpfs", True),
        ("cifs", True),
        ("ext4", False),
        ("tmpfs", False),
        ("overlay", False),
        ("fuseblk", False),
    ],
)
def test_file_systems_that_computers_share_are_known(kind, is_shared):
    """By name."""
    assert Mount(point="/lab", kind=kind).is_shared is is_shared
