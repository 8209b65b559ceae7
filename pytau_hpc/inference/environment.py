"""The environment variables that a fit process must start with.

Thread pools, precision and caches are read once, when numpy, PyTensor and JAX are imported; setting them later is too
late. So whoever starts a fit process (the worker, the inline executor's child) passes these. Pure; imports nothing
heavy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    # The size of XLA's thread pool. An XLA flag would do it too, but a jaxlib that does not know a flag aborts.
    "NPROC",
)


def allotted_cpus(asked: int, environment: Mapping[str, str], *, usable: int | None = None) -> int:
    """How many processors a fit may use: what its task asked for, as far as it got that.

    Parameters
    ----------
    asked : processors that the task asked for
    environment : of the worker; SLURM says there what it gave
    usable : processors that the worker may run on; by default the operating system is asked
    """
    if usable is None:
        usable = _usable_cpus()
    given = environment.get("SLURM_CPUS_PER_TASK", "")
    return max(1, min(asked, usable, int(given) if given.isdecimal() else asked))


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def fit_environment(cpus: int, scratch: Path | str) -> dict[str, str]:
    """Variables to set, on top of what is inherited, for a process that fits with `cpus` processors.

    Parameters
    ----------
    cpus : processors that the process may use, at least 1
    scratch : folder on a local disk, private to this task; compiled code is kept below it
    """
    scratch = Path(scratch)
    return {
        **dict.fromkeys(_THREADS, str(max(1, cpus))),
        # The same bits on every node, whether it has a GPU or not; and a GPU's memory is not taken for nothing.
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "true",
        "JAX_COMPILATION_CACHE_DIR": str(scratch / "jax"),
        # By default JAX keeps only what took a second to compile; ours often takes less, and there is much of it.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTENSOR_FLAGS": f"base_compiledir={scratch / 'pytensor'},floatX=float64",
    }
