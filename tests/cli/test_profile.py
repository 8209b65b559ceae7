"""`profile init`, `list` and `show` through the real command line; SLURM's answers are recorded ones."""

from __future__ import annotations

import json
from pathlib import Path

from pytau_hpc.executors.profile import read_profile
from tests.executors.slurm_answers import a_slurm_that_says


def test_init_makes_a_profile_and_says_where(study: Path, tmp_path, pytau_hpc_cli, monkeypatch):
    """Called like the cluster; what to do next is said."""
    a_slurm_that_says(tmp_path / "bin", monkeypatch)

    done = pytau_hpc_cli("profile", "init", check=True)

    assert done.stdout == "jobs/pytautest.yaml\n"
    assert "pytau-hpc doctor --profile pytautest" in done.stderr
    profile = read_profile(study / "jobs" / "pytautest.yaml")
    assert (profile.slurm.partition, profile.limits.mem_gb) == ("main", 4.8)


def test_init_takes_name_partition_and_account(study: Path, tmp_path, pytau_hpc_cli, monkeypatch):
    """And answers in JSON where asked to."""
    a_slurm_that_says(tmp_path / "bin", monkeypatch)

    done = pytau_hpc_cli(
        "profile", "init", "mine", "--partition", "low", "--account", "guests", "--json", check=True
    )

    document = json.loads(done.stdout)
    assert document["schema"] == "pytau-hpc/profile/1"
    assert document["path"] == str(study / "jobs" / "mine.yaml")
    assert document["profile"]["slurm"]["partition"] == "low"
    assert document["profile"]["slurm"]["account"] == "guests"


def test_init_replaces_nothing_unless_forced(study: Path, tmp_path, pytau_hpc_cli, monkeypatch):
    """Somebody has edited it."""
    a_slurm_that_says(tmp_path / "bin", monkeypatch)
    (study / "jobs").mkdir()
    mine = study / "jobs" / "mine.yaml"
    mine.write_text("executor: local\n")

    refused = pytau_hpc_cli("profile", "init", "mine")

    assert refused.returncode == 2
    assert "is there already" in refused.stderr
    assert mine.read_text() == "executor: local\n"
    pytau_hpc_cli("profile", "init", "mine", "--force", check=True)
    assert read_profile(mine).executor == "slurm"
    assert [path.name for path in mine.parent.iterdir()] == ["mine.yaml"]


def test_init_without_slurm_is_a_mistake(study: Path, tmp_path, pytau_hpc_cli, monkeypatch):
    """With a way out."""
    monkeypatch.setenv("PATH", str(tmp_path))

    done = pytau_hpc_cli("profile", "init")

    assert done.returncode == 2
    assert "no scontrol and no sinfo on the PATH" in done.stderr
    assert "jobs/cluster.yaml" in done.stderr
    assert not (study / "jobs").exists()


def test_init_while_slurm_does_not_answer_is_for_later(
    study: Path, tmp_path, pytau_hpc_cli, monkeypatch
):
    """Exit code 75."""
    words = "slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)"
    a_slurm_that_says(tmp_path / "bin", monkeypatch, scontrol=f"echo '{words}' >&2; exit 1")

    done = pytau_hpc_cli("profile", "init")

    assert done.returncode == 75
    assert words in done.stderr


def test_list_shows_every_profile_and_what_is_wrong_with_it(study: Path, pytau_hpc_cli):
    """Tab-separated where it is piped."""
    (study / "jobs").mkdir()
    (study / "jobs" / "good.yaml").write_text("description: ours\nexecutor: local\n")
    (study / "jobs" / "bad.yaml").write_text("executor: slrum\n")

    text = pytau_hpc_cli("profile", "list", check=True).stdout
    document = json.loads(pytau_hpc_cli("profile", "list", "--json", check=True).stdout)

    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in text.splitlines()}
    assert rows["good"] == ["local", str(study / "jobs"), "ours"]
    assert rows["bad"][2].startswith("✗ 1 problem: `executor` must be one of")
    assert rows["slurm"][:2] == ["slurm", "built in"]
    listed = {one["name"]: one for one in document["profiles"]}
    assert document["schema"] == "pytau-hpc/profiles/1"
    assert listed["good"]["profile"]["executor"] == "local"
    assert (listed["bad"]["profile"], "executor" in listed["bad"]["error"]) == (None, True)


def test_show_prints_the_file_after_checking_it(study: Path, pytau_hpc_cli):
    """A profile that is wrong is shown by its problems."""
    text = "# ours\nexecutor: local\n"
    (study / "jobs").mkdir()
    (study / "jobs" / "good.yaml").write_text(text)
    (study / "jobs" / "bad.yaml").write_text("executor: slrum\n")

    good = pytau_hpc_cli("profile", "show", "good", check=True)
    bad = pytau_hpc_cli("profile", "show", "bad")
    built_in = pytau_hpc_cli("profile", "show", "slurm", "--json", check=True)

    assert good.stdout == text
    assert "jobs/good.yaml: valid" in good.stderr
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "did you mean `slurm`?" in bad.stderr
    assert json.loads(built_in.stdout)["profile"]["executor"] == "slurm"
