"""`doctor` through the real command line, on this computer; SLURM's answers where it matters are recorded ones."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import a_sweep
from tests.executors.slurm_answers import a_slurm_that_says


def test_this_computer_has_no_problem(study: Path, pytau_hpc_cli):
    """One line a check, a mark each, the sum at the end; nothing is left behind."""
    before = sorted(study.iterdir())

    done = pytau_hpc_cli("doctor", "--profile", "local", check=True)

    *checks, last = done.stdout.splitlines()
    assert all(re.match(r"([✓!] |  help: )", line) for line in checks)
    marked = [line[2:] for line in checks if not line.startswith("  help: ")]
    says = (
        r"Python \d.* pytau_hpc ",
        r"(no )?C\+\+ compiler\b",
        r"profile local \(built in\): local; a task asks for 1 CPU, 4 GiB, 01:00:00",
        r"scratch /",
        rf"{re.escape(str(study))} .*is writable; hard links, renames, exclusive creation work",
        r"a lock of one process keeps another one out",
        r"this computer's clock |the file server's clock ",
        r"[\d.]+ GiB free",
    )
    unsaid = [words for words in says if not any(re.match(words, line) for line in marked)]
    assert unsaid == []
    assert re.fullmatch(r"no problems|\d+ warnings?", last)
    assert sorted(study.iterdir()) == before
    assert done.stderr == ""


def test_a_problem_ends_with_exit_code_1(pytau_hpc_cli):
    """Here a profile that there is not."""
    done = pytau_hpc_cli("doctor", "--profile", "nowhere")

    assert done.returncode == 1
    assert "✗ there is no profile `nowhere`" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 problem")


def test_every_problem_of_a_profile_is_a_line(study: Path, pytau_hpc_cli):
    """With its place and what to do."""
    (study / "bad.yaml").write_text(
        "executor: slrum\nlimits: {mem_gb: -1}\nprologue: module load x\n"
    )

    done = pytau_hpc_cli("doctor", "--profile", "./bad.yaml", "--json")

    document = json.loads(done.stdout)
    wrong = [check for check in document["checks"] if check["name"] == "profile"]
    assert [re.search(r"bad\.yaml:(\d)", check["says"])[1] for check in wrong] == ["1", "2", "3"]
    assert wrong[0]["help"] == "did you mean `slurm`?"
    assert document["problems"] == 3


def test_the_document_counts_what_is_in_it(pytau_hpc_cli):
    """schema, problems, warnings, checks."""
    done = pytau_hpc_cli("doctor", "--profile", "local", "--json", check=True)

    document = json.loads(done.stdout)
    verdicts = [check["verdict"] for check in document["checks"]]
    assert document["schema"] == "pytau-hpc/doctor/1"
    assert (document["problems"], document["warnings"]) == (
        verdicts.count("problem"),
        verdicts.count("warning"),
    )
    assert {"packages", "profile", "scratch", "file system", "locks", "clock", "space"} <= {
        check["name"] for check in document["checks"]
    }


def test_a_sweep_is_looked_at_with_what_its_spec_asks_for(study: Path, pytau_hpc_cli):
    """Its folder, its resources, the profile that it names."""
    sweep = a_sweep(study)

    done = pytau_hpc_cli("doctor", sweep.dir.name, "--profile", "local", check=True)

    assert f"a task of sweep {sweep.dir.name} asks for" in done.stdout
    assert f"{sweep.dir.path} " in done.stdout
    assert list(sweep.dir.path.glob(".pytau*")) == []


def test_a_sweep_that_there_is_not_is_a_mistake(pytau_hpc_cli):
    """Nothing is examined."""
    done = pytau_hpc_cli("doctor", "nowhere")

    assert (done.returncode, done.stdout) == (2, "")
    assert "no sweep `nowhere`" in done.stderr


def test_a_damaged_plan_is_a_problem(study: Path, pytau_hpc_cli):
    """The rest is looked at all the same."""
    sweep = a_sweep(study)
    (sweep.dir.path / "manifest.yaml").write_text("{")
    for path in sweep.dir.revisions.rglob("manifest.yaml"):
        path.chmod(0o644)
        path.write_text("{")

    done = pytau_hpc_cli("doctor", sweep.dir.name, "--profile", "local")

    assert done.returncode == 1
    assert "✗" in done.stdout
    assert "a lock of one process keeps another one out" in done.stdout


def test_without_slurm_a_profile_for_slurm_is_a_problem(tmp_path: Path, pytau_hpc_cli, monkeypatch):
    """And what to do about it is said."""
    monkeypatch.setenv("PATH", str(tmp_path))

    done = pytau_hpc_cli("doctor", "--profile", "slurm")

    assert done.returncode == 1
    assert "SLURM's commands are not on the PATH: sbatch, srun, squeue, scancel" in done.stdout


def test_a_controller_that_does_not_answer_is_a_problem_in_its_own_words(
    tmp_path: Path, pytau_hpc_cli, monkeypatch
):
    """Nothing else is asked then."""
    silent = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    a_slurm_that_says(tmp_path / "bin", monkeypatch, squeue=f"echo '{silent}' >&2; exit 1")

    done = pytau_hpc_cli("doctor", "--profile", "slurm")

    assert done.returncode == 1
    assert f"✗ SLURM does not answer: {silent}" in done.stdout
    assert "partition" not in done.stdout.split("does not answer")[1]


def test_a_cluster_is_looked_at_through_its_own_commands(
    study: Path, tmp_path: Path, pytau_hpc_cli, monkeypatch
):
    """Partition, account, limits, accounting."""
    a_slurm_that_says(tmp_path / "bin", monkeypatch)
    (study / "big.yaml").write_text("executor: slurm\ndefaults: {mem_gb: 64, time: '2:00:00'}\n")

    done = pytau_hpc_cli("doctor", "--profile", "./big.yaml")

    assert done.returncode == 1
    assert "✓ SLURM 22.05.8 answers: cluster pytautest" in done.stdout
    assert "✗ tasks ask for 64 GiB" in done.stdout
    assert "✗ tasks ask for 02:00:00" in done.stdout
    assert "✓ accounting works" in done.stdout


@pytest.mark.parametrize(
    ("config", "mark"), [("slurmdbd", "! accounting is on"), ("none", "✓ accounting is off")]
)
def test_accounting_is_not_needed(config, mark, tmp_path: Path, pytau_hpc_cli, monkeypatch):
    """Recorded where it was switched off."""
    a_slurm_that_says(
        tmp_path / "bin",
        monkeypatch,
        config=f"AccountingStorageType = accounting_storage/{config}\n",
        sacct="echo 'Slurm accounting storage is disabled' >&2; exit 1",
        sacctmgr="echo 'You are not running a supported accounting_storage plugin' >&2; exit 1",
    )

    done = pytau_hpc_cli("doctor", "--profile", "slurm", check=True)

    assert mark in done.stdout


def test_it_loads_nothing_heavy(study: Path):
    """Versions are read, packages are not imported."""
    program = (
        "import sys; from pytau_hpc.cli.app import run; code = run(['doctor', '-p', 'local']);"
        "heavy = {'numpy', 'pandas', 'pymc', 'pytensor', 'jax', 'arviz', 'h5py', 'xarray'};"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=study, capture_output=True, text=True, check=True
    )

    assert done.stderr.strip() == "[]"


def test_a_command_of_slurm_that_hangs_does_not_hang_it(tmp_path: Path, monkeypatch, study: Path):
    """Its time limit ends it."""
    a_slurm_that_says(tmp_path / "bin", monkeypatch, squeue="exec sleep 600")
    program = (
        "from pytau_hpc.executors import cluster; cluster.ask.__kwdefaults__['timeout_s'] = 0.5;"
        "from pytau_hpc.cli.app import run; raise SystemExit(run(['doctor', '-p', 'slurm']))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=study,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 1
    assert "squeue took longer than" in done.stdout
