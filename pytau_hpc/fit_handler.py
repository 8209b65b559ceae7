"""`FitHandler`: one session, one fit after another, under the names that PyTau and its pages use.

A door, opened as `pytau_hpc.changepoint_io.FitHandler`. Each call makes a point as a sweep would (`one_point`), and
looks for its result before it fits it (`session_fits`, `fit_here`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytau_hpc.errors import UserError
from pytau_hpc.fit_here import SavedFit, study_of
from pytau_hpc.models import MODELS
from pytau_hpc.one_point import preprocessed
from pytau_hpc.pytau_words import (
    BIN_WIDTH_S,
    MODEL_TYPE,
    STATES,
    TIME_LIMS_S,
    milliseconds,
    model_name,
    options_of,
    plain,
    transform_of,
    window_ms,
)
from pytau_hpc.session_fits import SessionFits, parameters_in, preprocessing_of

if TYPE_CHECKING:
    import numpy as np

    from pytau_hpc.analysis.handler import ResultHandler
    from pytau_hpc.changepoint_io import DatabaseHandler


class FitHandler:
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
        if isinstance(taste_num, str) and taste_num != "all":
            raise UserError(
                f'taste_num must be a number or "all", not {taste_num!r}',
                help="a name goes into taste_name; other arguments than PyTau's go by name, too",
            )
        if taste_num is not None and taste_name is not None:
            raise UserError("give taste_num or taste_name, not both")
        if laser_type not in (None, "None", "none", "on", "off"):
            raise UserError(f'laser_type must be None, "on" or "off", not {laser_type!r}')
        if data_type is not None and data_transform is not None:
            raise UserError("give data_type or data_transform, not both")
        self.data_dir = data_dir
        self.taste_num = taste_num
        self.taste_name = taste_name
        self.region_name = region_name
        self.laser_type = laser_type
        self.experiment_name = experiment_name
        self.animal_name = animal_name
        self.session_date = session_date
        self.save_dir = save_dir
        #: The last fit; None before the first.
        self.saved: SavedFit | None = None
        self._fits = SessionFits(
            study=study_of(save_dir),
            data_dir=Path(data_dir),
            animal=animal_name,
            date=session_date,
            taste=taste_name if taste_num is None else taste_num,
            region=region_name,
            laser=laser_type,
            experiment=experiment_name,
            checkpoint_s=checkpoint_s,
        )
        self.model_params: dict[str, Any] = {}
        self._settings: dict[str, Any] = {}
        self._inference: str | None = None
        self._template: str | None = None
        # In ms, as everywhere below the doors.
        self.preprocess_params: dict[str, Any] = {
            "time_lims": window_ms("time_lims", plain(time_lims)),
            "bin_width": milliseconds("bin_width", plain(bin_width)),
            "data_transform": data_transform if data_type is None else transform_of(data_type),
        }
        if model_params_path is not None:
            self.set_model_params(file_path=model_params_path)
        if preprocess_params_path is not None:
            self.set_preprocess_params(file_path=preprocess_params_path)

    # -- one call does it all ------------------------------------------------------------------------------------------

    def fit_and_save(
        self,
        model_type: str | Callable[..., Any] = MODEL_TYPE,
        states: int = STATES,
        fit_steps: int | None = None,
        *,
        samples: int | None = None,
        repeat: int = 0,
        **settings: Any,
    ) -> SavedFit:
        """The saved fit with these parameters: found, or made now.

        Parameters
        ----------
        model_type : name of a model (`pytau_hpc.models.MODELS`)
        states : number of states
        fit_steps : exactly so many steps of the optimiser; None goes on until it has converged, which is safer and
            mostly shorter
        samples : draws from the posterior; the method's default where not given
        repeat : the same fit with other random numbers
        settings : `method`, any setting of it (``engine="pymc"``, ``restarts=8``), any option of the model

        Raises
        ------
        UserError, BadData : this cannot be fitted; everything that is wrong in one message
        NonFinite, FitFailed : the fit failed
        """
        self.saved = self._fits.fit(
            model_name(model_type),
            states,
            self.preprocess_params,
            settings,
            fit_steps=fit_steps,
            samples=samples,
            repeat=repeat,
        )
        self._forget("result", "inference_outs")
        return self.saved

    @cached_property
    def result(self) -> ResultHandler:
        """The last fit, opened: `tau`, `firing`, changepoints in ms, …

        Raises
        ------
        UserError : nothing was fitted yet
        """
        from pytau_hpc.analysis.handler import ResultHandler

        if self.saved is None:
            raise UserError("nothing was fitted yet", help="call fit_and_save or run_inference")
        return ResultHandler(self.saved.path, study=self._fits.study)

    def save(self, format: str = "netcdf", path: str | os.PathLike[str] | None = None) -> Path:
        """Where the last fit is saved; in another form, where that is asked for.

        Parameters
        ----------
        format : "netcdf", which it is already, or "pytau": the pickle that PyTau writes, and its .info file
        path : of the pickle; beside the result where not given

        Raises
        ------
        UserError : nothing was fitted yet, or no such form
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

        target = result.path.with_suffix(".pkl") if path is None else Path(path)
        write_pytau(self.return_fit_output(), target)
        return target

    @cached_property
    def database_handler(self) -> DatabaseHandler:
        """The database of the models in `save_dir`."""
        from pytau_hpc.changepoint_io import DatabaseHandler

        return DatabaseHandler(self._fits.study / "models" / "database.db")

    # -- as PyTau calls it: parameters ---------------------------------------------------------------------------------

    def set_preprocess_params(
        self,
        time_lims: Sequence[int] | None = None,
        bin_width: int | None = None,
        data_transform: str | None = None,
        file_path: str | os.PathLike[str] | None = None,
    ) -> None:
        """Window and bins in **ms**, and a transform; or a JSON file with these."""
        if file_path is not None:
            self.set_preprocess_params(**parameters_in(file_path))
            return
        if time_lims is None or bin_width is None:
            raise UserError("set_preprocess_params needs time_lims and bin_width, in ms")
        self.preprocess_params = {
            "time_lims": time_lims,
            "bin_width": bin_width,
            "data_transform": data_transform,
        }
        self._forget("preprocessed_data", "model")

    def set_model_params(
        self,
        states: int | None = None,
        fit: int | None = None,
        samples: int | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        file_path: str | os.PathLike[str] | None = None,
    ) -> None:
        """Number of states, steps of the optimiser, draws, options of the model; or a JSON file with these."""
        if file_path is not None:
            self.set_model_params(**parameters_in(file_path))
            return
        if states is None:
            raise UserError("set_model_params needs states")
        self.model_params = {
            "states": states,
            "fit": fit,
            "samples": samples,
            "model_kwargs": model_kwargs,
        }
        self._forget("model")

    def set_inference_params(self, method: str = "advi", **settings: Any) -> None:
        """The inference method and its settings: ``set_inference_params("nuts", chains=4)``."""
        self._inference = method
        self._settings = settings

    def set_preprocessor(self, preprocessing_func: Callable[..., Any]) -> None:
        """Only the two of `changepoint_preprocess`, which follow from the taste anyway.

        Raises
        ------
        UserError : another one. What it would do could not be in the id of the fit
        """
        if getattr(preprocessing_func, "__name__", "") != self._preprocessor_name:
            raise UserError(
                f"the preprocessor is {self._preprocessor_name}",
                help="fit your own array with changepoint_model.advi_fit",
            )

    def set_model_template(self, model_template: str | Callable[..., Any]) -> None:
        """The model: its name, or the function of that name."""
        self._template = model_name(model_template)
        self._forget("_recording", "data", "preprocessed_data", "model")

    def set_inference(self, inference_func: str | Callable[..., Any]) -> None:
        """`changepoint_model.advi_fit` or `mcmc_fit`, or the name of a method."""
        name = getattr(inference_func, "__name__", inference_func)
        self._inference = {"advi_fit": "advi", "mcmc_fit": "nuts"}.get(str(name), str(name))

    def preprocess_selector(self) -> None:
        """Nothing: the preprocessor follows from the taste."""

    def model_template_selector(self) -> None:
        """Back to the model that follows from the taste."""
        self._template = None

    def inference_func_selector(self) -> None:
        """Back to ADVI."""
        self._inference = None

    # -- as PyTau calls it: steps --------------------------------------------------------------------------------------

    def load_spike_trains(self) -> None:
        """Read the selected spikes into `data`."""
        selection = self._fits.selection(self._template_name)
        self._recording = self._fits.session.recording(selection)
        self.data: np.ndarray = self._recording.array

    def preprocess_data(self) -> None:
        """Bin them into `preprocessed_data`: what the fit sees."""
        if not hasattr(self, "_recording"):
            self.load_spike_trains()
        self.preprocessed_data: np.ndarray = preprocessed(
            self._recording,
            self._fits.selection(self._template_name),
            preprocessing_of(self.preprocess_params),
            repeat=0,
        )

    def create_model(self) -> None:
        """Build the PyMC model of the data into `model`, to look at; `run_inference` does not need it."""
        if not hasattr(self, "preprocessed_data"):
            self.preprocess_data()
        kind = MODELS[self._template_name]
        states = self._params()["states"]
        options = kind.resolve_options(options_of(self._params()["model_kwargs"]))
        self.model: Any = kind.build(kind.prepare(self.preprocessed_data), states, options)

    def run_inference(self) -> None:
        """Fit, or find the fit; `inference_outs` has model, approx, lambda, tau and data."""
        params = self._params()
        settings = {**self._settings, "method": self._inference or "advi"}
        options = options_of(params["model_kwargs"])
        if options:
            settings["model_options"] = options
        self.fit_and_save(
            self._template_name,
            params["states"],
            params["fit"],
            samples=params["samples"],
            **settings,
        )

    @cached_property
    def inference_outs(self) -> dict[str, Any]:
        """PyTau's outputs of inference: model, approx (its `hist`), lambda (neuron, draw, state), tau, data."""
        from pytau_hpc.analysis.pytau_pickle import model_data

        return {**model_data(self.result), "model": self.__dict__.get("model")}

    def save_fit_output(self) -> Path:
        """Fit unless that was done, and return where the result is; it is saved as soon as it is fitted.

        No pickle is written: ``save(format="pytau")`` does that.
        """
        if self.saved is None:
            self.run_inference()
        return self.result.path

    def return_fit_output(self) -> dict[str, Any]:
        """The dictionary that is in PyTau's files: `model_data` and `metadata`."""
        from pytau_hpc.analysis.pytau_pickle import pytau_dict

        if self.saved is None:
            self.run_inference()
        return pytau_dict(self.result, self.experiment_name, os.fspath(self._fits.folder))

    _return_fit_output = return_fit_output

    # -- inside --------------------------------------------------------------------------------------------------------

    @property
    def _preprocessor_name(self) -> str:
        return f"preprocess_{'all' if self.taste_num == 'all' else 'single'}_taste"

    @property
    def _template_name(self) -> str:
        everything = "all" in (self.taste_num, self.taste_name)
        return self._template or ("all_taste_poisson" if everything else MODEL_TYPE)

    def _params(self) -> dict[str, Any]:
        if not self.model_params:
            raise UserError("the number of states is not known yet", help="call set_model_params")
        return self.model_params

    def _forget(self, *names: str) -> None:
        for name in names:
            self.__dict__.pop(name, None)

    def __repr__(self) -> str:
        return f"FitHandler({os.fspath(self.data_dir)!r}, save_dir={os.fspath(self.save_dir)!r})"
