"""Whether a process still lives, as another one finds out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytau_hpc.sweep import process
from pytau_hpc.sweep.process import liveness_of, this_process
from pytau_hpc.sweep.state import Liveness

BOOT = 1_700_000_000


@pytest.fixture
def without_proc(monkeypatch: pytest.MonkeyPatch):
    """A machine without /proc, such as a Mac: boot and start are known by their times alone."""
    us = this_process()

    def at(*, boot: float, started: float) -> None:
        monkeypatch.setattr(process, "boot_id", lambda: f"{us.host}@{boot:.0f}")
        monkeypatch.setattr(process, "_started", lambda pid: started)

    at(boot=BOOT, started=BOOT + 5000.0)
    return at


@pytest.mark.parametrize("moved_s", [-1.0, 0.0, 1.0, 20.0])
def test_a_clock_that_was_set_kills_nobody(without_proc, moved_s):
    """With it, the time of the boot moves, and the times at which processes started."""
    driver = this_process()

    without_proc(boot=BOOT + moved_s, started=BOOT + 5000.0 + moved_s)

    assert liveness_of(driver) is Liveness.ALIVE


def test_a_machine_that_was_booted_again_has_none_of_its_processes(without_proc):
    driver = this_process()

    without_proc(boot=BOOT + 3600, started=BOOT + 8000.0)

    assert liveness_of(driver) is Liveness.GONE


def test_another_process_of_the_same_number_is_another_one(without_proc):
    driver = this_process()

    without_proc(boot=BOOT, started=BOOT + 9000.0)

    assert liveness_of(driver) is Liveness.GONE


def test_a_process_with_our_number_that_started_at_another_tick_is_not_us():
    """With /proc nothing moves."""
    us = this_process()

    assert liveness_of(us) is Liveness.ALIVE
    assert liveness_of(replace(us, started=us.started + 1)) is Liveness.GONE
    assert liveness_of(replace(us, boot_id="an-earlier-boot")) is Liveness.GONE
