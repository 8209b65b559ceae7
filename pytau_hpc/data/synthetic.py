"""Spikes with known changepoints: for the demo, for benchmarks, for tests, and for the format `synthetic`.

Each trial runs through the states in order; each neuron fires in each state at a constant rate. Only
`Generator.random` is used, so that a seed gives the same spikes under every numpy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

#: How far a changepoint may lie from its place in an even split, in lengths of a state.
_JITTER = 0.35
#: Rates are spread evenly on a logarithmic scale, as rates of cortical neurons roughly are.
_RATES_HZ = (1.0, 40.0)
_TASTES = ("sucrose", "nacl", "citric_acid", "quinine", "water")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What was simulated.

    Attributes
    ----------
    changepoints_ms : int array, shape (taste, trial, changepoint), sorted: the first sample of the next state
    rates_hz : float array, shape (taste, neuron, state)
    """

    changepoints_ms: npt.NDArray[np.int64]
    rates_hz: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """Spikes with their truth. `spikes` is uint8 (0 or 1), shape (taste, trial, neuron, ms)."""

    spikes: npt.NDArray[np.uint8]
    truth: Truth


def simulate(
    rngs: Sequence[np.random.Generator],
    *,
    trials: int,
    neurons: int,
    n_states: int,
    duration_ms: int,
    window_ms: tuple[int, int] | None = None,
) -> Simulated:
    """Simulate one taste per generator.

    Parameters
    ----------
    rngs : one generator a taste, so that a taste can be simulated without the others
    window_ms : the changepoints lie in it, jittered around an even split; the whole trial where not given. Before it
        the first state lasts, after it the last one
    """
    start, end = (0, duration_ms) if window_ms is None else window_ms
    if not (0 <= start < end <= duration_ms and end - start >= n_states):
        raise ValueError(f"{n_states} states do not fit into {start}-{end} of {duration_ms} ms")
    spikes = np.empty((len(rngs), trials, neurons, duration_ms), dtype=np.uint8)
    changepoints = np.empty((len(rngs), trials, n_states - 1), dtype=np.int64)
    rates = np.empty((len(rngs), neurons, n_states))
    for taste, rng in enumerate(rngs):
        low, high = np.log(_RATES_HZ)
        rates[taste] = np.exp(low + (high - low) * rng.random((neurons, n_states)))
        length = (end - start) / n_states
        jitter = _JITTER * (2 * rng.random((trials, n_states - 1)) - 1)
        changepoints[taste] = np.rint(start + length * (np.arange(1, n_states) + jitter))
        for trial in range(trials):
            state = np.searchsorted(
                changepoints[taste, trial], np.arange(duration_ms), side="right"
            )
            probability = rates[taste][:, state] / 1000
            spikes[taste, trial] = rng.random((neurons, duration_ms)) < probability
    return Simulated(spikes=spikes, truth=Truth(changepoints_ms=changepoints, rates_hz=rates))


def write_blech_session(
    folder: Path,
    *,
    seed: int,
    tastes: Sequence[str] | int = 4,
    trials: int = 30,
    regions: Mapping[str, int] | None = None,
    n_states: int = 4,
    duration_ms: int = 4500,
    window_ms: tuple[int, int] = (2000, 4000),
    laser_trials: int | None = None,
) -> Truth:
    """Write a session as blech_clust does: HDF5 and `.info`, both called like the folder. Return what is true of it.

    Parameters
    ----------
    folder : made where it is missing; call it like a session, ``AN01_demo_260101_101500``
    tastes : their names, or how many
    regions : neurons of each region in the order of the units, default ``{"gc": 10}``
    laser_trials : how many trials of each taste (every other one, from the second) are with laser; None leaves
        laser_durations out. The laser does nothing to the neurons

    Raises
    ------
    FileExistsError : the session is there already
    """
    import h5py

    names = _TASTES[:tastes] if isinstance(tastes, int) else tuple(tastes)
    if isinstance(tastes, int) and tastes > len(_TASTES):
        names = tuple(f"taste{index}" for index in range(tastes))
    units = {"gc": 10} if regions is None else dict(regions)
    simulated = simulate(
        [np.random.default_rng([seed, taste]) for taste in range(len(names))],
        trials=trials,
        neurons=sum(units.values()),
        n_states=n_states,
        duration_ms=duration_ms,
        window_ms=window_ms,
    )
    folder.mkdir(parents=True, exist_ok=True)
    electrodes, layout = _electrodes(units)
    with h5py.File(folder / f"{folder.name}.h5", "x") as file:
        for taste, spikes in enumerate(simulated.spikes):
            group = file.create_group(f"spike_trains/dig_in_{taste}")
            group.create_dataset(
                "spike_array",
                data=spikes,
                chunks=(1, *spikes.shape[1:]),
                compression="gzip",
                compression_opts=1,
            )
            if laser_trials is not None:
                durations = np.zeros(trials)
                durations[1::2][:laser_trials] = 2500.0
                group.create_dataset("laser_durations", data=durations)
        fields = ("electrode_number", "single_unit", "regular_spiking", "fast_spiking")
        descriptor = np.zeros(len(electrodes), dtype=[(name, "<i4") for name in fields])
        descriptor["electrode_number"] = electrodes
        descriptor["single_unit"] = 1
        file.create_dataset("unit_descriptor", data=descriptor)
    info = _info(folder.name, names, trials, layout, laser_trials)
    (folder / f"{folder.name}.info").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
    return simulated.truth


def _electrodes(units: Mapping[str, int]) -> tuple[list[int], dict[str, list[list[int]]]]:
    """The electrode of each unit (two units an electrode, as tetrode sorting gives) and the layout: 32 a region."""
    electrodes: list[int] = []
    layout: dict[str, list[list[int]]] = {}
    for index, (region, count) in enumerate(units.items()):
        first = 32 * index
        electrodes += [first + (unit // 2) % 32 for unit in range(count)]
        layout[region] = [list(range(first, first + 32))]
    layout["emg"] = []
    return electrodes, layout


def _info(
    name: str,
    tastes: Sequence[str],
    trials: int,
    layout: Mapping[str, Any],
    laser_trials: int | None,
) -> dict[str, Any]:
    fields = name.split("_")
    return {
        "name": fields[0],
        "exp_type": fields[1] if len(fields) > 1 else "",
        "date": fields[2] if len(fields) > 2 else "",
        "timestamp": fields[3] if len(fields) > 3 else "",
        "regions": [region for region in layout if region != "emg"],
        "electrode_layout": dict(layout),
        "taste_params": {
            "dig_ins": list(range(len(tastes))),
            "trial_count": [trials] * len(tastes),
            "tastes": list(tastes),
        },
        "laser_params": {
            "dig_in": [] if laser_trials is None else [len(tastes)],
            "onset": None if laser_trials is None else 0,
            "duration": None if laser_trials is None else 2500,
        },
        "notes": "simulated, with known changepoints",
    }
