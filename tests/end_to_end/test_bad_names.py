"""Names and values that could do harm are refused by the commands before anything is written or run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.executors.test_profile_values import BAD, BAD_WORDS, FIELDS, SHELL, profile_text
from tests.toy_sweep import SPEC, Toy

NAMES = ["a;touch canary", "$(touch canary)", "`touch canary`", "-a", "a b", "a\nb"]


def everything_in(folder: Path) -> dict[str, bytes]:
    """Every file and folder but the ledger, an index that any command may make anew."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if not path.name.startswith("ledger.")
    }


def problems_of(sweep: Toy, *words: str) -> set[str]:
    """Run a command that must refuse; returns the addresses of the problems."""
    said = json.loads(sweep.run(*words, "--json", ok=(2,)).stdout)["error"]
    return {problem["path"] for problem in said["problems"]}


def test_submit_refuses_values_of_a_profile_before_anything_is_written_or_run(toy, tmp_path):
    """All fields at once are bad, and each is named."""
    sweep = toy(sessions=1)
    profile = tmp_path / "bad.yaml"
    before = everything_in(sweep.study)
    for name, bad in BAD.items():
        fields = [field for field in FIELDS if field not in ("env's name", "executor")]
        fields = [field for field in fields if field != "prologue" or name in SHELL]
        values: dict[str, Any] = {}
        for field in fields:
            for key, value in FIELDS[field][0](bad).items():
                both = isinstance(values.get(key), dict)
                values[key] = {**values[key], **value} if both else value
        profile.write_text(profile_text(values))

        found = problems_of(sweep, "submit", "--profile", str(profile), "--yes")

        assert found == {FIELDS[field][1] for field in fields}, name
        assert everything_in(sweep.study) == before, name
    assert not list(tmp_path.rglob("canary"))


def test_submit_refuses_names_of_profiles_wherever_they_stand(toy, tmp_path):
    """On the command line, as a file, in the environment."""
    sweep = toy(sessions=1)
    (sweep.study / "jobs").mkdir()
    for name in NAMES:
        (sweep.study / "jobs" / f"{name}.yaml").write_text("executor: local\n")
    before = everything_in(sweep.study)

    for name in NAMES:
        sweep.run("submit", "--profile", name, ok=(2,))
    sweep.run("submit", "--profile", f"jobs/{NAMES[0]}.yaml", ok=(2,))
    sweep.environment["PYTAU_HPC_PROFILE"] = NAMES[1]
    sweep.run("submit", ok=(2,))

    assert everything_in(sweep.study) == before
    assert not list(tmp_path.rglob("canary"))


@pytest.mark.parametrize("name", [*BAD, *BAD_WORDS])
def test_plan_refuses_names_before_anything_is_written(study, tmp_path, name):
    """Those of the sweep, of its profile, of a session and of an animal."""
    bad = json.dumps({**BAD, **BAD_WORDS}[name])
    text = SPEC.format(
        sessions=1, repeat=1, iterations=1, sleep_s=0, checkpoint_s=1, grace_s=1, points_per_task=1,
        more=f"profile: {bad}",
    ).splitlines()  # fmt: skip
    text[0] = f"name: {bad}"
    text[1] = f"data: {{format: npy, sessions: [{{path: x.npy, session: {bad}, animal: {bad}}}]}}"
    (study / "toy.yaml").write_text("\n".join(text))
    before = everything_in(study)
    sweep = Toy(study, {**os.environ, "PYTAU_HPC_PLUGINS": "tests.toy"})

    found = problems_of(sweep, "plan", "toy.yaml")

    assert found >= {"name", "profile", "data.sessions[0].session", "data.sessions[0].animal"}
    assert everything_in(study) == before
    assert not list(tmp_path.rglob("canary"))


def test_no_command_takes_such_a_name_for_a_sweep(toy, tmp_path):
    sweep = toy(sessions=1)
    before = everything_in(tmp_path)

    for command in ("submit", "resume", "status"):
        for name in ("$(touch canary)", "../toy", "a\nb"):
            sweep.run(command, name, ok=(2,))

    assert everything_in(tmp_path) == before
