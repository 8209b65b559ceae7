"""From axes to rows: zip groups, product, exclude, include, in that order.

Pure and ignorant of what the axes mean. Values are JSON values; a row is a tuple in the order of `Expansion.axes`.
Mistakes come back as values with an address in the spec, so that `plan` can report them together with its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytau_hpc.errors import did_you_mean
from pytau_hpc.files import canonical_json
from pytau_hpc.sweep.document import Address

MAX_ROWS = 5_000_000
"""More points than this are a mistake in the grid, and would not fit into memory."""

_TOLD_VALUES = 8
"""So many values of an axis are told where one was not found among them."""

Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """Something about the grid that cannot be; `address` is where in the spec."""

    address: Address
    message: str
    help: str | None = None


@dataclass(frozen=True, kw_only=True)
class Include:
    """An explicit row, and where it comes from. Axes that it leaves out take `Grid.defaults`, or every value."""

    values: Mapping[str, Any]
    address: Address
    where: str = ""  #: for rows of a file: ``extra.csv line 3``


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What is to be expanded.

    axes : every axis with its values, in the order of the columns
    zip, exclude, include : as in the spec
    spread : axes that an included row may leave out; it then stands for every value of them
    fixed : axes with one value that an included row may leave out; it then takes that value
    """

    axes: Mapping[str, Sequence[Any]]
    zip: Sequence[Sequence[str]] = ()
    exclude: Sequence[Mapping[str, Any]] = ()
    include: Sequence[Include] = ()
    spread: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """The rows of a grid; `excluded` counts, for every rule, the rows that went because of it (the first that fits)."""

    axes: tuple[str, ...]
    rows: tuple[Row, ...]
    excluded: tuple[int, ...]
    n_included: int


def expand(grid: Grid) -> tuple[Expansion, list[Mistake]]:
    """All rows of a grid. With mistakes, the rows are those that would be there without what is mistaken."""
    names = tuple(grid.axes)
    mistakes = _zip_mistakes(grid)
    if mistakes:
        return Expansion(axes=names, rows=(), excluded=(), n_included=0), mistakes
    size = _product_size(grid)
    if size > MAX_ROWS:
        message = f"the grid has {size:,} rows; the most that can be planned is {MAX_ROWS:,}"
        return Expansion(axes=names, rows=(), excluded=(), n_included=0), [
            Mistake(address=("grid",), message=message)
        ]

    rules, found = _rules(grid)
    mistakes += found
    told = {mistake.address[1] for mistake in found}
    excluded = [0] * len(grid.exclude)
    matched = [0] * len(grid.exclude)
    rows: list[Row] = []
    for row in _product(grid):
        hits = [index for index, rule in rules.items() if _matches(row, rule)]
        for index in hits:
            matched[index] += 1
        if hits:
            excluded[hits[0]] += 1
        else:
            rows.append(row)
    for index in rules:
        if not matched[index] and index not in told:
            mistakes.append(
                Mistake(
                    address=("exclude", index),
                    message=f"this rule excludes nothing: no row has {_pairs(grid.exclude[index])}",
                    help="delete it, or correct its values",
                )
            )

    n_product = len(rows)
    origins: list[Include] = []
    for include in grid.include:
        added, found = _included(grid, include)
        mistakes += found
        rows += added
        origins += [include] * len(added)
    if grid.zip or origins:  # else every row of the product is another one
        mistakes += _duplicates(names, rows, n_product, origins)
    expansion = Expansion(
        axes=names, rows=tuple(rows), excluded=tuple(excluded), n_included=len(rows) - n_product
    )
    return expansion, mistakes


def same_value(value: Any) -> Any:
    """A hashable stand-in that is equal for equal values of a spec only: 1, 1.0 and true are three values."""
    if isinstance(value, (list, tuple, dict)):
        return canonical_json(value)
    return (type(value), value)


def _product_size(grid: Grid) -> int:
    grouped = {name for group in grid.zip for name in group}
    free = [len(values) for name, values in grid.axes.items() if name not in grouped]
    return math.prod(free) * math.prod(len(grid.axes[group[0]]) for group in grid.zip)


def _product(grid: Grid) -> Iterator[Row]:
    """Rows in the order of nested loops over the axes; a zip group loops where its first axis stands."""
    group_of = {name: tuple(group) for group in grid.zip for name in group}
    members: list[tuple[str, ...]] = []
    for name in grid.axes:
        group = group_of.get(name, (name,))
        if group not in members:
            members.append(group)
    order = [name for group in members for name in group]
    position = [order.index(name) for name in grid.axes]
    loops = [list(zip(*(grid.axes[name] for name in group), strict=True)) for group in members]
    for parts in itertools.product(*loops):
        flat = [value for part in parts for value in part]
        yield tuple(flat[index] for index in position)


def _zip_mistakes(grid: Grid) -> list[Mistake]:
    mistakes = []
    seen: dict[str, int] = {}
    for number, group in enumerate(grid.zip):
        address: Address = ("zip", number)
        unknown = [name for name in group if name not in grid.axes]
        for name in unknown:
            mistakes.append(
                Mistake(
                    address=address,
                    message=f"`{name}` is not an axis of the grid",
                    help=_axis_hint(name, grid),
                )
            )
        if "session" in group:
            mistakes.append(
                Mistake(
                    address=address,
                    message="sessions cannot be zipped; exclude the rows to leave out",
                )
            )
            continue
        if len(group) < 2 or len(set(group)) < len(group):
            mistakes.append(
                Mistake(address=address, message="a zip group names two or more different axes")
            )
        for name in group:
            if name in seen and seen[name] != number:
                mistakes.append(
                    Mistake(address=address, message=f"`{name}` is in another zip group already")
                )
            seen[name] = number
        lengths = {name: len(grid.axes[name]) for name in group if name not in unknown}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"`{name}` has {length}" for name, length in lengths.items())
            mistakes.append(
                Mistake(
                    address=address,
                    message=f"axes that move together need equally many values: {told}",
                )
            )
    return mistakes


def _rules(grid: Grid) -> tuple[dict[int, list[tuple[int, frozenset[Any]]]], list[Mistake]]:
    """The exclude rules as (column, values) pairs, where they name axes only; and each slip in any of them."""
    names = list(grid.axes)
    rules: dict[int, list[tuple[int, frozenset[Any]]]] = {}
    mistakes = []
    for number, rule in enumerate(grid.exclude):
        unknown = [name for name in rule if name not in grid.axes]
        for name in unknown:
            mistakes.append(
                Mistake(
                    address=("exclude", number, name),
                    message=f"`{name}` is not an axis of the grid",
                    help=_axis_hint(name, grid),
                )
            )
        if not rule:
            mistakes.append(
                Mistake(
                    address=("exclude", number), message="an empty rule would exclude everything"
                )
            )
        if rule and not unknown:
            rules[number] = [
                (
                    names.index(name),
                    frozenset(same_value(value) for value in _one_or_more(value, grid.axes[name])),
                )
                for name, value in rule.items()
            ]
            for name, value in rule.items():
                mistakes += _foreign_values(("exclude", number, name), value, grid.axes[name])
    return rules, mistakes


def _foreign_values(address: Address, value: Any, axis: Sequence[Any]) -> list[Mistake]:
    """Values of a rule that its axis does not have: what they were meant to leave out would be fitted."""
    known = set(map(same_value, axis))
    values = _one_or_more(value, axis)
    name = str(address[-1])
    return [
        Mistake(
            address=(*address, index) if values is value else address,
            message=f"this rule cannot exclude {_pairs({name: one})}: no row of the grid has it",
            help=_value_hint(name, one, axis),
        )
        for index, one in enumerate(values)
        if same_value(one) not in known
    ]


def _one_or_more(value: Any, axis: Sequence[Any]) -> Sequence[Any]:
    """A list in a rule means any of its values, unless the axis itself has lists for values (windows)."""
    if not isinstance(value, (list, tuple)):
        return [value]
    lists = any(isinstance(one, (list, tuple)) for one in axis)
    return (
        [value] if lists and not any(isinstance(part, (list, tuple)) for part in value) else value
    )


def _matches(row: Row, rule: Iterable[tuple[int, frozenset[Any]]]) -> bool:
    return all(same_value(row[column]) in values for column, values in rule)


def _included(grid: Grid, include: Include) -> tuple[list[Row], list[Mistake]]:
    mistakes = []
    prefix = f"{include.where}: " if include.where else ""
    for name in include.values:
        if name not in grid.axes:
            mistakes.append(
                Mistake(
                    address=(*include.address, name) if not include.where else include.address,
                    message=f"{prefix}`{name}` is not an axis of the grid",
                    help=_axis_hint(name, grid),
                )
            )
    missing = [
        name
        for name in grid.axes
        if name not in include.values and name not in grid.spread | grid.fixed
    ]
    if missing:
        told = ", ".join(f"`{name}`" for name in missing)
        mistakes.append(
            Mistake(
                address=include.address, message=f"{prefix}an included row must give {told} too"
            )
        )
    if mistakes:
        return [], mistakes
    loops = [
        [include.values[name]] if name in include.values else grid.axes[name] for name in grid.axes
    ]
    return list(itertools.product(*loops)), []


def _duplicates(
    names: Sequence[str], rows: Sequence[Row], n_product: int, origins: Sequence[Include]
) -> list[Mistake]:
    mistakes = []
    in_grid: list[Row] = []
    seen: dict[Row, int] = {}
    for number, row in enumerate(rows):
        first = seen.setdefault(tuple(map(same_value, row)), number)
        if first == number:
            continue
        if number < n_product:
            in_grid.append(row)
            continue
        origin = origins[number - n_product]
        prefix = f"{origin.where}: " if origin.where else ""
        other = "in the grid" if first < n_product else "included"
        told = _pairs(dict(zip(names, row, strict=True)))
        message = f"{prefix}this row is {other} already: {told}"
        mistakes.append(Mistake(address=origin.address, message=message, help="delete it"))
    if in_grid:
        told = _pairs(dict(zip(names, in_grid[0], strict=True)))
        more = f" (and {len(in_grid) - 1} more are there twice)" if len(in_grid) > 1 else ""
        mistakes.append(
            Mistake(address=("grid",), message=f"the grid has this row twice: {told}{more}")
        )
    return mistakes


def _pairs(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in row.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)


def _axis_hint(name: str, grid: Grid) -> str:
    return did_you_mean(name, grid.axes) or f"axes: {', '.join(grid.axes)}"


def _value_hint(name: str, value: Any, axis: Sequence[Any]) -> str:
    hint = did_you_mean(value, map(str, axis)) if isinstance(value, str) else None
    told = [_text(one) for one in axis[:_TOLD_VALUES]] + ["…"] * (len(axis) > _TOLD_VALUES)
    return hint or f"values of `{name}`: {', '.join(told)}"
