"""The fits of one session and selection: found, or made in this process. What `fit_handler` is made of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytau_hpc.errors import UserError
from pytau_hpc.fit_here import SavedFit, find_or_fit
from pytau_hpc.inference import METHODS
from pytau_hpc.one_point import OneSession, default_taste
from pytau_hpc.pytau_words import laser_of, options_of, plain, steps_of, transform_of
from pytau_hpc.sweep.point import Preprocessing, Selection

#: What says which data a fit sees.
_OF_THE_HANDLER = {
    "animal_name",
    "bin_width",
    "data_dir",
    "data_transform",
    "data_type",
    "experiment_name",
    "laser_type",
    "region_name",
    "save_dir",
    "session_date",
    "taste_name",
    "taste_num",
    "time_lims",
}


@dataclass(kw_only=True)
class SessionFits:
    """See the module; the attributes are arguments of `FitHandler`. The session is looked for when it is needed."""

    study: Path
    data_dir: Path
    animal: str | None
    date: str | None
    taste: int | str | None
    region: str | None
    laser: str | None
    experiment: str | None
    checkpoint_s: float

    @cached_property
    def session(self) -> OneSession:
        # 20240115 is a date to a person, and a number to Python.
        animal, date = (None if one is None else str(one) for one in (self.animal, self.date))
        return OneSession(self.study, self.data_dir, animal=animal, date=date)

    @property
    def folder(self) -> Path:
        """The session's own folder, absolute."""
        return self.study / self.session.session.path

    def selection(self, model: str) -> Selection:
        taste = default_taste(model) if self.taste is None else self.taste
        region = "all" if self.region is None else self.region
        return self.session.selection(taste, region, laser_of(self.laser))

    def fit(
        self,
        model: str,
        states: Any,
        preprocess_params: Mapping[str, Any],
        settings: Mapping[str, Any],
        *,
        fit_steps: Any = None,
        samples: Any = None,
        repeat: Any = 0,
    ) -> SavedFit:
        """Find or make a fit.

        Parameters
        ----------
        preprocess_params : PyTau's, in ms
        settings : method, its settings, options of the model, by name
        """
        given = dict(settings)
        misplaced = [name for name in given if name in _OF_THE_HANDLER]
        if misplaced:
            raise UserError(
                f"{', '.join(misplaced)}: to be given to FitHandler, not to fit_and_save",
                help="a handler is for one session, selection and way of preprocessing",
            )
        for name, value, same in (
            ("fit_steps", fit_steps, "iterations"),
            ("samples", samples, "draws"),
        ):
            if value is not None and same in given:
                raise UserError(f"give {name} or {same}, not both: they are the same")
        if fit_steps is not None:
            _refuse_without_steps(given.get("method", "advi"))
            given["iterations"] = fit_steps
        if samples is not None:
            given["draws"] = samples
        if "iterations" in given:
            given["iterations"] = steps_of(given["iterations"])
        if "model_kwargs" in given:
            given["model_options"] = options_of(given.pop("model_kwargs"))
        params = plain(preprocess_params)
        point = self.session.point(
            self.selection(model),
            model=model,
            n_states=states,
            window_ms=[*params["time_lims"]],
            bin_ms=params["bin_width"],
            transform=transform_of(params["data_transform"]),
            repeat=repeat,
            settings=given,
        )
        return find_or_fit(
            self.study,
            point,
            self.session.same_fits(point),
            experiment=self.experiment,
            checkpoint_s=self.checkpoint_s,
        )


def _refuse_without_steps(method: Any) -> None:
    """Raise `UserError` for a method that optimises nothing."""
    if not isinstance(method, str) or method not in METHODS:
        return  # which is told elsewhere
    settings = METHODS[method].settings
    if "iterations" not in settings:
        lengths = [name for name in ("draws", "tune") if name in settings]
        raise UserError(
            f"fit_steps (`fit` of set_model_params) is a number of optimiser steps, which {method} has not",
            help=f"leave it out; what {method} has is {' and '.join(lengths)}" if lengths else None,
        )


def preprocessing_of(preprocess_params: Mapping[str, Any]) -> Preprocessing:
    """PyTau's parameters, in ms, as ours."""
    params = plain(preprocess_params)
    start, end = params["time_lims"]
    return Preprocessing(
        transform=transform_of(params["data_transform"]),
        window_ms=(start, end),
        bin_ms=params["bin_width"],
    )


def parameters_in(path: str | os.PathLike[str], known: Sequence[str]) -> dict[str, Any]:
    """Arguments from a JSON file.

    Raises
    ------
    UserError : no such file, not a JSON object, or one with other names than these
    """
    try:
        content = json.loads(Path(os.path.expanduser(path)).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a JSON object, {{…}}")
    others = [name for name in content if name not in known]
    if others:
        raise UserError(f"{path}: no parameter {', '.join(others)}; it may have {', '.join(known)}")
    return content
