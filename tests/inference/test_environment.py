"""The environment of fit processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytau_hpc.inference.environment import allotted_cpus, fit_environment


def test_every_pool_of_threads_follows_the_processors_allotted():
    """A pool that sees the whole node slows everybody on it down."""
    environment = fit_environment(3, "/scratch")

    pools = {name for name, value in environment.items() if value == "3"}

    usual = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"}
    assert usual | {"NPROC"} <= pools


@pytest.mark.parametrize(
    ("asked", "given", "usable", "allotted"),
    [
        (4, None, 8, 4),
        (4, "2", 8, 2),
        (2, "4", 8, 2),
        (4, "4", 1, 1),
        (4, None, 2, 2),
        (4, "", 8, 4),
        (4, "unlimited", 8, 4),
        (1, "0", 8, 1),
    ],
)
def test_a_fit_uses_what_its_task_asked_for_and_not_more_than_it_got(
    asked, given, usable, allotted
):
    """What SLURM says that it gave, and what the operating system lets the worker run on."""
    environment = {} if given is None else {"SLURM_CPUS_PER_TASK": given}

    assert allotted_cpus(asked, environment, usable=usable) == allotted


def test_the_operating_system_is_asked_which_processors_a_worker_may_run_on():
    """As a scheduler or `taskset` bound it."""
    one = {min(os.sched_getaffinity(0))}
    ask = "from pytau_hpc.inference.environment import allotted_cpus; print(allotted_cpus(64, {}))"

    said = subprocess.run(
        [sys.executable, "-c", ask],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, one),
    )

    assert said.stdout.strip() == "1"


def test_compiled_code_is_kept_below_the_scratch_folder(tmp_path: Path):
    """Not in the home folder, where the tasks of an array would wait for each other's locks."""
    environment = fit_environment(1, tmp_path)

    assert Path(environment["JAX_COMPILATION_CACHE_DIR"]).is_relative_to(tmp_path)
    flags = dict(flag.split("=", 1) for flag in environment["PYTENSOR_FLAGS"].split(","))
    assert Path(flags["base_compiledir"]).is_relative_to(tmp_path)


def test_xla_flags_are_left_to_the_user():
    """A jaxlib that does not know a flag aborts the process."""
    assert "XLA_FLAGS" not in fit_environment(1, "/scratch")
