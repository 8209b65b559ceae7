"""The quick scenarios of the ordeal, once each: hurt a real sweep on the cluster, resume, check everything.

The slow ones, and many repetitions: `python -m tests.slurm.ordeal`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.slurm.ordeal import SCENARIOS
from tests.slurm.ordeal.run import repeat

#: Less than half a minute each.
QUICK = [name for name, scenario in SCENARIOS.items() if scenario.quick]


@pytest.mark.parametrize("name", QUICK)
def test_a_hurt_sweep_is_finished_by_resume_and_the_ledger_tells_the_truth(
    cluster, name: str, tmp_path: Path
):
    """Every point has one result, nothing was done twice, kinds are true, the ledger can be rebuilt."""
    scenario = SCENARIOS[name]
    if scenario.needs_accounting and not cluster.has_accounting:
        pytest.skip("this needs accounting")

    seen = repeat(name, scenario, 0, tmp_path, records=None)

    assert not seen["wrong"]
