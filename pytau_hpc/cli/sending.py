"""What `submit` and `resume` have in common on the command line: everything but the word."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytau_hpc.choose import Command
from pytau_hpc.cli.options import report_problem, talk
from pytau_hpc.collect import collect
from pytau_hpc.errors import UserError
from pytau_hpc.executors import executor
from pytau_hpc.executors.profile import find_profile
from pytau_hpc.ledger import queries, summary
from pytau_hpc.ledger.unrun import unrun_lists
from pytau_hpc.persist import Persistence
from pytau_hpc.prepare import Order, Prepared, prepare
from pytau_hpc.reports import sending as report
from pytau_hpc.reports.live import LiveBar
from pytau_hpc.submit import Done, submit
from pytau_hpc.sweep.manifest import read_manifest
from pytau_hpc.sweep.resources import Request, parse_time
from pytau_hpc.sweep.run_dir import SweepDir, find_sweep
from pytau_hpc.sweep.state import State

#: A person was asked and said no: never an exit code.
_DECLINED = -1

if TYPE_CHECKING:
    from pytau_hpc.reports.status import Status

FINISHED_WITH_FAILURES, PARTLY_SENT, INTERRUPTED = 3, 5, 130


def send(
    command: Command,
    *,
    sweep: str | None,
    profile: str | None,
    jobs: int | None,
    dry_run: bool,
    yes: bool,
    mem: float | None,
    time: str | None,
    points_per_task: int | None,
    where: str | None,
    points: Sequence[str],
    wait: bool,
    auto_resume: bool,
    as_json: bool,
    errors: bool = False,
    lost: bool = False,
    cancelled: bool = False,
) -> int:
    """Run one of the two commands; returns the exit code."""
    if auto_resume and not wait:
        raise UserError("--auto-resume needs somebody who waits", help="give --wait, too")
    place = find_sweep(sweep)
    order = Order(
        command=command,
        profile=find_profile(profile, in_spec=read_manifest(place.path).profile, study=place.study),
        request=Request(mem_gb=mem, time_min=_minutes(time), points_per_task=points_per_task),
        workers=jobs,
        only=_only(place, where, points),
        errors=errors,
        lost=lost,
        cancelled=cancelled,
    )
    way = executor(order.profile.executor)
    if wait and not (way.blocks or way.queues):
        raise UserError(
            f"--wait would wait for ever: with {way.name}, a person runs the tasks",
            help="leave it out, and run the list that is written",
        )
    if dry_run:
        prepared = prepare(place, order)
        _notes(prepared)
        print(
            report.dry_run_json(place, prepared)
            if as_json
            else report.dry_run_text(place, prepared, command)
        )
        return 0

    stays = wait and (way.queues or auto_resume)
    code = _run(place, order, yes=yes, as_json=as_json and not stays, quiet=as_json)
    if code == _DECLINED:
        return 0
    if not wait or code == INTERRUPTED:
        return code
    # What was run here is over. What somebody else runs of these points may not be.
    if not stays:
        states = _states(place, order)
        if states.isdisjoint({State.QUEUED, State.RUNNING}):
            return _final_code(states) if code in (0, FINISHED_WITH_FAILURES) else code
    every_s = 10 if way.queues else 1
    return _wait(place, order, auto_resume=auto_resume, as_json=as_json, every_s=every_s)


def run_here(place: SweepDir, command: Command, *, jobs: int | None) -> int:
    """Run what `command` would send as processes of this computer, without asking and without a closing summary."""
    order = Order(command=command, profile=find_profile("local"), workers=jobs)
    return _run(place, order, yes=True, as_json=False, summary=False)


def _run(
    place: SweepDir,
    order: Order,
    *,
    yes: bool,
    as_json: bool,
    summary: bool = True,
    quiet: bool = False,
) -> int:
    way = executor(order.profile.executor)
    bars: list[LiveBar] = []

    def confirm(prepared: Prepared) -> bool:
        _notes(prepared)
        for line in report.announcement(prepared, order.command):
            talk(line)
        agreed = not way.queues or yes or _agreed(prepared)
        if agreed and way.blocks and prepared.submission is not None:
            bars.append(LiveBar(place, quiet=as_json or quiet))
            bars[-1].start(prepared)
        return agreed

    def tick() -> None:
        for bar in bars:
            bar.tick()

    try:
        done = submit(place, order, confirm=confirm, asks=way.queues and not yes, tick=tick)
    finally:
        for bar in bars:
            bar.finish()
    return _closing(place, done, as_json=as_json, summary=summary and not quiet)


def _wait(
    place: SweepDir, order: Order, *, auto_resume: bool, as_json: bool, every_s: float
) -> int:
    """Stay until nothing is queued or running; with `auto_resume`, until nothing may be tried again either.

    Everything that is known is on disk: a wait that is killed is taken up by the same command.
    """
    from pytau_hpc.reports.live import watch

    again = Persistence(place, order) if auto_resume else None

    def until(status: Status, tick: Callable[[], None]) -> bool:
        # Nobody is going to run a list of commands because we wait for it.
        going_on = status.going_on - status.unrun
        if again is None:
            return not going_on
        return again.is_over(going_on, status.counts[State.SUCCEEDED], tell=talk, tick=tick)

    watch(
        place,
        which=summary.Which(ids=order.only),
        called=place.name,
        json_lines=as_json,
        every_s=every_s,
        until=until,
    )
    if again is not None and again.stopped:
        return INTERRUPTED
    return _final_code(_states(place, order))


def _states(place: SweepDir, order: Order) -> set[State]:
    """The states that the points are in which were asked for: all of the sweep, or some."""
    with collect(place, ask=False) as collected:
        found = summary.counts(collected.ledger, summary.Which(ids=order.only))
    return {State(count.state) for count in found}


def _final_code(states: set[State]) -> int:
    """What the end of a wait answers, whichever way it came."""
    return 0 if states <= {State.SUCCEEDED, State.CANCELLED} else FINISHED_WITH_FAILURES


def _closing(place: SweepDir, done: Done, *, as_json: bool, summary: bool) -> int:
    with collect(place, fresh=True) as collected:
        counts = queries.counts(collected.ledger)
        lists = unrun_lists(collected.ledger)
    if as_json:
        print(json.dumps(report.outcome_json(place, done, counts)))
    elif summary:
        print(report.outcome_text(place, done, counts))
        again = _would_resume(place, done)
        for line in report.next_steps(place, done, counts, again=again, lists=lists):
            talk(line)
    if done.sent is None:
        if done.prepared.submission is not None:
            return _DECLINED
        return PARTLY_SENT if done.prepared.postponed else 0
    if done.sent.problem is not None:
        report_problem(done.sent.problem)
        return PARTLY_SENT if done.sent.job_ids else done.sent.problem.exit_code
    if done.prepared.postponed:
        return PARTLY_SENT
    if done.sent.stopped:
        return INTERRUPTED
    blocked = not done.sent.job_ids and done.sent.job_list is None
    bad = sum(count.points for count in counts if count.state in ("failed", "lost", "interrupted"))
    return FINISHED_WITH_FAILURES if blocked and bad else 0


def _would_resume(place: SweepDir, done: Done) -> bool:
    """Whether `resume` would send anything now; not asked where a scheduler has just taken tasks."""
    if done.sent is not None and (done.sent.job_ids or done.sent.job_list):
        return False
    order = Order(command=Command.RESUME, profile=find_profile("local"))
    return prepare(place, order, fresh=False).submission is not None


def _notes(prepared: Prepared) -> None:
    for note in prepared.notes:
        talk(f"! {note}")


def _agreed(prepared: Prepared) -> bool:
    """Ask on a terminal; without one, refuse rather than guess.

    Raises
    ------
    UserError : there is nobody to ask
    """
    if prepared.submission is None:
        return False
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError(
            "this would ask a question, but this is not a terminal",
            help=f"add --yes ({report.cost(prepared)})",
        )
    talk("Proceed? [Y/n] ")
    answer = sys.stdin.readline()
    # Ctrl-D, or a terminal that is gone: nobody said yes.
    return answer != "" and answer.strip().lower() in ("", "y", "yes")


def _only(place: SweepDir, where: str | None, points: Sequence[str]) -> frozenset[str] | None:
    """The ids of the points that are meant: all (None), those of a condition, those that were named."""
    if where is None and not points:
        return None
    with collect(place, ask=False) as collected:
        found = frozenset(summary.find_point(collected.ledger, one)["point_id"] for one in points)
        if where is not None:
            those = frozenset(summary.point_ids(collected.ledger, summary.Which(where=where)))
            found = found & those if points else those
    if not found:
        raise UserError(
            f"no point matches --where {where!r}", help=f"pytau-hpc status {place.name} --points"
        )
    return found


def _minutes(time: str | None) -> int | None:
    if time is None:
        return None
    try:
        return parse_time(time)
    except ValueError as error:
        raise UserError(f"--time: {error}") from None
