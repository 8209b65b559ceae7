"""What SLURM wrote into the log of an element. The words are slurmstepd's own, of SLURM 22.05 and 23.11."""

from __future__ import annotations

import pytest

from pytau_hpc.executors.base import Gone, OpenTask
from pytau_hpc.executors.last_words import improved, kind_in
from pytau_hpc.sweep.process import ProcessIdentity
from pytau_hpc.sweep.state import Kind

BEGIN = "── run 1 of task 7 on n1, 184_7\n"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (
            "slurmstepd-n1: error: StepId=184.0 exceeded memory limit (327745536 > 268435456), being killed",
            Kind.OUT_OF_MEMORY,
        ),
        (
            "slurmstepd: error: Detected 1 oom_kill event in StepId=184.0. Some of the step tasks …",
            Kind.OUT_OF_MEMORY,
        ),
        (
            "slurmstepd: error: *** STEP 184.0 ON n1 CANCELLED AT 2026-11-22T12:00:00 DUE TO TIME LIMIT ***",
            Kind.TIMEOUT,
        ),
        (
            "slurmstepd: error: *** JOB 184 ON n1 CANCELLED AT 2026-11-22T12:00:00 DUE TO PREEMPTION ***",
            Kind.PREEMPTED,
        ),
        (
            "slurmstepd: error: *** JOB 184 ON n1 CANCELLED AT 2026-11-22T12:00:00 DUE TO NODE FAILURE, SEE SLURMCTLD "
            "LOG FOR DETAILS ***",
            Kind.NODE,
        ),
        (
            "slurmstepd: error: *** STEP 184.0 ON n1 CANCELLED AT 2026-11-22T12:00:00 ***",
            None,  # scancel, by anybody
        ),
        ("srun: error: n1: task 0: Killed", None),
        ("a fit that prints: out of memory", None),
    ],
)
def test_the_words_of_slurm_are_a_reason(words, kind):
    assert kind_in(f"{BEGIN}sampling …\n{words}\n", run=1) is kind


def test_words_about_an_earlier_run_say_nothing_about_a_later_one():
    """A requeued task goes on in the same log."""
    preempted = "slurmstepd: error: *** JOB 184 ON n1 CANCELLED AT 2026-11-22T12:00:00 DUE TO PREEMPTION ***\n"
    text = f"{BEGIN}{preempted}── run 2 of task 7 on n2, 184_7\nsampling …\n"

    assert (kind_in(text, run=1), kind_in(text, run=2)) == (Kind.PREEMPTED, None)


def test_words_about_a_later_run_say_nothing_about_an_earlier_one():
    """Who looks late finds them both."""
    text = f"{BEGIN}sampling …\n── run 2 of task 7 on n2, 184_7\nslurmstepd: error: Detected 1 oom_kill event\n"

    assert (kind_in(text, run=1), kind_in(text, run=2)) == (None, Kind.OUT_OF_MEMORY)


def test_a_guess_becomes_what_the_log_says(tmp_path):
    """Without accounting, too; a log that is not there leaves the guess as it is."""
    task = OpenTask(
        submission="s",
        task=9,
        array=1,
        element=2,
        job_name="gc.s.1",
        driver=ProcessIdentity(host="login", boot_id="b", pid=1, started=1.0),
        grace_s=60.0,
        time_limit_s=60.0,
        run=1,
        logs=tmp_path,
    )
    guess = Gone(submission="s", task=9, run=1, kind=Kind.KILLED, guessed=True)
    assert improved([guess], [task]) == (guess,)

    (tmp_path / "array1.2.slurm.log").write_text(
        f"{BEGIN}slurmstepd-n1: error: Exceeded job memory limit\n"
    )

    assert [gone.kind for gone in improved([guess], [task])] == [Kind.OUT_OF_MEMORY]
