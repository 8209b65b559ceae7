"""One fit that a person asks for by itself, as the point that a sweep would make of it.

What is asked for becomes a spec of one row and goes through the checks of a spec and of `plan`, so the same fit has the
same id, and a mistake the same words. Called by `session_fits`; `fit_here` fits the point.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytau_hpc.data import READERS, Reader, Values
from pytau_hpc.data.load import located
from pytau_hpc.data.session_folders import one_session
from pytau_hpc.errors import BadData, Problem, SpecInvalid, UserError
from pytau_hpc.inference import METHODS
from pytau_hpc.models import MODELS
from pytau_hpc.plan import KNOWN
from pytau_hpc.plan_data import FactsCache, gather
from pytau_hpc.plan_points import PointMaker
from pytau_hpc.pytau_words import plain
from pytau_hpc.sweep.point import DataSource, Point, Preprocessing, Selection, Session, point_id_of
from pytau_hpc.sweep.spec import checked_spec
from pytau_hpc.yaml_strict import parse

if TYPE_CHECKING:
    import numpy as np

    from pytau_hpc.data.recording import Recording


#: Where in a spec something stands, as its checks write it: `grid.n_states[0]`.
_PLACE = re.compile(r"`(?:grid|fit)\.(\w+)(?:\[0\])?`")


class OneSession:
    """One session of a study, to make points of.

    Parameters
    ----------
    study : folder that holds ``models/``
    data_dir, animal, date : see `data.session_folders`

    Raises
    ------
    BadData, UserError : there is no such session, or there are several
    """

    def __init__(
        self, study: Path, data_dir: Path, *, animal: str | None = None, date: str | None = None
    ) -> None:
        self.study = study
        self.reader: Reader = READERS["blech_hdf5"]
        self.session: Session = one_session(
            self.reader, data_dir, study=study, animal=animal, date=date
        )
        # What a sweep has learned of the session's arrays; what is learned here is for this object only.
        self._facts = FactsCache(study)

    def values(self) -> Values:
        """What the session offers: tastes, regions, lasers."""
        return self.reader.values(located(self.session, self.study), {})

    def selection(self, taste: int | str, region: str, laser: str) -> Selection:
        """A selection with its region spelt as the session spells it, so that ``GC`` and ``gc`` are one fit."""
        return Selection(taste=taste, region=self.values().spelt(region), laser=laser)

    def point(
        self,
        selection: Selection,
        *,
        model: Any,
        n_states: Any,
        window_ms: Any,
        bin_ms: Any,
        transform: Any = "none",
        repeat: Any = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> Point:
        """The point of a fit.

        Parameters
        ----------
        window_ms, bin_ms, transform, model, n_states, repeat : as in the grid of a spec
        settings : the method (`method`), settings of it, and options of the model, by name

        Raises
        ------
        UserError : this cannot be fitted; everything that is wrong in one message
        """
        grid = {
            "taste": [selection.taste],
            "region": [selection.region],
            "laser": [selection.laser],
            "transform": [transform],
            "window_ms": [window_ms],
            "bin_ms": [bin_ms],
            "model": [model],
            "n_states": [n_states],
            "repeat": [repeat],
        }
        others = dict(settings or {})
        in_fit = ("method", "model_options", *_settings_of(others.get("method", "advi")))
        document = {
            "name": "fit",
            "data": {"format": self.reader.name, "sessions": [self.session.path]},
            "grid": grid | {key: [value] for key, value in others.items() if key not in in_fit},
            "fit": {key: value for key, value in others.items() if key in in_fit},
        }
        try:
            text = json.dumps(plain(document), ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise UserError(f"this cannot be a setting: {error}") from error
        try:
            spec = checked_spec(parse(text, file="FitHandler"), KNOWN, base=self.study)
        except SpecInvalid as invalid:
            raise _as_one(invalid.problems) from None
        gathered = gather(self.reader, {}, {self.session: [selection]}, self.study, self._facts)
        maker = PointMaker(
            spec, DataSource(format=self.reader.name), gathered.facts, MODELS, METHODS
        )
        for (axis, value, message), names in gathered.refused.items():
            for name in names:
                maker.complaints.value(axis, value, message, name)
        axes = {"session": self.session.name} | {name: one[0] for name, one in spec.axes.items()}
        point = maker.point(self.session, selection, axes)
        if point is None:
            raise _as_one(maker.complaints.problems(), BadData)
        return point

    def same_fits(self, point: Point) -> tuple[str, ...]:
        """Ids of the point, and of the one that calls its taste by name instead of by index, or the other way round."""
        tastes: list[int | str] = [point.selection.taste]
        known = self.values()
        if point.selection.taste != "all" and known.tastes:
            index = known.taste_index(point.selection.taste)
            other = known.tastes[index] if isinstance(point.selection.taste, int) else index
            if known.tastes.count(known.tastes[index]) == 1:
                tastes.append(other)
        return tuple(_with_taste(point, taste) for taste in tastes)

    def recording(self, selection: Selection) -> Recording:
        """The selected spikes as they were recorded.

        Raises
        ------
        BadData : there are none such
        """
        return self.reader.read(located(self.session, self.study), selection, {})


def preprocessed(
    recording: Recording, selection: Selection, preprocessing: Preprocessing, repeat: int
) -> np.ndarray:
    """What a fit of these data sees; the random numbers of a transform are those of the fit."""
    from pytau_hpc.data.facts import check
    from pytau_hpc.data.preprocess import preprocess, preprocessing_rng
    from pytau_hpc.data.recording import facts

    found = facts(recording)
    problems = check(
        found,
        transform=preprocessing.transform,
        window_ms=preprocessing.window_ms,
        bin_ms=preprocessing.bin_ms,
    )
    if problems:
        raise BadData("; ".join(problems))
    rng = preprocessing_rng(found.digest, selection, preprocessing, repeat)
    return preprocess(recording, preprocessing, rng)


def default_taste(model: Any) -> int | str:
    """The taste where nobody says which: the first, or all for a model that takes all."""
    takes_all = isinstance(model, str) and model in MODELS and MODELS[model].dims[0] == "taste"
    return "all" if takes_all else 0


def _settings_of(method: Any) -> tuple[str, ...]:
    return tuple(METHODS[method].settings) if isinstance(method, str) and method in METHODS else ()


def _with_taste(point: Point, taste: int | str) -> str:
    return point_id_of(
        data_digest=point.data_digest,
        selection=dataclasses.replace(point.selection, taste=taste),
        preprocessing=point.preprocessing,
        model=point.model,
        model_version=point.model_version,
        model_options=point.model_options,
        n_states=point.n_states,
        method=point.method,
        settings=point.settings,
        repeat=point.repeat,
    )


def _as_one(problems: Sequence[Problem], kind: type[UserError] = UserError) -> UserError:
    """Problems of a spec that nobody wrote, without their places in it."""
    lines = [
        _PLACE.sub(
            r"`\1`", f"{problem.message} ({problem.help})" if problem.help else problem.message
        )
        for problem in problems
    ]
    return kind("\n".join(dict.fromkeys(lines)))


__all__ = ["OneSession", "default_taste", "preprocessed"]
