"""What SLURM really prints: recorded with 22.05.8, cut to the lines that matter; and forms of other versions."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from pytau_hpc.executors.cluster import (
    Accounts,
    Cluster,
    parse_associations,
    parse_config,
    parse_nodes,
    parse_partitions,
)

#: ``scontrol show config``
CONFIG = """\
Configuration data as of 2026-11-22T18:25:36
AccountingStorageBackupHost = (null)
AccountingStorageEnforce = associations,limits
AccountingStorageType   = accounting_storage/slurmdbd
ClusterName             = pytautest
CpuFreqGovernors        = OnDemand,Performance,UserSpace
DefMemPerNode           = UNLIMITED
JobRequeue              = 1
KillWait                = 5 sec
MaxArraySize            = 1001
MaxJobCount             = 100000
MaxMemPerNode           = UNLIMITED
MinJobAge               = 300 sec
PowerPlugin             =\x20
PreemptMode             = REQUEUE
PreemptType             = preempt/partition_prio
SchedulerParameters     = sched_min_interval=200000,bf_interval=2,batch_sched_delay=0,preempt_youngest_first
SlurmctldHost[0]        = vm(127.0.0.1)
SlurmctldParameters     = preempt_send_user_signal
SLURM_VERSION           = 22.05.8
TaskPluginParam         = (null type)

Cgroup Support Configuration:
AllowedDevicesFile      = /etc/slurm/cgroup_allowed_devices_file.conf

Slurmctld(primary) at vm is UP
"""

#: ``scontrol --all --oneliner show partition``
PARTITIONS = """\
PartitionName=main AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES QoS=N/A DefaultTime=NONE \
DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO MaxNodes=UNLIMITED MaxTime=01:00:00 MinNodes=0 LLN=NO \
MaxCPUsPerNode=UNLIMITED Nodes=n[1-8] PriorityJobFactor=1 PriorityTier=5 RootOnly=NO ReqResv=NO OverSubscribe=NO \
OverTimeLimit=NONE PreemptMode=OFF State=UP TotalCPUs=8 TotalNodes=8 SelectTypeParameters=NONE JobDefaults=(null) \
DefMemPerCPU=1000 MaxMemPerNode=UNLIMITED TRES=cpu=8,mem=40000M,node=8,billing=8
PartitionName=low AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=NO QoS=N/A DefaultTime=NONE \
DisableRootJobs=NO ExclusiveUser=NO GraceTime=10 Hidden=NO MaxNodes=UNLIMITED MaxTime=01:00:00 MinNodes=0 LLN=NO \
MaxCPUsPerNode=UNLIMITED Nodes=n[1-8] PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO \
OverTimeLimit=NONE PreemptMode=REQUEUE State=UP TotalCPUs=8 TotalNodes=8 SelectTypeParameters=NONE JobDefaults=(null) \
DefMemPerCPU=1000 MaxMemPerNode=UNLIMITED TRES=cpu=8,mem=40000M,node=8,billing=8
"""

#: Forms that this cluster does not have: no time limit, limits of a node, accounts and qos allowed or denied, a name
#: with spaces, and a partition that is down.
OTHER_PARTITIONS = """\
PartitionName=long AllowGroups=ALL DenyAccounts=guests,teaching AllowQos=normal,long AllocNodes=ALL Default=NO QoS=N/A \
DefaultTime=02:00:00 GraceTime=0 MaxTime=UNLIMITED MaxCPUsPerNode=44 PriorityTier=1 PreemptMode=CANCEL State=UP \
TotalCPUs=4776 TotalNodes=85 DefMemPerNode=UNLIMITED MaxMemPerNode=640000 TRES=cpu=4606,mem=62356400M,node=85
PartitionName=CPU nodes (amd) AllowGroups=ALL AllowAccounts=katz-lab AllowQos=ALL Default=NO QoS=N/A DefaultTime=NONE \
MaxTime=14-00:00:00 MaxCPUsPerNode=UNLIMITED PreemptMode=OFF State=DOWN TotalCPUs=16 TotalNodes=1 MaxMemPerCPU=4000
"""

#: ``sinfo --all --noheader --exact --format='%R|%D|%c|%m|%T'``
NODES = """\
main|3|1|5000|drained
main|4|1|5000|idle
main|1|1|5000|down*
low|3|1|5000|drained
low|4|1|5000|mixed
low|1|1|5000|down*
long|80|44|770000|allocated
long|5|64+|1030000+|idle~
CPU nodes (amd)|1|16|64000|down
"""

#: ``sacctmgr --noheader --parsable2 show associations … format=Cluster,Account,Partition,QOS,DefaultQOS,MaxSubmitJobs``
ASSOCIATIONS = """\
pytautest|katz-lab||normal,long|normal|200
pytautest|guests|low|normal||
another|elsewhere||normal||
"""


def a_cluster(
    *,
    config: str = "",
    partitions: str = PARTITIONS + OTHER_PARTITIONS,
    nodes: str = NODES,
    associations: str | None = ASSOCIATIONS,
) -> Cluster:
    """The recorded cluster; lines of `config` go before its own."""
    answers = parse_config(CONFIG)
    answers.update(parse_config(config))
    return Cluster(
        config=answers,
        partitions=tuple(parse_partitions(partitions)),
        nodes=tuple(parse_nodes(nodes)),
        accounts=None
        if associations is None
        else Accounts(
            associations=tuple(parse_associations(associations, "pytautest")),
            default="katz-lab",
            qos={"normal": None, "long": 100},
        ),
    )


def a_slurm_that_says(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    config: str = "",
    partitions: str = PARTITIONS,
    **scripts: str,
) -> None:
    """Commands in front of the PATH that print the recorded answers; `scripts` are others of them, in shell."""
    says = {
        "config": config + CONFIG.replace("AccountingStorageType", "Was") if config else CONFIG,
        "partition": partitions,
        "nodes": NODES,
        "associations": ASSOCIATIONS,
        "user": "somebody|katz-lab",
        "qos": "normal|\nlong|100",
    }
    folder.mkdir()
    for name, text in says.items():
        (folder / f"{name}.txt").write_text(text)
    here = shlex.quote(str(folder))
    commands = {
        # Whatever is shown stands last, or third to last: show config, show partition, show user NAME format=…
        "scontrol": f"for word; do [ -f {here}/$word.txt ] && cat {here}/$word.txt; done; true",
        "sacctmgr": f"for word; do [ -f {here}/$word.txt ] && cat {here}/$word.txt; done; true",
        "sinfo": f"cat {here}/nodes.txt",
        **dict.fromkeys(["sbatch", "srun", "squeue", "scancel", "sacct"], "true"),
        **scripts,
    }
    for name, script in commands.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.environ["PATH"]]))
