"""The environment of fit processes."""

from __future__ import annotations

from pathlib import Path

from pytau_hpc.inference.environment import fit_environment


def test_every_pool_of_threads_follows_the_processors_allotted():
    """A pool that sees the whole node slows everybody on it down."""
    environment = fit_environment(3, "/scratch")

    pools = {name for name, value in environment.items() if value == "3"}

    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"} <= pools


def test_compiled_code_is_kept_below_the_scratch_folder(tmp_path: Path):
    """Not in the home folder, where the tasks of an array would wait for each other's locks."""
    environment = fit_environment(1, tmp_path)

    assert Path(environment["JAX_COMPILATION_CACHE_DIR"]).is_relative_to(tmp_path)
    flags = dict(flag.split("=", 1) for flag in environment["PYTENSOR_FLAGS"].split(","))
    assert Path(flags["base_compiledir"]).is_relative_to(tmp_path)


def test_xla_flags_are_left_to_the_user():
    """A jaxlib that does not know a flag aborts the process."""
    assert "XLA_FLAGS" not in fit_environment(1, "/scratch")
