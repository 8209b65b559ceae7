"""The environment that a fit process is started with. Pure, and without heavy imports: the supervisor calls it."""

from __future__ import annotations

from pathlib import Path

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def fit_environment(cpus: int, scratch: Path) -> dict[str, str]:
    """Variables that have to be set before numpy, PyTensor and JAX are imported.

    Parameters
    ----------
    cpus : how many CPUs the task was given; BLAS and XLA use no more threads
    scratch : private folder on node-local disk for everything that compilers keep
    """
    multi = "true" if cpus > 1 else "false"
    return {
        **dict.fromkeys(_THREAD_VARIABLES, str(cpus)),
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={multi} intra_op_parallelism_threads={cpus}",
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1",
        "JAX_COMPILATION_CACHE_DIR": str(scratch / "jax"),
        "PYTENSOR_FLAGS": f"base_compiledir={scratch / 'pytensor'}",
        "NUMBA_CACHE_DIR": str(scratch / "numba"),
        "MPLCONFIGDIR": str(scratch / "matplotlib"),
    }
