"""One result, opened: changepoints, rates, activity, significance."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytau_hpc.analysis import changepoints as _changepoints
from pytau_hpc.analysis import rates as _rates
from pytau_hpc.analysis.activity import transition_snips
from pytau_hpc.analysis.changepoints import Tau
from pytau_hpc.analysis.firing import RADIUS_MS, Firing
from pytau_hpc.analysis.fitted import Fitted, LossTrace, Raw
from pytau_hpc.analysis.results import read_fitted
from pytau_hpc.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Array = npt.NDArray[Any]


class ResultHandler:
    """A fit, opened for analysis. Nothing here changes it.

    Parameters
    ----------
    path : a result, ``models/<animal>/<session>/model_<point id>.nc``; the suffix can be left out
    study : folder that the recording's path is relative to; where not given, the one that the result lies in

    Raises
    ------
    ResultInvalid : not a result of ours
    UserError : no such file, or a pickle, which is never opened unasked
    """

    def __init__(
        self, path: str | os.PathLike[str], *, study: str | os.PathLike[str] | None = None
    ) -> None:
        file = _result_file(Path(path))
        self._open(read_fitted(file, None if study is None else Path(study)), file)

    def _open(self, fitted: Fitted, path: Path, taste: int | None = None) -> None:
        self.fitted = fitted
        self.path = path
        # Of one taste there is nothing to choose: whether it has an axis of its own or not, it is the one.
        n_tastes = fitted.n_tastes
        self.chosen_taste = None if n_tastes is None else 0 if n_tastes == 1 else taste
        self.dir_name = os.fspath(path.parent)
        self.file_name_base = path.stem

    def taste(self, taste: int) -> ResultHandler:
        """One taste of a fit of several: its `tau`, `firing` and everything else; 0 is a fit's only one.

        Raises
        ------
        UserError : no such taste
        """
        one = object.__new__(type(self))
        one._open(self.fitted, self.path, self.fitted.index_of_taste(taste))
        return one

    # ------------------------------------------------------------------------------------------- what a fit found

    def changepoints(self, prob: float = 0.95) -> xr.Dataset:
        """Every changepoint in ms with its uncertainty; see `analysis.changepoints.changepoints`."""
        table = _changepoints.changepoints(self.fitted, prob=prob)
        return self._selected(table)

    def rates(self, prob: float = 0.95, average: Collection[str] = ()) -> xr.Dataset:
        """What each state emits, in Hz for spikes, with its uncertainty; see `analysis.rates.rates`."""
        return self._selected(_rates.rates(self.fitted, prob=prob, average=average))

    def state_probability(self) -> Array:
        """How probable each state is in each bin, shape (trial, state, bin)."""
        draws = self.fitted.tau_of_trials(self.chosen_taste)
        return _changepoints.state_probability(draws, self.fitted.n_bins)

    def around_changepoints(self, window_radius: int | None = None) -> Array:
        """Activity around the median of every changepoint, NaN where a window leaves the recording.

        `firing.transition_snips` is PyTau's: the same around PyTau's modes, half a bin earlier.

        Parameters
        ----------
        window_radius : samples before and after; 300 ms for spikes, a tenth of the bins for data that came binned

        Returns
        -------
        float array, shape (trial, neuron, 2 * window_radius, changepoint)
        """
        time = self.fitted.time
        median = np.median(self.fitted.tau_of_trials(self.chosen_taste), axis=0)
        raw = self.firing.raw
        return transition_snips(
            raw.activity,
            np.rint(time.of_changepoint(median)).astype(np.int64),
            self.firing.window_radius if window_radius is None else window_radius,
            valid=raw.valid,
        )

    @property
    def loss(self) -> LossTrace | None:
        """The loss on the way: `hist` in nats, `iteration`."""
        return self.fitted.loss

    @property
    def quality(self) -> dict[str, Any]:
        """ELBO, convergence and whatever else the fit knows of how good it is."""
        return dict(self.fitted.quality)

    def _selected(self, table: xr.Dataset) -> xr.Dataset:
        if self.chosen_taste is None or "taste" not in table.dims:
            return table
        return table.isel(taste=self.chosen_taste)

    # ------------------------------------------------------------------------------------------- PyTau's names

    @cached_property
    def tau(self) -> Tau:
        """Changepoints under PyTau's names: `raw_mode_tau` in bins, `scaled_mode_tau` in ms, …"""
        fitted = self.fitted
        tau = fitted.tau
        if self.chosen_taste is not None:
            tau = fitted.of_taste(tau, ("draw", *fitted.tau_dims), self.chosen_taste)
        n_trials = None
        if fitted.tau_dims == ("changepoint",):
            n_trials = len(fitted.activity(0 if fitted.n_tastes else None))
        return Tau(tau, start=fitted.time.start, step=fitted.time.step, n_trials=n_trials)

    @cached_property
    def firing(self) -> Firing:
        """Activity by state and around changepoints, and its significance, under PyTau's names."""
        fitted = self.fitted
        radius = RADIUS_MS if fitted.time.unit == "ms" else max(1, fitted.n_bins // 10)
        return Firing(self.tau, fitted.activity(self.chosen_taste), self._raw, radius)

    def _raw(self) -> Raw:
        raw = self.fitted.raw()
        if self.fitted.time.unit == "bins":
            return Raw(activity=self.fitted.activity(self.chosen_taste), valid=raw.valid)
        if raw.activity.ndim == 4:
            return Raw(activity=raw.activity[self.chosen_taste or 0], valid=raw.valid)
        return raw

    @property
    def tau_array(self) -> Array:
        """Draws of the changepoints, in bins."""
        return self.fitted.tau

    @property
    def lambda_array(self) -> Array | None:
        """Draws of what the states emit, per bin; None where the fit kept none."""
        for name in _rates.EMISSIONS:
            if name in self.fitted.states:
                return self.fitted.states[name][1]
        return None

    @property
    def processed_spikes(self) -> Array:
        """What the model saw."""
        return self.fitted.observed

    @property
    def metadata(self) -> dict[str, Any]:
        """What PyTau keeps beside a fit: preprocess, model, data, exp, module."""
        return dict(self.fitted.metadata)

    @property
    def pretty_metadata(self) -> pd.DataFrame:
        """`metadata` as a column, one row a dotted key."""
        import pandas as pd

        return pd.json_normalize(self.metadata).T

    @cached_property
    def data(self) -> dict[str, Any]:
        """The dictionary that is inside PyTau's files. `approx` has `hist`; models are not kept."""
        return {
            "model_data": {
                "model": None,
                "approx": self.loss,
                "lambda": self.lambda_array,
                "tau": self.tau_array,
                "data": self.processed_spikes,
            },
            "metadata": self.metadata,
        }

    @property
    def _model_structure(self) -> Any:
        return self.data["model_data"].get("model")

    @property
    def _fit_model(self) -> Any:
        return self.data["model_data"].get("approx")

    def __repr__(self) -> str:
        chosen = "" if self.chosen_taste is None else f".taste({self.chosen_taste})"
        return f"{type(self).__name__}({os.fspath(self.path)!r}){chosen}"


def _result_file(path: Path) -> Path:
    """The .nc file that a path means, with or without a suffix; PyTau's paths have none, or .pkl."""
    if path.suffix == ".nc" and path.exists():
        return path
    if path.suffix == ".nc":
        raise UserError(f"there is no result at {path}")
    beside = path.with_suffix(".nc") if path.suffix == ".pkl" else Path(f"{path}.nc")
    if beside.exists():
        return beside
    pickled = path if path.suffix == ".pkl" else Path(f"{path}.pkl")
    if pickled.exists():
        raise UserError(
            f"{pickled} is a pickle: opening it runs whatever code is in it",
            help="if you made it yourself:  PklHandler.from_trusted_pickle(path)",
        )
    raise UserError(f"there is no result at {path}")
