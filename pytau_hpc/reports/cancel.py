"""What `cancel` says: what would be given up, what was, and who could not be told."""

from __future__ import annotations

import json
from typing import Any

from pytau_hpc.cancel import Done, Prepared, Wish
from pytau_hpc.reports.format import MARKS, cut, plural
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import State

SCHEMA = "pytau-hpc/cancelled/1"
_WIDTH = 100


def announcement(sweep: SweepDir, prepared: Prepared) -> str:
    """What is about to be given up: ``Cancel 81 points of gc_states: 22 running, 59 queued (25 SLURM tasks). …``"""
    counts = {
        state: sum(point.state is state for point in prepared.points)
        for state in (State.RUNNING, State.QUEUED)
    }
    parts = ", ".join(f"{n} {state.value}" for state, n in counts.items() if n)
    what = f"{plural(len(prepared.points), 'point')} of {sweep.name}"
    return f"Cancel {what}: {parts} ({_tasks(prepared)}). {_what_stays(prepared)}"


def _tasks(prepared: Prepared) -> str:
    slurm = "SLURM " if set(prepared.unwanted) == {"slurm"} else ""
    shared = ""
    if prepared.shared:
        some = "" if prepared.shared == prepared.tasks else f"{prepared.shared} of them "
        shared = f", {some}shared with points that go on"
    return plural(prepared.tasks, f"{slurm}task") + shared


def _what_stays(prepared: Prepared) -> str:
    if prepared.going_on:
        return f"{prepared.going_on} running go on. Finished results stay."
    return "Finished results stay."


def nothing_text(sweep: SweepDir, wish: Wish, prepared: Prepared) -> str:
    """Nothing to cancel is an answer, too."""
    what = "queued" if wish.queued_only else "queued or running"
    chosen = wish.where is not None or wish.points
    where = "of the points that you chose is" if chosen else f"of {sweep.name} is"
    more = f"; {prepared.going_on} running go on" if prepared.going_on else ""
    return f"Nothing to cancel: nothing {where} {what}{more}."


def dry_run_text(sweep: SweepDir, prepared: Prepared) -> str:
    """Every point that would be given up."""
    rows = [
        f"  {MARKS[point.state]} {point.point_id}  {point.label}  {point.state.value}"
        for point in prepared.points
    ]
    return "\n".join([announcement(sweep, prepared), *rows, "Nothing was cancelled."])


def outcome_text(done: Done) -> str:
    """What was given up, and who was told."""
    lines = [f"✓ {cut(line, _WIDTH - 2)}" for line in done.did]
    if done.became is not None:
        lines.append(_became(done))
    elif not done.prepared.points:
        lines += ["They were cancelled before."] * bool(done.did)
    else:
        lines.append("Nothing was cancelled.")
    return "\n".join(lines)


def _became(done: Done) -> str:
    """``Cancelled 80 points; 1 finished meanwhile and was kept.``"""
    became = done.became or {}
    cancelled, kept = became.get(State.CANCELLED, 0), became.get(State.SUCCEEDED, 0)
    text = f"Cancelled {plural(cancelled, 'point')}"
    if kept:
        text += f"; {kept} finished meanwhile and {'was' if kept == 1 else 'were'} kept"
    other = {s: n for s, n in became.items() if n and s not in (State.CANCELLED, State.SUCCEEDED)}
    for state, n in other.items():
        text += f"; {n} {'is' if n == 1 else 'are'} {state.value} by now"
    return f"{text}."


def warnings(done: Done) -> list[str]:
    """What a person should know besides."""
    lines = list(done.notes)
    if done.silence is not None:
        lines.append(f"SLURM could not be told ({done.silence})")
        lines.append(
            "the points are cancelled all the same: tasks that begin pass over them, and fits that run stop at "
            "their next checkpoint"
        )
    return lines


def next_steps(called: str, done: Done) -> list[str]:
    """What to type next."""
    steps = []
    if done.silence is not None:
        steps.append((f"pytau-hpc cancel {called}", "tells SLURM again"))
    if done.became is not None and done.became.get(State.CANCELLED):
        steps.append((f"pytau-hpc resume {called} --cancelled", "sends them again"))
    width = max((len(command) for command, _ in steps), default=0)
    return [
        f"{'Next' if i == 0 else '':<8}{command:<{width}}   {why}"
        for i, (command, why) in enumerate(steps)
    ]


def as_json(sweep: SweepDir, done: Done, *, dry_run: bool = False) -> str:
    """The document of ``cancel --json``."""
    prepared = done.prepared
    became = done.became or {}
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "sweep": sweep.name,
        "dry_run": dry_run,
        "was_cancelled": done.became is not None,
        "points": [
            {"point_id": point.point_id, "label": point.label, "state": point.state.value}
            for point in prepared.points
        ],
        "going_on": prepared.going_on,
        "tasks": prepared.tasks,
        "shared_tasks": prepared.shared,
        "became": {state.value: n for state, n in became.items() if n},
        "did": list(done.did),
        "silence": done.silence,
        "notes": [*prepared.notes, *done.notes],
    }
    return json.dumps(body, ensure_ascii=False)
