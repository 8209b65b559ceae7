"""``export``: the ledger as a table for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pytau_hpc.cli.options import Sweep, talk

if TYPE_CHECKING:
    import pandas as pd


def command(
    sweep: Sweep = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write CSV.")] = None,
    parquet: Annotated[
        Path | None,
        typer.Option("--parquet", metavar="FILE", help="Write Parquet (needs pyarrow)."),
    ] = None,
    attempts: Annotated[
        bool, typer.Option("--attempts", help="One row for each attempt instead of each point.")
    ] = False,
    tasks: Annotated[
        bool,
        typer.Option("--tasks", help="One row for each run of a task: what it asked for and used."),
    ] = False,
) -> int:
    """Write the points, attempts or tasks as CSV or Parquet; CSV to standard output where no file is named."""
    from pytau_hpc.collect import collect
    from pytau_hpc.errors import UserError
    from pytau_hpc.ledger import frames
    from pytau_hpc.sweep.run_dir import find_sweep

    if attempts and tasks:
        raise UserError("--attempts and --tasks are two tables", help="write one after the other")
    for file in (csv, parquet):
        if file is not None:
            _check_folder(file)
    if parquet is not None:
        _check_pyarrow()
    with collect(find_sweep(sweep)) as collected:
        made = frames.attempts if attempts else frames.tasks if tasks else frames.points
        table = made(collected.ledger)
    if csv is not None:
        _write(csv, as_csv(table).encode())
    if parquet is not None:
        _write(parquet, _as_parquet(table))
    if csv is None and parquet is None:
        sys.stdout.write(as_csv(table))
    else:
        names = " and ".join(str(file) for file in (csv, parquet) if file is not None)
        talk(f"Wrote {len(table)} rows to {names}.")
    return 0


def as_csv(table: pd.DataFrame) -> str:
    """CSV that a spreadsheet can open without running anything: text that it would take for a formula gets a '.

    Times are ISO 8601 in UTC.
    """
    safe = table.copy()
    for name, column in table.items():
        if str(column.dtype) in ("string", "str", "object"):
            safe[name] = column.map(_defused, na_action="ignore").astype("string")
    text: str = safe.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ", lineterminator="\n")
    return text


def _defused(text: str) -> str:
    """Text that a spreadsheet would run gets a leading apostrophe; numbers that are written as text stay.

    A carriage return becomes a line break: pandas does not quote it, and readers of CSV take it for the end of a row.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    if text[:1] not in ("=", "+", "-", "@", "\t", "\r"):
        return lines
    try:
        float(text)
    except ValueError:
        return f"'{lines}"
    return lines


def _as_parquet(table: pd.DataFrame) -> bytes:
    import io

    out = io.BytesIO()
    table.to_parquet(out, engine="pyarrow", index=False)
    return out.getvalue()


def _check_pyarrow() -> None:
    from importlib.util import find_spec

    from pytau_hpc.errors import UserError

    if find_spec("pyarrow") is None:
        raise UserError(
            "writing Parquet needs pyarrow, which is not installed",
            help='pip install "pytau_hpc[parquet]"   or use --csv',
        )


def _check_folder(file: Path) -> None:
    from pytau_hpc.errors import UserError

    if file.is_dir():
        raise UserError(
            f"{file} is a folder", help=f"name a file in it, such as {file / 'points.csv'}"
        )
    if not file.absolute().parent.is_dir():
        raise UserError(f"there is no folder {file.parent}", help=f"mkdir -p {file.parent}")


def _write(file: Path, content: bytes) -> None:
    from pytau_hpc.errors import PytauHpcError
    from pytau_hpc.files import write_atomic

    try:
        write_atomic(file.absolute(), content)
    except OSError as error:
        raise PytauHpcError(f"cannot write {file}: {error.strerror or error}") from error
