"""What is said to sbatch for one array, and what its answers mean. Called by `slurm`.

Nothing is sent here. An answer counts as a refusal only where it can mean nothing else: everything that leaves open
whether the array was accepted is `UNCLEAR`, and an array that may have been accepted is never sent again.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any

from pytau_hpc.executors.base import profile_value, worker_command
from pytau_hpc.executors.last_words import log_name
from pytau_hpc.sweep.resources import BEGAN
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.submission import Array, Submission


class Answer(Enum):
    """What the words of an sbatch that failed mean."""

    REFUSED = "refused"  #: not taken, and not by trying again
    LIMIT = "limit"  #: not taken, because there are too many jobs: fewer might be
    NOT_NOW = "not now"  #: not taken, because the controller was not there or not able
    UNCLEAR = "unclear"  #: it may have been taken


#: The names of limits (man squeue, job reason codes) that newer versions print before their sentence about all limits.
_NAMED_LIMIT = re.compile(r"\b((?:Assoc|QOS)[A-Z][A-Za-z]+)")
#: That sentence.
_SOME_LIMIT = re.compile(r"job submit limit|maxsubmitjobs?|max_?array_?tasks", re.IGNORECASE)
#: Words that leave it open, whatever sbatch said before them: it tries several times by itself.
_OPEN = re.compile(
    r"timed out|timeout|zero bytes|receive|unexpected message|reset by peer|broken pipe",
    re.IGNORECASE,
)
_NOT_NOW = re.compile(
    r"connect failure|connection refused|temporarily unable|temporarily unavailable|standby mode",
    re.IGNORECASE,
)
#: Words that mean: not taken, and not by trying again.
_REFUSED = re.compile(
    r"invalid|not permitted|permission denied|violates|requested|not available|unrecognized option|unable to open file"
    r"|can ?not be satisfied|exceed|no partition|not allowed|disabled|unsupported|bad constraint|more processors"
    r"|limit",
    re.IGNORECASE,
)


def meaning(words: str) -> Answer:
    """What an sbatch that failed said. Its common beginning ("Batch job submission failed") says nothing."""
    if _OPEN.search(words):
        return Answer.UNCLEAR
    if named := _NAMED_LIMIT.findall(words):
        return Answer.LIMIT if any("submit" in name.lower() for name in named) else Answer.REFUSED
    # It tries several times by itself, and says so; only its last word counts.
    words = words.rpartition("submission failed:")[2]
    if _SOME_LIMIT.search(words):
        return Answer.LIMIT
    if _NOT_NOW.search(words):
        return Answer.NOT_NOW
    return Answer.REFUSED if _REFUSED.search(words) else Answer.UNCLEAR


def has_named_limit(words: str) -> bool:
    """Whether SLURM names the limit on jobs that is in the way: then it is one, and room will come."""
    return any("submit" in name.lower() for name in _NAMED_LIMIT.findall(words))


def array_command(sweep: SweepDir, submission: Submission, array: Array) -> str:
    """What an array element runs: the worker, for the task that the element stands for."""
    task = f"$((SLURM_ARRAY_TASK_ID + {array.first}))"
    words = worker_command(sweep, submission, "")[:-1]
    worker = " ".join((*map(shlex.quote, words), task))
    # srun, so that signals reach the worker; since 22.05 it does not inherit the CPUs.
    return f"srun --unbuffered --cpus-per-task={array.resources.cpus} {worker}"


def array_parameters(
    sweep: SweepDir,
    submission: Submission,
    array: Array,
    workers: int | None,
    elements: range | None = None,
) -> dict[str, Any]:
    """Submitit's parameters for one array, or for some of its `elements`."""
    slurm = profile_value(submission, "slurm") or {}
    elements = range(len(array.tasks)) if elements is None else elements
    n = len(elements)
    limit = workers or profile_value(submission, "limits", "max_running_tasks") or n
    # The limit is for all arrays of the submission together. Of many small pieces each may still run one task.
    limit = max(1, limit * n // len(submission.tasks))
    # A per cent sign in the folder's own name would be a pattern of SLURM's.
    folder = str(sweep.logs_of(submission.uuid)).replace("%", "%%")
    log = f"{folder}/{log_name(array.number, '%a')}"
    setup = [
        f"export {name}={shlex.quote(str(value))}"
        for name, value in (submission.profile.get("env") or {}).items()
    ]
    extra = _extra(slurm.get("extra") or [])
    nodes = [*filter(None, [extra.pop("exclude", None)]), *submission.excluded_nodes]
    if nodes:
        extra["exclude"] = ",".join(nodes)
    parameters: dict[str, Any] = {
        "job_name": submission.job_name(array),
        "time": array.resources.time_min,
        "cpus_per_task": array.resources.cpus,
        "mem": f"{round(array.resources.mem_gb * 1024)}M",
        "signal_delay_s": array.resources.warning_s,
        # First of all, by this node's clock: how much of the time limit what follows takes.
        "setup": [
            f"export {BEGAN}=$(date +%s)",
            *(submission.profile.get("prologue") or []),
            *setup,
        ],
        "use_srun": False,
        "wckey": None,
        "additional_parameters": {
            "array": f"{elements.start}-{elements.stop - 1}%{max(1, min(limit, n))}",
            "output": log,
            "error": log,
            "requeue": True,
            "open-mode": "append",  # of a requeued task, too, every word is kept
            "chdir": str(sweep.study),
            **extra,
        },
    }
    parameters.update(
        {key: slurm[key] for key in ("account", "partition", "qos") if slurm.get(key)}
    )
    return parameters


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


@contextlib.contextmanager
def outside_of_any_job() -> Iterator[None]:
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
