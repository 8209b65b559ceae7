"""Options and arguments that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pytau_hpc.errors import PytauHpcError

Sweep = Annotated[
    str | None, typer.Argument(help="Name or folder of the sweep; not needed where there is one.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Where = Annotated[
    str | None,
    typer.Option(
        "--where", metavar="SQL", help="Only these points: a condition on columns of the ledger."
    ),
]


def talk(text: str = "") -> None:
    """Say something that is not the answer."""
    print(text, file=sys.stderr, flush=True)


def shown(path: Path) -> str:
    """A path as a person would write it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def report_problem(error: PytauHpcError) -> None:
    """Say what went wrong and what helps, the way every error is said."""
    talk(f"error: {error.message}")
    if error.help:
        talk(f"help: {error.help}")
