"""What a cluster says about itself, read from what SLURM really prints."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pytau_hpc.executors.cluster import (
    NoAnswer,
    ask,
    look,
    missing_commands,
    parse_config,
    parse_nodes,
    parse_partitions,
    whole_gib,
)
from tests.executors.slurm_answers import CONFIG, PARTITIONS, a_cluster


def test_the_configuration_is_read_with_units_and_empty_values():
    """Headings and the line about the controller are not settings."""
    config = parse_config(CONFIG)

    assert config["MaxArraySize"] == "1001"
    assert config["MinJobAge"] == "300 sec"
    assert config["PowerPlugin"] == ""
    assert config["SchedulerParameters"].startswith("sched_min_interval=200000,")
    assert not any("Slurmctld(primary)" in key or key.startswith("Cgroup") for key in config)


def test_a_cluster_knows_its_name_version_and_limits():
    """As a person would look them up."""
    cluster = a_cluster()

    assert (cluster.name, cluster.version, cluster.accounting) == (
        "pytautest",
        "22.05.8",
        "slurmdbd",
    )
    assert cluster.number("MaxArraySize") == 1001
    assert cluster.number("MinJobAge") == 300
    assert cluster.number("MaxMemPerNode") is None
    assert cluster.preemption == "partition_prio"
    assert cluster.sends_user_signal


@pytest.mark.parametrize(
    ("said", "enforced"),
    [
        ("none", set()),
        ("limits", {"associations", "limits"}),
        ("associations,limits,qos,safe", {"associations", "limits", "qos", "safe"}),
    ],
)
def test_whatever_is_enforced_enforces_associations(said, enforced):
    """SLURM implies it."""
    assert a_cluster(config=f"AccountingStorageEnforce = {said}").enforced == enforced


def test_partitions_are_read_with_their_limits():
    """UNLIMITED is no limit."""
    main, low, long, spaces = a_cluster().partitions

    assert (main.name, main.default, main.up, main.nodes) == ("main", True, True, 8)
    assert (main.max_time_min, main.max_mem_mib, main.max_cpus) == (60, None, None)
    assert (main.preempt_mode, low.preempt_mode, low.grace_s) == ("OFF", "REQUEUE", 10)
    assert (long.max_time_min, long.max_mem_mib, long.max_cpus) == (None, 640_000, 44)
    assert long.allow_accounts is None
    assert long.deny_accounts == {"guests", "teaching"}
    assert long.allow_qos == {"normal", "long"}
    assert (spaces.name, spaces.allow_accounts) == ("CPU nodes (amd)", {"katz-lab"})
    assert (spaces.up, spaces.max_time_min) == (False, 14 * 24 * 60)


def test_no_name_means_the_default_partition():
    """As sbatch takes it."""
    cluster = a_cluster()

    assert cluster.partition(None) == cluster.partition("main")
    assert cluster.partition("mian") is None
    assert (
        a_cluster(partitions=PARTITIONS.replace("Default=YES", "Default=NO")).partition(None)
        is None
    )


def test_nodes_that_are_down_or_drained_cannot_be_used():
    """One that sleeps is woken, one that is full becomes free; one that does not answer is as good as down."""
    usable = [(group.partition, group.count) for group in a_cluster().nodes if group.usable]

    assert usable == [("main", 4), ("low", 4), ("long", 80), ("long", 5)]


@pytest.mark.parametrize(
    "state", ["down", "drained*", "draining", "fail", "inval", "powered_down", "idle*", "unknown"]
)
def test_a_state_in_which_nothing_starts_is_not_usable(state):
    """In the words of several versions."""
    [group] = parse_nodes(f"main|1|4|5000|{state}")

    assert not group.usable


def test_the_largest_job_is_what_node_partition_and_cluster_all_allow():
    """The smallest limit counts."""
    cluster = a_cluster()
    main, _, long, _ = cluster.partitions

    assert (cluster.largest_mem_mib(main), cluster.largest_cpus(main)) == (5000, 1)
    assert (cluster.largest_mem_mib(long), cluster.largest_cpus(long)) == (640_000, 44)
    assert a_cluster(config="MaxMemPerNode = 4000").largest_mem_mib(main) == 4000
    assert a_cluster(nodes="").largest_mem_mib(main) is None


def test_memory_is_rounded_down():
    """What is asked for has to fit."""
    assert [whole_gib(mib) for mib in (5000, 10_239, 10_240, 640_000)] == [4.8, 9.9, 10, 625]


def test_accounts_are_those_of_this_cluster_that_the_partition_takes():
    """An association may be of one partition only."""
    cluster = a_cluster()
    main, low, long, spaces = cluster.partitions

    assert cluster.accounts_for(main) == ["katz-lab"]
    assert cluster.accounts_for(low) == ["guests", "katz-lab"]
    assert cluster.accounts_for(long) == ["katz-lab"]
    assert cluster.accounts_for(spaces) == ["katz-lab"]
    assert a_cluster(associations=None).accounts_for(main) == []


def test_the_limit_of_submitted_jobs_is_that_of_association_and_qos():
    """The smaller one, and only where limits are enforced."""
    cluster = a_cluster()
    main = cluster.partitions[0]

    assert cluster.submit_limit(main, account="katz-lab", qos=None) == 200
    assert cluster.submit_limit(main, account="katz-lab", qos="long") == 100
    assert cluster.submit_limit(main, account="guests", qos=None) is None
    unenforced = a_cluster(config="AccountingStorageEnforce = associations")
    assert unenforced.submit_limit(main, account="katz-lab", qos=None) is None


def test_nothing_but_partitions_is_read_from_an_answer_about_partitions():
    """An error message is not a partition."""
    assert parse_partitions("Partition nosuch not found\n\n") == []


# -- asking: commands that really run ---------------------------------------------------------------------------------


def a_command(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_last_word_of_a_command_that_fails_is_why_there_is_no_answer(tmp_path):
    """SLURM's own words."""
    words = "slurm_load_partitions: Unable to contact slurm controller (connect failure)"
    a_command(tmp_path / "bin", "sinfo", f"echo first >&2; echo '{words}' >&2; exit 1")

    with pytest.raises(NoAnswer, match="Unable to contact slurm controller"):
        ask(str(tmp_path / "bin" / "sinfo"))


def test_a_command_that_hangs_is_no_answer(tmp_path):
    """It is killed."""
    a_command(tmp_path / "bin", "sinfo", "exec sleep 600")

    with pytest.raises(NoAnswer, match="took longer than"):
        ask(str(tmp_path / "bin" / "sinfo"), timeout_s=0.2)


def test_without_slurm_there_is_no_answer(monkeypatch, tmp_path):
    """And the missing commands are named."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert missing_commands(["sbatch", "squeue"]) == ["sbatch", "squeue"]
    with pytest.raises(NoAnswer, match="no scontrol"):
        look("somebody")


def test_a_persons_own_filters_do_not_change_the_answer(monkeypatch, tmp_path):
    """$SINFO_PARTITION would hide partitions."""
    monkeypatch.setenv("SINFO_PARTITION", "low")
    a_command(tmp_path / "bin", "sinfo", 'echo "[$SINFO_PARTITION]"')

    assert ask(str(tmp_path / "bin" / "sinfo")) == "[]\n"
    assert os.environ["SINFO_PARTITION"] == "low"
