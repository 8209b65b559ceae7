"""A first profile for a cluster, from what the cluster says about itself; and every profile there is, read.

`draft` is pure: a cluster, and what the person asked for, become the values of a profile. What the file looks like is
`reports.profile`'s business; `publish` has it read like any other profile before it gets its name. Called by the
command `profile`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytau_hpc.errors import (
    ProfileInvalid,
    PytauHpcError,
    SchedulerUnreachable,
    UserError,
    did_you_mean,
)
from pytau_hpc.executors.cluster import (
    Cluster,
    NoAnswer,
    Partition,
    look,
    missing_commands,
    whole_gib,
)
from pytau_hpc.executors.profile import (
    BUILT_IN,
    Found,
    Profile,
    find_profile,
    list_profiles,
    read_profile,
)
from pytau_hpc.files import publish_text, write_atomic
from pytau_hpc.provenance import user
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.sweep.validate import Wrong, safe_name

#: What a task asks for where the cluster allows it; the same as without any profile.
_USUAL = Resources()


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Values of a profile, with the cluster that they are from.

    Attributes
    ----------
    account : None for the user's default one
    defaults : what a task asks for where nobody says
    max_mem_gb, max_time_min : how far a retry may go; None where the cluster says nothing
    max_submitted : how many jobs this user may have submitted at once; None without a limit
    """

    cluster: Cluster
    partition: Partition
    account: str | None
    defaults: Resources
    max_mem_gb: float | None
    max_time_min: int | None
    max_submitted: int | None
    scratch: str


def ask_cluster() -> Cluster:
    """What the cluster says about itself.

    Raises
    ------
    UserError : SLURM is not installed here
    SchedulerUnreachable : it does not answer
    """
    missing = missing_commands(["scontrol", "sinfo"])
    if missing:
        raise UserError(
            f"a profile is made from what SLURM says, but there is no {' and no '.join(missing)} on the PATH",
            help="work on a login node of the cluster, or copy jobs/cluster.yaml of pytau_hpc and change it",
        )
    try:
        return look(user())
    except NoAnswer as silence:
        raise SchedulerUnreachable(
            f"SLURM does not answer: {silence}", help="try again later"
        ) from None


def draft(
    cluster: Cluster,
    *,
    partition: str | None,
    account: str | None,
    environ: Mapping[str, str],
) -> Draft:
    """A profile for a partition (the cluster's default one) and an account (the user's default one). Pure.

    Raises
    ------
    UserError : there is no such partition, or the user may not use the account
    """
    place = _partition(cluster, partition)
    account = _account(cluster, place, account)
    most_mib, most_cpus = cluster.largest_mem_mib(place), cluster.largest_cpus(place)
    # Where memory is not counted, SLURM says 1 MiB.
    max_mem = whole_gib(most_mib) if most_mib is not None and most_mib > 100 else None
    max_time = place.max_time_min
    return Draft(
        cluster=cluster,
        partition=place,
        account=account,
        defaults=Resources(
            cpus=min(_USUAL.cpus, most_cpus or _USUAL.cpus),
            mem_gb=min(_USUAL.mem_gb, max_mem or _USUAL.mem_gb),
            time_min=min(_USUAL.time_min, max_time or _USUAL.time_min),
        ),
        max_mem_gb=max_mem,
        max_time_min=max_time,
        max_submitted=cluster.submit_limit(place, account=account or _default(cluster), qos=None),
        # Set in jobs by some clusters; the worker falls back to $TMPDIR and /tmp where a variable is not set.
        scratch="$SLURM_TMPDIR" if "SLURM_TMPDIR" in environ else "$TMPDIR",
    )


def _partition(cluster: Cluster, name: str | None) -> Partition:
    found = cluster.partition(name)
    if found is not None:
        return found
    names = [partition.name for partition in cluster.partitions]
    if name is not None:
        raise UserError(
            f"there is no partition `{name}`",
            help=did_you_mean(name, names) or f"there is {', '.join(names)}",
        )
    if len(names) == 1:
        return cluster.partitions[0]
    raise UserError(
        "the cluster has no default partition",
        help=f"name one with --partition; there is {', '.join(names) or 'none that you may see'}",
    )


def _default(cluster: Cluster) -> str | None:
    return None if cluster.accounts is None else cluster.accounts.default


def _account(cluster: Cluster, partition: Partition, name: str | None) -> str | None:
    """The account that has to be named; None where the user's default one will do."""
    usable = cluster.accounts_for(partition)
    if name is not None:
        if "associations" in cluster.enforced and cluster.accounts and name not in usable:
            raise UserError(
                f"you may not use the account `{name}` in partition {partition.name}",
                help=did_you_mean(name, usable) or f"yours: {', '.join(usable) or 'none'}",
            )
        return name
    if usable and _default(cluster) not in usable:
        return usable[0]
    return None


def default_profile_name(cluster: Cluster) -> str:
    """The cluster's name, as a name of a profile."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", cluster.name).strip("-_")[:64] or "cluster"
    return f"{name}-cluster"[:64] if name in BUILT_IN else name


def profile_path(name: str, folder: Path, *, force: bool) -> Path:
    """Where a new profile goes.

    Raises
    ------
    UserError : the name is taken, or cannot be one
    """
    try:
        safe_name(name)
    except Wrong as wrong:
        raise UserError(f"the name of a profile {wrong.message}", help=wrong.help) from None
    if name in BUILT_IN:
        raise UserError(f"`{name}` is a built-in profile", help="choose another name")
    path = folder / "jobs" / f"{name}.yaml"
    if path.exists() and not force:
        raise UserError(f"{path} is there already", help="--force replaces it, or choose a name")
    return path


def publish(text: str, path: Path, *, force: bool) -> Profile:
    """Write a profile, after it was read and checked like any other.

    Raises
    ------
    UserError : the cluster has names that a profile must not have, or the file is there already
    """
    with tempfile.TemporaryDirectory() as aside:
        trial = Path(aside) / path.name
        trial.write_text(text, encoding="utf-8")
        try:
            profile = read_profile(trial)
        except ProfileInvalid as error:
            raise UserError(
                "what the cluster says does not make a valid profile: "
                + "; ".join(problem.message for problem in error.problems),
                help="name another --partition or --account, or copy jobs/cluster.yaml of pytau_hpc",
            ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    if force:
        write_atomic(path, text)
    elif not publish_text(path, text):
        raise UserError(f"{path} is there already", help="--force replaces it")
    return profile


def every_profile() -> list[tuple[Found, Profile | PytauHpcError]]:
    """Every profile that can be named here, or why it cannot be used."""
    read: list[tuple[Found, Profile | PytauHpcError]] = []
    for found in list_profiles():
        try:
            read.append(
                (found, read_profile(found.path) if found.path else find_profile(found.name))
            )
        except PytauHpcError as error:
            read.append((found, error))
    return read
