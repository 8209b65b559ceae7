"""Explicit rows of a spec: written out under `include`, or in a CSV file with one column per axis.

Cells of a CSV file are read as words of the spec are: `4` is a number, `on` is text, `[2000, 4000]` is a list, and an
empty cell is not given. What is not one such value from end to end is text: `NaCl #2`. Called by `spec_checks`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytau_hpc.errors import Problem
from pytau_hpc.sweep.document import Address, Document
from pytau_hpc.sweep.grid import Include
from pytau_hpc.yaml_strict import value_of


def rows_of(value: Any, base: Path, document: Document) -> tuple[list[Include], list[Problem]]:
    """The rows that `include` stands for. A text is the path of a CSV file, relative to `base`."""
    if value is None:
        return [], []
    items = value if isinstance(value, list) else [value]
    rows: list[Include] = []
    problems: list[Problem] = []
    for index, item in enumerate(items):
        address: Address = ("include", index) if isinstance(value, list) else ("include",)
        if isinstance(item, str):
            found, wrong = _from_csv(base / item, item, address)
            rows += found
            problems += [document.problem(address, message) for message in wrong]
        elif isinstance(item, dict):
            rows.append(Include(values=item, address=address))
        else:
            problems.append(
                document.problem(
                    address, "an included row is a mapping of axes, or the path of a CSV file"
                )
            )
    return rows, problems


def _from_csv(path: Path, name: str, address: Address) -> tuple[list[Include], list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return [], [f"there is no file {path}"]
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"cannot read {path}: {error}"]
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Include] = []
    problems: list[str] = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if not header or "" in header or len(set(header)) < len(header):
            return [], [f"{name}: the first line must name the axes, each once"]
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{name} line {reader.line_num}"
            if len(cells) != len(header):
                problems.append(f"{where}: {len(cells)} cells, but the header has {len(header)}")
                continue
            rows.append(Include(values=_values(header, cells), address=address, where=where))
    except csv.Error as error:
        problems.append(f"{name} line {reader.line_num}: {error}")
    return rows, problems


def _values(header: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    return {
        name: _value(cell.strip()) for name, cell in zip(header, cells, strict=True) if cell.strip()
    }


@lru_cache(maxsize=10_000)
def _value(cell: str) -> Any:
    return value_of(cell)
