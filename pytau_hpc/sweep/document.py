"""A file that a person wrote, parsed: its values, and where each of them stands.

What `yaml_strict` makes and the checks of spec and profile use to point at what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytau_hpc.errors import Problem

LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""What PyYAML takes for the end of a line."""

Address = tuple[str | int, ...]
"""Keys and list indices from the top of the document to a value."""


@dataclass(frozen=True)
class Place:
    """Where something stands in the file; line and column count from 1."""

    line: int
    column: int
    width: int = 1


@dataclass(frozen=True, kw_only=True)
class Document:
    """A parsed file.

    Attributes
    ----------
    file : the name to show in messages
    text : the file's text
    value : plain dicts, lists, strings, numbers, booleans and None
    keys, values : the place of every key and of every value, by address
    problems : what is wrong with it as YAML
    complete : False where a syntax error cut the document short; `value` then holds the top-level entries before it
    """

    file: str
    text: str
    value: Any
    keys: dict[Address, Place]
    values: dict[Address, Place]
    problems: tuple[Problem, ...]
    complete: bool

    def problem(
        self,
        address: Iterable[str | int],
        message: str,
        *,
        help: str | None = None,
        at_key: bool = False,
    ) -> Problem:
        """A problem at an address; at the nearest enclosing value where the address itself is not in the file."""
        wanted = tuple(address)
        place = self.keys.get(wanted) if at_key else None
        for length in range(len(wanted), -1, -1):
            place = place or self.values.get(wanted[:length])
        return problem_at(
            self.file, self.text, place or Place(1, 1), message, help=help, address=wanted
        )


def address_text(address: Iterable[str | int]) -> str:
    """``grid.n_states[0]``."""
    text = ""
    for part in address:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def problem_at(
    file: str,
    text: str,
    place: Place,
    message: str,
    *,
    help: str | None = None,
    address: Address = (),
) -> Problem:
    """A problem at a place of a file, with the line it is on."""
    lines = LINE_BREAK.split(text)
    snippet = lines[place.line - 1] if place.line <= len(lines) else ""
    column = min(place.column, len(snippet) + 1)
    return Problem(
        message=message,
        file=file,
        line=place.line,
        column=column,
        # A tab would move the caret away from what it points at.
        snippet=snippet.replace("\t", " ").rstrip(),
        width=max(1, min(place.width, len(snippet.rstrip()) - column + 1)),
        path=address_text(address),
        help=help,
    )
