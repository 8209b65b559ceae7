"""The models and methods that a spec chooses: their options, settings and numbers of states.

Called by `spec_checks`, after it has found the axes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytau_hpc.errors import Problem, UserError
from pytau_hpc.sweep.axes import AXES, FROM_PYTAU, Known, ModelLike
from pytau_hpc.sweep.document import Address, Document, address_text
from pytau_hpc.sweep.grid import Include
from pytau_hpc.sweep.validate import Findings, Wrong, shown, unknown_key

#: Keys of `fit` that are not settings of the method.
NOT_SETTINGS = ("method", "checkpoint_s", "model_options")


def setting_names(known: Known) -> list[str]:
    """Settings of all methods."""
    return sorted({name for method in known.methods.values() for name in method.settings})


def problems_of_choices(
    document: Document,
    known: Known,
    fit: Mapping[str, Any],
    axes: Mapping[str, Sequence[Any]],
    include: Sequence[Include],
) -> list[Problem]:
    """What is wrong with models, methods and what they are told, in the grid, the included rows and under `fit`."""
    choices = _Choices(document, known, axes, include)
    choices.states()
    choices.options(fit)
    choices.methods(fit)
    return choices.problems


@dataclass(frozen=True, kw_only=True)
class _Given:
    """A value of an axis: where it stands in the spec, or in a file (`where`), and the included row that it is of."""

    value: Any
    address: Address
    where: str = ""
    row: Mapping[str, Any] | None = None

    @property
    def prefix(self) -> str:
        return f"{self.where}: " if self.where else ""

    def below(self, key: str) -> Address:
        """Where a part of the value stands; a cell of a file has no address of its own."""
        return self.address if self.where else (*self.address, key)


class _Choices(Findings):
    def __init__(
        self,
        document: Document,
        known: Known,
        axes: Mapping[str, Sequence[Any]],
        include: Sequence[Include],
    ) -> None:
        super().__init__(document)
        self.known, self.axes, self.include = known, axes, include

    def _chosen(self, axis: str) -> list[Any]:
        """Values of an axis in the grid and in the included rows."""
        included = [include.values[axis] for include in self.include if axis in include.values]
        return [*self.axes.get(axis, ()), *included]

    def _given(self, axis: str) -> Iterator[_Given]:
        """The same with their places. What is no axis of the grid is reported where the rows are made."""
        for index, value in enumerate(self.axes.get(axis, ())):
            yield _Given(value=value, address=("grid", axis, index))
        for include in self.include:
            if axis in include.values and axis in self.axes:
                address = include.address if include.where else (*include.address, axis)
                yield _Given(
                    value=include.values[axis],
                    address=address,
                    where=include.where,
                    row=include.values,
                )

    def _tell(self, axis: str, given: _Given, message: str) -> None:
        if given.where:
            self.note(given.address, f"{given.prefix}`{axis}` {message}")
        else:
            self.wrong(given.address[:2], Wrong(message, at=given.address[2:]))

    def _models(self, row: Mapping[str, Any] | None = None) -> dict[str, ModelLike]:
        """The models that are chosen anywhere, or for one included row."""
        chosen = self._chosen("model")
        if row is not None:
            chosen = [row["model"]] if "model" in row else [*self.axes.get("model", ())]
        names = [name for name in chosen if isinstance(name, str) and name in self.known.models]
        return {name: self.known.models[name] for name in names}

    def states(self) -> None:
        """The smallest number of states of each model."""
        for name, model in self._models().items():
            for index, n_states in enumerate(self.axes.get("n_states", ())):
                if isinstance(n_states, int) and 2 <= n_states < model.min_states:
                    message = f"must be at least {model.min_states} for {name}, got {n_states}"
                    self.wrong(("grid", "n_states"), Wrong(message, at=(index,)))

    def options(self, fit: Mapping[str, Any]) -> None:
        """Options of models, under `fit.model_options` and as axes."""
        common = fit.get("model_options")
        if isinstance(common, dict):
            for key, value in common.items():
                address: Address = ("fit", "model_options", key)
                self._option(address, key, value, _Given(value=value, address=address))
        for given in self._given("model_options"):
            if not isinstance(given.value, dict):
                self._tell("model_options", given, f"must be a mapping, got {shown(given.value)}")
                continue
            for key, value in given.value.items():
                self._option(given.below(key), key, value, given)
        settings = setting_names(self.known)
        for name in self.axes:
            if (
                name not in AXES
                and name not in settings
                and name not in ("method", "model_options")
            ):
                for given in self._given(name):
                    self._option(given.address, name, given.value, given)

    def _option(self, address: Address, key: str, value: Any, given: _Given) -> None:
        prefix = given.prefix
        for name, model in self._models(given.row).items():
            if key not in model.options:
                known = ", ".join(model.options) or "none"
                self.note(
                    address,
                    f"{prefix}model {name} has no option `{key}`; its options: {known}",
                    at_key=True,
                )
            elif not _same_kind(model.options[key], value):
                default = model.options[key]
                place = key if prefix else address_text(address)
                self.note(
                    address,
                    f"{prefix}`{place}` must be like its default {shown(default)}, got {shown(value)}",
                )
            else:
                try:
                    model.resolve_options({key: value})
                except UserError as error:
                    self.note(address, f"{prefix}{error.message}", help=error.help)

    def methods(self, fit: Mapping[str, Any]) -> None:
        """Settings of the methods, under `fit` and as axes: each value alone, then the rest together."""
        methods = [fit.get("method", "advi"), *self._chosen("method")]
        names = [name for name in methods if isinstance(name, str) and name in self.known.methods]
        for one in self._given("method"):
            if one.value not in names:
                known = ", ".join(self.known.methods)
                message = f"names no inference method: {shown(one.value)}; known: {known}"
                self._tell("method", one, message)
        for name in dict.fromkeys(names):
            method = self.known.methods[name]
            given: list[tuple[str, _Given]] = []
            for key, value in fit.items():
                if key in NOT_SETTINGS:
                    continue
                if key in method.settings:
                    given.append((key, _Given(value=value, address=("fit", key))))
                else:
                    known_keys = [*NOT_SETTINGS, *method.settings]
                    self.problems.append(
                        unknown_key(self.document, ("fit", key), known_keys, FROM_PYTAU)
                    )
            for key in self.axes:
                if key in method.settings:
                    given += [
                        (key, one)
                        for one in self._given(key)
                        if one.row is None or one.row.get("method", name) == name
                    ]
            alone = [self._resolved(method, one, {key: one.value}) for key, one in given]
            if all(alone):
                together = {key: one.value for key, one in reversed(given)}
                self._resolved(method, _Given(value=None, address=("fit",)), together)

    def _resolved(self, method: Any, given: _Given, settings: Mapping[str, Any]) -> bool:
        """Whether a method takes these settings; reports why not."""
        try:
            method.resolve(settings)
        except UserError as error:
            address = given.address
            place = address if address in self.document.values else address[:-1] or address
            for line in error.message.splitlines():
                self.note(place, f"{given.prefix}{line}", help=error.help)
            return False
        return True


def _same_kind(default: Any, value: Any) -> bool:
    """Whether a value can stand for an option's default: number for number, text for text, anything for None."""
    if default is None:
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, (int, float)):
        return isinstance(value, int if isinstance(default, int) else (int, float))
    return isinstance(value, type(default))
