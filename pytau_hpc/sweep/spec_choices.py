"""The models and methods that a spec chooses: their options, settings and numbers of states.

Called by `spec_checks`, after it has found the axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    def _models(self) -> dict[str, ModelLike]:
        names = [
            name
            for name in self._chosen("model")
            if isinstance(name, str) and name in self.known.models
        ]
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
                self._option(("fit", "model_options", key), key, value)
        for index, options in enumerate(self.axes.get("model_options", ())):
            if not isinstance(options, dict):
                self.wrong(
                    ("grid", "model_options"),
                    Wrong(f"must be a mapping, got {shown(options)}", at=(index,)),
                )
                continue
            for key, value in options.items():
                self._option(("grid", "model_options", index, key), key, value)
        settings = setting_names(self.known)
        for name in self.axes:
            if (
                name not in AXES
                and name not in settings
                and name not in ("method", "model_options")
            ):
                for index, value in enumerate(self.axes[name]):
                    self._option(("grid", name, index), name, value)

    def _option(self, address: Address, key: str, value: Any) -> None:
        for name, model in self._models().items():
            if key not in model.options:
                known = ", ".join(model.options) or "none"
                self.note(
                    address,
                    f"model {name} has no option `{key}`; its options: {known}",
                    at_key=True,
                )
            elif not _same_kind(model.options[key], value):
                default = model.options[key]
                self.note(
                    address,
                    f"`{address_text(address)}` must be like its default {shown(default)}, got {shown(value)}",
                )
            else:
                try:
                    model.resolve_options({key: value})
                except UserError as error:
                    self.note(address, error.message, help=error.help)

    def methods(self, fit: Mapping[str, Any]) -> None:
        """Settings of the methods, under `fit` and as axes: each value alone, then the rest together."""
        methods = [fit.get("method", "advi"), *self._chosen("method")]
        names = [name for name in methods if isinstance(name, str) and name in self.known.methods]
        for index, name in enumerate(self.axes.get("method", ())):
            if name not in names:
                known = ", ".join(self.known.methods)
                self.wrong(
                    ("grid", "method"),
                    Wrong(f"names no inference method: {shown(name)}; known: {known}", at=(index,)),
                )
        for name in dict.fromkeys(names):
            method = self.known.methods[name]
            given: list[tuple[Address, str, Any]] = []
            for key, value in fit.items():
                if key in NOT_SETTINGS:
                    continue
                if key in method.settings:
                    given.append((("fit", key), key, value))
                else:
                    known_keys = [*NOT_SETTINGS, *method.settings]
                    self.problems.append(
                        unknown_key(self.document, ("fit", key), known_keys, FROM_PYTAU)
                    )
            for key in self.axes:
                if key in method.settings:
                    values = self.axes[key]
                    given += [
                        (("grid", key, index), key, value) for index, value in enumerate(values)
                    ]
            alone = [self._resolved(method, address, {key: value}) for address, key, value in given]
            if all(alone):
                self._resolved(method, ("fit",), {key: value for _, key, value in reversed(given)})

    def _resolved(self, method: Any, address: Address, settings: Mapping[str, Any]) -> bool:
        """Whether a method takes these settings; reports why not."""
        try:
            method.resolve(settings)
        except UserError as error:
            place = address if address in self.document.values else address[:-1] or address
            for line in error.message.splitlines():
                self.note(place, line, help=error.help)
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
