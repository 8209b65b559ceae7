"""Small data with changepoints that are known and not hard to find, for any model, by what its `KIND` says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytau_hpc.models import ModelKind

SIZES = {"trial": 8, "neuron": 6, "dimension": 4, "bin": 30}


@dataclass(frozen=True)
class Simulated:
    """data : by the model's dims; tau : shape (…, changepoint), in bins"""

    data: np.ndarray
    tau: np.ndarray
    n_states: int


def simulated(kind: ModelKind, *, n_states: int = 3, seed: int = 0, n_bins: int = 30) -> Simulated:
    """States whose levels differ clearly, with at least six bins each; a change is at the first bin of a state."""
    rng = np.random.default_rng(seed)
    shape = [SIZES[dim] for dim in kind.dims[:-1]]
    trials = shape[:-1] if kind.dims[0] == "trial" else []
    each = n_bins / n_states
    centres = np.arange(1, n_states) * each
    tau = np.round(centres + rng.uniform(-each / 5, each / 5, (*trials, n_states - 1)))
    state = (np.arange(n_bins) >= tau[..., None]).sum(axis=-2)  # (trial?, bin)
    n_units = shape[-1] if shape else 1
    rising = np.geomspace(2, 40, n_states)
    # The first unit rises with the state, so that each change is a change; the others go anywhere.
    levels = np.array([rising, *(rng.permutation(rising) for _ in range(n_units - 1))])
    means = levels[:, state]  # (unit, trial?, bin)
    if trials:
        means = np.moveaxis(means, 0, 1)
    means = means.reshape(*shape, n_bins)
    data = means + rng.normal(size=means.shape) if kind.values == "real" else rng.poisson(means)
    # A sigmoid at tau - 0.5 separates bin tau - 1 from bin tau.
    return Simulated(data=data, tau=tau - 0.5, n_states=n_states)
