"""Where the changepoints are, and how sure that is."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from pytau_hpc.analysis.fitted import Fitted

Array = npt.NDArray[Any]


def changepoints(fitted: Fitted, *, prob: float = 0.95) -> xr.Dataset:
    """Every changepoint's place with its uncertainty.

    Parameters
    ----------
    prob : probability inside the interval

    Returns
    -------
    dims ([taste,] [trial,] changepoint); `mode`, `mean`, `median`, `sd`, `lower`, `upper` in ms of the recording (in
    bins where the data came binned; the attribute `units` says which), and `mode_bin`, the bin index that most draws
    fall into. The mode is the middle of that bin. The interval is central: as much probability below it as above
    """
    _require_probability(prob)
    tau, time = fitted.tau, fitted.time
    bins = mode_of(tau.astype(np.int64))
    lower, median, upper = np.quantile(tau, [(1 - prob) / 2, 0.5, (1 + prob) / 2], axis=0)
    places = {
        # Draws in [k, k + 1) have the bin index k; the middle of them is k + 0.5.
        "mode": time.of_changepoint(bins + 0.5),
        "mean": time.of_changepoint(tau.mean(axis=0)),
        "median": time.of_changepoint(median),
        "sd": time.step * tau.std(axis=0),
        "lower": time.of_changepoint(lower),
        "upper": time.of_changepoint(upper),
    }
    table = xr.Dataset(
        {name: (fitted.tau_dims, values, {"units": time.unit}) for name, values in places.items()}
    )
    table["mode_bin"] = (fitted.tau_dims, bins, {"units": "bins"})
    return table.assign_coords(
        {dim: np.arange(size) for dim, size in zip(fitted.tau_dims, bins.shape, strict=True)}
    ).assign_attrs(prob=prob, model=fitted.model)


def state_probability(tau: Array, n_bins: int) -> Array:
    """How probable each state is in each bin, over the draws.

    Parameters
    ----------
    tau : shape (draw, …, changepoint), in bins, sorted
    n_bins : bins of the fitted window

    Returns
    -------
    shape (…, state, bin); sums to one over the states. A bin is after a changepoint when its index is at least
    `tau`: there the model's sigmoid is past its half
    """
    n_draws, *outer, n_changepoints = tau.shape
    first = np.clip(np.ceil(tau), 0, n_bins).astype(np.int64)  # the first bin after the change
    flat = first.reshape(n_draws, -1)
    counts = np.zeros((flat.shape[1], n_bins + 1))
    np.add.at(counts, (np.broadcast_to(np.arange(flat.shape[1]), flat.shape), flat), 1)
    begun = np.cumsum(counts, axis=-1)[:, :n_bins].reshape(*outer, n_changepoints, n_bins) / n_draws
    always = np.ones((*outer, 1, n_bins))
    probability: Array = np.concatenate([always, begun], axis=-2)
    probability[..., :-1, :] -= begun
    return probability


def mode_of(values: Array) -> Array:
    """The commonest value along the first axis, the smallest of several; as `scipy.stats.mode` has it."""
    from scipy import stats

    most: Array = stats.mode(values, axis=0).mode
    return most


class Tau:
    """The changepoints under the names that PyTau's `_tau` has, with its numbers.

    Source: `pytau/changepoint_analysis.py` (github.com/abuzarmahmood/pytau, MIT). Two things differ, both where PyTau's
    shapes are an accident: modes of draws with an axis of trials have one row per trial (PyTau repeats the whole table
    once per trial), and an axis of length one stays (PyTau squeezes it away, after which two-state fits have no
    changepoint axis).

    Parameters
    ----------
    raw_tau : draws, shape (draw, [taste,] [trial,] changepoint), in bins
    start, step : of the fitted window and its bins, in ms
    n_trials : repeat the modes of shared changepoints, shape (draw, changepoint), for so many trials
    """

    def __init__(
        self, raw_tau: Array, *, start: float, step: float, n_trials: int | None = None
    ) -> None:
        self.raw_tau = raw_tau
        self._start, self._step, self._n_trials = start, step, n_trials

    @cached_property
    def raw_int_tau(self) -> Array:
        """Draws cut to whole bins."""
        return self.raw_tau.astype(np.int64)

    @cached_property
    def raw_mode_tau(self) -> Array:
        """The commonest bin, shape ([taste,] [trial,] changepoint)."""
        return self._modes(self.raw_int_tau)

    @cached_property
    def scaled_tau(self) -> Array:
        """Draws in ms of the recording, as PyTau has them: half a bin before `changepoints`."""
        return self.raw_tau * self._step + self._start

    @cached_property
    def scaled_int_tau(self) -> Array:
        """`scaled_tau` cut to whole ms."""
        return self.scaled_tau.astype(np.int64)

    @cached_property
    def scaled_mode_tau(self) -> Array:
        """The commonest ms, shape ([taste,] [trial,] changepoint)."""
        return self._modes(self.scaled_int_tau)

    def _modes(self, draws: Array) -> Array:
        modes = mode_of(draws)
        if self._n_trials is not None and modes.ndim == 1:
            return np.tile(modes, (self._n_trials, 1))
        return modes


def _require_probability(prob: float) -> None:
    if not 0 < prob < 1:
        raise ValueError(f"prob is a probability between 0 and 1, not {prob}")
