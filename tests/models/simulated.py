"""Small data with changepoints that are known and not hard to find, for any model, by what its `KIND` says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytau_hpc.models import ModelKind

SIZES = {"taste": 2, "trial": 8, "neuron": 6, "dimension": 4}
N_CATEGORIES = 5
USUAL = 0.9  # how often the usual category of a state occurs in it


@dataclass(frozen=True)
class Simulated:
    """data : by the model's dims; tau : shape (…, changepoint), in bins; switches : in trials, of models that switch"""

    data: np.ndarray
    tau: np.ndarray
    n_states: int
    switches: np.ndarray


def simulated(kind: ModelKind, *, n_states: int = 3, seed: int = 0, n_bins: int = 30) -> Simulated:
    """States whose levels differ clearly, with at least six bins each; a change is at the first bin of a state."""
    rng = np.random.default_rng(seed)
    n_tastes, n_trials = (SIZES[dim] if dim in kind.dims else 1 for dim in ("taste", "trial"))
    n_units = next((SIZES[dim] for dim in ("neuron", "dimension") if dim in kind.dims), 1)
    each = n_bins / n_states
    centres = np.arange(1, n_states) * each
    jitter = rng.uniform(-each / 5, each / 5, (n_tastes, n_trials, n_states - 1))
    tau = np.round(centres + jitter)
    state = (np.arange(n_bins) >= tau[..., None]).sum(axis=-2)  # (taste, trial, bin)

    n_components = kind.options.get("switch_components", 1)
    # The first component has more trials than the others.
    switches = n_trials - 3 * np.arange(n_components - 1, 0, -1)
    component = (np.arange(n_trials) >= switches[:, None]).sum(axis=0)
    data = np.empty((n_tastes, n_trials, n_units, n_bins))
    for taste in range(n_tastes):
        levels = [levels_of(rng, n_units, n_states) for _ in range(n_components)]
        spreads = sds_of(rng, kind, n_units, n_states)
        for trial in range(n_trials):
            means = levels[component[trial]][:, state[taste, trial]]
            if kind.values == "real":
                noise = rng.normal(size=means.shape)
                data[taste, trial] = means + spreads[:, state[taste, trial]] * noise
            elif kind.values == "counts":
                data[taste, trial] = rng.poisson(means)
            else:
                anything = rng.integers(N_CATEGORIES, size=n_bins)
                usual = rng.random(n_bins) < USUAL
                data[taste, trial, 0] = np.where(usual, state[taste, trial], anything)
    lengths = {"taste": n_tastes, "trial": n_trials, "bin": n_bins}
    shape = [lengths.get(dim, n_units) for dim in kind.dims]
    lead = [lengths[dim] for dim in kind.posterior_dims["tau"][:-1]]
    # A sigmoid at tau - 0.5 separates bin tau - 1 from bin tau.
    return Simulated(
        data=data.reshape(shape),
        tau=tau.reshape(*lead, n_states - 1) - 0.5,
        n_states=n_states,
        switches=switches - 0.5,
    )


def levels_of(rng: np.random.Generator, n_units: int, n_states: int) -> np.ndarray:
    """Shape (unit, state). The first rises with the state, so that each change is a change; the others go anywhere."""
    rising = np.geomspace(2, 40, n_states)
    return np.array([rising, *(rng.permutation(rising) for _ in range(n_units - 1))])


def sds_of(rng: np.random.Generator, kind: ModelKind, n_units: int, n_states: int) -> np.ndarray:
    """Shape (unit, state): 1, or different from state to state where the model has a sd for each."""
    if "state" not in kind.posterior_dims.get("sigma", ()):
        return np.ones((n_units, n_states))
    return np.array([rng.permutation(np.geomspace(0.5, 3, n_states)) for _ in range(n_units)])
