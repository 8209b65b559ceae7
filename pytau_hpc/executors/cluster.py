"""What a SLURM cluster says about itself: limits, partitions, nodes, and what this user may use.

Asked by `doctor` and `profile init`, never by what sends or looks at tasks. Every question has a time limit, and a
cluster that does not answer one is `NoAnswer`, not an error. Parsing is separate from asking, and knows the words of
SLURM from 18.08 on.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytau_hpc.sweep.resources import parse_time

#: Seconds that one question may take; a healthy controller needs a fraction of one.
TIMEOUT_S = 20.0


class NoAnswer(Exception):
    """SLURM did not answer; the words say why."""


@dataclass(frozen=True, kw_only=True)
class Partition:
    """One partition. None stands for "no limit"; times are in minutes, memory in MiB.

    allow_accounts, allow_qos : who may use it, None for everybody; deny_* : who may not
    preempt_mode : what happens to its jobs when others want the nodes, in SLURM's words, upper case
    """

    name: str
    up: bool
    state: str
    default: bool
    nodes: int
    max_time_min: int | None
    max_mem_mib: int | None
    max_cpus: int | None
    preempt_mode: str
    grace_s: int
    allow_accounts: frozenset[str] | None
    deny_accounts: frozenset[str]
    allow_qos: frozenset[str] | None
    deny_qos: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class NodeGroup:
    """Nodes of one partition that are alike. `usable`: not down, drained or failed."""

    partition: str
    count: int
    cpus: int
    mem_mib: int
    usable: bool


@dataclass(frozen=True, kw_only=True)
class Association:
    """That a user may use an account, in one partition or (None) in all, with which qos; and how much of it."""

    account: str
    partition: str | None
    qos: tuple[str, ...]
    default_qos: str | None
    max_submit: int | None


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """What SLURM's accounting knows about a user: associations, the default account, and every qos there is.

    qos : name → how many jobs one user may have submitted in it, None without a limit
    """

    associations: tuple[Association, ...]
    default: str | None
    qos: Mapping[str, int | None]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster as it describes itself. `accounts` is None where accounting did not answer."""

    config: Mapping[str, str]
    partitions: tuple[Partition, ...]
    nodes: tuple[NodeGroup, ...]
    accounts: Accounts | None

    @property
    def name(self) -> str:
        return self.config.get("ClusterName", "cluster")

    @property
    def version(self) -> str:
        return self.config.get("SLURM_VERSION", "?")

    @property
    def accounting(self) -> str:
        """``slurmdbd``, ``none``, …"""
        return self.config.get("AccountingStorageType", "").rpartition("/")[2] or "none"

    @property
    def enforced(self) -> frozenset[str]:
        """What of accounts and qos is enforced; both ``qos`` and ``limits`` imply ``associations``."""
        words = _words(self.config.get("AccountingStorageEnforce", "none"))
        return words - {"none"} | ({"associations"} if words - {"none"} else set())

    @property
    def preemption(self) -> str:
        """``none``, ``partition_prio`` or ``qos``."""
        return self.config.get("PreemptType", "").rpartition("/")[2] or "none"

    @property
    def sends_user_signal(self) -> bool:
        """Whether a job that is preempted gets the signal that it asked for, before SIGTERM."""
        return "preempt_send_user_signal" in self.config.get("SlurmctldParameters", "")

    def number(self, key: str) -> int | None:
        """A number of the configuration, without its unit; None where it is not limited, or not said."""
        return _number(self.config.get(key, ""))

    def partition(self, name: str | None) -> Partition | None:
        """The partition of that name; the cluster's default one where none is named."""
        for partition in self.partitions:
            if partition.name == name or (name is None and partition.default):
                return partition
        return None

    def nodes_of(self, partition: Partition) -> list[NodeGroup]:
        return [group for group in self.nodes if group.partition == partition.name]

    def largest_mem_mib(self, partition: Partition) -> int | None:
        """The most memory that a job can have on one node of the partition; None where nobody says."""
        of_nodes = max((group.mem_mib for group in self.nodes_of(partition)), default=0)
        known = [of_nodes or None, partition.max_mem_mib, self.number("MaxMemPerNode")]
        return min((mem for mem in known if mem is not None), default=None)

    def largest_cpus(self, partition: Partition) -> int | None:
        """The most CPUs that a job can have on one node of the partition; None where nobody says."""
        of_nodes = max((group.cpus for group in self.nodes_of(partition)), default=0)
        known = [of_nodes or None, partition.max_cpus]
        return min((cpus for cpus in known if cpus is not None), default=None)

    def accounts_for(self, partition: Partition) -> list[str]:
        """The accounts that this user may use in a partition, as far as accounting and the partition say."""
        known = self.accounts.associations if self.accounts else ()
        names = {one.account for one in known if one.partition in (None, partition.name)}
        allowed = names if partition.allow_accounts is None else names & partition.allow_accounts
        return sorted(allowed - partition.deny_accounts)

    def submit_limit(
        self, partition: Partition, *, account: str | None, qos: str | None
    ) -> int | None:
        """How many jobs this user may have submitted at once; None where nothing limits it."""
        if self.accounts is None or "limits" not in self.enforced:
            return None
        limits = []
        for one in self.accounts.associations:
            if one.account == account and one.partition in (None, partition.name):
                of_qos = self.accounts.qos.get(qos or one.default_qos or "normal")
                limits += [one.max_submit, of_qos]
        return min((limit for limit in limits if limit is not None), default=None)


def whole_gib(mib: int) -> float:
    """MiB as GiB, rounded down: whole from 10 on, else tenths."""
    return mib // 1024 if mib >= 10 * 1024 else mib * 10 // 1024 / 10


# -- asking -----------------------------------------------------------------------------------------------------------


def look(user: str | None) -> Cluster:
    """Ask for everything.

    Raises
    ------
    NoAnswer : the controller does not answer (that accounting does not is part of the answer)
    """
    config = parse_config(ask("scontrol", "show", "config"))
    partitions = parse_partitions(ask("scontrol", "--all", "--oneliner", "show", "partition"))
    nodes = parse_nodes(ask("sinfo", "--all", "--noheader", "--exact", "--format=%R|%D|%c|%m|%T"))
    try:
        accounts = _accounts(user, config.get("ClusterName", "")) if user else None
    except NoAnswer:
        accounts = None
    return Cluster(
        config=config, partitions=tuple(partitions), nodes=tuple(nodes), accounts=accounts
    )


def ask(*command: str, timeout_s: float = TIMEOUT_S) -> str:
    """What one of SLURM's commands prints.

    Raises
    ------
    NoAnswer : it is not installed, failed, or took too long
    """
    # A person's own filters and formats would change the answer.
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SINFO_", "SQUEUE_", "SACCT_", "SCONTROL_"))
    }
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=ours,
            check=False,
        )
    except FileNotFoundError:
        raise NoAnswer(f"no {command[0]} on this machine") from None
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{command[0]} took longer than {timeout_s:.0f} s") from None
    except OSError as error:
        raise NoAnswer(f"{command[0]}: {error.strerror or error}") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise NoAnswer(words[-1] if words else f"{command[0]} ended with {done.returncode}")
    return done.stdout


def missing_commands(names: Sequence[str]) -> list[str]:
    """Those that are not on this machine's PATH."""
    return [name for name in names if shutil.which(name) is None]


def _accounts(user: str, cluster: str) -> Accounts:
    tell = ("sacctmgr", "--noheader", "--parsable2", "show")
    fields = "format=Cluster,Account,Partition,QOS,DefaultQOS,MaxSubmitJobs"
    associations = ask(*tell, "associations", f"user={user}", fields)
    default = ask(*tell, "user", user, "format=User,DefaultAccount")
    qos = ask(*tell, "qos", "format=Name,MaxSubmitJobsPerUser")
    return Accounts(
        associations=tuple(parse_associations(associations, cluster)),
        default=next((row[1] for row in _rows(default, 2) if row[1]), None),
        qos={name: _number(most) for name, most in _rows(qos, 2)},
    )


# -- parsing ----------------------------------------------------------------------------------------------------------


def parse_config(text: str) -> dict[str, str]:
    """Lines ``Key = value`` of ``scontrol show config``; headings and empty lines are left out."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


#: A value ends where the next ``Key=`` begins; names of partitions may have spaces.
_FIELD = re.compile(r"(\w+)=(.*?)(?=\s+\w+=|\s*\Z)", re.ASCII)


def parse_partitions(text: str) -> list[Partition]:
    """Lines of ``scontrol --oneliner show partition``."""
    return [
        _partition(dict(_FIELD.findall(line)))
        for line in text.splitlines()
        if line.startswith("PartitionName=")
    ]


def _partition(said: Mapping[str, str]) -> Partition:
    return Partition(
        name=said["PartitionName"],
        up=said.get("State", "UP") == "UP",
        state=said.get("State", "UP"),
        default=said.get("Default") == "YES",
        nodes=_number(said.get("TotalNodes", "")) or 0,
        max_time_min=_minutes(said.get("MaxTime", "")),
        max_mem_mib=_number(said.get("MaxMemPerNode", "")),
        max_cpus=_number(said.get("MaxCPUsPerNode", "")),
        preempt_mode=said.get("PreemptMode", "OFF").upper(),
        grace_s=_number(said.get("GraceTime", "")) or 0,
        allow_accounts=_allowed(said.get("AllowAccounts", "ALL")),
        deny_accounts=_words(said.get("DenyAccounts", "")),
        allow_qos=_allowed(said.get("AllowQos", "ALL")),
        deny_qos=_words(said.get("DenyQos", "")),
    )


#: States of nodes in which nothing new starts there, or ever.
_UNUSABLE = re.compile(r"down|drain|fail|unknown|inval|maint|power(ed|ing)_down|future", re.I)


def parse_nodes(text: str) -> list[NodeGroup]:
    """Lines ``partition|count|CPUs|MiB|state`` of sinfo."""
    return [
        NodeGroup(
            partition=partition,
            count=_number(count) or 0,
            cpus=_number(cpus) or 0,
            mem_mib=_number(mem) or 0,
            # "*": does not answer. "~", a node that sleeps, is woken for a job.
            usable=not (_UNUSABLE.match(state) or state.endswith("*")),
        )
        for partition, count, cpus, mem, state in _rows(text, 5)
    ]


def parse_associations(text: str, cluster: str) -> list[Association]:
    """Lines ``cluster|account|partition|qos,…|default qos|most jobs`` of sacctmgr, of one cluster."""
    return [
        Association(
            account=account,
            partition=partition or None,
            qos=tuple(name for name in qos.split(",") if name),
            default_qos=default or None,
            max_submit=_number(most),
        )
        for of, account, partition, qos, default, most in _rows(text, 6)
        if of == cluster or not cluster
    ]


def _rows(text: str, n: int) -> list[list[str]]:
    rows = [line.strip().split("|") for line in text.splitlines()]
    return [row for row in rows if len(row) == n]


def _number(text: str) -> int | None:
    """``640000``, ``16+``, ``300 sec``; UNLIMITED, N/A, INFINITE and nothing are no number."""
    found = re.match(r"\d+", text.strip(), re.ASCII)
    return int(found[0]) if found else None


def _minutes(text: str) -> int | None:
    try:
        return parse_time(text)
    except ValueError:
        return None  # UNLIMITED, or longer than anything that we ask for


def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in text.split(",") if word and word != "(null)")


def _allowed(text: str) -> frozenset[str] | None:
    words = _words(text)
    return None if not words or "ALL" in words else words
