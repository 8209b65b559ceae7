"""Why SLURM ended a run, from what slurmstepd wrote into the log of the array element.

It is on the shared file system, so it can be read without asking anybody; it is only looked at for runs that had no
time for a last word of their own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pytau_hpc.executors.base import Gone, OpenTask
from pytau_hpc.sweep.state import Kind

#: What a worker writes first: a requeued task goes on in the same log.
MARK = "── run "
_TAIL_BYTES = 16_384

#: slurmstepd's words (src/slurmd/slurmstepd, src/plugins/jobacct_gather, src/plugins/task/cgroup).
_WORDS: Sequence[tuple[re.Pattern[str], Kind]] = [
    (
        re.compile(r"exceeded (job |step )?memory limit|oom[-_]kill|out of memory", re.IGNORECASE),
        Kind.OUT_OF_MEMORY,
    ),
    (re.compile(r"CANCELLED AT .* DUE TO TIME LIMIT"), Kind.TIMEOUT),
    (re.compile(r"CANCELLED AT .* DUE TO PREEMPTION"), Kind.PREEMPTED),
    (re.compile(r"CANCELLED AT .* DUE TO NODE FAILURE"), Kind.NODE),
]
_SPEAKER = re.compile(r"^(slurmstepd|srun|slurmd)\b")


def log_name(array: int, element: int | str) -> str:
    """The name of an element's log; SLURM puts the index where `element` is ``%a``."""
    return f"{element}.slurm.log" if array == 0 else f"array{array}.{element}.slurm.log"


def kind_in(text: str, run: int) -> Kind | None:
    """What SLURM says in a log about how a run ended; None where it says nothing about that."""
    _, mark, own = text.rpartition(f"{MARK}{run} ")
    section = (own if mark else text).partition(f"\n{MARK}")[0]
    for line in section.splitlines():
        if _SPEAKER.match(line):
            for words, kind in _WORDS:
                if words.search(line):
                    return kind
    return None


def improved(gone: Sequence[Gone], tasks: Sequence[OpenTask]) -> tuple[Gone, ...]:
    """Verdicts with the reasons that the logs know, where they are guesses."""
    of = {task.key: task for task in tasks}
    return tuple(
        _improved(verdict, of[verdict.submission, verdict.task]) if verdict.guessed else verdict
        for verdict in gone
    )


def _improved(verdict: Gone, task: OpenTask) -> Gone:
    if task.logs is None or task.run is None:
        return verdict
    try:
        with (task.logs / log_name(task.array, task.element)).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return verdict
    kind = kind_in(text, task.run)
    return verdict if kind is None else replace(verdict, kind=kind, guessed=False)
