"""The ordeal: sweeps of toy fits that are hurt in every way a cluster knows, on a real one, and what is left of them.

    python -m tests.slurm.ordeal --list
    python -m tests.slurm.ordeal preempted node_killed --times 10 --json ordeal.json

`check` says what must hold afterwards, from the files alone; `field` is one repetition's sweep, queue and processes;
`hurt` and `sending` hold the scenarios. The quick ones are tests, too (`tests/slurm/test_ordeal.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from tests.slurm.ordeal import hurt, sending
from tests.slurm.ordeal.field import Field


@dataclass(frozen=True)
class Scenario:
    """`kinds`: what may stand in the ledger afterwards, because it is true. `quick`: fit for a test."""

    run: Callable[[Field], None]
    kinds: Collection[str] = ()
    needs_accounting: bool = False
    quick: bool = False


SCENARIOS = {
    "preempted": Scenario(hurt.preempted, {"preempted"}, quick=True),
    "preempted_without_signal": Scenario(hurt.preempted_without_signal, {"preempted"}),
    "timeout": Scenario(hurt.timeout, {"timeout"}),
    "timeout_deaf": Scenario(hurt.timeout_deaf, {"timeout"}),
    "oom_child": Scenario(hurt.oom_child, {"out_of_memory"}),
    "oom_step": Scenario(hurt.oom_step, {"out_of_memory"}, quick=True),
    "kill_fit": Scenario(hurt.kill_fit, {"killed"}),
    "kill_worker": Scenario(hurt.kill_worker, {"killed", "never_started"}, quick=True),
    "kill_stepd": Scenario(hurt.kill_stepd, {"killed"}),
    "segfault": Scenario(hurt.segfault, {"exception"}, quick=True),
    "node_killed": Scenario(hurt.node_killed, {"node"}),
    "zombies": Scenario(hurt.zombies, {"node"}),
    "zombies_that_finish_second": Scenario(hurt.zombies_that_finish_second, {"node"}),
    "controller_restarted": Scenario(hurt.controller_restarted, {"never_started"}),
    "scancel_running": Scenario(hurt.scancel_running, {"killed", "never_started"}),
    "scancel_queued": Scenario(hurt.scancel_queued, {"never_started"}),
    "scancel_some": Scenario(hurt.scancel_some, {"killed", "never_started"}),
    "requeued_by_hand": Scenario(hurt.requeued_by_hand, {"preempted"}, quick=True),
    # A submission that was never sent is given up after its grace: its points never started.
    "submit_killed": Scenario(sending.submit_killed, {"never_started"}, quick=True),
    "two_at_once": Scenario(sending.two_at_once, quick=True),
    "sbatch_says_error": Scenario(sending.sbatch_says_error, quick=True),
    "sbatch_hangs": Scenario(sending.sbatch_hangs, quick=True),
    "controller_dies_in_submit": Scenario(sending.controller_dies_in_submit, {"never_started"}),
    "submit_limit": Scenario(
        sending.submit_limit, {"never_started"}, needs_accounting=True, quick=True
    ),
    "submit_limit_at_once": Scenario(
        sending.submit_limit_at_once, {"never_started"}, needs_accounting=True
    ),
    "many_points": Scenario(sending.many_points),
}
