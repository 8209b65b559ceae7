"""Why runs ended, from SLURM's accounting, where there is one. Asked only for reasons, never for what lives.

Nothing depends on an answer: accounting may be switched off, slow, or hours behind. A guess that it does not improve
stays a guess.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytau_hpc.executors.base import Gone, OpenTask
from pytau_hpc.sweep.state import Kind

#: Final states in accounting and what they say; others say nothing about the reason.
KIND_OF_STATE: Mapping[str, Kind] = {
    "OUT_OF_MEMORY": Kind.OUT_OF_MEMORY,
    "TIMEOUT": Kind.TIMEOUT,
    "DEADLINE": Kind.TIMEOUT,
    "PREEMPTED": Kind.PREEMPTED,
    "NODE_FAIL": Kind.NODE,
    "BOOT_FAIL": Kind.NODE,
    "CANCELLED": Kind.KILLED,
}


def ask(
    job_names: Sequence[str], *, since: float, timeout_s: float = 20.0
) -> dict[tuple[str, int], list[str]]:
    """(job name, array index) → the states in which its executions ended, the oldest first; nothing without an answer.

    Parameters
    ----------
    since : seconds since the epoch; sacct shows today's jobs only where it is not told
    """
    start = dt.datetime.fromtimestamp(since - 3600).strftime("%Y-%m-%dT%H:%M:%S")
    command = [
        "sacct",
        "--noheader",
        "--parsable2",
        "--allocations",
        "--duplicates",  # a requeue makes a second record of the same job
        f"--name={','.join(job_names)}",
        f"--starttime={start}",
        "--format=JobName,JobID,State,End",
    ]
    # A person's own format of times would not sort.
    theirs = ("SACCT_", "SLURM_TIME_FORMAT")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(theirs)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, env=environment, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return parse(done.stdout)


def parse(text: str) -> dict[tuple[str, int], list[str]]:
    """Lines ``name|8123_4|CANCELLED by 1000|2026-11-22T12:00:00``; what has not ended is left out."""
    ends: dict[tuple[str, int], list[tuple[str, str]]] = defaultdict(list)
    for line in text.splitlines():
        fields = line.rsplit("|", 3)
        if len(fields) != 4:
            continue
        name, job, state, end = fields
        _, _, index = job.partition("_")
        if index.isdigit() and end[:1].isdigit():
            ends[name, int(index)].append((end, state.split()[0]))
    return {key: [state for _, state in sorted(found)] for key, found in ends.items()}


def improved(gone: Sequence[Gone], tasks: Sequence[OpenTask]) -> tuple[Gone, ...]:
    """Verdicts with the reasons that accounting knows, asked for once, and only where some are guesses."""
    of = {task.key: task for task in tasks}
    guesses = [of[verdict.submission, verdict.task] for verdict in gone if verdict.guessed]
    if not guesses:
        return tuple(gone)
    names = sorted({task.job_name for task in guesses})
    states = ask(names, since=min(task.sent_at or 0.0 for task in guesses))
    return tuple(
        _improved(verdict, of[verdict.submission, verdict.task], states) for verdict in gone
    )


def _improved(
    verdict: Gone, task: OpenTask, states: Mapping[tuple[str, int], Sequence[str]]
) -> Gone:
    known = states.get((task.job_name, task.element), ())
    # The n-th record is that of the n-th execution; where some are missing, nobody knows which is which.
    if not verdict.guessed or len(known) <= task.run_restart:
        return verdict
    kind = KIND_OF_STATE.get(known[task.run_restart])
    return verdict if kind is None else replace(verdict, kind=kind, guessed=False)
