"""Which fits cost about the same: those of one model, one method with the same settings, and one shape of data.

What was measured of some points of a class is what the others of it may be expected to need. All settings count, since
a fit of 500 iterations says nothing about one of 80,000. Called by `measure` and `ledger.measured`, and by whoever has
to tell them the classes of points.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from pytau_hpc.files import canonical_json, sha256_text
from pytau_hpc.sweep.cells import CellReader, shape_of
from pytau_hpc.sweep.manifest import AFTER_AXES, Manifest
from pytau_hpc.sweep.point import Point


class FitClass(NamedTuple):
    """A class of fits.

    kind : model, method, engine, and a digest of all of their settings: ``single_taste_poisson/advi/jax/3f9a21c0``
    shape : of the array that the model sees
    """

    kind: str
    shape: tuple[int, ...]
    n_states: int

    @property
    def size(self) -> int:
        """Cells × states: what the work and the memory of a fit grow with."""
        return math.prod(self.shape) * self.n_states

    def is_like(self, other: FitClass) -> bool:
        """Whether both are the same kind of fit, of data with as many axes."""
        return self.kind == other.kind and len(self.shape) == len(other.shape)

    def covers(self, other: FitClass) -> bool:
        """Whether a fit of this class needs at least what one of the other class needs."""
        return (
            self.is_like(other)
            and self.n_states >= other.n_states
            and all(mine >= its for mine, its in zip(self.shape, other.shape, strict=True))
        )


class Classifier:
    """Makes the classes of points; the digest of settings that points share is made once."""

    def __init__(self) -> None:
        # The objects are kept, so that no other object can get the identity of one of them.
        self._kinds: dict[tuple[str, int, int, str, int], tuple[str, Any, Any]] = {}

    def __call__(self, point: Point) -> FitClass:
        return FitClass(self._kind(point), point.shape, point.n_states)

    def _kind(self, point: Point) -> str:
        options, settings = point.model_options, point.settings
        key = (point.model, point.model_version, id(options), point.method, id(settings))
        if key not in self._kinds:
            kind = kind_of(point.model, point.model_version, options, point.method, settings)
            self._kinds[key] = (kind, options, settings)
        return self._kinds[key][0]


def kind_of(
    model: str, version: int, options: Mapping[str, Any], method: str, settings: Mapping[str, Any]
) -> str:
    """The name of a kind of fit; see `FitClass`."""
    digest = sha256_text(canonical_json([version, options, settings]))
    return f"{model}/{method}/{settings.get('engine')}/{digest[:8]}"


def kinds_of(manifest: Manifest) -> list[str]:
    """The kinds of fits in a plan, in the order of its variants."""
    return [
        kind_of(v.model, v.model_version, v.model_options, v.method, v.settings)
        for v in manifest.variants
    ]


def classes_of(manifest: Manifest) -> dict[str, FitClass]:
    """The class of every point of a plan, by id, without making the points."""
    kinds = kinds_of(manifest)
    lines = csv.reader(io.StringIO(manifest.rows_text, newline=""))
    header = next(lines)
    states = header.index("n_states")
    # From the end: an axis may be called like one of these columns.
    shape, variant = (AFTER_AXES.index(name) - len(AFTER_AXES) for name in ("shape", "variant"))
    cells = CellReader()
    known: dict[tuple[str, str, str], FitClass] = {}
    found = {}
    for line in lines:
        key = (line[variant], line[shape], line[states])
        if key not in known:
            known[key] = FitClass(kinds[int(key[0])], shape_of(key[1]), cells.value(key[2]))
        found[line[0]] = known[key]
    return found
