"""What the model says of each state: rates, means, probabilities, with their uncertainty."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import xarray as xr

from pytau_hpc.analysis.fitted import Fitted
from pytau_hpc.errors import UserError

#: What the states of a model differ in, by the name of its variable.
EMISSIONS = ("lambda", "mu", "p")


def rates(fitted: Fitted, *, prob: float = 0.95, average: Collection[str] = ()) -> xr.Dataset:
    """What each state emits, from the posterior of the model itself.

    Parameters
    ----------
    prob : probability inside the interval
    average : axes to average over before anything else, such as "trial" where each trial has rates of its own

    Returns
    -------
    `mean`, `sd`, `lower`, `upper`, with the axes of the model's variable and "state" as the last: ("neuron", "state")
    for `single_taste_poisson`, ("taste", "neuron", "state") for `all_taste_poisson`. The attribute `units` is "Hz" for
    spikes that were counted in bins of known width, "per bin" for counts otherwise, "" for means of real values,
    "probability" for categories. The interval is central

    Raises
    ------
    UserError : the result has no variable with an axis of states
    """
    if not 0 < prob < 1:
        raise ValueError(f"prob is a probability between 0 and 1, not {prob}")
    name = next((name for name in EMISSIONS if name in fitted.states), None)
    if name is None:
        raise UserError(
            f"{fitted.name}: {fitted.model} kept no draws of what its states are like",
            help="result.firing.state_firing has the mean counts between the changepoints",
        )
    dims, draws = fitted.states[name]
    gone = tuple(axis for axis, dim in enumerate(dims) if dim in average)
    dims, draws = tuple(dim for dim in dims if dim not in average), draws.mean(axis=gone)
    dims, draws = (
        (*(dim for dim in dims if dim != "state"), "state"),
        np.moveaxis(draws, dims.index("state"), -1),
    )
    units, factor = _units(fitted)
    lower, upper = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    values = {
        "mean": draws.mean(axis=0),
        "sd": draws.std(axis=0),
        "lower": lower,
        "upper": upper,
    }
    return xr.Dataset(
        {key: (dims[1:], factor * value, {"units": units}) for key, value in values.items()},
        coords={dim: np.arange(size) for dim, size in zip(dims[1:], draws.shape[1:], strict=True)},
        attrs={"prob": prob, "model": fitted.model, "variable": name},
    )


def _units(fitted: Fitted) -> tuple[str, float]:
    if fitted.values == "categories":
        return "probability", 1.0
    if fitted.values == "real":
        return "", 1.0
    if fitted.time.unit == "ms":
        return "Hz", 1000 / fitted.time.step
    return "per bin", 1.0
