"""Look at the tasks of which nothing says that they are over: who waits, who is gone. Called by `collect`.

What follows from a look is a verdict, which `collect` writes to a file. What is only known at this moment (which tasks
a scheduler holds) is kept as a hint until the next answer: unknown changes nothing.
"""

from __future__ import annotations

import functools
import json
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytau_hpc.executors import executor
from pytau_hpc.executors.base import Gone, OpenTask
from pytau_hpc.ledger import queries
from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.sweep.process import ProcessIdentity
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.submission import TaskKey

#: A scheduler is asked at most this often, unless a decision depends on the answer.
_ASK_EVERY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the executors said.

    waiting : tasks that a scheduler holds and will (again) run
    alive : tasks that were seen, now
    reasons : why tasks wait, in the scheduler's words
    complete : every executor with open tasks was asked, now, and answered
    """

    waiting: frozenset[TaskKey]
    alive: frozenset[TaskKey] = frozenset()
    reasons: Mapping[TaskKey, str] = field(default_factory=dict)
    gone: tuple[Gone, ...] = ()
    notes: tuple[str, ...] = ()
    reachable: bool | None = None
    complete: bool = True


def look(sweep: SweepDir, ledger: Ledger, *, now: float, fresh: bool) -> Look:
    """Ask every executor that has open tasks; points whose task began or ceased to wait are marked as changed.

    Parameters
    ----------
    fresh : ask a scheduler even if it was asked a moment ago
    """
    tasks = open_tasks(sweep, ledger)
    notes: list[str] = []
    gone: list[Gone] = []
    before = waiting_before(ledger)
    waiting, complete, reachable = set(before), True, None
    alive: set[TaskKey] = set()
    reasons = dict(_reasons_before(ledger))
    for name, held in tasks.items():
        remembered = ledger.hint(f"look:{name}")
        if name == "slurm" and not fresh and remembered and 0 <= now - remembered[1] < _ASK_EVERY_S:
            # What was said a moment ago: also that nobody answered, which takes long to find out.
            said = json.loads(remembered[0])
            reachable, complete = said.get("reachable", True), False
            notes += filter(None, [said.get("note")])
            continue
        absent = json.loads(remembered[0])["absent"] if remembered else {}
        sighting = executor(name).look(held, absent=absent, now=now)
        if sighting.reachable is not None:
            reachable = sighting.reachable
            complete = complete and sighting.reachable
        if sighting.note:
            notes.append(sighting.note)
        gone += sighting.gone
        alive |= sighting.alive
        if sighting.reachable is not False:
            for task in held:
                reasons.pop(task.key, None)
            reasons.update(sighting.reasons)
            waiting = (waiting - {task.key for task in held}) | sighting.waiting
            absent = sighting.absent
        said = {
            "absent": dict(absent),
            "reachable": sighting.reachable is not False,
            "note": sighting.note,
        }
        ledger.set_hint(f"look:{name}", json.dumps(said), now)
    open_keys = {task.key for held in tasks.values() for task in held}
    waiting &= open_keys
    for key in waiting ^ before:
        ledger.touch_task(*key)
    ledger.set_hint("waiting", json.dumps(sorted(waiting)), now)
    known = {key: why for key, why in reasons.items() if key in open_keys}
    ledger.set_hint("reasons", json.dumps([[*key, why] for key, why in known.items()]), now)
    return Look(
        waiting=frozenset(waiting),
        alive=frozenset(alive),
        reasons=known,
        gone=tuple(gone),
        notes=tuple(notes),
        reachable=reachable,
        complete=complete,
    )


def waiting_before(ledger: Ledger) -> frozenset[TaskKey]:
    """The tasks that a scheduler held when it was last asked."""
    hint = ledger.hint("waiting")
    return frozenset((uuid, task) for uuid, task in json.loads(hint[0])) if hint else frozenset()


def _reasons_before(ledger: Ledger) -> Mapping[TaskKey, str]:
    """Why tasks waited when the scheduler was last asked."""
    hint = ledger.hint("reasons")
    return {(uuid, task): why for uuid, task, why in json.loads(hint[0])} if hint else {}


def open_tasks(sweep: SweepDir, ledger: Ledger) -> dict[str, list[OpenTask]]:
    """Open tasks by executor."""
    tasks: dict[str, list[OpenTask]] = defaultdict(list)

    @functools.cache
    def sending_is_over(uuid: str) -> bool:
        try:
            return bool(json.loads(sweep.bound_file(uuid).read_text(encoding="utf-8")).get("done"))
        except (OSError, ValueError):
            return False

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
                run_rss_bytes=row["run_rss_bytes"],
                run_restart=row["restart"] or 0,
                mem_bytes=row["mem_bytes"],
                sent_at=row["created_at"],
                is_sent=sending_is_over(row["submission"]),
                cluster=row["cluster"],
                logs=sweep.logs_of(row["submission"]),
                ours=row["uid"] in (None, os.getuid()),
            )
        )
    return dict(tasks)
