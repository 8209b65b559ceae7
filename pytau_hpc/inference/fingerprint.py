"""What must be the same for a resumed fit to equal an uninterrupted one, bit for bit.

Floating-point results depend on more than the program: library versions, the processor (which vector instructions are
chosen), the number of threads (how sums are split), precision switches, the compiler behind PyTensor. All of it goes
into one small dictionary that a checkpoint carries; where any entry differs, the checkpoint is not used.

Called by `checkpoint` only, when a checkpoint is read or written: at that moment the engine has imported its own heavy
libraries, so looking at their switches costs nothing.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytau_hpc

# Some are for the sampling methods only: where they are not installed the entry says so.
_LIBRARIES = (
    "numpy",
    "scipy",
    "pymc",
    "pytensor",
    "jax",
    "jaxlib",
    "numba",
    "blackjax",
    "nutpie",
    "numpyro",
)

_ON_JAX = ("jax", "blackjax", "nutpie", "numpyro")

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPROC",
    # XLA's thread pool, its choice of vector width and its fast-math are set here.
    "XLA_FLAGS",
)

# An edit here may change what a checkpoint means or how numbers are summed. A digest cannot be forgotten, a hand-kept
# version can; the price is that an update of the package in the middle of a sweep starts interrupted fits over.
_SOURCES = ("inference", "models")


def fingerprint_of(engine: str) -> Mapping[str, str]:
    """Describe this process for the engine that runs in it.

    Parameters
    ----------
    engine : "pymc", or one that runs on JAX; decides which precision and compiler switches count

    Returns
    -------
    flat dictionary of texts, the same for every process on the same kind of machine with the same software
    """
    found = {"engine": engine, "source": _source_digest(), **_software(), **_hardware()}
    found.update({name: os.environ.get(name, "") for name in _THREAD_VARIABLES})
    if engine == "pymc":
        found.update(_pytensor_switches())
    if engine in _ON_JAX:
        found.update(_jax_switches())
    return found


def difference(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str | None:
    """The entries that differ, in words, or None when nothing does."""
    keys = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
    if not keys:
        return None
    return ", ".join(
        f"{key} was {theirs.get(key) or 'unset'}, is {ours.get(key) or 'unset'}" for key in keys
    )


@functools.cache
def _software() -> Mapping[str, str]:
    def version(name: str) -> str:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return ""

    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


@functools.cache
def _source_digest() -> str:
    package = Path(pytau_hpc.__file__).parent
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(
                path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0"
            )
    return digest.hexdigest()[:16]


@functools.cache
def _hardware() -> Mapping[str, str]:
    """Processor model, the instruction sets it offers (virtual machines hide some), and how many of it we may use."""
    model, flags = platform.processor() or "", ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            model = value.strip()
        elif key.strip() in ("flags", "Features"):
            flags = " ".join(sorted(value.split()))
        if model and flags:
            break
    return {
        "machine": platform.machine(),
        "cpu": model,
        "cpu_flags": hashlib.sha256(flags.encode()).hexdigest()[:12],
        "cpus": str(_usable_cpus()),
    }


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pytensor_switches() -> Mapping[str, str]:
    import pytensor

    config = pytensor.config
    return {
        "floatX": str(config.floatX),
        # The Python, C and numba linkers differ from each other in the last bit.
        "mode": str(config.mode),
        "linker": str(config.linker),
        "optimizer": str(config.optimizer),
        "compiler": f"{'yes' if config.cxx else 'no'} {config.gcc__cxxflags}",
        "blas": str(config.blas__ldflags),
    }


def _jax_switches() -> Mapping[str, str]:
    import jax

    return {
        "x64": str(jax.config.jax_enable_x64),
        "devices": f"{jax.device_count()} {jax.devices()[0].device_kind}",
        "matmul_precision": str(jax.config.jax_default_matmul_precision),
    }
