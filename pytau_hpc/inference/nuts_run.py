"""The loop around a sampler: chains one after another, with checkpoints in between: `sample`, `sample_by_chain`.

A `Sampler` knows how to take one step and what its next step depends on. Everything else (which chain is due, what was
drawn so far, when to save, how to go on) is here, once for all engines that can be interrupted after any draw. Every
random number is a function of seed, chain and draw, or part of the state; so a fit that is resumed is the
uninterrupted fit, bit for bit, where the engine's arithmetic allows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pytau_hpc.errors import Interrupted, NonFinite
from pytau_hpc.inference.checkpoint import CheckpointLike, State
from pytau_hpc.inference.method import Progress

SPREAD = 0.1  # sd, in unconstrained space, by which the starts of chains differ; the same for all engines
TELL_EVERY = 25  # draws between two words of progress
#: What is kept of every draw beside the draw itself.
STATISTICS = {
    "diverging": np.dtype(bool),
    "energy": np.dtype(np.float64),
    "n_steps": np.dtype(np.int64),
    "acceptance_rate": np.dtype(np.float64),
    "step_size": np.dtype(np.float64),
}


class Sampler(Protocol):
    """One Markov chain after another over points in unconstrained space."""

    def begin(self, chain: int) -> None:
        """Go to the start of a chain, as if there had been none before."""

    def step(self, chain: int, draw: int, *, tuning: bool) -> tuple[np.ndarray, Mapping[str, Any]]:
        """The next point, shape (parameter,), and its `STATISTICS`. `draw` counts from 0, tuning included."""

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that the next step depends on: arrays and JSON."""

    def restore(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Go back to what `state` gave. Raises ValueError where it is not the state of such a sampler."""


@dataclass(kw_only=True)
class Drawn:
    """What was drawn so far.

    Attributes
    ----------
    points : shape (chain, draw, parameter), unconstrained; without those of the tuning phase
    statistics : by name, shape (chain, draw)
    done : steps taken, of all chains together, tuning included
    restarted : why a checkpoint was not used, where there was one
    """

    points: np.ndarray
    statistics: dict[str, np.ndarray]
    done: int = 0
    restarted: str | None = None

    @classmethod
    def nothing(cls, chains: int, draws: int, size: int) -> Drawn:
        return cls(
            points=np.zeros((chains, draws, size)),
            statistics={name: np.zeros((chains, draws), kind) for name, kind in STATISTICS.items()},
        )


def sample(
    sampler: Sampler,
    size: int,
    settings: Mapping[str, Any],
    checkpoint: CheckpointLike,
    progress: Progress,
) -> Drawn:
    """Draw all chains, from a checkpoint where there is one.

    Raises
    ------
    Interrupted : a stop was asked for; the state is saved
    NonFinite : a chain came to a point that is not finite
    """
    chains, draws, tune = (int(settings[name]) for name in ("chains", "draws", "tune"))
    each = tune + draws
    drawn = Drawn.nothing(chains, draws, size)
    _go_on(drawn, checkpoint, draws, tune, sampler.restore)
    while drawn.done < chains * each:
        chain, draw = divmod(drawn.done, each)
        tuning = draw < tune
        if draw == 0:
            sampler.begin(chain)
        if drawn.done % TELL_EVERY == 0 or draw == 0:
            progress("tune" if tuning else "sample", drawn.done, chains * each)
        point, statistics = sampler.step(chain, draw, tuning=tuning)
        if not np.isfinite(point).all():
            raise NonFinite(f"chain {chain} came to a point that is not finite at draw {draw}")
        if not tuning:
            drawn.points[chain, draw - tune] = point
            for name, array in drawn.statistics.items():
                array[chain, draw - tune] = statistics[name]
        drawn.done += 1
        if drawn.done < chains * each and checkpoint.due():
            _save(drawn, checkpoint, draws, tune, *sampler.state())
            if checkpoint.stop_requested:
                raise Interrupted(drawn.done)
    progress("sample", drawn.done, drawn.done)
    return drawn


class Stopped(Exception):
    """A stop was asked for in the middle of a chain that cannot be kept."""


def sample_by_chain(
    draw_chain: Callable[[int], tuple[np.ndarray, Mapping[str, np.ndarray]]],
    size: int,
    settings: Mapping[str, Any],
    checkpoint: CheckpointLike,
    progress: Progress,
) -> Drawn:
    """Draw all chains with a sampler that keeps its state to itself: only whole chains are saved.

    Parameters
    ----------
    draw_chain : number of the chain → its points, shape (draw, parameter), and `STATISTICS`, shape (draw,). It may
        raise `Stopped` when it sees that a stop was asked for

    Raises
    ------
    Interrupted, NonFinite : as `sample`
    """
    chains, draws, tune = (int(settings[name]) for name in ("chains", "draws", "tune"))
    drawn = Drawn.nothing(chains, draws, size)
    _go_on(drawn, checkpoint, draws, tune, lambda arrays, meta: None)
    for chain in range(drawn.done // (tune + draws), chains):
        progress("sample", drawn.done, chains * (tune + draws))
        with suppress(Stopped):
            points, statistics = draw_chain(chain)
            if not np.isfinite(points).all():
                raise NonFinite(f"chain {chain} came to a point that is not finite")
            drawn.points[chain] = points
            for name, array in drawn.statistics.items():
                array[chain] = statistics[name]
            drawn.done += tune + draws
        if chain + 1 < chains or checkpoint.stop_requested:
            # A chain is worth minutes: it is kept whatever the clock says.
            _save(drawn, checkpoint, draws, tune, {}, {})
        if checkpoint.stop_requested and drawn.done < chains * (tune + draws):
            raise Interrupted(drawn.done)
    return drawn


def _kept(done: int, draws: int, tune: int) -> int:
    """How many of the steps taken are draws that are kept."""
    chain, draw = divmod(done, tune + draws)
    return chain * draws + max(0, draw - tune)


def _save(
    drawn: Drawn,
    checkpoint: CheckpointLike,
    draws: int,
    tune: int,
    arrays: Mapping[str, np.ndarray],
    meta: Mapping[str, Any],
) -> None:
    kept = _kept(drawn.done, draws, tune)
    size = drawn.points.shape[-1]
    checkpoint.save(
        {
            **{f"sampler.{name}": array for name, array in arrays.items()},
            # What is not drawn yet is not written.
            "points": drawn.points.reshape(-1, size)[:kept],
            **{f"drawn.{n}": array.ravel()[:kept] for n, array in drawn.statistics.items()},
        },
        {"sampler": dict(meta), "shape": [*drawn.points.shape]},
        drawn.done,
    )


def _go_on(
    drawn: Drawn,
    checkpoint: CheckpointLike,
    draws: int,
    tune: int,
    restore: Callable[[Mapping[str, np.ndarray], Mapping[str, Any]], None],
) -> None:
    state = checkpoint.load()
    if state is None:
        drawn.restarted = checkpoint.refused
        return
    kept = _kept(state.iteration, draws, tune)
    try:
        if state.meta["shape"] != [*drawn.points.shape] or len(state.arrays["points"]) != kept:
            raise ValueError("another number of chains, draws or parameters")
        restore(_below("sampler.", state), state.meta["sampler"])
    except (KeyError, ValueError) as error:
        checkpoint.pass_over(
            f"the checkpoint at iteration {state.iteration} is not of this sampler: {error}"
        )
        drawn.restarted = checkpoint.refused
        return
    drawn.done = state.iteration
    drawn.points.reshape(-1, drawn.points.shape[-1])[:kept] = state.arrays["points"]
    for name, array in _below("drawn.", state).items():
        drawn.statistics[name].reshape(-1)[:kept] = array


def _below(prefix: str, state: State) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array
        for name, array in state.arrays.items()
        if name.startswith(prefix)
    }
