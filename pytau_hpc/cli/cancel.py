"""``cancel``: give up points that are queued or running."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pytau_hpc.cli.options import Json, Sweep, Where, talk
from pytau_hpc.cli.submit import Point, Yes

if TYPE_CHECKING:
    from pytau_hpc.cancel import Prepared

QueuedOnly = Annotated[
    bool, typer.Option("--queued-only", help="Let go on what runs; give up only what waits.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be given up.")]

TRY_AGAIN = 75


def command(
    sweep: Sweep = None,
    where: Where = None,
    point: Point = None,
    queued_only: QueuedOnly = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> int:
    """Give up queued or running points. Finished results stay."""
    from pytau_hpc.cancel import Done, Wish, cancel, prepare
    from pytau_hpc.reports import cancel as report
    from pytau_hpc.sweep.run_dir import find_sweep

    place = find_sweep(sweep)
    wish = Wish(where=where, points=tuple(point or ()), queued_only=queued_only)
    if dry_run:
        prepared = prepare(place, wish)
        _notes(prepared.notes)
        if as_json:
            print(report.as_json(place, Done(prepared=prepared), dry_run=True))
        elif prepared.points:
            print(report.dry_run_text(place, prepared))
        else:
            print(report.nothing_text(place, wish, prepared))
        return 0

    def confirm(prepared: Prepared) -> bool:
        _notes(prepared.notes)
        talk(report.announcement(place, prepared))
        return yes or _agreed()

    done = cancel(place, wish, confirm=confirm)
    if not done.prepared.points:
        _notes(done.prepared.notes)
    if as_json:
        print(report.as_json(place, done))
    else:
        if not done.prepared.points:
            print(report.nothing_text(place, wish, done.prepared))
        if text := report.outcome_text(done):
            print(text)
    _notes(report.warnings(done))
    for step in report.next_steps(sweep or place.name, done):
        talk(step)
    return 0 if done.silence is None else TRY_AGAIN


def _notes(notes: tuple[str, ...] | list[str]) -> None:
    for note in notes:
        talk(f"! {note}")


def _agreed() -> bool:
    """Ask on a terminal. The default is No, because this throws work away.

    Raises
    ------
    UserError : there is nobody to ask
    """
    from pytau_hpc.errors import UserError

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError("this would ask a question, but this is not a terminal", help="add --yes")
    talk("Proceed? [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
