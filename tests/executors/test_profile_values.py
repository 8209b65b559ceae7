"""Nothing that a shell, a batch file or a path could take for something else gets past a name or a value of a profile.

Every field with every bad value. `end_to_end/test_bad_names.py` tries the same through the command line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytau_hpc.errors import ProfileInvalid, UserError
from pytau_hpc.executors.profile import find_profile, read_profile
from pytau_hpc.executors.profile_fields import ProfileFile, Slurm

#: What is tried everywhere. The command, if it ever ran, would leave a file.
BAD = {
    "newline": "a\nb",
    "carriage return": "a\rb",
    "nul": "a\0b",
    "escape": "a\x1b[2Jb",
    "line separator": "a\u2028b",
    "semicolon": "a;touch canary",
    "substitution": "$(touch canary)",
    "backquote": "`touch canary`",
    "parent": "../a",
    "parent inside": "/tmp/../a",
}
#: What is wrong only where one word is asked for.
BAD_WORDS = {"dash": "-a", "space": "a b", "pipe": "a|b", "ampersand": "a&b", "quote": "a'b"}

#: Each text of a profile: the profile that holds a value there, and where the problem is then.
FIELDS: dict[str, tuple[Callable[[str], dict[str, Any]], str]] = {
    "account": (lambda value: {"slurm": {"account": value}}, "slurm.account"),
    "partition": (lambda value: {"slurm": {"partition": value}}, "slurm.partition"),
    "qos": (lambda value: {"slurm": {"qos": value}}, "slurm.qos"),
    "extra": (lambda value: {"slurm": {"extra": [f"--comment={value}"]}}, "slurm.extra[0]"),
    "extra's name": (lambda value: {"slurm": {"extra": [f"--{value}"]}}, "slurm.extra[0]"),
    "scratch": (lambda value: {"scratch": value}, "scratch"),
    "scratch, inside": (lambda value: {"scratch": f"/tmp/{value}"}, "scratch"),
    "python": (lambda value: {"python": value}, "python"),
    "python, inside": (lambda value: {"python": f"/opt/{value}/bin/python"}, "python"),
    "env": (lambda value: {"env": {"NAME": value}}, "env.NAME"),
    "env's name": (lambda value: {"env": {value: "x"}}, "env"),
    "description": (lambda value: {"description": value}, "description"),
    "prologue": (lambda value: {"prologue": [value]}, "prologue[0]"),
    "executor": (lambda value: {"executor": value}, "executor"),
    "time": (lambda value: {"limits": {"time": value}}, "limits.time"),
    "default time": (lambda value: {"defaults": {"time": value}}, "defaults.time"),
    "retry": (lambda value: {"retry": {"failures": value}}, "retry.failures"),
}
#: Prologue lines are shell: only what would make two of one is refused.
SHELL = {"newline", "carriage return", "nul"}
#: Free text, or text that follows `NAME=`.
FREE = {"env", "description"}
#: A dash in the middle is no beginning of an option, and one in front of an option's value is not, either.
INSIDE = {"scratch, inside", "python, inside", "extra", "extra's name"}


def cases() -> list[tuple[str, str]]:
    found = []
    for field in FIELDS:
        bad = {name for name in BAD if field != "prologue" or name in SHELL}
        words = set() if field in (*FREE, "prologue") else set(BAD_WORDS)
        if field in INSIDE:
            words -= {"dash"}
        if field == "extra":
            words -= {"space"}  # sbatch gets it in quotes
        found += [(field, name) for name in sorted(bad | words)]
    return found


def profile_text(values: dict[str, Any]) -> str:
    """JSON is YAML, and can hold any character."""
    return json.dumps({"executor": "slurm", **values})


@pytest.mark.parametrize(("field", "name"), cases())
def test_no_dangerous_value_gets_past_any_field(tmp_path: Path, field: str, name: str):
    """It is named at its address."""
    make, address = FIELDS[field]
    path = tmp_path / "bad.yaml"
    path.write_text(profile_text(make({**BAD, **BAD_WORDS}[name])))

    with pytest.raises(ProfileInvalid) as caught:
        read_profile(path)

    places = [problem.path for problem in caught.value.problems]
    assert any(place == "" or place.startswith(address) for place in places), places


def test_every_text_of_a_profile_is_in_the_table():
    """A field that is added has to be checked, too."""
    numbers = {"limits", "defaults", "retry"}
    fields = {*ProfileFile.model_fields, *Slurm.model_fields} - numbers - {"slurm"}

    assert fields <= set(FIELDS)


@pytest.mark.parametrize(
    "values",
    [
        {"env": {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "EMPTY": "", "A": "x=$B y"}},
        {"description": "Ours (GPU nodes, n417-n420): ask Max & Ada!"},
        {"prologue": ['eval "$(conda shell.bash hook)"; conda activate x', "cd ../x || exit"]},
        {"slurm": {"account": "katz-lab", "partition": "a,b", "extra": ["--comment=two words"]}},
        {"python": "/opt/envs/py3.11+mkl/bin/python3"},
        {"python": "python3.11"},
        {"scratch": "${SCRATCH}/x"},
    ],
    ids=lambda values: next(iter(values)),
)
def test_what_people_need_is_let_through(tmp_path: Path, values: dict[str, Any]):
    path = tmp_path / "good.yaml"
    path.write_text(profile_text(values))

    kept = read_profile(path).to_json()

    for key, value in values.items():
        if key == "slurm":
            assert {**kept[key], **value} == kept[key]
        elif key != "description":
            assert kept[key] == value


@pytest.mark.parametrize("option", ["--arr=0-5", "--outp=x", "--wra=x", "--mem-per=1", "--nodes=2"])
def test_a_shortened_option_is_the_option(tmp_path: Path, option: str):
    """sbatch reads options by their beginning."""
    path = tmp_path / "bad.yaml"
    path.write_text(profile_text({"slurm": {"extra": [option]}}))

    with pytest.raises(ProfileInvalid, match="must not set --"):
        read_profile(path)


@pytest.mark.parametrize("name", ["a;b", "$(x)", "`x`", "-a", "a b", "..a..", "a\nb"])
def test_the_file_of_a_profile_has_a_plain_name(tmp_path: Path, name: str):
    """Its name is written into every submission."""
    path = tmp_path / f"{name}.yaml"
    path.write_text(profile_text({}))

    with pytest.raises(UserError, match="name of a profile"):
        find_profile(str(path), environ={})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--exclude"], "must name nodes"),
        (["--exclud=n1"], "must name nodes"),
        (["--exclude=n1", "--exclude=n2"], "more than once"),
        (["--gres=gpu:1", "--gres=gpu:2"], "more than once"),
    ],
)
def test_options_that_bad_nodes_could_not_be_added_to_are_refused(tmp_path: Path, options, words):
    """And of one that is said twice, sbatch would take only the last."""
    path = tmp_path / "bad.yaml"
    path.write_text(profile_text({"slurm": {"extra": options}}))

    with pytest.raises(ProfileInvalid, match=words):
        read_profile(path)
