"""Why a fit process died: what the kernel's counters, the last memory seen and the signal say together."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from pytau_hpc import deaths
from pytau_hpc.deaths import Death, OomCounter, classify

GIB = 2**30

#: /proc/<pid>/cgroup, the file that counts, and what stands in it, as Linux writes them.
CGROUPS = {
    "version 2": (
        "0::/system.slice/slurmstepd.scope/job_8123/step_0/user/task_0\n",
        "sys/fs/cgroup/system.slice/slurmstepd.scope/job_8123/step_0/user/task_0/memory.events",
        "low 0\nhigh 0\nmax 812\noom {n}\noom_kill {n}\noom_group_kill 0\n",
    ),
    "version 1": (
        "12:cpuset:/slurm/uid_0/job_8123/step_0\n9:cpu,memory:/slurm/uid_0/job_8123/step_0/task_0\n"
        "1:name=systemd:/system.slice/slurmd.service\n0::/system.slice/slurmd.service\n",
        "sys/fs/cgroup/memory/slurm/uid_0/job_8123/step_0/task_0/memory.oom_control",
        "oom_kill_disable 0\nunder_oom 0\noom_kill {n}\n",
    ),
}


@pytest.fixture(params=CGROUPS)
def kills(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write down how often the kernel killed in the cgroup of process 4711: real files below another root."""
    groups, counter, text = CGROUPS[request.param]
    monkeypatch.setattr(deaths, "Path", lambda path: tmp_path / str(path).lstrip("/"))
    (tmp_path / "proc/4711").mkdir(parents=True)
    (tmp_path / "proc/4711/cgroup").write_text(groups)
    (tmp_path / counter).parent.mkdir(parents=True)

    def happen(n: int) -> None:
        (tmp_path / counter).write_text(text.format(n=n))

    return happen


def a_death(**seen) -> Death:
    return Death(
        **{
            "status": -signal.SIGKILL,
            "last_rss_bytes": GIB,
            "limit_bytes": 4 * GIB,
            "oom_kills": 0,
            **seen,
        }
    )


def test_kills_of_the_kernel_are_counted_since_the_fit_began(kills):
    """Those before were somebody else's."""
    kills(2)
    counter = OomCounter.read(4711)
    assert counter.since() == 0

    kills(3)

    assert counter.since() == 1


def test_a_counter_that_begins_again_counts_nothing(kills):
    kills(2)
    counter = OomCounter.read(4711)

    kills(0)

    assert counter.since() == 0


def test_a_process_without_a_counter_was_killed_by_nobody_that_we_know(kills):
    """It is in no cgroup that we can see, or not there at all."""
    assert OomCounter.read(4711).since() == 0
    assert OomCounter.read(4712).since() == 0


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        ({"oom_kills": 1}, "out_of_memory"),  # whatever it was last seen with
        ({"oom_kills": 1, "last_rss_bytes": None}, "out_of_memory"),
        ({"last_rss_bytes": 4 * GIB}, "out_of_memory"),  # the counter is gone with the cgroup
        ({}, "killed"),
        ({"last_rss_bytes": None}, "killed"),
        ({"status": -signal.SIGTERM, "oom_kills": 1}, "killed"),  # the kernel does not ask
        ({"status": -signal.SIGSEGV, "oom_kills": 1}, "exception"),
        ({"status": 1, "last_rss_bytes": 4 * GIB}, "exception"),
    ],
)
def test_only_a_sudden_death_is_one_of_memory(seen, kind):
    assert classify(a_death(**seen))["kind"] == kind
