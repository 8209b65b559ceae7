"""What a file system can do, tried on the one that the tests run on, and on one that is made to refuse."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytau_hpc.cli.app import run
from pytau_hpc.errors import PytauHpcError
from pytau_hpc.probe import (
    Found,
    Locking,
    NoAnswer,
    Publishing,
    check_publishing,
    how_to_publish,
    probe,
    probe_elsewhere,
)
from tests.builders import a_sweep


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
    """Such file systems cannot be mounted by a test."""

    def fail(*paths: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, fail)


def test_a_local_file_system_can_do_everything_and_nothing_is_left(tmp_path):
    """Tried in this process."""
    found = probe(tmp_path)

    assert found == Found(
        exclusive=True,
        publishing=Publishing.LINK,
        replaces=True,
        syncs=True,
        locking=Locking.WORKS,
        clock_ahead_s=found.clock_ahead_s,
    )
    assert abs(found.clock_ahead_s) < 5
    assert list(tmp_path.iterdir()) == []


def test_another_process_finds_the_same(tmp_path):
    """From whatever folder it is started."""
    assert probe_elsewhere(tmp_path).publishing is Publishing.LINK
    assert list(tmp_path.iterdir()) == []


def test_as_a_program_it_prints_json(tmp_path):
    """For a look at the nodes: srun python -m pytau_hpc.probe FOLDER."""
    done = subprocess.run(
        [sys.executable, "-m", "pytau_hpc.probe", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout)["publishing"] == "link"


def test_a_folder_that_cannot_be_written_is_no_answer(tmp_path):
    """In the words of the system."""
    with pytest.raises(NoAnswer, match="No such file"):
        probe_elsewhere(tmp_path / "nowhere")
    with pytest.raises(PytauHpcError, match="cannot write in"):
        how_to_publish(tmp_path / "nowhere")


def test_a_file_system_that_hangs_is_left_alone(tmp_path, monkeypatch):
    """The process that hangs there is not waited for."""
    program = tmp_path / "hangs"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))

    with pytest.raises(NoAnswer, match="did not answer"):
        probe_elsewhere(tmp_path, timeout_s=0.2)


def test_the_clock_of_the_files_is_compared_with_ours(tmp_path):
    """A minute slow here is a minute ahead there."""
    found = probe(tmp_path, clock=lambda: time.time() - 60)
    assert 50 < found.clock_ahead_s < 70

    found = probe(tmp_path, clock=lambda: time.time() + 60)
    assert -70 < found.clock_ahead_s < -50


def test_without_hard_links_results_are_published_by_renames(tmp_path, monkeypatch):
    """And where those replace what is there, not at all."""
    refuse(monkeypatch, "link", errno.EPERM)

    assert how_to_publish(tmp_path) is Publishing.CLAIM

    refuse(monkeypatch, "rename", errno.EPERM)
    assert how_to_publish(tmp_path) is Publishing.NONE


WITHOUT_LINKS = """\
import errno, os, sys
from pytau_hpc.cli.app import run

def refuse(*paths):
    raise OSError(errno.EPERM, "Operation not permitted")

os.link = refuse
for words in (["plan", "toy.yaml"], ["submit", "toy", "--profile", "./inline.yaml"]):
    code = run(words)
sys.exit(code)
"""


def test_submit_says_that_there_are_no_hard_links_and_works(study: Path):
    """A whole sweep, in one process so that the missing link reaches the fits; each result there once."""
    (study / "inline.yaml").write_text("executor: inline\n")
    (study / "toy.yaml").write_text(
        "name: toy\n"
        "data: {format: synthetic, sessions: 1, tastes: 1, trials: 4, neurons: 3, n_states: 2}\n"
        "grid: {window_ms: [[0, 500]], bin_ms: [50], model: [single_taste_poisson], n_states: [2, 3]}\n"
        "fit: {method: toy, iterations: 2}\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LINKS],
        cwd=study,
        env={**os.environ, "PYTAU_HPC_PLUGINS": "tests.toy"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "has no hard links; results are published by renames" in done.stderr
    assert len(list((study / "models").rglob("model_*.nc"))) == 2
    assert [path.name for path in study.rglob(".*claim*")] == []


def test_submit_sends_nothing_where_results_could_not_be_published(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """It says so before anything is written."""
    sweep = a_sweep(study)
    monkeypatch.chdir(study)
    refuse(monkeypatch, "link", errno.EPERM)
    refuse(monkeypatch, "rename", errno.EPERM)

    assert run(["submit", sweep.dir.name, "--profile", "local", "--yes"]) == 1

    assert "can publish no results" in capsys.readouterr().err
    assert not sweep.dir.submissions.exists()
    assert [path.name for path in sweep.dir.path.glob(".pytau*")] == []


def test_results_on_another_file_system_are_looked_at_too(study: Path, monkeypatch):
    """models/ may be a link to a larger disk."""
    other = Path("/dev/shm")
    if not os.access(other, os.W_OK) or os.stat(other).st_dev == os.stat(study).st_dev:
        pytest.skip("there is no second file system here")
    sweep = a_sweep(study)
    (study / "models").symlink_to(other)
    refuse(monkeypatch, "link", errno.EPERM)

    assert len(check_publishing(sweep.dir)) == 2
