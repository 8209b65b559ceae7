"""Scenarios that hurt the sending: killed senders, two at once, an sbatch that lies, limits, many points."""

from __future__ import annotations

import os
import random
import signal
import time

from tests.slurm.ordeal.field import Field
from tests.slurm.ordeal.machine import ask, control, digits

_QUICK = {"iterations": 3, "sleep_s": 0.01, "checkpoint_s": 60}


def submit_killed(field: Field) -> None:
    """kill -9 of `submit`, and then of `resume`, at random moments, while four arrays are being sent."""
    field.plan(points=8, limits="max_array_size: 2", **_QUICK)
    field.put_sbatch("sleep 0.1")
    for command in ("submit", "resume"):
        process = field.start(command, "--yes")
        moment = random.uniform(0.2, 1.5)
        time.sleep(moment)
        if process.poll() is None:
            if random.random() < 0.5:
                os.killpg(process.pid, signal.SIGKILL)  # with the sbatch that it waits for
            else:
                process.kill()
            field.hits += 1
        said, _ = process.communicate()
        arrays = [answer.name for answer in field.answers() if answer.rc == 0]
        field.note(f"$ {command} killed after {moment:.2f} s: {len(arrays)} arrays; {said.strip()}")
        field.cli("status")
    field.finish()


def two_at_once(field: Field) -> None:
    """Three senders at the same time: one sends, the others find that it was done."""
    field.plan(points=8, limits="max_array_size: 4", **_QUICK)
    senders = [field.start(command, "--yes") for command in ("submit", "resume", "resume")]
    for sender in senders:
        said, _ = sender.communicate(timeout=120)
        field.note(f"→ {sender.returncode} {said.strip()}")
        if sender.returncode not in (0, 75):
            field.wrong.append(f"a sender exited with {sender.returncode}: {said.strip()[-200:]}")
    field.hits += 1
    if len(field.uuids()) != 1:
        field.wrong.append(f"{len(field.uuids())} submissions of three senders")
    field.finish()


def sbatch_says_error(field: Field) -> None:
    """The controller takes the array, its answer is lost: sbatch says that it failed."""
    field.plan(points=4, **_QUICK)
    lost = "Batch job submission failed: Socket timed out on send/recv operation"
    field.put_sbatch(f'said=""; rc=1; echo "sbatch: error: {lost}" >&2')
    said = field.cli("submit", "--yes", ok=(0, 75))
    field.hits += len(field.answers())
    field.note(said)
    field.put_sbatch("")
    field.cli("resume", "--yes", ok=(0, 75))
    field.finish()


def sbatch_hangs(field: Field) -> None:
    """The controller takes the array, sbatch never comes back: it is given up, and the array found by its name."""
    field.plan(points=4, **_QUICK)
    field.variables["PYTAU_HPC_SBATCH_TIMEOUT_S"] = "5"
    field.put_sbatch("exec sleep 600")
    field.cli("submit", "--yes", ok=(0, 75), timeout=60)
    field.hits += len(field.answers())
    field.put_sbatch("")
    field.finish()


def controller_dies_in_submit(field: Field) -> None:
    """slurmctld dies at a random moment of `submit` and comes back some seconds later."""
    field.plan(points=8, limits="max_array_size: 2", **_QUICK)
    field.put_sbatch("sleep 0.1")
    process = field.start("submit", "--yes")
    time.sleep(random.uniform(0.3, 1.2))
    field.hits += process.poll() is None
    control("kill-controller")
    try:
        time.sleep(random.uniform(1, 8))
    finally:
        control("revive-controller")
    said, _ = process.communicate(timeout=200)
    field.note(f"submit → {process.returncode}: {said.strip()}")
    if process.returncode not in (0, 5, 75):
        field.wrong.append(f"submit exited with {process.returncode}")
    field.finish()


def many_points(field: Field) -> None:
    """2,500 points, one a task, where an array may have 1001 elements."""
    field.plan(points=int(os.environ.get("PYTAU_ORDEAL_POINTS", 2500)), **_QUICK)
    largest = digits(ask("scontrol", "show", "config").partition("MaxArraySize")[2])[0]
    started = time.monotonic()
    field.submit()
    field.hits += 1
    submitted = field.calls()
    field.note(f"submit took {time.monotonic() - started:.1f} s; calls {dict(submitted)}")
    indices = [digits(element.job)[1] for element in field.queue() if "_" in element.job]
    if indices and max(indices) >= largest:
        field.wrong.append(f"an index of {max(indices)} with MaxArraySize {largest}")
    before = field.calls()["squeue"]
    for _ in range(5):
        field.counts()
    asked = field.calls()["squeue"] - before
    field.note(f"5 × status: {asked} squeue")
    if asked > 1:
        field.wrong.append(f"five `status` at once asked squeue {asked} times")
    field.finish(seconds=3600)


def submit_limit(field: Field) -> None:
    """The association may have ten jobs: some arrays are taken, exit code 5 says so, and `resume` sends the rest."""
    field.plan(points=16, limits="max_array_size: 4", **_QUICK)
    _limit(10)
    try:
        said = field.cli("submit", "--yes", ok=(5,))
        field.hits += any(answer.rc != 0 for answer in field.answers())
        field.note(f"{said}\n{field.answers()}")
        field.finish()
    finally:
        _limit(-1)


def submit_limit_at_once(field: Field) -> None:
    """The association's limit is smaller than the very first array."""
    field.plan(points=8, **_QUICK)
    _limit(3)
    try:
        said = field.cli("submit", "--yes", ok=(1, 5, 75))
        field.hits += any(answer.rc != 0 for answer in field.answers())
        field.note(f"{said}\n{field.answers()}")
    finally:
        _limit(-1)
    field.finish()


def _limit(jobs: int) -> None:
    ask("sacctmgr", "-i", "modify", "user", "root", "set", f"MaxSubmitJobs={jobs}")
