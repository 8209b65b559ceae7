"""What `submit` and `resume` say: what would be sent, what was, and where the sweep stands afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pytau_hpc.choose import Choice, Command
from pytau_hpc.ledger.queries import StateCount
from pytau_hpc.reports.format import MARKS, plural
from pytau_hpc.submit import Done, Prepared
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import State
from pytau_hpc.sweep.submission import Submission


def at_most(submission: Submission) -> str:
    """The most that a submission can cost."""
    hours = sum(
        len(a.tasks) * a.resources.cpus * a.resources.time_min / 60 for a in submission.arrays
    )
    return f"at most {hours:.0f} CPU-hours"


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
        where = f", {plural(len(submission.arrays), 'array')}: {at_most(submission)}"
        lines.append(
            f"Submitting {what}{where}" + (f" on account {account}" if account else "") + "."
        )
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
        lines += sbatch_lines(sweep, submission, array.number)
        for task in array.tasks:
            ids = " ".join(point.point_id[:8] for point in task.points[:6])
            more = f" … {len(task.points) - 6} more" if len(task.points) > 6 else ""
            lines.append(f"  task {task.number}: {plural(len(task.points), 'point')}  {ids}{more}")
    return "\n".join([*lines, "", "Nothing was sent."])


def sbatch_lines(sweep: SweepDir, submission: Submission, array: int) -> list[str]:
    """The batch file of an array, as SLURM would get it; nothing for other executors."""
    if submission.executor != "slurm":
        return []
    from pytau_hpc.executors.slurm import batch_text

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
    if done.prepared.submission is None:
        lines = [f"Nothing to send: {summary}."]
        lines += _finals(done.prepared.choices.left)
    elif done.sent is None:
        lines = ["Nothing was sent."]
    elif done.sent.stopped:
        lines = [f"Stopped. {summary}."]
    elif done.sent.job_ids:
        arrays = done.prepared.submission.arrays
        lines = [
            f"✓ {plural(sum(len(t.points) for t in a.tasks), 'point')}  {plural(len(a.tasks), 'task')}"
            f"  job {done.sent.job_ids[a.number]}"
            for a in arrays
        ]
        lines.append("Submitted. You can close this terminal.")
    else:
        lines = [f"Done. {summary}."]
    return "\n".join(lines)


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
    sweep: SweepDir, done: Done, counts: Sequence[StateCount], *, again: bool
) -> list[str]:
    """What to type next; `again`: `resume` would send something."""
    total = _totals(counts)
    steps = []
    if done.sent is not None and done.sent.job_ids:
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
        "was_sent": done.sent is not None,
        "stopped": done.sent is not None and done.sent.stopped,
        "counts": {state.value: n for state, n in _totals(counts).items()},
    }
