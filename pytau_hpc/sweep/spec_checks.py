"""What the parts of a spec mean to each other: axes, rows, options and settings against what is known.

Works on the plain values of the document, so that one mistake does not hide the others: whatever has the wrong shape
is left out here and reported by pydantic (`spec`). Called by `spec`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytau_hpc.errors import Problem
from pytau_hpc.sweep.axes import AXES, FROM_PYTAU, Known, checked_values, listed
from pytau_hpc.sweep.document import Address, Document
from pytau_hpc.sweep.grid import Grid, Include, expand
from pytau_hpc.sweep.include import rows_of
from pytau_hpc.sweep.spec_choices import NOT_SETTINGS, problems_of_choices, setting_names
from pytau_hpc.sweep.validate import Findings, Wrong, unknown_key


@dataclass(kw_only=True)
class Checked:
    """What the checks made of the document, and what they found."""

    axes: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()
    exclude: list[dict[str, Any]] = field(default_factory=list)
    include: list[Include] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    data_options: dict[str, Any] = field(default_factory=dict)
    problems: Sequence[Problem] = ()


def check(document: Document, known: Known, base: Path) -> Checked:
    """Everything that can be checked across a spec, in whatever state the rest of it is."""
    return _Check(document, known, base).run()


class _Check(Findings):
    def __init__(self, document: Document, known: Known, base: Path) -> None:
        super().__init__(document)
        self.known, self.base = known, base
        self.root: Mapping[str, Any] = document.value if isinstance(document.value, dict) else {}
        self.found = Checked()

    def run(self) -> Checked:
        self._data()
        grid = self._part("grid")
        fit = self._part("fit")
        self.found.settings = {key: value for key, value in fit.items() if key not in NOT_SETTINGS}
        if isinstance(self.root.get("grid"), dict):
            self._axes(grid, fit)
            self._rows()
        self.problems += problems_of_choices(
            self.document, self.known, fit, self.found.axes, self.found.include
        )
        self.found.problems = self.problems
        return self.found

    def _part(self, name: str) -> Mapping[str, Any]:
        value = self.root.get(name)
        return value if isinstance(value, dict) else {}

    # data

    def _data(self) -> None:
        data = self._part("data")
        reader = self.known.readers.get(str(data.get("format")))
        if reader is None:
            return
        options = {key: value for key, value in data.items() if key not in ("format", "sessions")}
        if not reader.on_disk and isinstance(data.get("sessions"), int):
            options["sessions"] = data["sessions"]
        elif not reader.on_disk and "sessions" in data:
            self.note(
                ("data", "sessions"),
                "`data.sessions` is a number for this format: how many to make up",
            )
        elif reader.on_disk and isinstance(data.get("sessions"), int):
            self.note(
                ("data", "sessions"),
                "`data.sessions` must be globs or paths",
                help='write  sessions: ["data/*"]',
            )
        elif reader.on_disk and "sessions" not in data and self.document.complete:
            self.note(
                ("data",),
                "`sessions` is missing in `data`",
                help='write  sessions: ["data/*"]',
                at_key=True,
            )
        for key, problem in reader.check_options(options).items():
            if key in options and key not in reader.options:
                known = ["format", "sessions", *reader.options]
                self.problems.append(unknown_key(self.document, ("data", key), known))
            elif key in options:
                self.note(("data", key), problem)
            elif self.document.complete:
                self.note(("data",), problem, at_key=True)
        self.found.data_options = options

    # grid

    def _axes(self, grid: Mapping[str, Any], fit: Mapping[str, Any]) -> None:
        """Every axis with its values; those that cannot be are reported and stay, so that rows can be checked."""
        extra = [name for name in grid if name not in AXES]
        zipped = {name for group in self._groups() for name in group}
        values: dict[str, list[Any]] = {}
        for name in (*AXES, *extra):
            address: Address = ("grid", name)
            if name in extra and not self._is_axis(name, fit):
                continue
            if name not in grid:
                default = AXES[name].default
                if default is not None:
                    values[name] = list(default)
                elif self.document.complete:
                    self.note(("grid",), f"`{name}` is missing in `grid`", at_key=True)
                continue
            try:
                raw = listed(name, grid[name])
            except Wrong as not_an_axis:
                self.wrong(address, not_an_axis)
                values[name] = [grid[name]]
                continue
            values[name], wrongs = checked_values(name, raw, self.known, repeats=name in zipped)
            for wrong in wrongs:
                self.wrong(address, wrong)
        self.found.axes = {name: tuple(one) for name, one in values.items()}
        self.found.listed = frozenset(
            name
            for name in values
            if isinstance(grid.get(name), list) or (name == "repeat" and len(values[name]) > 1)
        )

    def _is_axis(self, name: str, fit: Mapping[str, Any]) -> bool:
        """Whether a name that is no axis of every sweep is a setting or an option; reports it where it is not."""
        if name == "session":
            self.note(
                ("grid", name),
                "sessions are chosen under `data`, not in the grid",
                at_key=True,
                help="to leave some out:  exclude: [{session: NAME}]",
            )
            return False
        if name == "checkpoint_s":
            self.note(
                ("grid", name),
                "`checkpoint_s` does not change what is computed; it stands under `fit`",
                at_key=True,
            )
            return False
        settings = setting_names(self.known)
        options = {option for model in self.known.models.values() for option in model.options}
        if name not in (*settings, *options, "method", "model_options"):
            known = [*AXES, *sorted(settings), *sorted(options)]
            self.problems.append(unknown_key(self.document, ("grid", name), known, FROM_PYTAU))
            return False
        if name in fit:
            self.note(
                ("grid", name),
                f"`{name}` stands in `grid` and in `fit`",
                help="keep one of the two",
                at_key=True,
            )
        return True

    def _rows(self) -> None:
        """zip, exclude, include: names, values and rows, as far as they do not depend on the sessions."""
        groups = self._groups()
        rules = [dict(one) if isinstance(one, dict) else {} for one in self._list("exclude")]
        mistaken = set()
        for number, rule in enumerate(rules):
            before = len(self.problems)
            for name in rule:
                if name in self.found.axes:
                    rule[name] = self._row_values(name, rule[name], ("exclude", number, name))
            if len(self.problems) > before:
                mistaken.add(number)
        includes, problems = rows_of(self.root.get("include"), self.base, self.document)
        self.problems += problems
        self.found.include = [self._included(include) for include in includes]
        self.found.exclude = rules

        if any(name not in self.found.axes for name, axis in AXES.items() if axis.default is None):
            return  # without models or states there are no rows
        # The sessions are not known yet: one stands for all, and rules about sessions wait for `plan`.
        at = [
            number
            for number, rule in enumerate(rules)
            if rule and "session" not in rule and number not in mistaken
        ]
        tested = [rules[number] for number in at]
        _, mistakes = expand(
            grid_of(
                {"session": (None,), **self.found.axes},
                self.found.listed,
                groups,
                tested,
                self.found.include,
            )
        )
        numbers = [number for number, one in enumerate(self._list("zip")) if one in groups]
        for mistake in mistakes:
            address = mistake.address
            if address[0] == "exclude":
                address = ("exclude", at[int(address[1])], *address[2:])
            elif address[0] == "zip":
                address = ("zip", numbers[int(address[1])])
            self.note(
                address, mistake.message, help=mistake.help, at_key=isinstance(address[-1], str)
            )
        for number, rule in enumerate(self._list("exclude")):
            if rule == {}:
                self.note(
                    ("exclude", number), "an empty rule would exclude everything", help="delete it"
                )

    def _groups(self) -> list[list[str]]:
        """The zip groups that have the form of one."""
        lists = [one for one in self._list("zip") if isinstance(one, list)]
        return [one for one in lists if all(isinstance(name, str) for name in one)]

    def _list(self, name: str) -> list[Any]:
        value = self.root.get(name)
        return value if isinstance(value, list) else []

    def _row_values(self, name: str, value: Any, address: Address) -> Any:
        """A value of an exclude rule (or a list of them) through its axis's check."""
        several = isinstance(value, list) and (
            name != "window_ms" or any(isinstance(one, list) for one in value)
        )
        good, wrongs = checked_values(name, value if several else [value], self.known)
        for wrong in wrongs:
            self.wrong(
                address,
                Wrong(wrong.message, help=wrong.help, at=wrong.at if several else wrong.at[1:]),
            )
        return good if several else good[0]

    def _included(self, include: Include) -> Include:
        values = dict(include.values)
        for name, value in include.values.items():
            if name not in self.found.axes or (name == "session" and isinstance(value, str)):
                continue
            good, wrongs = checked_values(name, [value], self.known)
            for wrong in wrongs:
                if include.where:
                    self.note(
                        include.address,
                        f"{include.where}: `{name}` {wrong.message}",
                        help=wrong.help,
                    )
                else:
                    self.wrong(
                        (*include.address, name),
                        Wrong(wrong.message, help=wrong.help, at=wrong.at[1:]),
                    )
            values[name] = good[0]
        return Include(values=values, address=include.address, where=include.where)


def grid_of(
    axes: Mapping[str, Sequence[Any]],
    listed: Iterable[str],
    groups: Sequence[Sequence[str]],
    exclude: Sequence[Mapping[str, Any]],
    include: Sequence[Include],
) -> Grid:
    """The grid of a spec with its sessions as the first axis.

    An included row must give the axes that are lists in the grid; without a session it stands for every session.
    """
    fixed = set(axes) - set(listed)
    return Grid(
        axes=axes,
        zip=groups,
        exclude=exclude,
        include=include,
        spread=frozenset({"session"}),
        fixed=frozenset(fixed - {"session"}),
    )
