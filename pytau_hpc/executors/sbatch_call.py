"""Call sbatch once, through submitit, for one array or a part of it. Called by `slurm`, which decides what follows."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from pytau_hpc.executors.sbatch import (
    Answer,
    array_command,
    array_parameters,
    meaning,
    outside_of_any_job,
)
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.submission import Array, Submission

#: An sbatch that takes longer is given up, and looked for in the queue.
_SBATCH_TIMEOUT_S = 120
TIMEOUT_VARIABLE = "PYTAU_HPC_SBATCH_TIMEOUT_S"


class NotTaken(Exception):
    """An sbatch that failed: what it said, and what that means."""

    def __init__(self, words: str, answer: Answer) -> None:
        super().__init__(words)
        self.words = words
        self.answer = answer


def call_sbatch(
    sweep: SweepDir, submission: Submission, array: Array, workers: int | None, elements: range
) -> str:
    """Call sbatch once, through submitit; the job id of what it took.

    Raises
    ------
    NotTaken : it failed, with its words
    """
    from submitit.core.utils import FailedJobError, FailedSubmissionError
    from submitit.slurm.slurm import SlurmExecutor as SubmititSlurm

    class _WorkerArray(SubmititSlurm):
        """submitit's SLURM executor, running our command instead of unpickling a function."""

        @property
        def _submitit_command_str(self) -> str:
            return array_command(sweep, submission, array)

        def _make_submission_command(self, submission_file_path: Path) -> list[str]:
            limit = os.environ.get(TIMEOUT_VARIABLE, str(_SBATCH_TIMEOUT_S))
            # `timeout` makes a process group, and ends all of it: sbatch may be a site's own script. It is told when we
            # are killed: an sbatch that outlives us could be accepted after somebody has sent its points again.
            with_us = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
            words = [*with_us, "timeout", "--kill-after=10", limit]
            return [*words, "sbatch", str(submission_file_path)]

    # submitit prints what sbatch says by itself; we say it once, in a message.
    folder = sweep.submission(submission.uuid) / "submitit"
    with (
        outside_of_any_job(),
        contextlib.redirect_stderr(io.StringIO()),
        _interrupt_reaches_children(),
    ):
        sender = _WorkerArray(folder=folder)
        sender.update_parameters(**array_parameters(sweep, submission, array, workers, elements))
        try:
            # One submitit "job" that sbatch makes an array: one pickle that nobody reads, not one per task.
            return str(sender.submit(_nothing).job_id)
        except FailedJobError as error:
            words = str(error).strip()
            status = getattr(error.__cause__, "returncode", None)
            # Ended by the time limit: whatever it had said before, its last try may have been accepted.
            answer = Answer.UNCLEAR if status in (124, 137) else meaning(words)
            raise NotTaken(words, answer) from None
        except FailedSubmissionError as error:  # accepted, in words that submitit does not know
            raise NotTaken(str(error).strip(), Answer.UNCLEAR) from None
        finally:
            # The batch file stays, to be looked at; pickles, and links with absolute paths, do not.
            for leftover in [*folder.glob("*.pkl"), *folder.glob(".submission_file_*")]:
                leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def _interrupt_reaches_children() -> Iterator[None]:
    """Let Ctrl-C end an sbatch that hangs: it is in a process group of its own, and we would wait for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end_them(number: int, frame: FrameType | None) -> None:
        import psutil

        for child in psutil.Process().children():
            with contextlib.suppress(OSError):
                os.killpg(child.pid, signal.SIGKILL)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, end_them)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _nothing() -> None:
    """What submitit pickles; never run."""
