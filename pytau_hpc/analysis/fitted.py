"""What a fit left behind, in the one form that the analysis works on, wherever it was read from.

No files here: `results` and `pickles` read them and make a `Fitted`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pytau_hpc.data.times import changepoint_ms
from pytau_hpc.errors import UserError

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class TimeAxis:
    """Where the bins of a fit lie in time.

    Attributes
    ----------
    start : when the first bin begins
    step : width of a bin
    unit : "ms" of the recording; "bins" where the data came binned and nobody knows how long a bin is
    """

    start: float = 0.0
    step: float = 1.0
    unit: Literal["ms", "bins"] = "bins"

    def of_changepoint(self, tau: Any) -> Any:
        """When a changepoint at bin index `tau` is: the middle of that bin (see `data.times`)."""
        return changepoint_ms(tau, start_ms=self.start, bin_ms=self.step)

    def edges(self, n_bins: int) -> Array:
        """Where bins begin and end, shape (n_bins + 1,)."""
        return self.start + self.step * np.arange(n_bins + 1)


@dataclass(frozen=True, kw_only=True)
class Raw:
    """Activity at the resolution of the recording.

    Attributes
    ----------
    activity : shape ([taste,] trial, neuron, sample); at 1 kHz for spikes, by bin for data that came binned
    valid : samples from the first to before the second hold data; the rest, if any, is not what was fitted
    """

    activity: Array
    valid: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class LossTrace:
    """The loss on the way; `hist` is what the approximation of PyMC calls it, so PyTau's plots take it.

    Attributes
    ----------
    hist : shape (record,), negative ELBO in nats
    iteration : shape (record,), the iteration of each record
    """

    hist: Array
    iteration: Array


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """One fit.

    Attributes
    ----------
    name : how to call it in titles
    model : its name
    values : what the data hold
    tau : shape (draw, [taste,] [trial,] changepoint), in bins, sorted
    tau_dims : names of its axes without the first
    observed : what the model saw
    observed_dims : names of its axes, the last is "bin"
    states : draws of what the model says of each state, by the variable's name: names of the axes (the first is
        "draw") and the array
    time : of the bins
    loss : the loss on the way, or None
    quality : ELBO and whatever else is known of how good the fit is
    metadata : as in PyTau's files: preprocess, model, data, exp
    raw : reads the activity behind the fit
    """

    name: str
    model: str
    values: Literal["counts", "real", "categories"]
    tau: Array
    tau_dims: tuple[str, ...]
    observed: Array
    observed_dims: tuple[str, ...]
    states: Mapping[str, tuple[tuple[str, ...], Array]]
    time: TimeAxis
    loss: LossTrace | None
    quality: Mapping[str, Any]
    metadata: Mapping[str, Any]
    raw: Callable[[], Raw]

    @property
    def n_bins(self) -> int:
        return int(self.observed.shape[-1])

    @property
    def n_states(self) -> int:
        return int(self.tau.shape[-1]) + 1

    @property
    def n_tastes(self) -> int | None:
        """How many tastes were fitted together; None where it was one."""
        if "taste" not in self.observed_dims:
            return None
        return int(self.observed.shape[self.observed_dims.index("taste")])

    def of_taste(self, array: Array, dims: tuple[str, ...], taste: int | None) -> Array:
        """One taste's part of an array; the array itself where it has no axis of tastes.

        Raises
        ------
        UserError : several tastes and none chosen, or no such taste
        """
        if "taste" not in dims:
            return array
        axis = dims.index("taste")
        taste = 0 if taste is None and array.shape[axis] == 1 else taste
        return np.take(array, self.index_of_taste(taste), axis=axis)

    def index_of_taste(self, taste: int | None) -> int:
        """A taste of this fit, counted from 0; that of a fit of one taste is 0, whichever it is of its session.

        Raises
        ------
        UserError : several tastes and none chosen, or no such taste
        """
        n_tastes = self.n_tastes or 1
        if taste is not None and taste in range(n_tastes):
            return int(taste)
        what = "several tastes were fitted together" if taste is None else f"no taste {taste}"
        if n_tastes == 1:
            raise UserError(
                f"{self.name}: {what}; one was fitted",
                help="it needs no choice, or result.taste(0)",
            )
        raise UserError(
            f"{self.name}: {what}; there are {n_tastes}, 0 to {n_tastes - 1}",
            help="choose one:  result.taste(0)",
        )

    def tau_of_trials(self, taste: int | None) -> Array:
        """Draws of one taste, shape (draw, trial, changepoint); shared changepoints are repeated for each trial."""
        tau = self.of_taste(self.tau, ("draw", *self.tau_dims), taste)
        if "trial" in self.tau_dims:
            return tau
        n_trials = len(self.activity(taste))
        return np.broadcast_to(tau[:, np.newaxis], (len(tau), n_trials, tau.shape[-1]))

    def activity(self, taste: int | None) -> Array:
        """What one taste's trials did, shape (trial, neuron, bin).

        Dimensions of real-valued data stand where neurons stand; of categories, each is a neuron that is 1 in the
        bins where it was seen.
        """
        seen = self.of_taste(self.observed, self.observed_dims, taste)
        dims = tuple(dim for dim in self.observed_dims if dim != "taste")
        if self.values == "categories":
            # Those that occur, and two where there is one: the rows that the model's `p` has.
            categories = np.unique(self.observed)
            categories = categories if len(categories) > 1 else np.array([*categories, -1])
            seen = (seen[..., np.newaxis, :] == categories[:, np.newaxis]).astype(np.int64)
            dims = (*dims[:-1], "category", "bin")
        if "trial" not in dims:
            seen = seen[np.newaxis]
        return seen.reshape(len(seen), -1, seen.shape[-1])
