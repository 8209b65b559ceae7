"""Arrays to try a model on: PyTau's `gen_test_array`, seeded, and spikes with known changepoints.

Sessions on disk, with everything around them, are made by `synthetic`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytau_hpc.data.in_memory import Seed
from pytau_hpc.data.synthetic import Simulated, simulate
from pytau_hpc.errors import UserError

_TYPES = ("normal", "poisson")
#: Noise around the level of a state, for type "normal".
_NOISE = 0.1


class CannotGenerate(UserError, AssertionError):
    """No such array. Also an AssertionError, which is what PyTau's function raises."""


def gen_test_array(
    array_size: int | Sequence[int], n_states: int, type: str = "poisson", *, seed: Seed = 0
) -> npt.NDArray[Any]:
    """Make an array whose trials run through `n_states` states at times of their own.

    As PyTau's (changepoint_model.gen_test_array): each trial divides its time at random; each neuron of each trial has
    a level for each state, uniform in [0, 1), or 0.5 + Exponential(mean 2) where there is a single time series. Unlike
    there, every state has at least one bin.

    Parameters
    ----------
    array_size : ([[taste,] trial,] neuron, time), or a number of bins
    type : "poisson" for counts with these levels as means, "normal" for normal noise of standard deviation 0.1 on them
    seed : 0 unless given, so that the array is the same every time

    Raises
    ------
    CannotGenerate : no more bins than states, or another type
    """
    shape = tuple(int(n) for n in np.atleast_1d(np.asarray(array_size)))
    if type not in _TYPES:
        raise CannotGenerate(f"type must be one of {', '.join(_TYPES)}, not {type!r}")
    if n_states < 1 or shape[-1] <= n_states:
        raise CannotGenerate(
            f"{shape[-1]} bins are too few for {n_states} states; there must be more bins than states"
        )
    rng = np.random.default_rng(seed)
    *outer, n_bins = shape
    trials = shape[:-2]
    # A share of the bins for each state, beside the one that it has anyway.
    shares = np.cumsum(rng.random((*trials, n_states)), axis=-1)
    ends = np.floor(shares / shares[..., -1:] * (n_bins - n_states)).astype(int)
    ends += np.arange(1, n_states + 1)
    ends[..., -1] = n_bins
    state = (np.arange(n_bins) >= ends[..., :, np.newaxis]).sum(axis=-2)
    if outer:
        levels = rng.random((*outer, n_states))
        state = np.broadcast_to(state[..., np.newaxis, :], (*outer, n_bins))
    else:
        levels = rng.exponential(2.0, n_states) + 0.5
    means = np.take_along_axis(levels, state, axis=-1)
    return rng.poisson(means) if type == "poisson" else rng.normal(means, _NOISE)


def simulated_spikes(
    *, tastes: int, trials: int, neurons: int, n_states: int, duration_ms: int, seed: int
) -> Simulated:
    """Spikes at 1 kHz with known changepoints and rates, for each taste its own.

    Returns
    -------
    `Simulated`: spikes (taste, trial, neuron, ms), and the truth: changepoints in ms, rates in Hz

    Raises
    ------
    CannotGenerate : the states do not fit into the trial
    """
    try:
        return simulate(
            [np.random.default_rng([seed, taste]) for taste in range(tastes)],
            trials=trials,
            neurons=neurons,
            n_states=n_states,
            duration_ms=duration_ms,
        )
    except ValueError as error:
        raise CannotGenerate(str(error)) from error
