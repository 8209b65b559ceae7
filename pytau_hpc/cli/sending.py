"""What `submit` and `resume` have in common on the command line: everything but the word."""

from __future__ import annotations

import json
import sys

from pytau_hpc.choose import Command
from pytau_hpc.cli.options import talk
from pytau_hpc.collect import collect
from pytau_hpc.errors import UserError
from pytau_hpc.executors import executor
from pytau_hpc.executors.profile import find_profile
from pytau_hpc.ledger import queries, summary
from pytau_hpc.reports import sending as report
from pytau_hpc.reports.live import LiveBar
from pytau_hpc.submit import Done, Order, Prepared, prepare, submit
from pytau_hpc.sweep.manifest import read_manifest
from pytau_hpc.sweep.resources import Request, parse_time
from pytau_hpc.sweep.run_dir import SweepDir, find_sweep

FINISHED_WITH_FAILURES, INTERRUPTED = 3, 130


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
    as_json: bool,
    errors: bool = False,
) -> int:
    """Run one of the two commands; returns the exit code."""
    place = find_sweep(sweep)
    order = Order(
        command=command,
        profile=find_profile(profile, in_spec=read_manifest(place.path).profile, study=place.study),
        request=Request(mem_gb=mem, time_min=_minutes(time), points_per_task=points_per_task),
        workers=jobs,
        only=_only(place, where),
        errors=errors,
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

    return _run(place, order, yes=yes, as_json=as_json)


def run_here(place: SweepDir, command: Command, *, jobs: int | None) -> int:
    """Run what `command` would send as processes of this computer, without asking and without a closing summary."""
    order = Order(command=command, profile=find_profile("local"), workers=jobs)
    return _run(place, order, yes=True, as_json=False, summary=False)


def _run(place: SweepDir, order: Order, *, yes: bool, as_json: bool, summary: bool = True) -> int:
    local = executor(order.profile.executor).blocks
    bars: list[LiveBar] = []

    def confirm(prepared: Prepared) -> bool:
        _notes(prepared)
        for line in report.announcement(prepared, order.command):
            talk(line)
        agreed = local or yes or _agreed(prepared)
        if agreed and local and prepared.submission is not None:
            bars.append(LiveBar(place, quiet=as_json))
            bars[-1].start(prepared)
        return agreed

    def tick() -> None:
        for bar in bars:
            bar.tick()

    try:
        done = submit(place, order, confirm=confirm, tick=tick)
    finally:
        for bar in bars:
            bar.finish()
    return _closing(place, done, as_json=as_json, summary=summary)


def _closing(place: SweepDir, done: Done, *, as_json: bool, summary: bool) -> int:
    with collect(place, fresh=True) as collected:
        counts = queries.counts(collected.ledger)
    if as_json:
        print(json.dumps(report.outcome_json(place, done, counts)))
    elif summary:
        print(report.outcome_text(place, done, counts))
        for line in report.next_steps(place, done, counts, again=_would_resume(place, done)):
            talk(line)
    if done.sent is None:
        return 0
    if done.sent.stopped:
        return INTERRUPTED
    blocked = not done.sent.job_ids
    bad = sum(count.points for count in counts if count.state in ("failed", "lost", "interrupted"))
    return FINISHED_WITH_FAILURES if blocked and bad else 0


def _would_resume(place: SweepDir, done: Done) -> bool:
    """Whether `resume` would send anything now; not asked where a scheduler has just taken tasks."""
    if done.sent is not None and done.sent.job_ids:
        return False
    order = Order(command=Command.RESUME, profile=find_profile("local"))
    return prepare(place, order).submission is not None


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
            help=f"add --yes ({report.at_most(prepared.submission)})",
        )
    talk("Proceed? [Y/n] ")
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


def _only(place: SweepDir, where: str | None) -> frozenset[str] | None:
    if where is None:
        return None
    with collect(place, ask=False) as collected:
        found = frozenset(summary.point_ids(collected.ledger, summary.Which(where=where)))
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
