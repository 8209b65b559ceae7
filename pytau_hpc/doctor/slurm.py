"""Checks of SLURM: is it there, does it answer, and what does it allow. The profile's partition is in `partition`."""

from __future__ import annotations

from collections.abc import Iterator

from pytau_hpc.doctor.check import Check, Setting, ok, problem, warning
from pytau_hpc.doctor.partition import checks_of_partition
from pytau_hpc.executors import cluster as slurm_cluster
from pytau_hpc.executors.cluster import Cluster, NoAnswer
from pytau_hpc.executors.profile import Profile
from pytau_hpc.provenance import user
from pytau_hpc.sweep.resources import Resources

#: Without these nothing can be sent, seen or stopped.
_NEEDED = ("sbatch", "srun", "squeue", "scancel")
#: Without these, limits and requeues are not known.
_WANTED = ("scontrol", "sinfo")

#: A job that SLURM forgets earlier than this may be gone before anybody has looked.
_MIN_JOB_AGE_S = 60


def slurm(setting: Setting) -> Iterator[Check]:
    """Everything about SLURM, where the profile uses it."""
    if not setting.uses_slurm or setting.profile is None:
        return
    missing = slurm_cluster.missing_commands(_NEEDED)
    if missing:
        yield problem(
            "slurm",
            f"SLURM's commands are not on the PATH: {', '.join(missing)}",
            "work on a login node of the cluster (perhaps `module load slurm`), or use --profile local",
        )
        return
    for name in slurm_cluster.missing_commands(_WANTED):
        yield warning("slurm", f"`{name}` is not on the PATH: SLURM's limits cannot be asked for")
    try:
        # What every `status` depends on; a name that no job has keeps the answer short.
        slurm_cluster.ask("squeue", "--noheader", "--name=pytau-hpc-doctor")
    except NoAnswer as silence:
        yield problem(
            "slurm",
            f"SLURM does not answer: {silence}",
            "nothing can be sent now; `status` goes on, with what the points themselves reported",
        )
        return
    try:
        found = slurm_cluster.look(user())
    except NoAnswer as silence:
        yield warning(
            "slurm", f"squeue answers, but what the cluster allows cannot be asked for: {silence}"
        )
        return
    yield ok("slurm", f"SLURM {found.version} answers: cluster {found.name}")
    yield from accounting(found)
    yield from examine(found, setting.profile, setting.asks)


def accounting(cluster: Cluster) -> Iterator[Check]:
    """Whether sacct works. It is not needed: without it, causes come from what the points themselves reported."""
    if cluster.accounting == "none":
        yield ok(
            "accounting", "accounting is off: not needed (causes come from the tasks themselves)"
        )
        return
    try:
        slurm_cluster.ask("sacct", "--noheader", "--allocations", "--starttime=now-1minute")
    except NoAnswer as silence:
        yield warning(
            "accounting",
            f"accounting is on ({cluster.accounting}), but sacct does not work: {silence}",
            "not needed: causes then come from the tasks themselves",
        )
    else:
        yield ok("accounting", f"accounting works (sacct, {cluster.accounting})")


def examine(cluster: Cluster, profile: Profile, asks: Resources) -> Iterator[Check]:
    """What the profile says against what the cluster allows. Pure.

    Parameters
    ----------
    asks : what a task asks for
    """
    yield from _limits(cluster, profile)
    yield from checks_of_partition(cluster, profile, asks)
    yield from _requeue(cluster)


def _limits(cluster: Cluster, profile: Profile) -> Iterator[Check]:
    """How large an array may be, how many jobs there may be, and how long finished ones are remembered."""
    most = cluster.number("MaxArraySize")
    jobs = cluster.number("MaxJobCount")
    asked = profile.limits.max_array_size
    if most is not None and most <= 1:
        yield problem("limits", f"this cluster takes no arrays (MaxArraySize {most})")
    elif most is not None and asked is not None and asked > most:
        yield problem(
            "limits",
            f"the profile's limits.max_array_size is {asked}, but MaxArraySize is {most}",
            "leave it out: the controller is asked",
        )
    else:
        yield ok(
            "limits",
            f"arrays of up to {most or '?'} tasks (MaxArraySize), {jobs or '?'} jobs of all users (MaxJobCount)",
        )
    age = cluster.number("MinJobAge")
    if age is not None and age < _MIN_JOB_AGE_S:
        yield warning(
            "limits",
            f"SLURM forgets finished jobs after {age} s (MinJobAge): why a task died may stay unknown",
            "tasks are still found dead; set retry.grace_s no lower than 60",
        )


def _requeue(cluster: Cluster) -> Iterator[Check]:
    """Whether SLURM starts a task again after its node died, or it was preempted."""
    if cluster.config.get("JobRequeue") == "0":
        yield ok(
            "requeue", "jobs are not requeued unless they ask (JobRequeue 0); ours ask (--requeue)"
        )
    else:
        yield ok("requeue", "jobs are requeued after their node failed")
