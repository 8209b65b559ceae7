"""Scenarios that hurt tasks which run or wait: preemption, limits, kills, dead nodes, hands."""

from __future__ import annotations

import signal
import subprocess
import time

from tests.slurm.ordeal.field import Field
from tests.slurm.ordeal.machine import (
    alive,
    ask,
    children_of,
    control,
    eventually,
    kill,
    nodes,
    stepd_of,
)


def _cut_short(field: Field) -> int:
    """How many runs did not end because they were done."""
    return sum(
        not records or records[-1].get("because") != "done" for records in field.journals().values()
    )


# -- pushed out ------------------------------------------------------------------------------------------------------


def preempted(field: Field) -> None:
    """A low partition's jobs are pushed out by high ones, warned by the job's signal."""
    _push_out(field)


def preempted_without_signal(field: Field) -> None:
    """The same where the administrator has not set `preempt_send_user_signal`: SIGTERM, 10 s, SIGKILL."""
    control("user-signal", "off")
    try:
        _push_out(field)
    finally:
        control("user-signal", "on")


def _push_out(field: Field) -> None:
    n = len(nodes())
    field.plan(points=n + 4, iterations=80, partition="low")
    field.submit()
    field.computing(n)
    field.record("before high jobs come")
    high = ask(
        "sbatch", "--parsable", "--partition=high", f"--array=0-{n - 1}", "--mem=100", "--output=/dev/null",
        "--job-name=high", "--wrap=sleep 3",
    )  # fmt: skip
    field.watch("after high jobs came", 16)
    eventually(
        lambda: not ask("squeue", "--noheader", f"--jobs={high}"), "the end of high jobs", 60
    )
    field.cli("status")
    field.record("after high jobs ended")
    field.finish()
    field.hits += _cut_short(field)


# -- limits ----------------------------------------------------------------------------------------------------------


def timeout(field: Field) -> None:
    """Fits take longer than their task may; they go on from the checkpoint with more time."""
    field.interval = 6
    field.plan(points=8, iterations=170, sleep_s=0.5, minutes=1)
    field.submit()
    field.computing(len(nodes()), past=20)
    field.watch("near the limit", 50, every=5)
    field.finish()
    field.hits += 8


def timeout_deaf(field: Field) -> None:
    """Fits that hear nothing: no checkpoint, no last word; SLURM ends the whole step at the limit."""
    field.plan(points=8, iterations=4, minutes=1, fit="fail: deaf, fail_times: 1")
    field.submit()
    eventually(lambda: len(field.running()) == len(nodes()), "all tasks")
    time.sleep(40)
    field.watch("near the limit", 60, every=4)
    field.finish()
    field.hits += 8


def oom_child(field: Field) -> None:
    """The fit process alone is killed while it holds nearly all that was asked for."""
    field.plan(points=8, iterations=4, mem_gb=1, fit="fail: oom_child, need_mb: 1200")
    field.submit()
    field.settle()
    field.record("after the first round")
    field.hits += len([e for e in field.events("point_failed") if e.get("error") == "SIGKILL"])
    field.finish()


def oom_step(field: Field) -> None:
    """SLURM finds the step over its memory and kills it as a whole, supervisor included."""
    field.plan(points=8, iterations=4, mem_gb=0.25, fit="fail: oom_step, need_mb: 250")
    field.submit()
    eventually(lambda: len(field.running()) > 0, "the first task")
    field.watch("while it happens", 10)
    field.settle()
    field.record("after the first round")
    field.hits += sum(
        len(records) > 0 and records[-1]["event"] != "run_ended"
        for records in field.journals().values()
    )
    field.finish()


# -- killed ----------------------------------------------------------------------------------------------------------


def kill_fit(field: Field) -> None:
    """kill -9 of the fit process: one point, no more; the supervisor goes on with the next."""
    field.plan(points=16, points_per_task=2)
    field.submit()
    for run in field.computing(len(nodes())):
        field.hits += sum(kill(child) for child in children_of(run["pid"]))
    field.record("after the kills")
    field.finish()


def kill_worker(field: Field) -> None:
    """kill -9 of the supervisor: the fit process ends itself, the rest of the task's points never had a turn."""
    field.plan(points=16, points_per_task=2)
    field.submit()
    runs = field.computing(len(nodes()))
    fits = [child for run in runs for child in children_of(run["pid"])]
    field.hits += sum(kill(run["pid"]) for run in runs)
    eventually(lambda: not any(alive(pid) for pid in fits), "the end of orphaned fit processes", 20)
    field.watch("after the kills", 6)
    field.finish()


def kill_stepd(field: Field) -> None:
    """kill -9 of the step's slurmstepd: SLURM loses the step."""
    field.plan(points=8, iterations=60)
    field.submit()
    for run in field.computing(len(nodes())):
        field.hits += kill(stepd_of(run["pid"]))
    field.watch("after the kills", 12)
    field.finish()


def segfault(field: Field) -> None:
    """The fit process crashes once; the rest of the task goes on, the point gets its second try."""
    field.plan(points=16, points_per_task=2, iterations=5, fit="fail: segfault, fail_times: 1")
    field.submit()
    field.settle()
    field.hits += len(field.events("point_failed"))
    field.finish()


# -- nodes and daemons -----------------------------------------------------------------------------------------------


def node_killed(field: Field) -> None:
    """Three machines are gone at once; SLURM notices, requeues; they come back later."""
    field.plan(points=8, iterations=80)
    field.submit()
    runs = field.computing(min(6, len(nodes()) - 1))[:3]
    field.record("before the nodes die")
    for run in runs:
        control("kill-node", run["host"])
        field.hits += 1
    try:
        field.cli("status")
        field.watch("after the nodes died", 36, every=4)
        eventually(lambda: _down(len(runs)), "SLURM to notice", 90)
        field.record("SLURM has noticed")
        field.cli("status")
        field.finish()
    finally:
        for run in runs:
            control("revive-node", run["host"])


def zombies(field: Field) -> None:
    """slurmd alone dies: SLURM runs the task again while its first run lives on, and finds that it was superseded."""
    _zombies(field, frozen=False)


def zombies_that_finish_second(field: Field) -> None:
    """The first runs are frozen until the second ones have finished, and then go on: they publish nothing."""
    _zombies(field, frozen=True)


def _zombies(field: Field, *, frozen: bool) -> None:
    field.zombies = True
    # Half of the nodes stay free, so that the second runs can start while the first ones live.
    if frozen:
        field.plan(points=4, iterations=60, checkpoint_s=30)
    else:
        field.plan(points=4, iterations=700)
    field.submit()
    runs = eventually(lambda: r if len(r := field.running()) == 4 else None, "all tasks")[:3]
    time.sleep(1)
    processes = [pid for run in runs for pid in (run["pid"], *children_of(run["pid"]))]
    if frozen:
        field.hits += sum(kill(pid, signal.SIGSTOP) for pid in processes) // 2
    for run in runs:
        control("kill-slurmd", run["host"])
    field.record("slurmd killed")
    try:
        eventually(lambda: _down(len(runs)), "SLURM to notice", 90)
        field.record("SLURM has noticed")
        second = [run["path"].with_name(run["path"].name.replace(".r1.", ".r2.")) for run in runs]

        def all_again() -> bool:
            field.start_now()
            return all(path.exists() for path in second)

        eventually(all_again, "the second runs", 180)
        if frozen:
            field.settle()
            field.record("second runs have finished")
            for pid in processes:
                kill(pid, signal.SIGCONT)
            eventually(lambda: not any(alive(pid) for pid in processes), "the end of zombies", 60)
        else:
            field.hits += sum(alive(run["pid"]) for run in runs)
            field.record("both runs run")
            zombies_end = [run["pid"] for run in runs]
            eventually(lambda: not any(alive(pid) for pid in zombies_end), "the zombies' end", 60)
            field.record("the zombies have ended")
    finally:
        for run in runs:
            control("revive-slurmd", run["host"])
    field.finish()


def _down(n: int) -> bool:
    return len(set(ask("sinfo", "-h", "-N", "-t", "down", "-o", "%N").split())) >= n


def controller_restarted(field: Field) -> None:
    """slurmctld dies while tasks run, and comes back, three times; nobody may take silence for an answer."""
    field.plan(points=16, iterations=120)
    field.submit()
    field.computing(len(nodes()))
    for _ in range(3):
        control("kill-controller")
        field.hits += 1
        try:
            before = field.counts()
            field.cli("status")
            said = field.cli("resume", "--yes", ok=(0, 75))
            if "Nothing to send" not in said and "not answer" not in said:
                field.wrong.append("resume sent something while the controller was dead")
            field.note(f"while the controller was dead: {before}")
            time.sleep(4)
        finally:
            control("revive-controller")
        field.record("the controller is back")
    field.finish()


# -- by hand ---------------------------------------------------------------------------------------------------------


def scancel_running(field: Field) -> None:
    """Somebody scancels the whole array while it runs and others of it wait."""
    field.plan(points=16, iterations=60)
    field.submit()
    runs = field.computing(len(nodes()))
    field.hits += len(runs)
    field.record("before scancel")
    ask("scancel", runs[0]["job"].partition("_")[0])
    field.watch("after scancel", 8)
    field.finish()


def scancel_queued(field: Field) -> None:
    """Somebody scancels the array before any of it ran."""
    field.plan(points=12, iterations=5, partition="main")
    blocker = ask(
        "sbatch", "--parsable", f"--array=0-{len(nodes()) - 1}", "--mem=100", "--output=/dev/null",
        "--wrap=sleep 300",
    )  # fmt: skip
    field.submit()
    eventually(lambda: len(field.queue()) == 12, "the array")
    field.record("before scancel")
    for job in {element.job.partition("_")[0] for element in field.queue()}:
        ask("scancel", job)
        field.hits += 12
    ask("scancel", blocker)
    field.watch("after scancel", 6)
    field.finish()


def scancel_some(field: Field) -> None:
    """Somebody scancels some elements: two that run, two that wait."""
    field.plan(points=12, iterations=60)
    field.submit()
    field.computing(len(nodes()))
    queue = field.queue()
    running = [e.job for e in queue if e.state == "RUNNING"][:2]
    waiting = [e.job for e in queue if e.state == "PENDING"][:2]
    field.hits += len(running) + len(waiting)
    ask("scancel", *running, *waiting)
    field.watch("after scancel", 8)
    field.finish()


def requeued_by_hand(field: Field) -> None:
    """`scontrol requeue` of what runs: SIGTERM, SIGKILL, and SLURM runs the element again."""
    field.plan(points=8, iterations=60)
    field.submit()
    runs = field.computing(len(nodes()))
    field.record("before requeue")
    for run in runs:
        subprocess.run(["scontrol", "requeue", run["job"]], check=False)
    field.watch("after requeue", 10)
    field.finish()
    field.hits += _cut_short(field)
