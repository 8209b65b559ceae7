"""What the model database says of a result, read from the result itself.

Made of the file's attributes alone, its arrays stay unread. Called by `register`.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytau_hpc.errors import PytauHpcError, UserError
from pytau_hpc.ledger.model_columns import COLUMNS, stored
from pytau_hpc.sweep.manifest import newest_revision, read_manifest
from pytau_hpc.sweep.point import Point

_DATA_TYPES = {
    "none": "actual",
    "trial_shuffled": "shuffled",
    "spike_shuffled": "shuffled",
    "simulated": "simulated",
}
#: Measures of a fit that have columns of their own, or are no measures.
_KNOWN_QUALITY = {"elbo", "elbo_se", "converged", "iterations_run", "iterations", "draws", "info"}


class ResultRows:
    """Makes rows of results. Remembers what several share: names of tastes, and which sweep planned which point."""

    def __init__(self, study: Path) -> None:
        self.study = study
        self._tastes: dict[Any, tuple[str, ...]] = {}
        self._sweeps: list[tuple[str, str, frozenset[str]]] | None = None

    def of(self, path: Path) -> dict[str, Any]:
        from pytau_hpc.inference.result_file import ResultInvalid, read_attrs

        attrs = read_attrs(path)
        try:
            point = Point.from_json(attrs["point"])
            row = self._row(point, attrs["provenance"], attrs["quality"], attrs["contents"])
            # One file with a value that no database can keep must not stop the question for all the others.
            stored(row)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, UserError) as error:
            raise ResultInvalid(f"{path} does not say what was fitted: {error!r}") from error
        return row

    def _row(
        self,
        point: Point,
        provenance: Mapping[str, Any],
        quality: Mapping[str, Any],
        contents: Mapping[str, Any],
    ) -> dict[str, Any]:
        taste_num, taste_name = self._taste(point)
        settings = dict(point.settings)
        iterations = settings.get("iterations")
        window, bin_ms = point.preprocessing.window_ms, point.preprocessing.bin_ms
        experiment = provenance.get("experiment") or self._sweep(point.point_id)
        return {
            "point_id": point.point_id,
            "animal_name": point.session.animal,
            "session_date": point.session.date,
            "session_name": point.session.name,
            "taste_num": taste_num,
            "taste_name": taste_name,
            "region_name": point.selection.region,
            "laser_type": _unless_none(point.selection.laser),
            "experiment_name": experiment,
            "fit_date": str(provenance.get("created_at", ""))[:10] or None,
            "model_type": point.model,
            "data_type": _DATA_TYPES.get(point.preprocessing.transform, "actual"),
            "data_transform": _unless_none(point.preprocessing.transform),
            "states": point.n_states,
            "fit_steps": iterations if isinstance(iterations, int) else None,
            "samples": quality.get("draws"),
            "time_lims": None if window is None else (window[0] / 1000, window[1] / 1000),
            "bin_width": None if bin_ms is None else bin_ms / 1000,
            "method": point.method,
            "engine": settings.get("engine"),
            "repeat": point.repeat,
            "parameters": {
                "model_options": dict(point.model_options),
                "model_version": point.model_version,
                "settings": settings,
                "format": point.source.format,
                "format_options": dict(point.source.options),
            },
            "raw_data": point.session.path or None,
            "data_digest": point.data_digest,
            "contents": dict(contents),
            "elbo": quality.get("elbo"),
            "elbo_se": quality.get("elbo_se"),
            "converged": quality.get("converged"),
            "iterations_run": quality.get("iterations_run", quality.get("iterations")),
            "pymc_version": provenance.get("versions", {}).get("pymc"),
            # What else a method measures (R-hat, divergences, …) becomes a column of that name.
            **{
                name: value
                for name, value in quality.items()
                if name not in {*_KNOWN_QUALITY, *COLUMNS} and isinstance(value, int | float)
            },
        }

    def _taste(self, point: Point) -> tuple[int | None, str | None]:
        """Index and name of a taste, of which the point knows one; the session knows both, if it is still there."""
        taste = point.selection.taste
        if taste == "all":
            return None, "all"
        names = self._names_of_tastes(point)
        if isinstance(taste, int):
            return taste, names[taste] if taste < len(names) else None
        return names.index(taste) if taste in names else None, taste

    def _names_of_tastes(self, point: Point) -> tuple[str, ...]:
        key = (point.session, point.source.format)
        if key not in self._tastes:
            self._tastes[key] = ()
            from pytau_hpc.data import reader_of
            from pytau_hpc.data.load import located

            # The recording may have moved since, or lie on another computer: then one of the two is missing.
            with contextlib.suppress(PytauHpcError, OSError):
                session = located(point.session, self.study)
                self._tastes[key] = (
                    reader_of(point.source.format).values(session, point.source.options).tastes
                )
        return self._tastes[key]

    def _sweep(self, point_id: str) -> str | None:
        """The sweep that planned a point; of several, the one that did first."""
        if self._sweeps is None:
            planned = []
            for folder in folders_in(self.study / "sweeps"):
                with contextlib.suppress(PytauHpcError, OSError):
                    newest = newest_revision(folder) or folder
                    planned.append(_planned(folder, newest, newest.stat().st_mtime_ns))
            self._sweeps = sorted(planned, key=lambda sweep: sweep[0])
        return next((name for _, name, points in self._sweeps if point_id in points), None)


@functools.lru_cache(maxsize=32)
def _planned(folder: Path, revision: Path, mtime_ns: int) -> tuple[str, str, frozenset[str]]:
    """When a sweep was planned, its name, and its points; the other arguments say which of its revisions this is.

    Remembered, since a script that fits one point after another asks for each of them, and plans are large.
    """
    manifest = read_manifest(folder)
    return manifest.created_at, manifest.name, frozenset(manifest.point_ids())


def _unless_none(name: str) -> str | None:
    return None if name == "none" else name


def folders_in(parent: Path) -> list[Path]:
    """The folders in a folder but hidden ones, sorted; none where it cannot be read."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if not entry.name.startswith(".") and entry.is_dir()
        )
    return []
