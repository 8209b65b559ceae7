"""The environment variables that a fit process must start with.

Thread pools, precision and caches are read once, when numpy, PyTensor and JAX are imported; setting them later is too
late. So whoever starts a fit process (the worker, the inline executor's child) passes these. Pure; imports nothing
heavy.
"""

from __future__ import annotations

from pathlib import Path

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    # The size of XLA's thread pool. An XLA flag would do it too, but a jaxlib that does not know a flag aborts.
    "NPROC",
)


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
