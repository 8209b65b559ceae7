"""A fit process starts with thread pools as large as what its task got."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.toy_sweep import kill_everything, processes_of


def environment_of(pid: int) -> dict[str, str]:
    try:
        pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    except OSError:
        return {}
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


@pytest.mark.parametrize("given", ["1", "2"])
def test_thread_pools_follow_the_processors_that_the_task_got(toy, eventually, given):
    """Three were asked for; SLURM gave fewer. What the shell and the profile had set does not count."""
    sweep = toy(sessions=1, sleep_s=0.5, iterations=100, profile="many")
    (sweep.study / "jobs").mkdir()
    profile = 'executor: local\ndefaults: {cpus: 3}\nenv: {OMP_NUM_THREADS: "7"}\n'
    (sweep.study / "jobs" / "many.yaml").write_text(profile)
    sweep.environment |= {"SLURM_CPUS_PER_TASK": given, "MKL_NUM_THREADS": "9"}

    def fit() -> dict[str, str]:
        fits = [environment_of(pid) for pid in processes_of("pytau_hpc.fit")]
        ours = [one for one in fits if str(sweep.study.parent) in str(one)]
        return ours[0] if ours else {}

    driver = sweep.start("submit", "-j", "1")
    try:
        eventually(fit, "a fit process")
        pools = {fit()[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")}
    finally:
        kill_everything(str(sweep.study))
        driver.wait()

    assert pools == {str(min(int(given), len(os.sched_getaffinity(0))))}
