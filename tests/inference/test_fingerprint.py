"""What must be equal between the process that saved a checkpoint and the one that goes on from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np

from pytau_hpc.inference.fingerprint import difference, fingerprint_of


def test_the_fingerprint_is_that_of_the_machine_not_of_the_process():
    """Two processes of one machine and set-up agree; another number of threads does not."""
    script = (
        "import json; from pytau_hpc.inference.fingerprint import fingerprint_of;"
        "print(json.dumps(dict(fingerprint_of('other'))))"
    )

    def in_a_process(**environment: str) -> dict[str, str]:
        output = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
        ).stdout
        return dict(json.loads(output))

    ours = fingerprint_of("other")

    assert difference(ours, in_a_process(PYTHONHASHSEED="7")) is None
    assert difference(ours, in_a_process(OMP_NUM_THREADS="3")) == "OMP_NUM_THREADS was 3, is 1"


def test_the_fingerprint_knows_what_numbers_depend_on():
    """Versions, processor, threads and our own source are all in it."""
    found = fingerprint_of("other")

    assert found["numpy"] == np.__version__
    assert found["machine"]
    assert found["source"]
    assert int(found["cpus"]) >= 1
    assert "OMP_NUM_THREADS" in found


def test_checkpoints_need_nothing_heavy():
    """The module is imported before an engine is chosen."""
    script = (
        "import sys, pytau_hpc.inference.checkpoint;"
        "print([m for m in ('pymc', 'pytensor', 'jax', 'arviz', 'xarray', 'pandas', 'h5py') if m in sys.modules])"
    )

    heavy = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout

    assert heavy.strip() == "[]"
