"""One grid point = one fit: what is computed, and the id that follows from it.

A `Point` holds everything a worker needs to compute the fit and nothing about how it is run (no memory, no paths of
the cluster, no retry policy). `point_id` is a digest of *what is computed*, so the same fit has the same id in any
sweep, on any cluster, at any time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytau_hpc.files import canonical_json, sha256_text

POINT_ID_LENGTH = 16


@dataclass(frozen=True, kw_only=True)
class Session:
    """One recording session. `path` is relative to the study folder, or absolute where the data lie outside it."""

    name: str
    animal: str
    date: str
    path: str


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """How to read a session: the reader's name and its options."""

    format: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which part of a session is fitted. `taste` is an index, a name or ``"all"``."""

    taste: int | str = 0
    region: str = "all"
    laser: str = "none"


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """From selected spikes to counts. `window_ms` = (start, end) and `bin_ms` are None for data binned already."""

    transform: str = "none"
    window_ms: tuple[int, int] | None = None
    bin_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class Point:
    """One fit, completely described.

    Attributes
    ----------
    point_id : 16 hex digits, see `point_id_of`
    model, model_version, model_options, n_states : the model; its version rises when its density changes
    method, settings : the inference method and all of its settings, resolved (engine, iterations, draws, …)
    data_digest : digest of the selected array before preprocessing
    shape : shape of the array that the model sees, last axis bins
    axes : the values of the grid's axes for this point, in the order of the manifest's columns
    """

    point_id: str
    session: Session
    source: DataSource
    selection: Selection
    preprocessing: Preprocessing
    model: str
    model_version: int
    model_options: Mapping[str, Any]
    n_states: int
    method: str
    settings: Mapping[str, Any]
    repeat: int
    data_digest: str
    shape: tuple[int, ...]
    axes: Mapping[str, Any]

    @property
    def label(self) -> str:
        """A short name for people: session, taste, number of states."""
        return label_of(self, ("taste",))

    @property
    def result_path(self) -> str:
        """Where the result is published, relative to the study folder."""
        return f"models/{self.session.animal}/{self.session.name}/model_{self.point_id}.nc"

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Point:
        window = row["preprocessing"]["window_ms"]
        return cls(
            **{
                **row,
                "session": Session(**row["session"]),
                "source": DataSource(**row["source"]),
                "selection": Selection(**row["selection"]),
                "preprocessing": Preprocessing(
                    **{
                        **row["preprocessing"],
                        "window_ms": None if window is None else tuple(window),
                    }
                ),
                "shape": tuple(row["shape"]),
            }
        )


_LABELLED = {"taste": "t{}", "repeat": "r{}", "bin_ms": "{}ms"}


def label_of(point: Point, varying: Collection[str]) -> str:
    """A short name that tells points apart: session, number of states, and the axes that vary in this sweep."""
    parts = [point.session.name]
    for axis, value in point.axes.items():
        if axis in varying and axis not in ("session", "n_states"):
            text = "-".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            parts.append(_LABELLED.get(axis, "{}").format(text))
    return "/".join([*parts, f"K{point.n_states}"])


def point_id_of(
    *,
    data_digest: str,
    selection: Selection,
    preprocessing: Preprocessing,
    model: str,
    model_version: int,
    model_options: Mapping[str, Any],
    n_states: int,
    method: str,
    settings: Mapping[str, Any],
    repeat: int,
) -> str:
    """First 16 hex digits of SHA-256 over canonical JSON of what is computed.

    Not in it: where the data lie, what the session is called, memory, time, cluster, checkpoint interval.
    """
    what = {
        "format": 1,
        "data": data_digest,
        "selection": vars(selection),
        "preprocessing": vars(preprocessing),
        "model": {
            "name": model,
            "version": model_version,
            "options": dict(model_options),
            "n_states": n_states,
        },
        "inference": {"method": method, "settings": dict(settings)},
        "repeat": repeat,
    }
    return sha256_text(canonical_json(what))[:POINT_ID_LENGTH]


def seed_of(point_id: str) -> int:
    """The seed of a fit: its id, so that a resumed or repeated fit draws the same numbers."""
    return int(point_id, 16)
