"""What sbatch's words mean: refused for good, or nothing clear."""

from __future__ import annotations

import pytest

from pytau_hpc.errors import SchedulerUnreachable, SubmitRefused
from pytau_hpc.executors.slurm import _refusal
from tests.builders import a_point, a_submission


def said(words: str):
    submission = a_submission([a_point()], executor="slurm")
    return _refusal(words, submission, submission.arrays[0], first=True)


@pytest.mark.parametrize(
    "words",
    [
        "sbatch: error: Batch job submission failed: Invalid partition name specified",
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
        "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
        "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates "
        "accounting/QOS policy (job submit limit, user's size and/or time limits)",
        "sbatch: error: Batch job submission failed: Requested node configuration is not available",
        "sbatch: unrecognized option '--foo'",
    ],
)
def test_words_of_refusal_are_a_refusal(words):
    error = said(words)

    assert isinstance(error, SubmitRefused)
    assert words.splitlines()[-1] in error.message


@pytest.mark.parametrize(
    "words",
    [
        "",
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Message receive failure",
        "sbatch: error: Batch job submission failed: Unexpected message received",
        "sbatch: error: Batch job submission failed: Connection reset by peer",
        "sbatch: error: Batch job submission failed: Slurm backup controller in standby mode",
        "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
    ],
)
def test_words_that_leave_it_open_never_take_a_submission_back(words):
    """The array may have been accepted: it is looked for by its name."""
    assert isinstance(said(words), SchedulerUnreachable)
