"""The format `synthetic`: sessions of two animals that exist only as options and a seed.

For trying a sweep, or a cluster, without data. What is true of a session is `truth_of`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np

from pytau_hpc.data.reader import Values
from pytau_hpc.data.recording import Recording, recorded
from pytau_hpc.data.synthetic import Simulated, Truth, simulate
from pytau_hpc.errors import BadData
from pytau_hpc.sweep.point import Selection, Session

_FIRST_DAY = dt.date(2026, 1, 1)


def sessions(options: Mapping[str, Any]) -> list[Session]:
    """SYN1 and SYN2 in turn, a day for each pair: SYN1_synthetic_260101_000000, …"""
    found = [_session(index) for index in range(options["sessions"])]
    return sorted(found, key=lambda session: session.name)


def _session(index: int) -> Session:
    animal = f"SYN{1 + index % 2}"
    date = f"{_FIRST_DAY + dt.timedelta(days=index // 2):%y%m%d}"
    return Session(name=f"{animal}_synthetic_{date}_000000", animal=animal, date=date, path="")


def values(session: Session, options: Mapping[str, Any]) -> Values:
    """All neurons are in gc."""
    return Values(
        n_tastes=options["tastes"],
        regions=("gc",),
        n_trials=(options["trials"],) * options["tastes"],
        n_neurons=options["neurons"],
        n_ms=options["duration_ms"],
    )


def read(session: Session, selection: Selection, options: Mapping[str, Any]) -> Recording:
    """Spikes (trial, neuron, ms) of one taste, or (taste, trial, neuron, ms); simulates only what it returns."""
    known = values(session, options)
    known.require(selection, session)
    dims = ("taste", "trial", "neuron", "ms")
    if selection.taste == "all":
        spikes = _simulated(session, range(known.n_tastes), options).spikes
        return recorded(spikes, dims, "spikes", where=session.name)
    spikes = _simulated(session, [known.taste_index(selection.taste)], options).spikes
    return recorded(spikes[0], dims[1:], "spikes", where=session.name)


def truth_of(session: Session, options: Mapping[str, Any]) -> Truth:
    """Changepoints and rates of all tastes. `options` complete, as `Reader.resolve` makes them."""
    return _simulated(session, range(options["tastes"]), options).truth


def _simulated(session: Session, tastes: Any, options: Mapping[str, Any]) -> Simulated:
    names = [_session(index).name for index in range(options["sessions"])]
    if session.name not in names:
        raise BadData(
            f"no synthetic session {session.name}; `sessions: {options['sessions']}` makes {', '.join(names)}"
        )
    index = names.index(session.name)
    try:
        return simulate(
            [np.random.default_rng([options["seed"], index, taste]) for taste in tastes],
            trials=options["trials"],
            neurons=options["neurons"],
            n_states=options["n_states"],
            duration_ms=options["duration_ms"],
        )
    except ValueError as error:
        raise BadData(f"format synthetic: {error}") from error
