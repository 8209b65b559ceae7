"""What `logs` and `explain` have in common on the command line: POINT first, then SWEEP."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pytau_hpc.reports.format import Line
    from pytau_hpc.sweep.run_dir import SweepDir

Point = Annotated[
    str,
    typer.Argument(help="Id of the point, the beginning of it, or its label.", show_default=False),
]


def sweep_of(command: str, point: str, sweep: str | None) -> SweepDir:
    """The sweep that is meant, where the words are in the right order.

    Raises
    ------
    NotASweep : there is none
    UserError : the sweep was named before the point, or instead of it
    """
    from pytau_hpc.errors import NotASweep, UserError
    from pytau_hpc.sweep.run_dir import find_sweep

    try:
        find_sweep(point)
    except NotASweep:
        return find_sweep(sweep)
    # A label may be spelt like a sweep, though hardly both words.
    if sweep is None:
        raise UserError(
            f"which point of {point}?",
            help=f"pytau-hpc {command} POINT {point}; `status {point} --points` and `--failed` list them",
        )
    try:
        return find_sweep(sweep)
    except NotASweep:
        raise UserError(
            f"`{point}` is a sweep; the point comes first",
            help=f"pytau-hpc {command} {sweep} {point}",
        ) from None


def width() -> int:
    """Columns to fit lines into: the terminal's, else 100."""
    import shutil

    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100


def show(lines: Sequence[Line]) -> None:
    """Print lines: painted on a terminal (rich knows NO_COLOR and dumb ones), plainly elsewhere."""
    from pytau_hpc.reports.format import painted, plain

    if not sys.stdout.isatty():
        print(plain(lines), flush=True)
        return
    from rich.console import Console

    Console().print(painted(lines), crop=False, overflow="ignore", soft_wrap=True)
