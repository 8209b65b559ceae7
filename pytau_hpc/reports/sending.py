"""What `submit` and `resume` say: what would be sent, what was, and where the sweep stands afterwards."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytau_hpc.choose import Choice, Command
from pytau_hpc.executors import gnu_parallel
from pytau_hpc.executors.base import Sent
from pytau_hpc.ledger.queries import StateCount
from pytau_hpc.ledger.unrun import Unrun
from pytau_hpc.prepare import Prepared
from pytau_hpc.reports.cost import cost_line
from pytau_hpc.reports.format import MARKS, plural
from pytau_hpc.submit import Done
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import State
from pytau_hpc.sweep.submission import Submission


def cost(prepared: Prepared) -> str:
    """What a submission is expected to cost, and the most that it can."""
    return cost_line(prepared.expected, prepared.maximum)


def announcement(prepared: Prepared, command: Command) -> list[str]:
    """What is about to be sent, and why; one line per cause where there is more than one."""
    lines = _cause_table(prepared.choices.all, command)
    submission = prepared.submission
    if submission is None:
        return lines
    n = sum(len(task.points) for task in submission.tasks)
    what = f"{plural(n, 'point')} in {plural(len(submission.tasks), 'task')}"
    if submission.executor == "slurm":
        account = (submission.profile.get("slurm") or {}).get("account")
        where = f", {plural(len(submission.arrays), 'array')}: {cost(prepared)}"
        lines.append(
            f"Submitting {what}{where}" + (f" on account {account}" if account else "") + "."
        )
    elif submission.executor == gnu_parallel.NAME:
        lines.append(f"Writing a list of commands: {what}.")
    else:
        lines.append(f"Running {what} on this computer.")
    return lines


def _cause_table(choices: Sequence[Choice], command: Command) -> list[str]:
    """One line per cause with what is done about it; nothing where everything is new."""
    groups = Counter((choice.state, choice.kind, choice.send, choice.why) for choice in choices)
    if all(state is State.PLANNED for state, *_ in groups) and command is Command.SUBMIT:
        return []
    order = list(State)
    rows = []
    for (state, kind, send, why), n in sorted(
        groups.items(), key=lambda item: (order.index(item[0][0]), item[0][3])
    ):
        cause = state.value if kind is None else f"{state.value} ({kind.value})"
        grown = _growth(
            [c for c in choices if (c.state, c.kind, c.send, c.why) == (state, kind, send, why)]
        )
        rows.append((f"{MARKS[state]} {cause}", n, f"{why}{grown}"))
    width = max((len(cause) for cause, _, _ in rows), default=5)
    return [
        f"{'cause':<{width}}  points  action",
        *(f"{c:<{width}}  {n:>6}  {why}" for c, n, why in rows),
    ]


def _growth(choices: Sequence[Choice]) -> str:
    asks = {(choice.resources.mem_gb, choice.resources.time) for choice in choices if choice.send}
    if len(asks) != 1 or choices[0].state is State.PLANNED:
        return ""
    memory, time = next(iter(asks))
    return f" ({memory:g} GiB, {time})"


def dry_run_text(sweep: SweepDir, prepared: Prepared, command: Command) -> str:
    """Everything that would be sent."""
    lines = _cause_table(prepared.choices.all, command)
    submission = prepared.submission
    if submission is None:
        if prepared.postponed:
            lines.append(_postponed(prepared))
        return "\n".join([*lines, "Nothing would be sent."])
    n = sum(len(task.points) for task in submission.tasks)
    lines.append(
        f"Would send {plural(n, 'point')} in {plural(len(submission.tasks), 'task')}, "
        f"{plural(len(submission.arrays), 'array')}, with executor {submission.executor}"
    )
    for array in submission.arrays:
        r = array.resources
        lines.append("")
        lines.append(
            f"── array {array.number} · tasks {array.first}-{array.first + len(array.tasks) - 1}"
            f" · {r.cpus} CPU · {r.mem_gb:g} GiB · {r.time}"
        )
        lines += script_lines(sweep, submission, array.number)
        for task in array.tasks:
            ids = " ".join(point.point_id[:8] for point in task.points[:6])
            more = f" … {len(task.points) - 6} more" if len(task.points) > 6 else ""
            lines.append(f"  task {task.number}: {plural(len(task.points), 'point')}  {ids}{more}")
    return "\n".join([*lines, "", f"Cost: {cost(prepared)}.", "Nothing was sent."])


def script_lines(sweep: SweepDir, submission: Submission, array: int) -> list[str]:
    """The batch file of an array, as SLURM would get it, or what the lines of a list call; else nothing."""
    if submission.executor == gnu_parallel.NAME:
        return gnu_parallel.script_text(sweep, submission, os.environ).splitlines()
    if submission.executor != "slurm":
        return []
    from pytau_hpc.executors.sbatch import batch_text

    return batch_text(sweep, submission, submission.arrays[array]).splitlines()


def dry_run_json(sweep: SweepDir, prepared: Prepared) -> str:
    import json

    return json.dumps(
        {"schema": "pytau-hpc/dry-run/1", "sweep": sweep.name, **_prepared_json(prepared)}
    )


def _prepared_json(prepared: Prepared) -> dict[str, Any]:
    submission = prepared.submission
    return {
        "submission": None if submission is None else submission.uuid,
        "executor": None if submission is None else submission.executor,
        "tasks": 0 if submission is None else len(submission.tasks),
        "sent": [
            {"point_id": c.point_id, "because": c.why, **c.resources.to_json()}
            for c in prepared.choices.sent
        ],
        "postponed": prepared.postponed,
        "cost": {"cpu_hours_expected": prepared.expected, "cpu_hours_max": prepared.maximum},
        "left": [
            {"point_id": c.point_id, "state": c.state.value, "because": c.why, "final": c.final}
            for c in prepared.choices.left
        ],
        "notes": list(prepared.notes),
    }


def outcome_text(sweep: SweepDir, done: Done, counts: Sequence[StateCount]) -> str:
    """What became of a submit or resume."""
    total = _totals(counts)
    summary = ", ".join(f"{n} {state.value}" for state, n in total.items() if n) or "no points"
    if done.prepared.submission is None and done.prepared.postponed:
        lines = [_postponed(done.prepared)]
    elif done.prepared.submission is None:
        lines = [f"Nothing to send: {summary}."]
        lines += _finals(done.prepared.choices.left)
    elif done.sent is None:
        lines = ["Nothing was sent."]
    elif done.sent.problem is not None and not done.sent.job_ids:
        lines = ["It is not known whether SLURM took it; `status` will show."]
    elif done.sent.stopped:
        lines = [f"Stopped. {summary}."]
    elif done.sent.job_list is not None:
        n = len(done.prepared.submission.tasks)
        path = gnu_parallel.seen_from(Path.cwd(), done.sent.job_list)
        lines = [f"Wrote {plural(n, 'task')} to {path}: they run when you run that list."]
    elif done.sent.job_ids:
        lines = _taken(done.prepared.submission, done.sent)
        if done.prepared.postponed:
            lines.append(_postponed(done.prepared))
    else:
        lines = [f"Done. {summary}."]
    return "\n".join(lines)


def _taken(submission: Submission, sent: Sent) -> list[str]:
    """One line for each array that a scheduler took, wholly or in part, and how much that is."""
    not_taken = set(sent.not_begun)
    lines, n_points = [], 0
    for array in submission.arrays:
        held = [task for task in array.tasks if task.number not in not_taken]
        if array.number not in sent.job_ids or not held:
            continue
        points = sum(len(task.points) for task in held)
        n_points += points
        lines.append(
            f"✓ {plural(points, 'point')}  {plural(len(held), 'task')}  job {sent.job_ids[array.number]}"
        )
    total = sum(len(task.points) for task in submission.tasks)
    if n_points == total:
        return [*lines, "Submitted. You can close this terminal."]
    return [
        *lines,
        f"{n_points} of {total} points are submitted; running the same command again sends the rest.",
    ]


def _postponed(prepared: Prepared) -> str:
    return (
        f"{plural(prepared.postponed, 'point')} wait: the profile allows no more tasks in the queue at once"
        " (limits.max_submitted_tasks); run the same command again when some have ended."
    )


def _finals(left: Sequence[Choice], most: int = 10) -> list[str]:
    finals = [choice for choice in left if choice.final]
    lines = [
        f"  {choice.point_id[:8]}  {choice.state.value}"
        + (f" ({choice.kind.value})" if choice.kind else "")
        + f": {choice.why}"
        for choice in finals[:most]
    ]
    return lines + ([f"  … {len(finals) - most} more"] if len(finals) > most else [])


def next_steps(
    sweep: SweepDir,
    done: Done,
    counts: Sequence[StateCount],
    *,
    again: bool,
    lists: Sequence[Unrun] = (),
) -> list[str]:
    """What to type next; `again`: `resume` would send something; `lists`: wait for somebody to run them."""
    total = _totals(counts)
    steps = [gnu_parallel.how_to_run(sweep, one.submission, start=Path.cwd()) for one in lists]
    if done.sent is not None and (done.sent.job_ids or done.sent.job_list):
        steps.append(f"pytau-hpc status {sweep.name} --watch")
    if total[State.FAILED]:
        steps.append(f"pytau-hpc status {sweep.name} --failed")
    if again:
        steps.append(f"pytau-hpc resume {sweep.name}")
    elif total[State.SUCCEEDED] == sum(total.values()):
        steps.append(f"pytau-hpc export {sweep.name} --csv {sweep.name}.csv")
    return [f"{'Next' if i == 0 else '':<8}{step}" for i, step in enumerate(steps)]


def _totals(counts: Sequence[StateCount]) -> dict[State, int]:
    total = dict.fromkeys(State, 0)
    for count in counts:
        total[State(count.state)] += count.points
    return total


def outcome_json(sweep: SweepDir, done: Done, counts: Sequence[StateCount]) -> dict[str, Any]:
    return {
        "schema": "pytau-hpc/sent/1",
        "sweep": sweep.name,
        **_prepared_json(done.prepared),
        "job_ids": {} if done.sent is None else {str(k): v for k, v in done.sent.job_ids.items()},
        "job_list": None
        if done.sent is None or done.sent.job_list is None
        else str(done.sent.job_list),
        "was_sent": done.sent is not None,
        "not_taken": [] if done.sent is None else list(done.sent.not_begun),
        "problem": None
        if done.sent is None or done.sent.problem is None
        else done.sent.problem.message,
        "stopped": done.sent is not None and done.sent.stopped,
        "counts": {state.value: n for state, n in _totals(counts).items()},
    }
