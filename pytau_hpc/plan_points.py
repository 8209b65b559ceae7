"""From rows of the grid to points: every row against the facts of its data and what its model takes.

Pure: the facts are there already. What is wrong with many sessions in the same way is said once, with the sessions.
Called by `plan`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pytau_hpc.data.facts import Facts, check, preprocessed_shape
from pytau_hpc.errors import Problem, UserError
from pytau_hpc.inference import MethodKind
from pytau_hpc.models import ModelKind
from pytau_hpc.plan_data import Array
from pytau_hpc.sweep.axes import AXES
from pytau_hpc.sweep.document import Address
from pytau_hpc.sweep.grid import same_value
from pytau_hpc.sweep.manifest import Variant
from pytau_hpc.sweep.point import DataSource, Point, Preprocessing, Selection, Session, point_id_of
from pytau_hpc.sweep.spec import Spec
from pytau_hpc.sweep.validate import shown

#: Which axis a sentence of the data room is about, by its first word.
_AXIS_OF = {
    "window": "window_ms",
    "window_ms": "window_ms",
    "bins": "bin_ms",
    "bin_ms": "bin_ms",
    "transform": "transform",
}


class Complaints:
    """Problems that may concern many sessions: (place, message) → the sessions."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._sessions: dict[tuple[Address, str], list[str]] = {}

    def add(self, address: Address, message: str, session: str | None = None) -> None:
        sessions = self._sessions.setdefault((address, message), [])
        if session is not None and session not in sessions:
            sessions.append(session)

    def value(self, axis: str | None, value: Any, message: str, session: str) -> None:
        """Complain about a value of an axis, or about a session itself."""
        self.add(
            ("data", "sessions") if axis is None else self._place(axis, value), message, session
        )

    def _place(self, axis: str, value: Any) -> Address:
        """Where a value stands in the spec: in the grid, else in an included row."""
        for index, one in enumerate(self._spec.axes.get(axis, ())):
            if same_value(one) == same_value(value):
                return ("grid", axis, index)
        for include in self._spec.include:
            if axis in include.values and same_value(include.values[axis]) == same_value(value):
                return include.address if include.where else (*include.address, axis)
        return ("grid", axis)

    def problems(self) -> list[Problem]:
        return [
            self._spec.document.problem(address, _with_sessions(message, sessions))
            for (address, message), sessions in self._sessions.items()
        ]


def _with_sessions(message: str, sessions: Sequence[str]) -> str:
    if not sessions or message.startswith(f"{sessions[0]}:"):
        return message
    if len(sessions) == 1:
        return f"{sessions[0]}: {message}"
    named = ", ".join(sessions[:3]) + (", …" if len(sessions) > 3 else "")
    return f"{len(sessions)} sessions ({named}): {message}"


class PointMaker:
    """Makes points of rows; rows share what they have in common, so 100,000 of them cost little."""

    def __init__(
        self,
        spec: Spec,
        source: DataSource,
        facts: Mapping[Array, Facts],
        models: Mapping[str, ModelKind],
        methods: Mapping[str, MethodKind],
    ) -> None:
        self._spec, self._source, self._facts = spec, source, facts
        self._models, self._methods = models, methods
        self.complaints = Complaints(spec)
        self._preprocessings: dict[tuple[Any, ...], Preprocessing] = {}
        self._shapes: dict[tuple[Any, ...], tuple[int, ...] | None] = {}
        self._variants: dict[tuple[Any, ...], Variant | None] = {}

    def point(
        self, session: Session, selection: Selection, axes: Mapping[str, Any]
    ) -> Point | None:
        """The point of a row, or None (with a complaint) where there cannot be one."""
        facts = self._facts.get((session.name, selection))
        variant = self._variant(axes)
        if facts is None or variant is None:
            return None
        preprocessing = self._preprocessing(axes)
        shape = self._shape(session, selection, facts, preprocessing, axes)
        if shape is None:
            return None
        what: dict[str, Any] = {
            "data_digest": facts.digest,
            "selection": selection,
            "preprocessing": preprocessing,
            "model": variant.model,
            "model_version": variant.model_version,
            "model_options": variant.model_options,
            "n_states": axes["n_states"],
            "method": variant.method,
            "settings": variant.settings,
            "repeat": axes["repeat"],
        }
        return Point(
            point_id=point_id_of(**what),
            session=session,
            source=self._source,
            shape=shape,
            axes=axes,
            **what,
        )

    def _preprocessing(self, axes: Mapping[str, Any]) -> Preprocessing:
        window = None if axes["window_ms"] is None else tuple(axes["window_ms"])
        key = (axes["transform"], window, axes["bin_ms"])
        if key not in self._preprocessings:
            self._preprocessings[key] = Preprocessing(
                transform=key[0], window_ms=window, bin_ms=key[2]
            )
        return self._preprocessings[key]

    def _shape(
        self,
        session: Session,
        selection: Selection,
        facts: Facts,
        preprocessing: Preprocessing,
        axes: Mapping[str, Any],
    ) -> tuple[int, ...] | None:
        """Shape of the array that the model sees; None, with complaints, where it cannot see it."""
        key = (session.name, selection, preprocessing, axes["model"], axes["n_states"])
        if key in self._shapes:
            return self._shapes[key]
        self._shapes[key] = None
        model = self._models[axes["model"]]
        problems = check(
            facts,
            transform=preprocessing.transform,
            window_ms=preprocessing.window_ms,
            bin_ms=preprocessing.bin_ms,
            values=model.values,
        )
        for problem in problems:
            axis = _AXIS_OF.get(problem.split()[0])
            self.complaints.value(axis, axis and axes[axis], problem, session.name)
        if problems:
            return None
        shape = preprocessed_shape(facts, preprocessing.window_ms, preprocessing.bin_ms)
        refusal = model.accepts(shape, (*facts.dims[:-1], "bin"), axes["n_states"])
        if refusal is not None:
            axis = "n_states" if "states" in refusal else "model"
            self.complaints.value(axis, axes[axis], refusal, session.name)
            return None
        self._shapes[key] = shape
        return shape

    def _variant(self, axes: Mapping[str, Any]) -> Variant | None:
        """The model's options and the method's settings of a row, resolved."""
        extra = {
            name: value for name, value in axes.items() if name not in AXES and name != "session"
        }
        key = (axes["model"], *map(same_value, extra.values()))
        if key not in self._variants:
            self._variants[key] = self._resolved(axes["model"], extra)
        return self._variants[key]

    def _resolved(self, model: str, extra: Mapping[str, Any]) -> Variant | None:
        kind = self._models[model]
        method = self._methods[extra.get("method", self._spec.method)]
        options = {**self._spec.model_options, **extra.get("model_options", {})}
        settings = dict(self._spec.settings)
        for name, value in extra.items():
            if name in method.settings:
                settings[name] = value
            elif name not in ("method", "model_options"):
                options[name] = value
        try:
            self._refuse_settings_of_others(kind, method, options)
            return Variant(
                model=model,
                model_version=kind.version,
                model_options=_plain(kind.resolve_options(options)),
                method=method.name,
                settings=_plain(method.resolve(settings)),
            )
        except UserError as error:
            told = ", ".join(f"{name} {shown(value)}" for name, value in extra.items())
            for line in error.message.splitlines():
                self.complaints.add(("fit",), f"{line} (with {told})" if told else line)
            return None

    def _refuse_settings_of_others(
        self, kind: ModelKind, method: MethodKind, options: Mapping[str, Any]
    ) -> None:
        """Raise `UserError` where what would be an option of the model is a setting of another method."""
        wrong = []
        for name in options:
            owners = [one.name for one in self._methods.values() if name in one.settings]
            if owners and method.name not in owners and name not in kind.options:
                wrong.append(
                    f"`{name}` is a setting of {' and '.join(owners)}, not of {method.name}"
                )
        if wrong:
            raise UserError("\n".join(wrong))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON would bring it back, so that a point from the manifest equals the planned one."""
    plain: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    return plain


def same_fits(points: Sequence[Point]) -> list[str]:
    """What to say about rows that would compute the same thing."""
    first: dict[str, Point] = {}
    messages = []
    for point in points:
        other = first.setdefault(point.point_id, point)
        if other is point:
            continue
        differ = [
            name
            for name in point.axes
            if same_value(point.axes[name]) != same_value(other.axes[name])
        ]
        told = " and ".join(
            f"{name} {shown(other.axes[name])} and {shown(point.axes[name])}" for name in differ
        )
        why = "their data are the same" if differ == ["session"] else "they mean the same"
        messages.append(f"two rows are one fit ({point.point_id}): {told}; {why}")
    return messages
