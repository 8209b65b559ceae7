"""What a process that lives on after its fits, as a notebook does, leaves behind when they end badly."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Callable

import pytest

from pytau_hpc.choose import Command
from pytau_hpc.executors import local
from pytau_hpc.executors.profile import find_profile
from pytau_hpc.inference import METHODS
from pytau_hpc.prepare import Order
from pytau_hpc.submit import submit
from pytau_hpc.sweep.run_dir import SweepDir
from tests.toy_sweep import Toy, processes_of

SLOW = {"sessions": 1, "iterations": 150, "sleep_s": 0.05, "checkpoint_s": 0.2}


@pytest.fixture
def here(toy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Toy]:
    """Plan a sweep of toy fits that this process, too, knows how to make."""

    def plan(**how) -> Toy:
        planned = toy(**how)
        for name in ("PYTAU_HPC_PLUGINS", "PYTAU_HPC_SCRATCH"):
            monkeypatch.setenv(name, planned.environment[name])
        vars(METHODS).pop("_all", None)
        return planned

    yield plan
    vars(METHODS).pop("_all", None)


def send(sweep: Toy, profile: str = "local") -> None:
    order = Order(command=Command.SUBMIT, profile=find_profile(profile), workers=2)
    submit(SweepDir(sweep.path), order)


def test_a_worker_that_cannot_be_started_stops_the_others_and_leaves_nothing_queued(
    here, monkeypatch
):
    """They would go on without anybody who waits for them."""
    sweep = here(**SLOW)
    starts, start = [], local._start

    def start_once(*arguments):
        starts.append(arguments)
        if len(starts) == 2:
            time.sleep(3)
            raise OSError("Cannot allocate memory")
        return start(*arguments)

    monkeypatch.setattr(local, "_start", start_once)

    with pytest.raises(OSError, match="Cannot allocate"):
        send(sweep)

    assert processes_of(str(sweep.path)) == []
    assert sweep.counts() == {"planned": 3, "interrupted": 1}


def test_ctrl_c_in_the_middle_of_a_fit_in_this_process_is_an_interruption(here, eventually):
    """Not a fit that runs for as long as the notebook lives."""
    sweep = here(**SLOW)
    (sweep.study / "inline.yaml").write_text("executor: inline\n")

    def interrupt() -> None:
        eventually(lambda: list((sweep.path / "checkpoints").rglob("*.npz")), "a checkpoint")
        _thread.interrupt_main()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    waiting = threading.Thread(target=interrupt)
    waiting.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            send(sweep, str(sweep.study / "inline.yaml"))
    finally:
        waiting.join()
        signal.signal(signal.SIGINT, before)

    assert sweep.counts() == {"planned": 3, "interrupted": 1}
    assert sweep.rows("SELECT ended FROM run") == [("killed",)]
