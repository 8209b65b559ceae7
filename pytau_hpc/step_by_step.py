"""A fit step by step, as PyTau's own scripts make one: parameters, `load_spike_trains` … `save_fit_output`.

The part of `fit_handler.FitHandler` that has PyTau's names. Times are in **ms** here, as there.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytau_hpc.errors import UserError
from pytau_hpc.fit_here import SavedFit
from pytau_hpc.models import MODELS
from pytau_hpc.one_point import preprocessed
from pytau_hpc.pytau_words import (
    MODEL_TYPE,
    known_transform,
    model_name,
    options_of,
    plain,
    whole_ms,
)
from pytau_hpc.session_fits import SessionFits, parameters_in, preprocessing_of

if TYPE_CHECKING:
    import numpy as np

    from pytau_hpc.analysis.handler import ResultHandler
    from pytau_hpc.data.recording import Recording


class StepByStep(ABC):
    """What is set is kept until it is set again; whatever is set makes the handler forget its last fit.

    Attributes
    ----------
    saved : the last fit; None before the first, and after one that failed
    experiment_name : name of this batch of fits
    preprocess_params, model_params : as `set_preprocess_params` and `set_model_params` take them
    """

    saved: SavedFit | None
    experiment_name: str | None
    preprocess_params: dict[str, Any]
    model_params: dict[str, Any]

    def __init__(self, fits: SessionFits) -> None:
        self._fits = fits
        self.saved = None
        self.model_params = {}
        self._settings: dict[str, Any] = {}
        self._method = "advi"
        self._template: str | None = None

    @abstractmethod
    def fit_and_save(self, *arguments: Any, **named: Any) -> SavedFit:
        """The saved fit with these parameters, and with what was set: found, or made now."""

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
            known = ("time_lims", "bin_width", "data_transform")
            self.set_preprocess_params(**parameters_in(file_path, known))
            return
        if time_lims is None or bin_width is None:
            raise UserError("set_preprocess_params needs time_lims and bin_width, in ms")
        limits = plain(time_lims)
        if not isinstance(limits, list) or len(limits) != 2:
            raise UserError(f"`time_lims` must be start and end in ms, not {time_lims!r}")
        self.preprocess_params = {
            "time_lims": [whole_ms("time_lims", one) for one in limits],
            "bin_width": whole_ms("bin_width", bin_width),
            "data_transform": known_transform(data_transform),
        }
        self._forget("preprocessed_data", "model")
        self._forget_fit()

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
            known = ("states", "fit", "samples", "model_kwargs")
            self.set_model_params(**parameters_in(file_path, known))
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
        self._forget_fit()

    def set_inference_params(self, method: str = "advi", **settings: Any) -> None:
        """The method and its settings, instead of earlier ones: ``set_inference_params("nuts", chains=4)``."""
        self._method = method
        self._settings = settings
        self._forget_fit()

    def set_preprocessor(self, preprocessing_func: Callable[..., Any]) -> None:
        """Only the two of `changepoint_preprocess`, which follow from the taste anyway.

        Raises
        ------
        UserError : another one. What it would do could not be in the id of the fit
        """
        ours = getattr(preprocessing_func, "__module__", "").startswith("pytau_hpc.")
        if not ours or getattr(preprocessing_func, "__name__", "") != self._preprocessor_name:
            raise UserError(
                f"the preprocessor is {self._preprocessor_name}",
                help="fit your own array with changepoint_model.advi_fit",
            )

    def set_model_template(self, model_template: str | Callable[..., Any]) -> None:
        """The model: its name, or the function of that name."""
        self._template = model_name(model_template)
        self._forget("_recording", "data", "preprocessed_data", "model")
        self._forget_fit()

    def set_inference(self, inference_func: str | Callable[..., Any]) -> None:
        """`changepoint_model.advi_fit` or `mcmc_fit`, or the name of a method; settings of another one are dropped."""
        name = getattr(inference_func, "__name__", inference_func)
        self._choose_method({"advi_fit": "advi", "mcmc_fit": "nuts"}.get(str(name), str(name)))

    def preprocess_selector(self) -> None:  # noqa: B027
        """Nothing: the preprocessor follows from the taste."""

    def model_template_selector(self) -> None:
        """Back to the model that follows from the taste."""
        self._template = None
        self._forget("_recording", "data", "preprocessed_data", "model")
        self._forget_fit()

    def inference_func_selector(self) -> None:
        """Back to ADVI; settings of another method are dropped."""
        self._choose_method("advi")

    # -- as PyTau calls it: steps --------------------------------------------------------------------------------------

    def load_spike_trains(self) -> None:
        """Read the selected spikes into `data`."""
        selection = self._fits.selection(self._template_name)
        self._recording: Recording = self._fits.session.recording(selection)
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
        self._params()
        self.fit_and_save()

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
        return f"preprocess_{'all' if self._fits.taste == 'all' else 'single'}_taste"

    @property
    def _template_name(self) -> str:
        return self._template or ("all_taste_poisson" if self._fits.taste == "all" else MODEL_TYPE)

    def _params(self) -> dict[str, Any]:
        if not self.model_params:
            raise UserError("the number of states is not known yet", help="call set_model_params")
        return self.model_params

    def _choose_method(self, method: str) -> None:
        # Even where the other method knows their names, they were not chosen for it.
        if method != self._method:
            self._settings = {}
        self._method = method
        self._forget_fit()

    def _forget_fit(self) -> None:
        self.saved = None
        self._forget("result", "inference_outs")

    def _forget(self, *names: str) -> None:
        for name in names:
            self.__dict__.pop(name, None)
