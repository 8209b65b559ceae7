"""How executors stop what nobody wants any more. The texts are answers of a real SLURM 22.05."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from pytau_hpc.executors import executor
from pytau_hpc.executors.base import OpenTask
from pytau_hpc.executors.scancel import cancel, targets
from pytau_hpc.executors.squeue import parse
from pytau_hpc.sweep.process import identity_of, this_process
from tests.builders import a_far_process, a_gone_process

NAME = "gc.0123456789ab.0"


def a_task(element: int = 0, **known) -> OpenTask:
    return OpenTask(
        **{
            "submission": "0123456789ab",
            "task": element,
            "array": 0,
            "element": element,
            "job_name": NAME,
            "driver": a_far_process(),
            "grace_s": 60.0,
            "time_limit_s": 3600.0,
            **known,
        }
    )


def lines(*elements: str) -> dict:
    """``"0 RUNNING"`` → what squeue shows; the array is 8123."""
    rows = (element.split() for element in elements)
    return parse("".join(f"{NAME}|{index}|{state}|8123||None\n" for index, state in rows))


def test_an_array_of_which_nothing_living_is_wanted_is_cancelled_whole():
    """By its id: what has ended does not count."""
    seen = lines("0 COMPLETED", "1 COMPLETING", "2 RUNNING", "3 PENDING")

    assert targets([a_task(2), a_task(3)], seen) == ["8123"]


def test_of_an_array_with_others_only_the_elements_that_are_meant_are_cancelled():
    """As ranges, so that a large array fits on a command line."""
    seen = lines(*(f"{i} PENDING" for i in range(8)))

    assert targets([a_task(i) for i in (1, 2, 3, 5, 7)], seen) == ["8123_[1-3,5,7]"]


def test_an_array_that_was_sent_in_pieces_has_several_ids():
    """One name, several jobs, in the order in which they were sent."""
    text = f"{NAME}|0|RUNNING|99||None\n{NAME}|1|PENDING|100||None\n{NAME}|2|PENDING|100||None\n"

    assert targets([a_task(0), a_task(1)], parse(text)) == ["99", "100_[1]"]


def test_what_has_ended_or_is_not_there_is_not_cancelled():
    """`cancel` again finds nothing to do."""
    seen = lines("0 CANCELLED", "N/A CANCELLED", "1 COMPLETING")

    assert targets([a_task(0), a_task(1), a_task(2)], seen) == []


def test_with_only_queued_what_runs_goes_on():
    """The rest of its array goes."""
    seen = lines("0 RUNNING", "1 PENDING", "2 PENDING")

    chosen = targets([a_task(0), a_task(1), a_task(2)], seen, only_queued=True)

    assert chosen == ["8123_[1-2]"]


@pytest.fixture
def worker():
    """A process that lives until it is told to stop."""
    script = "import signal; print('ready', flush=True); signal.pause()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_a_worker_of_this_computer_is_asked_to_stop(worker):
    task = a_task(run=1, run_process=identity_of(worker.pid))

    told = executor("local").cancel([task], only_queued=False)

    assert worker.wait(30) == -signal.SIGTERM
    assert told.did == ("asked 1 worker on this computer to stop",)


def test_a_process_that_only_has_the_number_of_a_worker_is_left_alone(worker):
    """Pids are used again: start time and boot decide."""
    identity = identity_of(worker.pid)
    impostors = [
        replace(identity, started=identity.started - 1),
        replace(identity, boot_id="an-earlier-boot"),
        a_gone_process(),
        this_process(),  # never ourselves, whatever a journal says
    ]

    told = executor("local").cancel(
        [a_task(run=1, run_process=who) for who in impostors], only_queued=False
    )

    assert worker.poll() is None
    assert (told.did, told.notes) == ((), ())


@pytest.mark.parametrize(
    ("known", "only_queued"), [({"run_over": True}, False), ({}, True)], ids=["over", "only queued"]
)
def test_a_worker_that_is_over_or_may_go_on_is_left_alone(worker, known, only_queued):
    task = a_task(run=1, run_process=identity_of(worker.pid), **known)

    told = executor("local").cancel([task], only_queued=only_queued)

    assert worker.poll() is None
    assert not told.did


def test_of_a_worker_on_another_computer_it_is_said_when_it_stops():
    """Nobody here can signal it; it reads the file by itself."""
    told = executor("local").cancel([a_task(run=1, run_process=a_far_process())], only_queued=False)

    [note] = told.notes
    assert "node-0417" in note
    assert "next checkpoint" in note


def test_tasks_of_another_cluster_cannot_be_told_from_here(tmp_path, monkeypatch):
    (tmp_path / "squeue").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    task = replace(a_task(0), cluster="discovery")

    told = cancel([task], only_queued=False, here=lambda: "bouchet")

    assert "1 task was sent to the cluster discovery" in (told.silence or "")
    assert cancel([task], only_queued=False, here=lambda: "discovery").silence is None
