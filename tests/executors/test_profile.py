"""Profiles: found by name, checked as a whole, and nothing dangerous reaches the scheduler."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytau_hpc.errors import ProfileInvalid, UserError
from pytau_hpc.executors.profile import BUILT_IN, Profile, find_profile, list_profiles, read_profile
from pytau_hpc.sweep.resources import Request

CLUSTER = """\
description: ours
executor: slurm
slurm: {account: katz-lab, partition: guest-compute, qos: null, extra: ["--exclude=n[417-420]", --exclusive]}
defaults: {cpus: 1, mem_gb: 4, time: "01:00:00", points_per_task: auto}
limits: {max_running_tasks: 50, max_array_size: null, mem_gb: 128, time: "2-00:00:00"}
prologue: ["module load miniconda", "source activate pytau"]
env: {OMP_NUM_THREADS: 1, NAME: "a b"}
scratch: $TMPDIR
"""


def a_profile(folder: Path, text: str = CLUSTER, name: str = "brandeis") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def problems_of(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    with pytest.raises(ProfileInvalid) as caught:
        read_profile(a_profile(tmp_path, text))
    return [(problem.path, problem.message) for problem in caught.value.problems]


@pytest.fixture
def here(study: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(study)
    return study


def test_a_full_profile_is_read(tmp_path: Path):
    """Every part of it."""
    profile = read_profile(a_profile(tmp_path))

    assert (profile.name, profile.executor) == ("brandeis", "slurm")
    assert profile.slurm.extra == ["--exclude=n[417-420]", "--exclusive"]
    assert profile.defaults == Request(cpus=1, mem_gb=4, time_min=60, points_per_task="auto")
    assert profile.limits.max_running_tasks == 50
    assert profile.retry_caps() == {"max_mem_gb": 128, "max_time_min": 2880}
    assert profile.env == {"OMP_NUM_THREADS": "1", "NAME": "a b"}
    assert profile.to_json()["limits"]["time"] == "2-00:00:00"
    assert profile.to_json()["slurm"]["account"] == "katz-lab"


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_profile_is_valid(name: str, here: Path):
    """They need no file."""
    profile = find_profile(name, environ={})

    assert (profile.name, profile.executor, profile.path) == (name, name, None)
    assert profile.retry_caps() == {}


def test_the_command_line_wins_over_the_environment_and_that_over_the_spec(here: Path):
    """The last word is the nearest."""
    for name in ("a", "b", "c"):
        a_profile(here / "jobs", "executor: local\n", name)

    def name_of(asked: str | None, spec: str | None, **environ: str) -> str:
        return find_profile(asked, spec, environ={"PATH": "", **environ}).name

    assert name_of("a", "c", PYTAU_HPC_PROFILE="b") == "a"
    assert name_of(None, "c", PYTAU_HPC_PROFILE="b") == "b"
    assert name_of(None, "c") == "c"
    assert name_of(None, None) == "local"


def test_slurm_is_used_where_it_is_installed_and_nobody_says(here: Path, tmp_path: Path):
    """A cluster's login node is for sending, not for computing."""
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\n")
    sbatch.chmod(0o755)

    assert find_profile(environ={"PATH": str(sbatch.parent)}).name == "slurm"


def test_names_are_searched_from_the_nearest_folder_to_the_site(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """./jobs, the study's jobs, the user's folder, the site's, built in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "site"))
    elsewhere = tmp_path / "elsewhere"
    folders = [
        here / "jobs",
        elsewhere / "jobs",
        tmp_path / "user/pytau_hpc/profiles",
        tmp_path / "site/pytau_hpc/profiles",
    ]
    for folder in reversed(folders):
        a_profile(folder, "executor: inline\n", "local")
        found = find_profile("local", study=elsewhere, environ={})
        assert found.path == folder / "local.yaml"

    assert [one.name for one in list_profiles(elsewhere)] == ["local", "slurm"]


def test_a_file_is_named_by_its_path(here: Path, tmp_path: Path):
    """Absolute, from here, or from the study."""
    path = a_profile(tmp_path / "x")
    assert find_profile(str(path), environ={}).path == path
    assert find_profile(os.path.relpath(path), environ={}).name == "brandeis"
    assert find_profile("x/brandeis.yaml", study=tmp_path, environ={}).path == path
    with pytest.raises(UserError, match="there is no file"):
        find_profile("none.yaml", environ={})


def test_an_unknown_name_lists_those_that_are_known(here: Path):
    """With a guess."""
    with pytest.raises(
        UserError, match="there is no profile `slrum`; there is local, slurm"
    ) as caught:
        find_profile("slrum", environ={})

    assert caught.value.help == "did you mean `slurm`?"


@pytest.mark.parametrize(
    "value",
    [
        "a\nb",
        "a;b",
        "$(touch pwned)",
        "`touch pwned`",
        "a|b",
        "a&b",
        "a>b",
        "../up",
        "a'b",
        'a"b',
        "a\\b",
        "$HOME",
        "a b",
        "-p",
        "",
        "\u00a0",
        "x" * 300,
        "a\x00b",
    ],
)
@pytest.mark.parametrize("key", ["account", "partition", "qos"])
def test_no_character_that_a_shell_could_use_reaches_the_scheduler(
    tmp_path: Path, key: str, value: str
):
    """Only plain words."""
    import json

    [(path, _)] = problems_of(
        tmp_path, f"executor: slurm\nslurm: {{{key}: {json.dumps(value)}}}\n"
    )[:1]

    assert path in (f"slurm.{key}", "")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--exclude=a;b", "must not reach the scheduler"),
        ("--comment=$(x)", "must not reach the scheduler"),
        ("--exclude=../x", "must not reach the scheduler"),
        ("--exclude=a\\nb", "must not reach the scheduler"),
        ("-p long", "one option of sbatch"),
        ("exclude", "one option of sbatch"),
        ("--exclude=a --wrap=b\\n", "must not reach the scheduler"),
        ("--wrap=x", "must not set --wrap"),
        ("--array=0-5", "must not set --array"),
        ("--output=x", "must not set --output"),
        ("--export=ALL", "must not set --export"),
        ("--partition=long", "must not set --partition"),
        ("--time=5", "must not set --time"),
    ],
)
def test_extra_options_are_one_each_and_not_ours(tmp_path: Path, option: str, words: str):
    """What pytau_hpc sets itself cannot be set again."""
    [(path, message)] = problems_of(tmp_path, f'executor: slurm\nslurm: {{extra: ["{option}"]}}\n')

    assert path == "slurm.extra[0]"
    assert words in message


@pytest.mark.parametrize(
    ("line", "path", "words"),
    [
        ("executor: slrum", "executor", "must be one of slurm, local"),
        ("executor: local\nslurms: {}", "slurms", "unknown key"),
        ("executor: local\nlimits: {max_running: 3}", "limits.max_running", "unknown key"),
        (
            "executor: local\nlimits: {max_running_tasks: 0}",
            "limits.max_running_tasks",
            "at least 1",
        ),
        ("executor: local\nlimits: {time: forever}", "limits.time", "not a time"),
        ("executor: local\ndefaults: {time: 0}", "defaults.time", "more than nothing"),
        ('executor: local\nprologue: ["a\\nb"]', "prologue[0]", "one line of shell"),
        ("executor: local\nprologue: module load x", "prologue", "must be a list"),
        ("executor: local\nenv: {A-B: c}", "env.A-B", "name of an environment variable"),
        ('executor: local\nenv: {A: "c\\nd"}', "env.A", "one line"),
        ("executor: local\nenv: {A: [1]}", "env.A", "must be text"),
        ("executor: local\nscratch: ../tmp", "scratch", "absolute folder"),
        ("executor: local\nscratch: /tmp/../etc", "scratch", "absolute folder"),
        ("executor: local\nscratch: /tmp/$(x)", "scratch", "absolute folder"),
        ("description: x", "", "`executor` is missing"),
    ],
)
def test_a_mistake_is_named_at_its_address(tmp_path: Path, line: str, path: str, words: str):
    """As in a spec."""
    [(where, message)] = problems_of(tmp_path, line + "\n")

    assert where == path
    assert words in message


def test_all_mistakes_of_a_profile_are_told_at_once(tmp_path: Path):
    """YAML's own among them."""
    text = (
        "executor: slurm\nslurm: {account: 'a;b', part: x}\nlimits: {mem_gb: 0}\nexecutor: local\n"
    )

    assert [path for path, _ in problems_of(tmp_path, text)] == [
        "slurm.account",
        "slurm.part",
        "limits.mem_gb",
        "executor",
    ]


def test_the_example_profiles_are_valid():
    """What people copy works."""
    folder = Path(__file__).parents[2] / "jobs"
    examples: list[Profile] = [read_profile(path) for path in sorted(folder.glob("*.yaml"))]

    assert {profile.executor for profile in examples} >= {"slurm", "local"}
    assert not {profile.name for profile in examples} & set(BUILT_IN)
