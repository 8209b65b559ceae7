"""One scancel for everything that was given up: whole arrays by their id, else ranges of elements.

What lives, and under which ids, squeue says; an array that was sent in pieces has several. Called by `slurm`.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from pytau_hpc.executors import squeue
from pytau_hpc.executors.base import OpenTask, Told

_TIMEOUT_S = 60.0
#: Options on one command line; each may name a whole array.
_AT_ONCE = 500
#: An element that ended between squeue's answer and scancel's question needs no cancelling.
_OVER_ALREADY = re.compile(r"already completing or completed|invalid job id", re.IGNORECASE)


def cancel(
    tasks: Sequence[OpenTask], *, only_queued: bool, here: Callable[[], str | None] = lambda: None
) -> Told:
    """Have SLURM stop those of the tasks that it still holds.

    Parameters
    ----------
    here : the name of the cluster that answers; asked only where something is missing
    """
    if not tasks:
        return Told()
    try:
        seen = squeue.ask(sorted({task.job_name for task in tasks}))
    except squeue.NoAnswer as silence:
        return Told(silence=str(silence))
    ids = targets(tasks, seen, only_queued=only_queued)
    did: list[str] = []
    for start in range(0, len(ids), _AT_ONCE):
        words = ["scancel", *(["--state=PENDING"] if only_queued else []), *ids[start:][:_AT_ONCE]]
        failure = _run(words)
        if failure is not None:
            return Told(did=tuple(did), silence=failure)
        did.append(" ".join(words))
    here = functools.cache(here)
    elsewhere = [
        cluster
        for task in tasks
        if (task.job_name, task.element) not in seen
        and (cluster := squeue.other_cluster(task, here)) is not None
    ]
    return Told(did=tuple(did), silence=squeue.elsewhere_note(elsewhere, here))


def targets(
    tasks: Sequence[OpenTask],
    seen: Mapping[tuple[str, int], squeue.Seen],
    *,
    only_queued: bool = False,
) -> list[str]:
    """What to name on scancel's command line: ``8123`` for a whole array, ``8124_[2-4,7]`` for some of it.

    Parameters
    ----------
    seen : what squeue shows of the arrays that the tasks are in; other elements of them are left alone
    """
    given_up = {(task.job_name, task.element) for task in tasks}
    living: dict[str, set[int]] = defaultdict(set)
    meant: dict[str, set[int]] = defaultdict(set)
    for (name, index), element in seen.items():
        # One that is completing cannot be stopped any more.
        if element.state in squeue.KIND_OF_TERMINAL_STATE or element.state == "COMPLETING":
            continue
        job = element.job.partition("_")[0]
        living[job].add(index)
        if (name, index) in given_up and (element.state == "PENDING" or not only_queued):
            meant[job].add(index)
    return [
        job if indexes == living[job] else f"{job}_[{_ranges(indexes)}]"
        for job, indexes in sorted(meant.items(), key=lambda item: int(item[0]))
    ]


def _ranges(indexes: set[int]) -> str:
    """``2-4,7``"""
    found: list[list[int]] = []
    for index in sorted(indexes):
        if found and index == found[-1][-1] + 1:
            found[-1][1:] = [index]
        else:
            found.append([index])
    return ",".join("-".join(map(str, ends)) for ends in found)


def _run(words: Sequence[str]) -> str | None:
    """Call scancel; why it failed, None where everything that was named is being stopped, or over already."""
    # A person's own filters would restrict it, and SCANCEL_INTERACTIVE would have it ask.
    environment = {name: v for name, v in os.environ.items() if not name.startswith("SCANCEL_")}
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        return "no scancel on this machine"
    except subprocess.TimeoutExpired:
        return f"scancel took longer than {_TIMEOUT_S:.0f} s"
    complaints = [line for line in done.stderr.splitlines() if line.strip()]
    serious = [line for line in complaints if not _OVER_ALREADY.search(line)]
    if done.returncode == 0 or (complaints and not serious):
        return None
    return serious[-1].strip() if serious else f"scancel ended with {done.returncode}"
