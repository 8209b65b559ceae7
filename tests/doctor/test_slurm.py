"""Doctor on a cluster's answers: what would be refused, wait for ever, or be cut short is said before it is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytau_hpc.doctor import Check, Verdict
from pytau_hpc.doctor.slurm import examine
from pytau_hpc.executors.cluster import Cluster
from pytau_hpc.executors.profile import read_profile
from pytau_hpc.sweep.resources import Resources
from tests.executors.slurm_answers import PARTITIONS, a_cluster

FITTING = """\
executor: slurm
slurm: {account: katz-lab, partition: main}
limits: {max_submitted_tasks: 150, mem_gb: 4.5, time: "01:00:00"}
"""


@pytest.fixture
def checks_of(tmp_path: Path):
    """The checks of a profile on a cluster, by name."""

    def run(
        text: str = FITTING, *, cluster: Cluster | None = None, **asks: object
    ) -> dict[str, Check]:
        path = tmp_path / "cluster.yaml"
        path.write_text(text)
        resources = Resources(**{"mem_gb": 4, "time_min": 60, **asks})  # type: ignore[arg-type]
        found = list(examine(cluster or a_cluster(), read_profile(path), resources))
        worst = [Verdict.OK, Verdict.WARNING, Verdict.PROBLEM]
        return {check.name: check for check in sorted(found, key=lambda c: worst.index(c.verdict))}

    return run


def words_of(check: Check) -> str:
    return f"{check.says}\n{check.help}"


def test_a_profile_that_fits_has_no_problems(checks_of):
    """Everything was looked at."""
    checks = checks_of()

    assert {check.verdict for check in checks.values()} == {Verdict.OK}
    assert set(checks) == {
        "limits",
        "partition",
        "account",
        "time",
        "memory",
        "preemption",
        "requeue",
    }
    assert "4 of 8 nodes" in checks["partition"].says
    assert "1001" in checks["limits"].says


def test_a_partition_that_does_not_exist_is_a_problem(checks_of):
    """With the one that was meant."""
    check = checks_of("executor: slurm\nslurm: {partition: mian}\n")["partition"]

    assert check.verdict is Verdict.PROBLEM
    assert check.help == "did you mean `main`?"


def test_without_a_default_partition_the_profile_has_to_name_one(checks_of):
    """SLURM would refuse the job."""
    cluster = a_cluster(partitions=PARTITIONS.replace("Default=YES", "Default=NO"))

    check = checks_of("executor: slurm\n", cluster=cluster)["partition"]

    assert check.verdict is Verdict.PROBLEM
    assert "main, low" in check.says


def test_a_partition_that_is_down_or_has_no_usable_node_is_told(checks_of):
    """Nothing starts in the first, tasks wait in the second."""
    down = a_cluster(partitions=PARTITIONS.replace("State=UP", "State=DRAIN"))
    empty = a_cluster(nodes="main|8|1|5000|down*\n")

    assert checks_of(cluster=down)["partition"].verdict is Verdict.PROBLEM
    assert checks_of(cluster=empty)["partition"].verdict is Verdict.WARNING


def test_more_time_than_the_partition_allows_is_a_problem(checks_of):
    """Such a job would wait for ever."""
    check = checks_of(time_min=120)["time"]

    assert check.verdict is Verdict.PROBLEM
    assert "02:00:00" in check.says
    assert "01:00:00" in check.says


@pytest.mark.parametrize(
    ("name", "limit", "value"),
    [("time", "time", 'limits.time: "01:00:00"'), ("memory", "mem_gb", "limits.mem_gb: 4.8")],
)
def test_a_cap_that_the_partition_does_not_give_is_a_warning(checks_of, name, limit, value):
    """A retry would ask for more than there is; what to write is said."""
    built_in = "\n".join(line for line in FITTING.splitlines() if not line.startswith("limits"))

    check = checks_of(built_in + "\n")[name]

    assert check.verdict is Verdict.WARNING
    assert value in (check.help or "")


def test_more_memory_or_cpus_than_any_node_has_is_a_problem(checks_of):
    """No node would ever do."""
    checks = checks_of(mem_gb=5, cpus=2)

    assert checks["memory"].verdict is Verdict.PROBLEM
    assert "4.8" in checks["memory"].says
    assert checks["cpus"].verdict is Verdict.PROBLEM


def test_a_cluster_that_does_not_count_memory_is_not_judged_by_it(checks_of):
    """SLURM then says 1 MiB."""
    checks = checks_of(cluster=a_cluster(nodes="main|8|1|1|idle\n"), mem_gb=100)

    assert "memory" not in checks


def test_a_partition_without_limits_allows_everything(checks_of):
    """UNLIMITED."""
    checks = checks_of(
        "executor: slurm\nslurm: {account: katz-lab, partition: long}\n"
        "limits: {max_submitted_tasks: 100}\n",
        time_min=9999,
    )

    assert checks["time"].verdict is Verdict.OK
    assert checks["memory"].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("slurm", "name"),
    [
        ("{partition: long, account: guests}", "account"),  # DenyAccounts
        ("{partition: main, account: elsewhere}", "account"),  # not mine on this cluster
        ("{partition: main, account: guests}", "account"),  # mine in `low` only
        ("{partition: long, qos: fast}", "qos"),  # AllowQos
        ("{partition: main, qos: nromal}", "qos"),  # there is none
    ],
)
def test_an_account_or_qos_that_may_not_be_used_is_a_problem(checks_of, slurm, name):
    """SLURM would refuse the job."""
    assert checks_of(f"executor: slurm\nslurm: {slurm}\n")[name].verdict is Verdict.PROBLEM


def test_accounts_matter_only_where_they_are_enforced(checks_of):
    """Elsewhere SLURM takes any."""
    free = a_cluster(config="AccountingStorageEnforce = none")

    checks = checks_of(
        "executor: slurm\nslurm: {partition: main, account: elsewhere}\n", cluster=free
    )

    assert "account" not in checks


def test_without_accounting_nothing_is_said_about_accounts(checks_of):
    """Nobody knows, and nobody needs to."""
    checks = checks_of(cluster=a_cluster(associations=None))

    assert "account" not in checks
    assert {check.verdict for check in checks.values()} == {Verdict.OK}


def test_a_limit_of_submitted_jobs_that_the_profile_does_not_keep_is_a_warning(checks_of):
    """With the line to write."""
    check = checks_of(FITTING.replace("max_submitted_tasks: 150, ", ""))["account"]

    assert check.verdict is Verdict.WARNING
    assert "limits.max_submitted_tasks: 200" in (check.help or "")


def test_an_array_larger_than_the_controller_allows_is_a_problem(checks_of):
    """It caps the index."""
    text = FITTING.replace("limits: {", "limits: {max_array_size: 5000, ")

    assert checks_of(text)["limits"].verdict is Verdict.PROBLEM
    assert "MaxArraySize is 1001" in checks_of(text)["limits"].says


def test_a_short_memory_for_finished_jobs_is_a_warning(checks_of):
    """Causes get lost."""
    assert checks_of(cluster=a_cluster(config="MinJobAge = 10 sec"))["limits"].verdict is (
        Verdict.WARNING
    )


LOW = "executor: slurm\nslurm: {account: katz-lab, partition: low}\n"


@pytest.mark.parametrize(
    ("config", "mode", "verdict", "words"),
    [
        ("", "REQUEUE", Verdict.OK, "requeued; 10 s before they get the signal that they asked"),
        ("SlurmctldParameters = (null)", "REQUEUE", Verdict.OK, "10 s before they get SIGTERM"),
        ("", "CANCEL", Verdict.WARNING, "cancelled"),
        ("", "SUSPEND,GANG", Verdict.OK, "suspended"),
        ("PreemptType = preempt/none", "REQUEUE", Verdict.OK, "are not preempted"),
        ("PreemptType = preempt/qos", "REQUEUE", Verdict.OK, "preempted by some qos"),
    ],
)
def test_what_preemption_does_is_said(checks_of, config, mode, verdict, words):
    """And whether tasks are told before."""
    partitions = PARTITIONS.replace("PreemptMode=REQUEUE", f"PreemptMode={mode}")

    check = checks_of(LOW, cluster=a_cluster(config=config, partitions=partitions))["preemption"]

    assert check.verdict is verdict
    assert words in check.says


def test_without_grace_a_preempted_task_has_the_time_that_a_kill_takes(checks_of):
    """KillWait."""
    partitions = PARTITIONS.replace("GraceTime=10", "GraceTime=0")

    check = checks_of(LOW, cluster=a_cluster(partitions=partitions))["preemption"]

    assert "have 5 s to write a checkpoint" in check.says


def test_jobs_that_are_not_requeued_by_themselves_are_no_problem(checks_of):
    """Ours ask for it."""
    check = checks_of(cluster=a_cluster(config="JobRequeue = 0"))["requeue"]

    assert check.verdict is Verdict.OK
    assert "--requeue" in words_of(check)
