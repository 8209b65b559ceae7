"""Checks of the profile's partition, account and qos: are they there, and do they give what tasks and retries ask for.

Pure: looks at what the cluster has answered (`executors.cluster`), and asks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pytau_hpc.doctor.check import Check, ok, problem, warning
from pytau_hpc.errors import did_you_mean
from pytau_hpc.executors.cluster import Cluster, Partition, whole_gib
from pytau_hpc.executors.profile import Profile
from pytau_hpc.retry import RetryLimits
from pytau_hpc.sweep.resources import Resources, format_time


def checks_of_partition(cluster: Cluster, profile: Profile, asks: Resources) -> Iterator[Check]:
    """Everything about the partition that tasks go to.

    Parameters
    ----------
    asks : what a task asks for
    """
    partition = cluster.partition(profile.slurm.partition)
    if partition is None:
        yield _no_partition(cluster, profile)
        return
    for check in _CHECKS:
        yield from check(cluster, partition, profile, asks)


def _no_partition(cluster: Cluster, profile: Profile) -> Check:
    name = profile.slurm.partition
    names = [partition.name for partition in cluster.partitions]
    there = f"there is {', '.join(names)}" if names else "there is none that you may see"
    if name is None:
        return problem(
            "partition",
            f"the profile names no partition and the cluster has no default one; {there}",
            "set slurm.partition in the profile",
        )
    return problem(
        "partition", f"there is no partition `{name}`", did_you_mean(name, names) or there
    )


def _partition(
    cluster: Cluster, partition: Partition, profile: Profile, asks: Resources
) -> Iterator[Check]:
    which = f"partition {partition.name}" + (
        " (the cluster's default)" if profile.slurm.partition is None else ""
    )
    groups = cluster.nodes_of(partition)
    usable = sum(group.count for group in groups if group.usable)
    nodes = sum(group.count for group in groups) or partition.nodes
    if not partition.up:
        yield problem(
            "partition",
            f"{which} is {partition.state}: nothing starts there",
            "choose another one, or wait: `sinfo` shows when it is up",
        )
    elif groups and not usable:
        yield warning("partition", f"{which}: none of its {nodes} nodes is up; tasks will wait")
    else:
        yield ok("partition", f"{which} is up: {usable} of {nodes} nodes can be used")


def _account(
    cluster: Cluster, partition: Partition, profile: Profile, asks: Resources
) -> Iterator[Check]:
    """Whether this user may use the account, and the account the partition."""
    known = cluster.accounts
    account = profile.slurm.account or (known.default if known else None)
    which = f"account {account}" + ("" if profile.slurm.account else " (your default)")
    if account is None:
        if known is not None and "associations" in cluster.enforced:
            yield problem(
                "account",
                "this cluster wants an account, and you have no default one",
                "ask whoever runs the cluster for an account, and set slurm.account in the profile",
            )
        return
    allowed = partition.allow_accounts
    if (allowed is not None and account not in allowed) or account in partition.deny_accounts:
        yield problem(
            "account",
            f"{which} may not use partition {partition.name}",
            f"it takes {', '.join(sorted(allowed))}" if allowed else "choose another account",
        )
        return
    if known is None:
        return
    of_user = [one for one in known.associations if one.partition in (None, partition.name)]
    names = sorted({one.account for one in of_user})
    if account in names:
        yield ok("account", f"{which} may use partition {partition.name}")
        yield from _submit_limit(cluster, account, partition, profile)
    elif "associations" in cluster.enforced:
        yield problem(
            "account",
            f"you may not use {which} in partition {partition.name}",
            f"yours: {', '.join(names)}"
            if names
            else "ask whoever runs the cluster for an account",
        )


def _submit_limit(
    cluster: Cluster, account: str, partition: Partition, profile: Profile
) -> Iterator[Check]:
    """How many jobs may be submitted at once; more than that are refused."""
    most = cluster.submit_limit(partition, account=account, qos=profile.slurm.qos)
    window = profile.limits.max_submitted_tasks
    if most is None:
        return
    if window is None or window > most:
        yield warning(
            "account",
            f"at most {most} of your jobs may be submitted at once (MaxSubmitJobs)"
            + ("" if window is None else f", but limits.max_submitted_tasks is {window}"),
            f"set limits.max_submitted_tasks: {most} in the profile",
        )


def _qos(
    cluster: Cluster, partition: Partition, profile: Profile, asks: Resources
) -> Iterator[Check]:
    qos, known = profile.slurm.qos, cluster.accounts
    if qos is None:
        return
    allowed = partition.allow_qos
    mine = {name for one in known.associations for name in one.qos} if known else set()
    if (allowed is not None and qos not in allowed) or qos in partition.deny_qos:
        yield problem(
            "qos",
            f"qos {qos} may not use partition {partition.name}",
            f"it takes {', '.join(sorted(allowed))}" if allowed else "choose another qos",
        )
    elif known is None or not known.qos:
        yield ok("qos", f"qos {qos} (accounting does not say whether there is one)")
    elif qos not in known.qos:
        names = sorted(known.qos)
        yield problem(
            "qos",
            f"there is no qos `{qos}`",
            did_you_mean(qos, names) or f"there is {', '.join(names)}",
        )
    elif mine and qos not in mine and "qos" in cluster.enforced:
        yield problem("qos", f"you may not use qos {qos}", f"yours: {', '.join(sorted(mine))}")
    else:
        yield ok("qos", f"qos {qos}")


def _time(
    cluster: Cluster, partition: Partition, profile: Profile, asks: Resources
) -> Iterator[Check]:
    most = partition.max_time_min
    cap = profile.limits.time or RetryLimits().max_time_min
    if most is None:
        yield ok("time", f"partition {partition.name} has no time limit; tasks ask for {asks.time}")
    elif asks.time_min > most:
        yield problem(
            "time",
            f"tasks ask for {asks.time}, but partition {partition.name} allows {format_time(most)}",
            "lower `time` in the spec's resources or the profile's defaults, or choose another partition",
        )
    elif cap > most:
        yield warning(
            "time",
            f"a retry after a time limit may ask for up to {format_time(cap)}, but partition {partition.name} allows "
            f"{format_time(most)}",
            f'set limits.time: "{format_time(most)}" in the profile',
        )
    else:
        yield ok(
            "time",
            f"tasks ask for {asks.time}, retries for up to {format_time(cap)}; partition {partition.name} allows "
            f"{format_time(most)}",
        )


def _memory(
    cluster: Cluster, partition: Partition, profile: Profile, asks: Resources
) -> Iterator[Check]:
    most = cluster.largest_mem_mib(partition)
    cap = profile.limits.mem_gb or RetryLimits().max_mem_gb
    if most is None or most <= 1:  # a cluster that does not count memory says 1 MiB
        return
    if asks.mem_gb * 1024 > most:
        yield problem(
            "memory",
            f"tasks ask for {asks.mem_gb:g} GiB, but a job in partition {partition.name} can have at most "
            f"{whole_gib(most):g}",
            "lower `mem_gb` in the spec's resources or the profile's defaults, or choose another partition",
        )
    elif cap * 1024 > most:
        yield warning(
            "memory",
            f"a retry after out of memory may ask for up to {cap:g} GiB, but a job in partition {partition.name} can "
            f"have at most {whole_gib(most):g}",
            f"set limits.mem_gb: {whole_gib(most):g} in the profile",
        )
    else:
        yield ok(
            "memory",
            f"tasks ask for {asks.mem_gb:g} GiB, retries for up to {cap:g}; a job can have {whole_gib(most):g}",
        )


def _cpus(
    cluster: Cluster, partition: Partition, profile: Profile, asks: Resources
) -> Iterator[Check]:
    most = cluster.largest_cpus(partition)
    if most is not None and asks.cpus > most:
        yield problem(
            "cpus",
            f"tasks ask for {asks.cpus} CPUs, but no node of partition {partition.name} gives more than {most}",
            "lower `cpus` in the spec's resources or the profile's defaults",
        )


def _preemption(
    cluster: Cluster, partition: Partition, profile: Profile, asks: Resources
) -> Iterator[Check]:
    """What happens to tasks when others want their nodes."""
    says = preemption_words(cluster, partition)
    if says is None:
        yield ok("preemption", f"jobs of partition {partition.name} are not preempted")
    elif "CANCEL" in partition.preempt_mode:
        yield warning(
            "preemption",
            says,
            "`resume` sends the preempted tasks again, from their checkpoints",
        )
    else:
        yield ok("preemption", says)


def preemption_words(cluster: Cluster, partition: Partition) -> str | None:
    """What preemption does to jobs of a partition, in one line; None where they are not preempted."""
    mode = partition.preempt_mode
    if cluster.preemption == "none" or mode in ("OFF", "", "GANG"):
        return None
    done = "requeued" if "REQUEUE" in mode else "cancelled" if "CANCEL" in mode else "suspended"
    by = " by some qos" if cluster.preemption == "qos" else ""
    says = f"jobs of partition {partition.name} may be preempted{by} and are then {done}"
    if done == "suspended":
        return says
    if partition.grace_s:
        signal = "the signal that they asked for" if cluster.sends_user_signal else "SIGTERM"
        return f"{says}; {partition.grace_s} s before they get {signal} and write a checkpoint"
    wait = cluster.number("KillWait")
    return f"{says}; they get SIGTERM and have {wait or 'a few'} s to write a checkpoint"


_CHECKS: tuple[Callable[[Cluster, Partition, Profile, Resources], Iterable[Check]], ...] = (
    _partition,
    _account,
    _qos,
    _time,
    _memory,
    _cpus,
    _preemption,
)
