"""Run tasks as SLURM job arrays, sent by submitit; and see what became of them, by one squeue.

submitit writes the batch file and calls sbatch. Its pickles, states and requeueing are not used: every array element
runs our own command, and the array is found again by its job name. Never is an sbatch sent twice: one that failed for
a reason that says nothing about acceptance leaves the submission on disk, to be found in the queue or given up after
the grace period.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pytau_hpc.errors import PytauHpcError, SchedulerUnreachable, SubmitRefused
from pytau_hpc.executors import squeue
from pytau_hpc.executors.base import OpenTask, Sent, Sighting, profile_value, worker_command
from pytau_hpc.files import write_atomic
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.submission import Array, Submission

#: What a sweep is cut for where the profile does not say how many tasks may run at once.
_USUAL_RUNNING_TASKS = 50

#: Words of sbatch that mean: not taken, and not by trying again. Whatever else goes wrong (a reply that was lost, a
#: signal, words that we do not know) leaves open whether the array was accepted.
_REFUSED = re.compile(
    r"invalid|not permitted|permission denied|violates|requested|not available|unrecognized option|unable to open file"
    r"|can ?not be satisfied|exceed|no partition|not allowed|disabled|unsupported|bad constraint|more processors"
    r"|limit",
    re.IGNORECASE,
)


class SlurmExecutor:
    """See the module."""

    name = "slurm"
    blocks = False

    def send(
        self,
        sweep: SweepDir,
        submission: Submission,
        *,
        workers: int | None,
        tick: Callable[[], None],
    ) -> Sent:
        job_ids: dict[int, str] = {}
        for array in submission.arrays:
            job_ids[array.number] = self._send_array(
                sweep, submission, array, first=not job_ids, workers=workers
            )
            bound = {
                "format": 1,
                "at": time.time(),
                "job_ids": {str(k): v for k, v in job_ids.items()},
            }
            write_atomic(sweep.bound_file(submission.uuid), json.dumps(bound) + "\n")
            tick()
        return Sent(job_ids=job_ids)

    def _send_array(
        self,
        sweep: SweepDir,
        submission: Submission,
        array: Array,
        *,
        first: bool,
        workers: int | None,
    ) -> str:
        from submitit.core.utils import FailedJobError, FailedSubmissionError
        from submitit.slurm.slurm import SlurmExecutor as SubmititSlurm

        class _WorkerArray(SubmititSlurm):
            """submitit's SLURM executor, running our command instead of unpickling a function."""

            @property
            def _submitit_command_str(self) -> str:
                return array_command(sweep, submission, array)

        if shutil.which("srun") is None or shutil.which("sbatch") is None:
            raise SubmitRefused(
                "SLURM's commands are not on this machine's PATH",
                help="submit on a login node of the cluster, or use --profile local",
            )
        sweep.logs_of(submission.uuid).mkdir(parents=True, exist_ok=True)
        with _outside_of_any_job():
            sender = _WorkerArray(folder=sweep.submission(submission.uuid) / "submitit")
            sender.update_parameters(**array_parameters(sweep, submission, array, workers))
            try:
                # One submitit "job" that sbatch makes an array: one pickle that nobody reads, not one per task.
                return str(sender.submit(_nothing).job_id)
            except FailedJobError as error:
                raise _refusal(str(error).strip(), submission, array, first=first) from None
            except (
                FailedSubmissionError
            ) as error:  # accepted, in words that submitit does not understand
                raise _unclear(str(error).strip(), submission) from None

    def slots(self) -> int:
        return _USUAL_RUNNING_TASKS

    def max_array_size(self) -> int:
        return max_array_size()

    def look(
        self, tasks: Sequence[OpenTask], *, absent: Mapping[str, float], now: float
    ) -> Sighting:
        try:
            answer = squeue.ask(sorted({task.job_name for task in tasks}))
        except squeue.NoAnswer as silence:
            return Sighting(
                reachable=False,
                note=f"SLURM did not answer ({silence}); showing what the points themselves reported",
            )
        return squeue.judge(tasks, answer, absent=absent, now=now)


def _unclear(words: str, submission: Submission) -> SchedulerUnreachable:
    """The array may have been accepted: it is looked for by its name, never sent twice."""
    return SchedulerUnreachable(
        f"sbatch gave no clear answer:\n  {words or '(no words at all)'}",
        help="`status` finds the array if SLURM took it; if not, `resume` sends it again "
        f"after {submission.grace_s:.0f} s",
    )


def _refusal(words: str, submission: Submission, array: Array, *, first: bool) -> PytauHpcError:
    """What an sbatch that failed means: refused for good, or nothing clear."""
    if not _REFUSED.search(words):
        return _unclear(words, submission)
    asked = ", ".join(f"{key} {value}" for key, value in asked_for(submission, array).items())
    indented = words.replace("\n", "\n  ")
    return SubmitRefused(
        f"SLURM refused the array of {len(array.tasks)} tasks:\n  {indented}\n  asked for: {asked}",
        help="change the profile, --mem or --time, and run the same command again; "
        + ("nothing was sent" if first else "the arrays before it were sent and stay"),
    )


def array_command(sweep: SweepDir, submission: Submission, array: Array) -> str:
    """What an array element runs: the worker, for the task that the element stands for."""
    task = f"$((SLURM_ARRAY_TASK_ID + {array.first}))"
    worker = " ".join((*map(shlex.quote, worker_command(sweep, submission.uuid, "")[:-1]), task))
    # srun, so that signals reach the worker; since 22.05 it does not inherit the CPUs.
    return f"srun --unbuffered --cpus-per-task={array.resources.cpus} {worker}"


def array_parameters(
    sweep: SweepDir, submission: Submission, array: Array, workers: int | None
) -> dict[str, Any]:
    """Submitit's parameters for one array."""
    slurm = profile_value(submission, "slurm") or {}
    n = len(array.tasks)
    limit = workers or profile_value(submission, "limits", "max_running_tasks") or n
    # The limit is for all arrays of the submission together.
    limit = max(1, limit * n // len(submission.tasks))
    log = sweep.logs_of(submission.uuid) / "%a.slurm.log"
    if array.first:
        log = sweep.logs_of(submission.uuid) / f"array{array.number}.%a.slurm.log"
    setup = [
        f"export {name}={shlex.quote(str(value))}"
        for name, value in (submission.profile.get("env") or {}).items()
    ]
    parameters: dict[str, Any] = {
        "job_name": submission.job_name(array),
        "time": array.resources.time_min,
        "cpus_per_task": array.resources.cpus,
        "mem": f"{round(array.resources.mem_gb * 1024)}M",
        "signal_delay_s": array.resources.warning_s,
        "setup": [*(submission.profile.get("prologue") or []), *setup] or None,
        "use_srun": False,
        "wckey": None,
        "additional_parameters": {
            "array": f"0-{n - 1}%{max(1, min(limit, n))}",
            "output": str(log),
            "error": str(log),
            "requeue": True,
            "chdir": str(sweep.study),
            **_extra(slurm.get("extra") or []),
        },
    }
    parameters.update(
        {key: slurm[key] for key in ("account", "partition", "qos") if slurm.get(key)}
    )
    return parameters


def asked_for(submission: Submission, array: Array) -> dict[str, Any]:
    """What an array asks for, in the words of sbatch."""
    slurm = profile_value(submission, "slurm") or {}
    return {
        **{key: slurm[key] for key in ("account", "partition", "qos") if slurm.get(key)},
        "cpus-per-task": array.resources.cpus,
        "mem": f"{array.resources.mem_gb:g} GiB",
        "time": array.resources.time,
    }


def _extra(options: Sequence[str]) -> dict[str, Any]:
    """``--exclude=n417`` → ``{"exclude": "n417"}``; validated by the profile."""
    extra: dict[str, Any] = {}
    for option in options:
        key, has_value, value = option.lstrip("-").partition("=")
        extra[key] = value if has_value else True
    return extra


def _nothing() -> None:
    """What submitit pickles; never run."""


@contextlib.contextmanager
def _outside_of_any_job() -> Iterator[None]:
    """Hide the variables of a job that we may be running in: sbatch would take them for options of the new one."""
    keep = {"SLURM_CONF", "SLURM_CLUSTERS"}
    hidden = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name.startswith(("SLURM_", "SBATCH_", "SRUN_")) and name not in keep
    }
    try:
        yield
    finally:
        os.environ.update(hidden)


def max_array_size(default: int = 1001) -> int:
    """SLURM's MaxArraySize: one more than the largest index that an array may have."""
    try:
        text = subprocess.run(
            ["scontrol", "show", "config"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return default
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else default


def batch_text(
    sweep: SweepDir, submission: Submission, array: Array, workers: int | None = None
) -> str:
    """The batch file as submitit would write it: what `--dry-run` shows."""
    from submitit.slurm.slurm import _make_sbatch_string

    folder = sweep.submission(submission.uuid) / "submitit"
    parameters = array_parameters(sweep, submission, array, workers)
    return str(
        _make_sbatch_string(
            command=array_command(sweep, submission, array), folder=folder, **parameters
        )
    )
