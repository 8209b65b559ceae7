"""Run tasks as SLURM job arrays, sent by submitit; and see what became of them, by one squeue.

submitit writes the batch file and calls sbatch. Its pickles, states and requeueing are not used: every array element
runs our own command, and the array is found again by its job name. Never is an sbatch sent twice: one that failed for
a reason that says nothing about acceptance is looked for in the queue by its name, and otherwise stays on disk, to be
found later or given up after the grace period. What sbatch is told, and what its words mean, is in `sbatch`.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytau_hpc.errors import PytauHpcError, SchedulerUnreachable, SubmitRefused
from pytau_hpc.executors import last_words, sacct, scancel, squeue
from pytau_hpc.executors.base import Gone, OpenTask, Sent, Sighting, Told
from pytau_hpc.executors.sbatch import (
    Answer,
    asked_for,
    has_named_limit,
)
from pytau_hpc.executors.sbatch_call import NotTaken, call_sbatch
from pytau_hpc.files import write_atomic
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.submission import Array, Submission

#: What a sweep is cut for where the profile does not say how many tasks may run at once.
_USUAL_RUNNING_TASKS = 50
#: How often a controller that is not there is tried, with waits that double from the first one on.
_TRIES, _FIRST_WAIT_S = 5, 2.0
#: When squeue is asked for an array of which sbatch left open whether it was accepted, in seconds between.
_LOOK_AFTER_S = (1.0, 2.0, 4.0, 8.0)


@dataclass
class _Progress:
    """What SLURM has taken of a submission so far."""

    job_ids: dict[int, list[str]] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    maybe: set[int] = field(default_factory=set)  #: tasks of an sbatch without a clear answer

    def sent(self, submission: Submission, problem: PytauHpcError | None = None) -> Sent:
        known = self.taken | self.maybe
        return Sent(
            job_ids={number: " ".join(ids) for number, ids in self.job_ids.items()},
            not_begun=tuple(t.number for t in submission.tasks if t.number not in known),
            problem=problem,
        )


class SlurmExecutor:
    """See the module."""

    name = "slurm"
    blocks = False
    queues = True

    def send(
        self,
        sweep: SweepDir,
        submission: Submission,
        *,
        workers: int | None,
        tick: Callable[[], None],
    ) -> Sent:
        """Hand every array to sbatch; where a limit is in the way, as much of it as fits.

        Returns
        -------
        `not_begun` are the tasks that were certainly not taken, `problem` says why

        Raises
        ------
        SubmitRefused, SchedulerUnreachable : nothing was taken, and nothing will be
        """
        if shutil.which("srun") is None or shutil.which("sbatch") is None:
            raise SubmitRefused(
                "SLURM's commands are not on this machine's PATH",
                help="submit on a login node of the cluster, or use --profile local",
            )
        if not str(sweep.path).isprintable():
            raise SubmitRefused(
                f"a batch file cannot name the folder {str(sweep.path)!r}",
                help="rename it, without line breaks and control characters",
            )
        sweep.logs_of(submission.uuid).mkdir(parents=True, exist_ok=True)
        progress = _Progress()
        try:
            for array in submission.arrays:
                for elements, job_id in self._pieces(sweep, submission, array, workers, progress):
                    progress.job_ids.setdefault(array.number, []).append(job_id)
                    progress.taken.update(array.first + i for i in elements)
                    _write_bound(sweep, submission, progress)
                    tick()
        except PytauHpcError as problem:
            if not progress.taken and not progress.maybe:
                raise
            _write_bound(sweep, submission, progress, done=True)
            return progress.sent(submission, problem)
        _write_bound(sweep, submission, progress, done=True)
        return progress.sent(submission)

    def _pieces(
        self,
        sweep: SweepDir,
        submission: Submission,
        array: Array,
        workers: int | None,
        progress: _Progress,
    ) -> Iterator[tuple[range, str]]:
        """Send an array, whole or, as far as a limit on the number of jobs demands it, in ever smaller pieces."""
        start, size = 0, len(array.tasks)
        while start < len(array.tasks):
            elements = range(start, min(start + size, len(array.tasks)))
            try:
                job_id = self._send_patiently(sweep, submission, array, workers, elements)
            except NotTaken as failure:
                if failure.answer is Answer.LIMIT and size > 1:
                    size //= 2
                    continue
                if failure.answer is not Answer.UNCLEAR:
                    some = bool(progress.taken)
                    raise _in_our_words(failure, submission, array, some=some) from None
                found = _look_for(submission, array, elements)
                if found is None:
                    progress.maybe.update(array.first + i for i in elements)
                    raise _unclear(failure.words, submission) from None
                job_id = found
            yield elements, job_id
            start = elements.stop

    def _send_patiently(
        self,
        sweep: SweepDir,
        submission: Submission,
        array: Array,
        workers: int | None,
        elements: range,
    ) -> str:
        """Send some elements; a controller that certainly took nothing is tried again after a while."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

        patient = Retrying(
            retry=retry_if_exception(
                lambda error: isinstance(error, NotTaken) and error.answer is Answer.NOT_NOW
            ),
            wait=wait_exponential(multiplier=_FIRST_WAIT_S),
            stop=stop_after_attempt(_TRIES),
            reraise=True,
        )
        return patient(call_sbatch, sweep, submission, array, workers, elements)

    def slots(self) -> int:
        return _USUAL_RUNNING_TASKS

    def max_array_size(self) -> int:
        return max_array_size()

    def cluster(self) -> str | None:
        return cluster_name()

    def look(
        self, tasks: Sequence[OpenTask], *, absent: Mapping[str, float], now: float
    ) -> Sighting:
        try:
            answer = squeue.ask(sorted({task.job_name for task in tasks}))
        except squeue.NoAnswer as silence:
            return Sighting(
                reachable=False,
                gone=_with_reasons(squeue.overdue(tasks, now=now), tasks),
                note=f"SLURM did not answer ({silence}); showing what the points themselves reported",
            )
        sighting = squeue.judge(tasks, answer, absent=absent, now=now, here=cluster_name)
        return replace(sighting, gone=_with_reasons(sighting.gone, tasks))

    def cancel(self, tasks: Sequence[OpenTask], *, only_queued: bool) -> Told:
        return scancel.cancel(tasks, only_queued=only_queued, here=cluster_name)


def _with_reasons(gone: Sequence[Gone], tasks: Sequence[OpenTask]) -> tuple[Gone, ...]:
    """Guesses made better: by what SLURM wrote into the logs, then by its accounting."""
    return sacct.improved(last_words.improved(gone, tasks), tasks)


def _look_for(submission: Submission, array: Array, elements: range) -> str | None:
    """The job id of an array that sbatch may have taken, None where squeue does not show it (yet)."""
    name = submission.job_name(array)
    for wait in _LOOK_AFTER_S:
        time.sleep(wait)
        with contextlib.suppress(squeue.NoAnswer):
            seen = squeue.ask([name])
            for (_, index), element in seen.items():
                if index in elements:
                    return element.job.partition("_")[0]
    return None


def _write_bound(
    sweep: SweepDir, submission: Submission, progress: _Progress, *, done: bool = False
) -> None:
    """Note the job ids, for people; and when nothing more will be sent, so that nobody waits for the sender."""
    bound = {
        "format": 1,
        "at": time.time(),
        "job_ids": {str(k): v for k, v in progress.job_ids.items()},
        "done": done,
    }
    write_atomic(sweep.bound_file(submission.uuid), json.dumps(bound) + "\n")


def _unclear(words: str, submission: Submission) -> SchedulerUnreachable:
    """The array may have been accepted: it is looked for by its name, never sent twice."""
    return SchedulerUnreachable(
        f"sbatch gave no clear answer:\n  {words or '(no words at all)'}",
        help="`status` finds the array if SLURM took it; if not, `resume` sends it again "
        f"after {submission.grace_s:.0f} s",
    )


def _in_our_words(
    failure: NotTaken, submission: Submission, array: Array, *, some: bool
) -> PytauHpcError:
    """The error for an array that was certainly not taken. `some`: arrays before it were."""
    words = failure.words.replace("\n", "\n  ")
    kept = "what was sent before stays" if some else "nothing was sent"
    if failure.answer is Answer.NOT_NOW:
        return SchedulerUnreachable(
            f"SLURM does not take jobs now:\n  {words}", help=f"{kept}; run the same command later"
        )
    if failure.answer is Answer.LIMIT and (some or has_named_limit(failure.words)):
        return SchedulerUnreachable(
            f"SLURM takes no more jobs of yours now:\n  {words}",
            help=f"{kept}; run the same command again when some have ended",
        )
    asked = ", ".join(f"{key} {value}" for key, value in asked_for(submission, array).items())
    return SubmitRefused(
        f"SLURM refused the array of {len(array.tasks)} tasks:\n  {words}\n  asked for: {asked}",
        help=f"change the profile, --mem or --time, and run the same command again; {kept}",
    )


def max_array_size(default: int = 1001) -> int:
    """SLURM's MaxArraySize: one more than the largest index that an array may have."""
    found = _setting("MaxArraySize")
    # 0 means that there are no arrays; sbatch will say so.
    return max(1, int(found)) if found and found.isdigit() else default


def cluster_name() -> str | None:
    """The name of the cluster that this machine's commands talk to, None where it does not say."""
    return _setting("ClusterName")


def _setting(name: str) -> str | None:
    try:
        text = subprocess.run(
            ["scontrol", "show", "config"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(rf"^{name}\s*=\s*(\S+)", text, re.MULTILINE)
    return found[1] if found else None
