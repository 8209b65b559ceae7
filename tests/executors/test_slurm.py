"""What sbatch's words mean: refused for good, too many, not now, or nothing clear. The words are SLURM's own."""

from __future__ import annotations

import pytest

from pytau_hpc.executors.sbatch import Answer, meaning

FAILED = "sbatch: error: Batch job submission failed: "


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (f"{FAILED}Invalid partition name specified", Answer.REFUSED),
        (f"{FAILED}Invalid account or account/partition combination specified", Answer.REFUSED),
        (
            f"{FAILED}Requested time limit is invalid (missing or exceeds some limit)",
            Answer.REFUSED,
        ),
        (f"{FAILED}Requested node configuration is not available", Answer.REFUSED),
        (f"{FAILED}Invalid job array specification", Answer.REFUSED),
        (f"{FAILED}Invalid qos specification", Answer.REFUSED),
        ("sbatch: unrecognized option '--foo'", Answer.REFUSED),
        (
            f"sbatch: error: AssocMaxSubmitJobLimit\n{FAILED}Job violates accounting/QOS policy (job submit limit, "
            "user's size and/or time limits)",
            Answer.LIMIT,
        ),
        (
            f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{FAILED}Job violates accounting/QOS policy",
            Answer.LIMIT,
        ),
        (
            f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{FAILED}Job violates accounting/QOS policy",
            Answer.REFUSED,
        ),
        (
            "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n"
            f"{FAILED}Socket timed out on send/recv operation",
            Answer.UNCLEAR,
        ),
        (f"{FAILED}Unable to contact slurm controller (connect failure)", Answer.NOT_NOW),
        (
            f"sbatch: error: QOSMaxMemoryPerJob\n{FAILED}Job violates accounting/QOS policy",
            Answer.REFUSED,
        ),
        (
            f"sbatch: error: Slurm temporarily unable to accept job\n{FAILED}Unspecified error",
            Answer.UNCLEAR,
        ),
        (f"{FAILED}Resource temporarily unavailable", Answer.NOT_NOW),
        (f"{FAILED}Slurm backup controller in standby mode", Answer.NOT_NOW),
        ("sbatch: Slurm temporarily unable to accept job, sleeping and retrying", Answer.NOT_NOW),
        ("", Answer.UNCLEAR),
        (f"{FAILED}Socket timed out on send/recv operation", Answer.UNCLEAR),
        (f"{FAILED}Message receive failure", Answer.UNCLEAR),
        (f"{FAILED}Unexpected message received", Answer.UNCLEAR),
        (f"{FAILED}Connection reset by peer", Answer.UNCLEAR),
        (f"{FAILED}Zero Bytes were transmitted or received", Answer.UNCLEAR),
        ("terminated", Answer.UNCLEAR),
    ],
)
def test_words_mean_what_slurm_means_by_them(words, answer):
    """What leaves open whether the array was accepted is never taken for a refusal: it would be sent twice."""
    assert meaning(words) is answer
