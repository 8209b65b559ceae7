"""Mistakes in the spec, and data that change under a sweep."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from pytau_hpc.data.synthetic import write_blech_session
from tests.toy_sweep import Toy

SESSIONS = ("AN01_toy_260101_101500", "AN02_toy_260102_101500")

SPEC = """\
name: real_files
data: {format: blech_hdf5, sessions: ["data/*"]}
grid:
  taste: [0, 1]
  region: [gc]
  window_ms: [[0, 1000]]
  bin_ms: [100]
  model: [single_taste_poisson]
  n_states: [2, 3]
fit: {method: toy}
"""

SIX_MISTAKES = """\
name: bad
data: {format: blech_hdf, sessions: ["data/*"]}
grid:
  taste: [0]
  window_ms: [2000, 4000]
  bin_ms: [0]
  model: [single_taste_poison]
  n_state: [2, 3]
resources: {time: forever}
"""


@pytest.fixture
def sweep(study, tmp_path) -> Toy:
    """Two sessions on disk, planned."""
    for seed, name in enumerate(SESSIONS):
        write_blech_session(
            study / "data" / name,
            seed=seed,
            tastes=2,
            trials=5,
            regions={"gc": 3},
            duration_ms=1000,
            window_ms=(0, 1000),
        )
    (study / "real_files.yaml").write_text(SPEC)
    environment = {
        **os.environ,
        "PYTAU_HPC_PLUGINS": "tests.toy",
        "PYTAU_HPC_PROFILE": "local",
        "PYTAU_HPC_SCRATCH": str(tmp_path),
    }
    planned = Toy(study, environment, name="real_files")
    planned.run("plan", "real_files.yaml")
    return planned


def test_six_mistakes_give_six_messages_and_write_nothing(study):
    """All at once, each with its line; exit code 2."""
    (study / "bad.yaml").write_text(SIX_MISTAKES)

    done = subprocess.run(
        [sys.executable, "-m", "pytau_hpc", "plan", "bad.yaml"],
        cwd=study,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    assert "bad.yaml has 6 problems" in done.stderr
    for place in (
        "bad.yaml:2:",
        "bad.yaml:5:",
        "bad.yaml:6:",
        "bad.yaml:7:",
        "bad.yaml:8:",
        "bad.yaml:9:",
    ):
        assert place in done.stderr
    assert "did you mean `n_states`?" in done.stderr
    assert "[[2000, 4000]]" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(study) == ["bad.yaml"]


def test_a_session_that_vanishes_after_plan_fails_its_own_points_alone(sweep):
    """`bad_input`, never tried again by itself, and the message names the session."""
    shutil.rmtree(sweep.study / "data" / SESSIONS[0])

    sweep.run("submit", "-j", "2", ok=(3,))

    assert sweep.counts() == {"succeeded": 4, "failed": 4}
    rows = sweep.rows("SELECT session, kind, message FROM point WHERE state = 'failed'")
    assert {(session, kind) for session, kind, _ in rows} == {(SESSIONS[0], "bad_input")}
    assert all("vanished" in message for *_, message in rows)
    assert "Nothing to send" in sweep.run("resume").stdout


def test_data_that_change_after_plan_are_not_fitted(sweep):
    """The digest of what was planned is checked again."""
    folder = sweep.study / "data" / SESSIONS[1]
    shutil.rmtree(folder)
    write_blech_session(
        folder,
        seed=99,
        tastes=2,
        trials=5,
        regions={"gc": 3},
        duration_ms=1000,
        window_ms=(0, 1000),
    )

    sweep.run("submit", "-j", "1", ok=(3,))

    rows = sweep.rows("SELECT session, kind, message FROM point WHERE state = 'failed'")
    assert {(session, kind) for session, kind, _ in rows} == {(SESSIONS[1], "bad_input")}
    assert all("changed since plan" in message for *_, message in rows)


def test_planning_again_after_the_data_came_back_makes_the_points_new(sweep):
    """The new data are other fits: the plan says so, and submit sends them."""
    folder = sweep.study / "data" / SESSIONS[1]
    sweep.run("submit", "-j", "2")
    shutil.rmtree(folder)
    write_blech_session(
        folder,
        seed=99,
        tastes=2,
        trials=5,
        regions={"gc": 3},
        duration_ms=1000,
        window_ms=(0, 1000),
    )

    plan = sweep.run("plan", "real_files.yaml")
    sweep.run("submit", "-j", "2")

    assert "4  new" in plan.stdout
    assert sweep.counts() == {"succeeded": 8}
    assert len(sweep.results()) == 12
