"""`FitHandler`: one session, one fit after another, under the names that PyTau and its pages use.

Opened as `pytau_hpc.changepoint_io.FitHandler`. Each call makes a point as a sweep would (`one_point`), and looks for
its result before it fits it (`session_fits`, `fit_here`). PyTau's own names are in `step_by_step`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pytau_hpc.database_handler import DatabaseHandler
from pytau_hpc.errors import UserError
from pytau_hpc.fit_here import SavedFit, study_of
from pytau_hpc.pytau_words import (
    BIN_WIDTH_S,
    STATES,
    TIME_LIMS_S,
    known_transform,
    milliseconds,
    model_name,
    options_of,
    plain,
    transform_of,
    window_ms,
)
from pytau_hpc.session_fits import SessionFits
from pytau_hpc.step_by_step import StepByStep


class FitHandler(StepByStep):
    """Fits models to one session and saves them; a fit that exists is opened instead of made again.

    Parameters
    ----------
    data_dir : folder of a blech_clust session, or a folder of sessions (also one folder an animal), of which
        `animal_name` and `session_date` choose one
    taste_num, taste_name : index (from 0) or name of the taste, or "all"; without either the first, or all for a model
        that takes all
    region_name : region as in the session's .info file, "all" for all neurons (the default)
    laser_type : "on", "off", or None for all trials
    experiment_name : name of this batch of fits, for the database
    model_params_path, preprocess_params_path : JSON files with the arguments of `set_model_params` and
        `set_preprocess_params`
    save_dir : folder of the models: results become ``<save_dir>/<animal>/<session>/model_<id>.nc``, their database is
        ``<save_dir>/database.db``. A folder of another name than ``models`` gets one of that name
    time_lims, bin_width : **seconds**; `set_preprocess_params` takes ms, as in PyTau
    data_transform : None, "trial_shuffled", "spike_shuffled" or "simulated"; `data_type` ("actual", "shuffled",
        "simulated") says the same in the words of PyTau's database

    Raises
    ------
    UserError : an argument that can never be right. Sessions are looked for when they are first needed
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        taste_num: int | str | None = None,
        region_name: str | None = None,
        laser_type: str | None = None,
        experiment_name: str | None = None,
        model_params_path: str | os.PathLike[str] | None = None,
        preprocess_params_path: str | os.PathLike[str] | None = None,
        *,
        save_dir: str | os.PathLike[str] = "models",
        animal_name: str | None = None,
        session_date: str | None = None,
        taste_name: str | None = None,
        time_lims: Sequence[float] = TIME_LIMS_S,
        bin_width: float = BIN_WIDTH_S,
        data_transform: str | None = None,
        data_type: str | None = None,
        checkpoint_s: float = 60.0,
    ) -> None:
        taste_num = plain(taste_num)
        if isinstance(taste_num, bool) or not (
            isinstance(taste_num, int) or taste_num in (None, "all")
        ):
            raise UserError(
                f'taste_num must be a whole number or "all", not {taste_num!r}',
                help="a name goes into taste_name; other arguments than PyTau's go by name, too",
            )
        if taste_num is not None and taste_name is not None:
            raise UserError("give taste_num or taste_name, not both")
        if laser_type not in (None, "None", "none", "on", "off"):
            raise UserError(f'laser_type must be None, "on" or "off", not {laser_type!r}')
        if data_type is not None and data_transform is not None:
            raise UserError("give data_type or data_transform, not both")
        super().__init__(
            SessionFits(
                study=study_of(save_dir),
                data_dir=Path(os.path.abspath(os.path.expanduser(data_dir))),
                animal=animal_name,
                date=session_date,
                taste=taste_name if taste_num is None else taste_num,
                region=region_name,
                laser=laser_type,
                experiment=experiment_name,
                checkpoint_s=checkpoint_s,
            )
        )
        self.data_dir = data_dir
        self.taste_num = taste_num
        self.taste_name = taste_name
        self.region_name = region_name
        self.laser_type = laser_type
        self.experiment_name = experiment_name
        self.animal_name = animal_name
        self.session_date = session_date
        self.save_dir = save_dir
        # In ms, as everywhere below the doors.
        self.preprocess_params = {
            "time_lims": window_ms("time_lims", plain(time_lims)),
            "bin_width": milliseconds("bin_width", plain(bin_width)),
            "data_transform": known_transform(
                data_transform if data_type is None else transform_of(data_type)
            ),
        }
        if model_params_path is not None:
            self.set_model_params(file_path=model_params_path)
        if preprocess_params_path is not None:
            self.set_preprocess_params(file_path=preprocess_params_path)

    def fit_and_save(
        self,
        model_type: str | Callable[..., Any] | None = None,
        states: int | None = None,
        fit_steps: int | None = None,
        *,
        samples: int | None = None,
        repeat: int = 0,
        **settings: Any,
    ) -> SavedFit:
        """The saved fit with these parameters: found, or made now.

        What is not given here is as it was set before, by `model_params_path`, `set_model_params`,
        `set_model_template`, `set_inference` or `set_inference_params`; what was not set either, as it says below.

        Parameters
        ----------
        model_type : name of a model (`pytau_hpc.models.MODELS`); single_taste_poisson, all_taste_poisson for all tastes
        states : number of states; 3
        fit_steps : exactly so many steps of the optimiser; until it has converged, which is safer and mostly shorter.
            ``iterations="auto"`` does that where a number was set before
        samples : draws from the posterior; the method's default
        repeat : the same fit with other random numbers
        settings : `method` (advi), any setting of it (``engine="pymc"``, ``restarts=8``), any option of the model. What
            was set for one method is not used for another

        Raises
        ------
        UserError, BadData : this cannot be fitted; everything that is wrong in one message
        NonFinite, FitFailed : the fit failed
        """
        self._forget_fit()
        params = self.model_params
        used = self._with_what_was_set(settings, fit_steps=fit_steps, samples=samples)
        if fit_steps is None and "iterations" not in settings:
            fit_steps = params.get("fit")
        if samples is None and "draws" not in settings:
            samples = params.get("samples")
        self.saved = self._fits.fit(
            self._template_name if model_type is None else model_name(model_type),
            params.get("states", STATES) if states is None else states,
            self.preprocess_params,
            used,
            fit_steps=fit_steps,
            samples=samples,
            repeat=repeat,
        )
        return self.saved

    def _with_what_was_set(
        self, given: Mapping[str, Any], *, fit_steps: int | None, samples: int | None
    ) -> dict[str, Any]:
        """Method, settings and options: as they are given, else as they were set."""
        method = given.get("method", self._method)
        before = {**self._settings} if method == self._method else {}
        options = options_of(self.model_params.get("model_kwargs"))
        if options:
            before["model_options"] = options
        # Two words may mean the same: what is given in the one was not set in the other.
        for word, said in (
            ("iterations", fit_steps is not None),
            ("draws", samples is not None),
            ("model_options", "model_kwargs" in given),
            ("model_kwargs", "model_options" in given),
        ):
            if said:
                before.pop(word, None)
        return {**before, **given, "method": method}

    def save(self, format: str = "netcdf", path: str | os.PathLike[str] | None = None) -> Path:
        """Where the last fit is saved; in another form, where that is asked for.

        Parameters
        ----------
        format : "netcdf", which it is already, or "pytau": the pickle that PyTau writes, and its .info file
        path : of the pickle (.pkl); beside the result where not given

        Raises
        ------
        UserError : nothing was fitted yet, no such form, or a path that is not a pickle's
        """
        result = self.result
        if format == "netcdf" and path is None:
            return result.path
        if format != "pytau":
            raise UserError(
                f'format must be "netcdf" or "pytau", not {format!r}'
                if format != "netcdf"
                else f"the result is saved already, at {result.path}; copy it"
            )
        from pytau_hpc.analysis.pytau_pickle import write_pytau

        target = result.path.with_suffix(".pkl") if path is None else Path(os.path.expanduser(path))
        # A result is never written over by its own pickle.
        if target.suffix != ".pkl" or target.is_dir():
            raise UserError(f"{target} is no name for a pickle", help="one ends in .pkl")
        write_pytau(self.return_fit_output(), target)
        return target

    @cached_property
    def database_handler(self) -> DatabaseHandler:
        """The database of the models in `save_dir`."""
        return DatabaseHandler(self._fits.study / "models" / "database.db")

    def __repr__(self) -> str:
        return f"FitHandler({os.fspath(self.data_dir)!r}, save_dir={os.fspath(self.save_dir)!r})"
