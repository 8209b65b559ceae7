"""Whose signal it was. The texts are `scontrol show job` of a real SLURM 22.05, shortened."""

from __future__ import annotations

import pytest

from pytau_hpc.preemption import is_being_preempted

SHOWN = """\
JobId=288 ArrayJobId=280 ArrayTaskId=7 ArrayTaskThrottle=12 JobName=toy.f7812af83310.0
   JobState={state} Reason=None Dependency=(null)
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0
   PreemptEligibleTime=2026-11-22T18:48:29 PreemptTime={since}
"""


@pytest.mark.parametrize(
    ("state", "since", "preempted"),
    [
        ("RUNNING", "2026-11-22T18:48:32", True),  # in its time of grace
        ("PREEMPTED", "None", True),
        ("RUNNING", "None", False),
        ("CANCELLED", "None", False),
    ],
)
def test_slurm_shows_whether_it_preempts_a_job(state, since, preempted):
    assert is_being_preempted(SHOWN.format(state=state, since=since)) is preempted


def test_without_an_answer_it_is_not_known_to_be_one():
    assert is_being_preempted(None) is None
