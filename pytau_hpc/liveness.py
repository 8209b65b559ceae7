"""Look at the tasks of which nothing says that they are over: who waits, who is gone. Called by `collect`.

What follows from a look is a verdict, which `collect` writes to a file. What is only known at this moment (which tasks
a scheduler holds) is kept as a hint until the next answer: unknown changes nothing.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass

from pytau_hpc.executors import executor
from pytau_hpc.executors.base import Gone, OpenTask, TaskKey
from pytau_hpc.ledger import queries
from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.sweep.process import ProcessIdentity

#: A scheduler is asked at most this often, unless a decision depends on the answer.
_ASK_EVERY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the executors said.

    waiting : tasks that a scheduler holds and will (again) run
    complete : every executor with open tasks was asked, now, and answered
    """

    waiting: frozenset[TaskKey]
    gone: tuple[Gone, ...] = ()
    notes: tuple[str, ...] = ()
    reachable: bool | None = None
    complete: bool = True


def look(ledger: Ledger, *, now: float, fresh: bool) -> Look:
    """Ask every executor that has open tasks; points whose task began or ceased to wait are marked as changed.

    Parameters
    ----------
    fresh : ask a scheduler even if it was asked a moment ago
    """
    tasks = _open_tasks(ledger)
    notes: list[str] = []
    gone: list[Gone] = []
    before = waiting_before(ledger)
    waiting, complete, reachable = set(before), True, None
    for name, held in tasks.items():
        remembered = ledger.hint(f"look:{name}")
        if name == "slurm" and not fresh and remembered and 0 <= now - remembered[1] < _ASK_EVERY_S:
            reachable, complete = True, False
            continue
        absent = json.loads(remembered[0])["absent"] if remembered else {}
        sighting = executor(name).look(held, absent=absent, now=now)
        if sighting.reachable is not None:
            reachable = sighting.reachable
            complete = complete and sighting.reachable
        if sighting.note:
            notes.append(sighting.note)
        gone += sighting.gone
        if sighting.reachable is not False:
            waiting = (waiting - {task.key for task in held}) | sighting.waiting
            ledger.set_hint(f"look:{name}", json.dumps({"absent": dict(sighting.absent)}), now)
    waiting &= {task.key for held in tasks.values() for task in held}
    for key in waiting ^ before:
        ledger.touch_task(*key)
    ledger.set_hint("waiting", json.dumps(sorted(waiting)), now)
    return Look(
        waiting=frozenset(waiting),
        gone=tuple(gone),
        notes=tuple(notes),
        reachable=reachable,
        complete=complete,
    )


def waiting_before(ledger: Ledger) -> frozenset[TaskKey]:
    """The tasks that a scheduler held when it was last asked."""
    hint = ledger.hint("waiting")
    return frozenset((uuid, task) for uuid, task in json.loads(hint[0])) if hint else frozenset()


def _open_tasks(ledger: Ledger) -> dict[str, list[OpenTask]]:
    """Open tasks by executor."""
    tasks: dict[str, list[OpenTask]] = defaultdict(list)
    for row in queries.open_tasks(ledger):
        process = None
        if row["pid"] is not None:
            process = ProcessIdentity(
                host=row["process_host"],
                boot_id=row["boot_id"],
                pid=row["pid"],
                started=row["process_started"],
            )
        tasks[row["executor"]].append(
            OpenTask(
                submission=row["submission"],
                task=row["task"],
                array=row["array"],
                element=row["element"],
                job_name=f"{row['job_prefix']}.{row['array']}",
                driver=ProcessIdentity.from_json(json.loads(row["driver"])),
                grace_s=row["grace_s"],
                time_limit_s=row["time_limit_s"],
                run=row["run"],
                run_over=bool(row["run_over"]),
                run_ended=row["run_ended"],
                run_process=process,
                run_started_at=row["run_started_at"],
                run_last_seen_at=row["run_last_seen_at"],
                ours=row["uid"] in (None, os.getuid()),
            )
        )
    return dict(tasks)
