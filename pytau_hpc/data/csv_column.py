"""One column of a CSV file with a header, binned already: a series such as disasters per year.

Every cell must be a finite number; what is not is named with its line.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pytau_hpc.data.reader import Values
from pytau_hpc.data.recording import Recording, recorded
from pytau_hpc.errors import BadData, did_you_mean
from pytau_hpc.sweep.point import Selection, Session

_SHOWN = 5


def values(session: Session, options: Mapping[str, Any]) -> Values:
    """A series has one taste and no regions."""
    return Values(n_tastes=1)


def read(session: Session, selection: Selection, options: Mapping[str, Any]) -> Recording:
    """The column as (bin,): int64 where every cell is a whole number without a decimal point, else float64."""
    values(session, options).require(selection, session)
    if selection.taste == "all":
        raise BadData(
            f"{session.name}: taste `all` needs trials and neurons; a CSV column is one series"
        )
    path = Path(session.path)
    cells = _column(path, options.get("column"))
    try:
        numbers = np.array([int(cell) for cell in cells], dtype=np.int64)
    except (ValueError, OverflowError):
        return recorded([float(cell) for cell in cells], ("bin",), "binned", where=str(path))
    return recorded(numbers, ("bin",), "binned", where=str(path))


def _column(path: Path, column: str | None) -> list[str]:
    """Cells of the column, each of them a finite number."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{path} cannot be read as CSV: {error}") from error
    while rows and not any(cell.strip() for cell in rows[-1][1]):
        rows.pop()
    if len(rows) < 2:
        raise BadData(f"{path} has {len(rows)} lines; a header and at least one row are needed")
    header = [name.strip() for name in rows[0][1]]
    if any(_is_number(name) for name in header):
        raise BadData(
            f"{path}:1: the first line must name the columns; it reads `{','.join(header)}`"
        )
    place = _place(path, header, column)

    problems = []
    cells = []
    for line, row in rows[1:]:
        cell = row[place].strip() if len(row) > place else ""
        cells.append(cell)
        if len(row) != len(header):
            problems.append(f"{path}:{line}: {len(row)} cells, but the header has {len(header)}")
        elif not _is_number(cell):
            problems.append(
                f"{path}:{line}: `{cell}` in column `{header[place]}` is not a finite number"
            )
    if problems:
        more = [f"… and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise BadData("\n".join(problems[:_SHOWN] + more))
    return cells


def _place(path: Path, header: list[str], column: str | None) -> int:
    if column is None:
        if len(header) == 1:
            return 0
        raise BadData(
            f"{path} has {len(header)} columns: {', '.join(header)}",
            help=f"choose one: column: {header[-1]}",
        )
    if header.count(column) != 1:
        what = f"{header.count(column)} columns" if column in header else "no column"
        raise BadData(
            f"{path} has {what} `{column}`; it has {', '.join(header)}",
            help=did_you_mean(column, header),
        )
    return header.index(column)


def _is_number(text: str) -> bool:
    # Python reads 1_000 as a number; no other tool does, so it is more likely a slip.
    try:
        return "_" not in text and math.isfinite(float(text))
    except ValueError:
        return False
