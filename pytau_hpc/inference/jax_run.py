"""How far a fit of the JAX engine has come: all that its next chunk depends on, and how that is kept.

A `Run` becomes arrays and JSON for a checkpoint, and comes back the same, bit for bit. What happens next is decided in
`advi_jax`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from pytau_hpc.inference.checkpoint import State


class Phase(IntEnum):
    """Where a fit is. The values are part of checkpoints."""

    EXPLORE = 0  #: every start runs a while
    SETTLE = 1  #: one of the best starts goes on at the same rate
    ANNEAL = 2  #: its rate falls to zero
    DONE = 3  #: nothing is left but to draw


@dataclass(kw_only=True)
class Track:
    """One start and how far it has come.

    Attributes
    ----------
    z : shape (2, parameter), means and rhos
    m, v : Adam's moments, same shape
    steps : optimiser steps taken
    skipped : how many of them were left out, because their gradient was not finite
    losses : negative ELBO of the mean parameters of each chunk, on draws that are the same for all chunks and starts
    recorded : the steps taken when each of them was; the last chunk of a phase may be shorter than the others
    failed : the start diverged and is out
    converged : it stopped gaining before its budget was spent
    settled : steps that it had taken when it began to anneal
    """

    name: str
    z: np.ndarray
    m: np.ndarray
    v: np.ndarray
    steps: int = 0
    skipped: int = 0
    losses: list[float] = field(default_factory=list)
    recorded: list[int] = field(default_factory=list)
    failed: bool = False
    converged: bool = False
    settled: int = 0

    @property
    def loss(self) -> float:
        """The newest loss; infinity where there is none."""
        return np.inf if self.failed or not self.losses else self.losses[-1]


_IN_META = ("name", "steps", "skipped", "failed", "converged", "settled")


@dataclass(kw_only=True)
class Run:
    """A whole fit under way.

    Attributes
    ----------
    tracks : one for each start; `current` is the index of the one that moves
    finalists : indices of the starts that go on after exploring, the best first
    """

    tracks: list[Track]
    phase: Phase = Phase.EXPLORE
    current: int = 0
    finalists: list[int] = field(default_factory=list)

    @property
    def iteration(self) -> int:
        """Steps of all starts together; only grows."""
        return sum(track.steps for track in self.tracks)

    def to_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and JSON for a checkpoint."""
        arrays: dict[str, np.ndarray] = {}
        for index, track in enumerate(self.tracks):
            arrays[f"{index}.zmv"] = np.stack([track.z, track.m, track.v])
            arrays[f"{index}.losses"] = np.asarray(track.losses, dtype=np.float64)
            arrays[f"{index}.recorded"] = np.asarray(track.recorded, dtype=np.int64)
        meta = {
            "phase": int(self.phase),
            "current": self.current,
            "finalists": self.finalists,
            "tracks": [{name: getattr(track, name) for name in _IN_META} for track in self.tracks],
        }
        return arrays, meta

    @classmethod
    def from_state(cls, state: State) -> Run | None:
        """The run that `to_state` kept; None where an earlier version kept it, which knew less."""
        tracks = []
        for index, meta in enumerate(state.meta["tracks"]):
            if f"{index}.recorded" not in state.arrays:
                return None
            z, m, v = state.arrays[f"{index}.zmv"]
            losses = [float(loss) for loss in state.arrays[f"{index}.losses"]]
            recorded = [int(steps) for steps in state.arrays[f"{index}.recorded"]]
            tracks.append(Track(z=z, m=m, v=v, losses=losses, recorded=recorded, **meta))
        return cls(
            tracks=tracks,
            phase=Phase(state.meta["phase"]),
            current=state.meta["current"],
            finalists=state.meta["finalists"],
        )
