"""``logs``: what the tries of one point wrote."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from pytau_hpc.cli.one_point import Point, show, sweep_of, width
from pytau_hpc.cli.options import Sweep, shown, talk

if TYPE_CHECKING:
    from pytau_hpc.reports.logs import Look
    from pytau_hpc.reports.status import Step
    from pytau_hpc.sweep.run_dir import SweepDir

Follow = Annotated[
    bool,
    typer.Option("--follow", "-f", help="Go on until the point is neither queued nor running."),
]
All = Annotated[
    bool, typer.Option("--all", help="Every line about the point, not only the last ones.")
]
Try = Annotated[
    int | None, typer.Option("--try", metavar="N", min=1, help="An earlier try, counted from 1.")
]
Path = Annotated[bool, typer.Option("--path", help="Print only where the log is.")]


def command(
    point: Point,
    sweep: Sweep = None,
    follow: Follow = False,
    all_lines: All = False,
    try_number: Try = None,
    path: Path = False,
) -> int:
    """Show what the last try of a point wrote: its progress, its output, and the scheduler's last words."""
    from pytau_hpc.errors import UserError
    from pytau_hpc.logs import chosen, look, main_file
    from pytau_hpc.reports import logs as report

    if follow and (path or all_lines or try_number):
        raise UserError("-f follows the try that comes; it does not go with other options")
    place = sweep_of("logs", point, sweep)
    called = sweep or place.name
    if follow:
        return _follow(place, point, called)
    seen = look(place, point)
    entry = chosen(seen, try_number)
    if path:
        print(shown(main_file(place, seen, entry)))
        return 0
    how = _how()
    show(report.page(place, seen, entry, how, all_lines=all_lines))
    if seen.row["state"] == "queued":
        talk(report.waiting_line(seen, how.now))
    _talk(report.next_steps(seen, entry, called))
    return 0


def _follow(place: SweepDir, point: str, called: str) -> int:
    from pytau_hpc.follow import Began, Over, Waiting, follow
    from pytau_hpc.logs import chosen
    from pytau_hpc.reports import logs as report
    from pytau_hpc.reports.format import line

    waits = None
    for heard in follow(place, point):
        how = _how()
        if isinstance(heard, str):
            show([line(heard)])
        elif isinstance(heard, Began):
            show(report.header(place, heard.seen, heard.entry, how))
        elif isinstance(heard, Waiting):
            text = report.waiting_line(heard.seen, how.now)
            if text != waits:
                talk(text)
            waits = text
        elif isinstance(heard, Over):
            entry = chosen(heard.seen)
            show(report.ending(place, heard.seen, entry, how))
            _talk(report.next_steps(heard.seen, entry, called))
        else:
            show([line(report.told_line(heard, how.now))])
    return 0


def _how() -> Look:
    from pytau_hpc.reports.logs import Look

    return Look(shown=shown, now=time.time(), width=width())


def _talk(steps: list[Step]) -> None:
    from pytau_hpc.reports.status_text import next_lines

    talk()
    for line in next_lines(steps):
        talk(line)
