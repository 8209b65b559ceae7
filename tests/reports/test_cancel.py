"""The words of `cancel`."""

from __future__ import annotations

from pathlib import Path

from pytau_hpc.cancel import Done, Prepared
from pytau_hpc.ledger.given_up import Candidate
from pytau_hpc.reports.cancel import announcement, next_steps, outcome_text, warnings
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import State

SWEEP = SweepDir(Path("study/sweeps/gc_states"))


def prepared(*, running: int = 0, queued: int = 0, per_task: int = 4, **more) -> Prepared:
    states = [State.RUNNING] * running + [State.QUEUED] * queued
    points = tuple(
        Candidate(point_id=f"{i:016x}", label=f"AM{i}", state=state, task=("a", i // per_task))
        for i, state in enumerate(states)
    )
    known = {"going_on": 0, "after": 1, "unwanted": {"slurm": ()}, "shared": 0}
    return Prepared(points=points, **{**known, **more})


def test_the_question_says_what_is_lost_and_what_stays():
    assert announcement(SWEEP, prepared(running=22, queued=59)) == (
        "Cancel 81 points of gc_states: 22 running, 59 queued (21 SLURM tasks). "
        "Finished results stay."
    )
    assert announcement(SWEEP, prepared(queued=1, shared=1, going_on=3)) == (
        "Cancel 1 point of gc_states: 1 queued (1 SLURM task, shared with points that go on). "
        "3 running go on. Finished results stay."
    )


def test_the_answer_counts_what_was_cancelled_and_what_was_faster():
    """One line for what was done, one for what became of it."""
    done = Done(
        prepared=prepared(running=83),
        became={State.CANCELLED: 80, State.SUCCEEDED: 1, State.FAILED: 2},
        did=("scancel 8123456 8123457 8123458",),
    )

    assert outcome_text(done).splitlines() == [
        "✓ scancel 8123456 8123457 8123458",
        "Cancelled 80 points; 1 finished meanwhile and was kept; 2 are failed by now.",
    ]
    assert next_steps("gc_states", done) == [
        "Next    pytau-hpc resume gc_states --cancelled   sends them again"
    ]


def test_a_long_scancel_does_not_fill_the_terminal():
    did = "scancel " + " ".join(str(8123456 + i) for i in range(100))

    [line, _] = outcome_text(Done(prepared=prepared(queued=1), became={}, did=(did,))).splitlines()

    assert len(line) == 100
    assert line.endswith("…")


def test_a_scheduler_that_could_not_be_told_is_said_with_what_that_means():
    done = Done(prepared=prepared(queued=1), became={State.CANCELLED: 1}, silence="down")

    assert "SLURM could not be told (down)" in warnings(done)
    assert next_steps("gc_states", done)[0].startswith("Next    pytau-hpc cancel gc_states ")
