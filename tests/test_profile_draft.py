"""A first profile from what a cluster says: its values fit there, and the file is one that the reader takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytau_hpc.doctor.slurm import examine
from pytau_hpc.errors import UserError
from pytau_hpc.executors.cluster import Cluster
from pytau_hpc.executors.profile import Profile, read_profile
from pytau_hpc.profile_draft import default_profile_name, draft, profile_path, publish
from pytau_hpc.reports.profile import as_yaml
from tests.executors.slurm_answers import OTHER_PARTITIONS, PARTITIONS, a_cluster


def made(
    folder: Path,
    cluster: Cluster | None = None,
    *,
    partition: str | None = None,
    account: str | None = None,
    **environ: str,
) -> tuple[Profile, str]:
    """A profile that was drafted, written and read; and its text."""
    cluster = cluster or a_cluster()
    drafted = draft(cluster, partition=partition, account=account, environ=environ)
    text = as_yaml(drafted, name="mine", made="2026-11-22")
    path = folder / "jobs" / "mine.yaml"
    publish(text, path, force=True)
    return read_profile(path), text


def test_the_default_partition_gives_the_limits(tmp_path: Path):
    """A retry asks for no more than a job there can have."""
    profile, text = made(tmp_path)

    assert (profile.executor, profile.slurm.partition) == ("slurm", "main")
    assert (profile.limits.mem_gb, profile.limits.time) == (4.8, 60)
    assert profile.limits.max_submitted_tasks == 200
    assert profile.limits.max_array_size is None
    assert (profile.defaults.cpus, profile.defaults.mem_gb, profile.defaults.time_min) == (1, 4, 60)
    assert profile.scratch == "$TMPDIR"
    assert "asked from the controller, which says 1001" in text


@pytest.mark.parametrize("partition", ["main", "low", "long"])
def test_doctor_has_nothing_to_say_about_a_profile_that_was_made(tmp_path: Path, partition: str):
    """No limit that it does not keep."""
    cluster = a_cluster()
    profile, _ = made(tmp_path, cluster, partition=partition)

    checks = examine(cluster, profile, profile.defaults.resources())

    wrong = [check for check in checks if check.verdict != "ok" and check.name != "preemption"]
    assert wrong == []


def test_defaults_fit_where_the_usual_ones_would_not(tmp_path: Path):
    """A partition of small nodes and short jobs."""
    small = a_cluster(
        partitions=PARTITIONS.replace("MaxTime=01:00:00", "MaxTime=00:30:00"),
        nodes="main|8|1|3000|idle\n",
    )

    profile, _ = made(tmp_path, small)

    assert (profile.defaults.mem_gb, profile.defaults.time_min) == (2.9, 30)


def test_limits_that_the_cluster_does_not_have_are_left_out(tmp_path: Path):
    """Rather than made up; a cluster that does not count memory says 1 MiB."""
    free = a_cluster(
        partitions=PARTITIONS.replace("MaxTime=01:00:00", "MaxTime=UNLIMITED"),
        nodes="main|8|1|1|idle\n",
        associations=None,
    )

    profile, text = made(tmp_path, free)

    assert (profile.limits.mem_gb, profile.limits.time) == (None, None)
    assert profile.limits.max_submitted_tasks is None
    assert profile.slurm.account is None
    assert "accounting does not answer" in text


def test_preemption_is_remarked(tmp_path: Path):
    """Of the partition, and of the others that one could have chosen."""
    _, main = made(tmp_path)
    _, low = made(tmp_path, partition="low")

    assert "# Jobs of partition main are not preempted." in main
    assert "low: 8 nodes, 01:00:00, preempted" in main
    assert "# Jobs of partition low may be preempted and are then requeued" in low


def test_scratch_is_the_clusters_own_variable_where_there_is_one(tmp_path: Path):
    """Set in jobs of some clusters."""
    profile, _ = made(tmp_path, SLURM_TMPDIR="/localscratch/1")

    assert profile.scratch == "$SLURM_TMPDIR"


def test_an_account_is_named_only_where_the_default_one_will_not_do(tmp_path: Path):
    """Here the default one is not let into the partition."""
    closed = a_cluster(
        partitions=PARTITIONS.replace("AllowAccounts=ALL", "AllowAccounts=guests,others")
    )

    assert made(tmp_path)[0].slurm.account is None
    assert made(tmp_path, closed, partition="low")[0].slurm.account == "guests"
    assert made(tmp_path, partition="low", account="guests")[0].slurm.account == "guests"


@pytest.mark.parametrize(
    ("asked", "words", "help"),
    [
        ({"partition": "mian"}, "no partition `mian`", "did you mean `main`?"),
        ({"account": "katz-lap"}, "may not use the account `katz-lap`", "did you mean `katz-lab`?"),
        ({"account": "guests"}, "may not use the account `guests`", "yours: katz-lab"),
    ],
)
def test_what_the_cluster_does_not_have_is_a_mistake(tmp_path: Path, asked, words, help):
    """With what was meant."""
    with pytest.raises(UserError, match=words) as caught:
        made(tmp_path, **asked)

    assert caught.value.help == help


def test_where_accounts_are_not_enforced_any_is_taken(tmp_path: Path):
    """SLURM would, too."""
    free = a_cluster(config="AccountingStorageEnforce = none")

    assert made(tmp_path, free, account="elsewhere")[0].slurm.account == "elsewhere"


def test_without_a_default_partition_one_has_to_be_named_unless_there_is_only_one(tmp_path: Path):
    """Nothing is guessed."""
    several = a_cluster(partitions=PARTITIONS.replace("Default=YES", "Default=NO"))
    single = a_cluster(partitions=OTHER_PARTITIONS.splitlines()[0])

    with pytest.raises(UserError, match="no default partition"):
        made(tmp_path, several)
    assert made(tmp_path, single)[0].slurm.partition == "long"


def test_a_partition_whose_name_no_profile_may_have_is_a_mistake(tmp_path: Path):
    """One with spaces; nothing is written."""
    with pytest.raises(UserError, match=r"`slurm\.partition` has a character"):
        made(tmp_path, partition="CPU nodes (amd)")

    assert list((tmp_path).rglob("*.yaml")) == []


@pytest.mark.parametrize("name", ["null", "on", "0123", "1e-3", "a.b", "yes"])
def test_names_that_yaml_would_take_for_something_else_stay_names(tmp_path: Path, name: str):
    """They are quoted."""
    odd = a_cluster(
        partitions=PARTITIONS.replace("PartitionName=main", f"PartitionName={name}"),
        config=f"ClusterName = {name}",
        nodes="",
    )

    profile, _ = made(tmp_path, odd)

    assert profile.slurm.partition == name
    assert profile.description == f"{name}, partition {name}"


def test_a_cluster_cannot_write_lines_of_its_own_into_the_file(tmp_path: Path):
    """A name with a line break, in a comment and in a value."""
    evil = a_cluster(
        partitions=PARTITIONS.replace("PartitionName=low", "PartitionName=low\x0bexecutor: local"),
        config="ClusterName = a\x85b\x1b[31m",
    )

    _, text = made(tmp_path, evil)

    assert text.isascii() or all(c.isprintable() or c == "\n" for c in text)
    assert "\x1b" not in text
    assert [line for line in text.splitlines() if line.startswith("executor")] == [
        "executor: slurm"
    ]


@pytest.mark.parametrize(
    ("cluster", "name"),
    [
        ("hpcc", "hpcc"),
        ("My Cluster/2", "My-Cluster-2"),
        ("local", "local-cluster"),
        ("", "cluster"),
    ],
)
def test_a_profile_is_called_like_its_cluster(cluster: str, name: str):
    """As far as a file can be, and never like one that is built in."""
    assert default_profile_name(a_cluster(config=f"ClusterName = {cluster}")) == name


@pytest.mark.parametrize("name", ["../x", "a;b", "$(x)", "a\nb", "", "local", "-x"])
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, name: str):
    """Before anything is written."""
    with pytest.raises(UserError):
        profile_path(name, tmp_path, force=True)
