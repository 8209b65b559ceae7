"""What every test may rely on: a clean environment, a study folder, seeded random numbers, the command line.

The environment is set before any test module is imported, since JAX, PyTensor and BLAS read theirs at import.
Compilation caches are shared by all tests of a session (and by its xdist workers) and removed at the end; set
PYTAU_TESTS_CACHE to a folder to keep them from one session to the next.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    import numpy as np

    from tests.fake_slurm import FakeSlurm

ROOT = Path(__file__).resolve().parents[1]

#: Set once per session; subprocesses (the worker, the command line, SLURM jobs) inherit them.
SESSION_ENVIRONMENT = {
    # Tests run side by side; two BLAS pools on one core are slower than one thread.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "JAX_PLATFORMS": "cpu",
    # Everything is worth caching when the same small models are compiled by many processes.
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}

#: Leaks from the caller's shell (or from the job that pytest itself runs in) would change what is tested.
LEAKS = ("PYTAU_HPC_", "SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCONTROL_", "SUBMITIT_")
#: Colours and widths that rich and typer take from the environment.
TERMINAL = ("FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "GITHUB_ACTIONS", "NO_COLOR", "LINES")

hypothesis.settings.register_profile("fast", deadline=None, max_examples=50)
# In CI the same examples every time: a red build must be one that somebody can repeat.
hypothesis.settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "fast")

_own_cache: Path | None = None


def pytest_configure(config: pytest.Config) -> None:
    global _own_cache
    os.environ.update(SESSION_ENVIRONMENT)
    # Without .pyc files every subprocess compiles PyMC's sources again: seconds per process.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # Subprocesses run the code of this checkout, installed or not, from any folder.
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))

    cache = os.environ.get("PYTAU_TESTS_CACHE")
    if cache is None:
        _own_cache = Path(tempfile.mkdtemp(prefix="pytau-hpc-tests-"))
        cache = os.environ["PYTAU_TESTS_CACHE"] = str(_own_cache)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{cache}/jax"
    flags = [flag for flag in os.environ.get("PYTENSOR_FLAGS", "").split(",") if flag]
    flags = [flag for flag in flags if not flag.startswith("base_compiledir")]
    os.environ["PYTENSOR_FLAGS"] = ",".join([*flags, f"base_compiledir={cache}/pytensor"])


def pytest_unconfigure(config: pytest.Config) -> None:
    if _own_cache is not None:
        shutil.rmtree(_own_cache, ignore_errors=True)


@pytest.fixture(scope="session")
def _empty_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, _empty_config: Path) -> None:
    """No variable, profile or terminal of the person who runs the tests reaches the code under test."""
    for name in list(os.environ):
        if name.startswith(LEAKS) and name != "SLURM_CONF":
            monkeypatch.delenv(name)
    for name in TERMINAL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(_empty_config))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(_empty_config))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """An empty study folder: what sweeps/, models/ and data/ lie in."""
    folder = tmp_path / "study"
    folder.mkdir()
    return folder


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that are the same for a test every time, and others for every test."""
    import numpy as np

    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    """Programs that stand for SLURM's, first on the PATH of this process and of those that it starts."""
    from tests.fake_slurm import FakeSlurm, put_on_path

    slurm = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", put_on_path(slurm, os.environ["PATH"]))
    return slurm


CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def pytau_hpc_cli(study: Path) -> CommandLine:
    """Run ``python -m pytau_hpc …`` in the study folder; stdout and stderr are text, stdin is empty.

    ``check=True`` fails the test, with the program's words, where it does not exit with 0.
    """

    def run(
        *words: str | os.PathLike[str],
        check: bool = False,
        cwd: Path = study,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytau_hpc", *map(os.fspath, words)]
        done = subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            pytest.fail(
                f"{' '.join(command[2:])} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    return run


Eventually = Callable[..., None]


@pytest.fixture
def eventually() -> Eventually:
    """Wait until a condition holds: ``eventually(lambda: path.exists(), "the result")``.

    Waiting is bounded, not measured: the limit only ends a test that would never end.
    """

    def wait(condition: Callable[[], object], what: str = "", *, seconds: float = 120) -> None:
        limit = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > limit:
                pytest.fail(f"waited {seconds:.0f} s in vain for {what or condition}")
            time.sleep(0.1)

    return wait


@pytest.fixture
def recordings() -> Path:
    """The folder of real recordings, which is not part of this repository (mark such tests ``realdata``).

    $PYTAU_TESTS_DATA, else ``shared/data`` beside the checkout.
    """
    folder = Path(os.environ.get("PYTAU_TESTS_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings in {folder}; set PYTAU_TESTS_DATA")
    return folder
