"""What a supervisor makes of the death of its fit process and of the signals that it is sent itself."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pytau_hpc import deaths, supervise
from pytau_hpc.fit_process import FitProcess
from pytau_hpc.run import Run, open_run
from pytau_hpc.supervise import FitProcesses, signals
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.sweep.state import Kind
from tests.builders import a_sweep


@pytest.fixture
def a_run(study, monkeypatch: pytest.MonkeyPatch):
    """A run of an hour under SLURM, so many seconds before its end, or one of this computer."""

    def made(left_s: float = 3000.0, *, executor: str = "slurm") -> Run:
        monkeypatch.setenv("PYTAU_HPC_JOB_BEGAN", str(int(time.time() + left_s - 3600)))
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "8123")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
        sweep = a_sweep(study, n=1)
        submission = sweep.submit(executor=executor, resources=Resources(time_min=60))
        array = submission.arrays[0]
        return open_run(sweep.dir, submission, array, array.tasks[0])

    return made


# -- a fit process that is killed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by_the_kernel", "kind"), [(True, "out_of_memory"), (False, "killed")])
def test_a_fit_that_the_kernel_killed_ran_out_of_memory(
    a_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_the_kernel, kind
):
    """However little it was last seen with. The process and its death are real, the kernel's counter is a file."""
    events = tmp_path / "memory.events"
    events.write_text("oom 1\noom_kill 1\n")
    monkeypatch.setattr(deaths, "_events_file", lambda pid: events)
    monkeypatch.setenv("PYTAU_HPC_SCRATCH", str(tmp_path))

    class Killed(FitProcess):
        """It is given its point, and dies."""

        def command(self, command):
            super().command(command)
            if by_the_kernel:
                events.write_text("oom 2\noom_kill 2\n")
            os.kill(self.pid, signal.SIGKILL)

    monkeypatch.setattr(supervise, "FitProcess", Killed)
    run = a_run()

    with signals(run) as wake, FitProcesses(run, wake) as fits:
        ending = fits.fit(run.task.points[0])

    assert (ending["end"], ending["kind"]) == ("failed", kind)
    assert run.stop.kind is None


# -- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "where", "kind", "warned"),
    [
        (signal.SIGTERM, {"left_s": 3000}, Kind.KILLED, False),
        (signal.SIGTERM, {"left_s": 180}, Kind.KILLED, False),  # nearly at the limit is not at it
        (signal.SIGTERM, {"left_s": 5}, Kind.TIMEOUT, False),
        (
            signal.SIGUSR2,
            {"left_s": 3000},
            None,
            True,
        ),  # a preemption, or the time limit: SLURM is asked
        (signal.SIGUSR2, {"left_s": 100}, None, True),
        (signal.SIGUSR1, {"executor": "local"}, Kind.PREEMPTED, False),
        (signal.SIGTERM, {"executor": "local"}, Kind.KILLED, False),
    ],
)
def test_a_signal_means_what_its_sender_meant(a_run, number, where, kind, warned):
    run = a_run(**where)

    with signals(run):
        os.kill(os.getpid(), number)

    assert (run.stop.kind, run.stop.warned) == (kind, warned)


def test_the_first_reason_to_stop_stays(a_run):
    """SLURM repeats itself, in other words."""
    run = a_run(executor="local")

    with signals(run):
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGTERM)

    assert run.stop.kind is Kind.PREEMPTED


def test_a_signal_wakes_whoever_waits_for_a_message(a_run):
    run = a_run()

    with signals(run) as wake:
        os.kill(os.getpid(), signal.SIGTERM)

        assert os.read(wake, 10) == bytes([signal.SIGTERM])
