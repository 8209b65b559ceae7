"""The fits of one session and selection: found, or made in this process. What `fit_handler.FitHandler` is made of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytau_hpc.errors import UserError
from pytau_hpc.fit_here import SavedFit, find_or_fit
from pytau_hpc.one_point import OneSession, default_taste
from pytau_hpc.pytau_words import laser_of, options_of, plain, steps_of, transform_of
from pytau_hpc.sweep.point import Preprocessing, Selection


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
        return OneSession(self.study, self.data_dir, animal=self.animal, date=self.date)

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
        if fit_steps is not None:
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


def preprocessing_of(preprocess_params: Mapping[str, Any]) -> Preprocessing:
    """PyTau's parameters, in ms, as ours."""
    params = plain(preprocess_params)
    start, end = params["time_lims"]
    return Preprocessing(
        transform=transform_of(params["data_transform"]),
        window_ms=(start, end),
        bin_ms=params["bin_width"],
    )


def parameters_in(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Arguments from a JSON file.

    Raises
    ------
    UserError : no such file, or not a JSON object
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a JSON object, {{…}}")
    return content
