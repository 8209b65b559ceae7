"""Mean-field ADVI in JAX: several starts, a decaying rate, a test of convergence. The default engine.

The variational family is PyMC's (an independent normal for each unconstrained parameter, with a softplus scale:
Kucukelbir et al. 2017, JMLR 18:14), so its ELBO can be compared with PyTau's. What differs is how it is optimised,
with Adam (Kingma & Ba 2015):

explore   every start runs a while at a constant rate; the `finalists` with the best ELBO go on, one after another
settle    a finalist goes on at the constant rate until its ELBO stops gaining
anneal    its rate falls to zero along a cosine

The finalist with the best ELBO is the fit. At a constant rate ELBOs swing, by tens of nats for large data, and the
start that looks best while it explores is not always the one that ends best; two finalists nearly always have it.

All of it moves in chunks. A `Run` is everything that a chunk depends on, and every random number is a function of
seed, start and step, so a fit that is resumed at a chunk boundary is the uninterrupted fit, bit for bit. The compiled
part is in `jax_programs`. Called through `inference.METHODS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from pytau_hpc.errors import Interrupted, NonFinite
from pytau_hpc.inference.checkpoint import CheckpointLike
from pytau_hpc.inference.jax_programs import BATCH, BETA_1, BETA_2, CHUNK, Programs, programs_for
from pytau_hpc.inference.jax_run import Phase, Run, Track
from pytau_hpc.inference.method import Progress
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.models.kind import ModelKind
from pytau_hpc.models.starts import Start

QUIET_CHUNKS = 2  # that many chunks in a row without a gain: the fit has settled
JITTER = 0.3  # sd, in unconstrained space, by which further starts are displaced from the first one


class Purpose(IntEnum):
    """What random numbers are for. Each purpose has a stream of its own."""

    STARTS = 0
    JITTER = 1
    STEPS = 2
    TEST = 3
    ELBO = 4
    DRAWS = 5


def fit(
    *,
    kind: ModelKind,
    data: np.ndarray,
    n_states: int,
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int,
    checkpoint: CheckpointLike,
    progress: Progress,
) -> Posterior:
    """Fit one model; see `MethodKind.fit`."""
    progress("compile", 0, 0)
    engine = _Engine(programs_for(kind, data, n_states, options), settings, seed)
    run = _go_on(checkpoint)
    if run is None:
        starts = kind.starts(data, n_states, options, engine.random(Purpose.STARTS))
        run = Run(tracks=engine.tracks(starts))
        engine.programs.guard([run.tracks[0].z[0], run.tracks[-1].z[0]])

    while run.phase is not Phase.DONE:
        progress(run.phase.name.lower(), run.iteration, engine.expected(run))
        engine.advance(run)
        if checkpoint.due():
            arrays, meta = run.to_state()
            checkpoint.save(arrays, meta, run.iteration)
            if checkpoint.stop_requested:
                raise Interrupted(run.iteration)
    progress("draws", run.iteration, run.iteration)
    return engine.finish(run, restarted=checkpoint.refused)


def _go_on(checkpoint: CheckpointLike) -> Run | None:
    """The run of a checkpoint, where there is one that fits."""
    state = checkpoint.load()
    if state is None:
        return None
    run = Run.from_state(state)
    if run is None:
        checkpoint.pass_over(
            f"the checkpoint at iteration {state.iteration} does not fit this version"
        )
    return run


@dataclass(frozen=True)
class _Engine:
    """The rules: which start moves next, at what rate, and when it is over."""

    programs: Programs
    settings: Mapping[str, Any]
    seed: int

    def random(self, purpose: Purpose, *which: int) -> np.random.Generator:
        sequence = np.random.SeedSequence(self.seed, spawn_key=(int(purpose), *which))
        return np.random.Generator(np.random.SFC64(sequence))

    def tracks(self, starts: Sequence[Start]) -> list[Track]:
        """The first `restarts` of the model's starts, or all ("auto"); where more are wanted, the first displaced."""
        wanted = self.settings["restarts"]
        if wanted == "auto":
            wanted = len(starts)
        found = [
            _track(start.name, self.programs.point(start), start.rho) for start in starts[:wanted]
        ]
        first = found[0]
        for number in range(1, wanted - len(found) + 1):
            noise = self.random(Purpose.JITTER, number).standard_normal(self.programs.size)
            displaced = first.z[0] + JITTER * noise
            found.append(_track(f"displaced_{number}", displaced, starts[0].rho))
        return found

    def advance(self, run: Run) -> None:
        """Move one start by one chunk, and decide what comes next."""
        track = run.tracks[run.current]
        self._move(track, run)
        if run.phase is Phase.EXPLORE:
            self._after_exploring(run, track)
        elif track.failed:
            self._next_finalist(run)
        # One chunk can end more than one phase.
        before = None
        while before != (run.phase, run.current):
            before = (run.phase, run.current)
            track = run.tracks[run.current]
            if run.phase is Phase.SETTLE:
                self._after_settling(run, track)
            if run.phase is Phase.ANNEAL and track.steps >= self._end(track):
                self._next_finalist(run)

    def _after_exploring(self, run: Run, track: Track) -> None:
        if track.steps < self.settings["explore_iterations"] and not track.failed:
            return
        if run.current + 1 < len(run.tracks):
            run.current += 1
            return
        if all(track.failed for track in run.tracks):
            raise NonFinite(
                "the fit diverged from every start; are there extreme values in the data?"
            )
        order = np.argsort([track.loss for track in run.tracks], kind="stable")
        alive = [int(index) for index in order if not run.tracks[index].failed]
        run.finalists = alive[: self.settings["finalists"]]
        run.current = run.finalists[0]
        run.phase = Phase.SETTLE

    def _next_finalist(self, run: Run) -> None:
        """The current one has come to its end."""
        left = run.finalists[run.finalists.index(run.current) + 1 :]
        if left:
            run.current = left[0]
            run.phase = Phase.SETTLE
        elif all(run.tracks[index].failed for index in run.finalists):
            track = run.tracks[run.current]
            raise NonFinite(
                f"the fit diverged at iteration {track.steps}, from the start {track.name!r}"
            )
        else:
            run.phase = Phase.DONE

    def _after_settling(self, run: Run, track: Track) -> None:
        limit = self.settings["max_iterations"] - self.settings["anneal_iterations"]
        track.converged = _is_quiet(track.losses, self.settings["tolerance"])
        stop_early = track.converged and self.settings["iterations"] == "auto"
        if stop_early or track.steps >= limit:
            track.settled = track.steps
            run.phase = Phase.ANNEAL

    def _end(self, track: Track) -> int:
        return track.settled + self.settings["anneal_iterations"]

    def _move(self, track: Track, run: Run) -> None:
        """Take one chunk of steps."""
        if run.phase is Phase.EXPLORE:
            end = self.settings["explore_iterations"]
        elif run.phase is Phase.SETTLE:
            end = self.settings["max_iterations"] - self.settings["anneal_iterations"]
        else:
            end = self._end(track)
        steps = np.arange(track.steps, min(track.steps + CHUNK, end))
        rates = np.full(len(steps), self.settings["learning_rate"])
        if run.phase is Phase.ANNEAL:
            done = (steps - track.settled + 1) / self.settings["anneal_iterations"]
            rates *= 0.5 * (1 + np.cos(np.pi * done))
        # Adam's moments start at zero; this is its correction for that.
        rates *= np.sqrt(1 - BETA_2 ** (steps + 1)) / (1 - BETA_1 ** (steps + 1))

        rng = self.random(Purpose.STEPS, run.current, track.steps)
        noise = rng.standard_normal((len(steps), self.programs.size))
        result = self.programs.chunk(track.z, track.m, track.v, noise, rates)
        track.z, track.m, track.v = result.z, result.m, result.v
        track.steps += len(steps)
        track.skipped += result.skipped
        loss = self._test_loss(result.mean)
        track.losses.append(loss)
        track.recorded.append(track.steps)
        track.failed = result.skipped == len(steps) or not np.isfinite(loss)

    def _test_loss(self, z: np.ndarray) -> float:
        """Negative ELBO on draws that are the same for every chunk and start, so that differences are precise."""
        noise = self.random(Purpose.TEST).standard_normal((BATCH, self.programs.size))
        return -float(self._elbo_terms(z, noise).mean())

    def _elbo_terms(self, z: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Log p - log q of each draw. Where q is near p the two noises cancel, and the mean is precise."""
        with np.errstate(all="ignore"):  # what is not finite is for the caller to judge
            scale = np.logaddexp(0.0, z[1])
            log_q = -0.5 * (noise**2).sum(axis=1) - np.log(scale).sum()
            log_q -= 0.5 * z[0].size * np.log(2 * np.pi)
            return self.programs.log_densities(z[0] + scale * noise) - log_q

    def expected(self, run: Run) -> int:
        """How many steps all starts together will have taken at the end, as far as one can tell now."""
        explore, anneal = self.settings["explore_iterations"], self.settings["anneal_iterations"]
        at_least = explore + CHUNK * QUIET_CHUNKS
        if self.settings["iterations"] != "auto":
            at_least = self.settings["max_iterations"] - anneal
        n_finalists = min(self.settings["finalists"], len(run.tracks))
        if run.phase is Phase.EXPLORE:
            return explore * (len(run.tracks) - n_finalists) + (at_least + anneal) * n_finalists
        place = run.finalists.index(run.current)
        now = run.tracks[run.current]
        if run.phase is Phase.SETTLE:
            ends = max(at_least, now.steps + CHUNK) + anneal
        else:
            ends = self._end(now)
        to_come = len(run.finalists) - place - 1
        return run.iteration - now.steps + ends + to_come * (at_least + anneal - explore)

    def finish(self, run: Run, *, restarted: str | None) -> Posterior:
        """The ELBO and the draws of the finalist that won."""
        n_draws, n_elbo = self.settings["draws"], self.settings["elbo_draws"]
        noise = self.random(Purpose.ELBO).standard_normal((n_elbo, self.programs.size))
        ended = [track for index in run.finalists if not (track := run.tracks[index]).failed]
        tried = [(self._elbo_terms(track.z, noise), track) for track in ended]
        finite = [(terms, track) for terms, track in tried if np.isfinite(terms).all()]
        if not finite:
            bad = int((~np.isfinite(tried[0][0])).sum())
            raise NonFinite(
                f"the log density is not finite at {bad} of {n_elbo} draws of the result"
            )
        terms, track = max(finite, key=lambda pair: float(pair[0].mean()))
        noise = self.random(Purpose.DRAWS).standard_normal((n_draws, self.programs.size))
        draws = self.programs.draws(track.z[0] + np.logaddexp(0.0, track.z[1]) * noise)

        info: dict[str, str | int | float | bool] = {
            "engine": "jax",
            "start": track.name,
            "iterations_all_starts": run.iteration,
            "skipped_steps": track.skipped,
            "n_parameters": self.programs.size,
        }
        explored = -(-self.settings["explore_iterations"] // CHUNK)
        losses = {other.name: other.losses[:explored][-1] for other in run.tracks}
        info.update({f"explored_loss_{name}": loss for name, loss in losses.items()})
        if len(run.tracks) > 1:
            info["restarts"] = len(run.tracks)
            info["explored_spread"] = float(
                np.ptp([loss for loss in losses.values() if np.isfinite(loss)])
            )
        info.update({f"final_elbo_{other.name}": float(end.mean()) for end, other in finite})
        if restarted:
            info["restarted"] = restarted
        return Posterior(
            draws=draws,
            elbo=float(terms.mean()),
            elbo_se=float(terms.std(ddof=1) / np.sqrt(n_elbo)),
            converged=track.converged,
            iterations=track.steps,
            loss=np.asarray(track.losses),
            loss_every=CHUNK,
            loss_iteration=np.asarray(track.recorded, dtype=np.int64),
            info=info,
        )


def _track(name: str, point: np.ndarray, rho: float) -> Track:
    z = np.stack([point, np.full_like(point, rho)])
    return Track(name=name, z=z, m=np.zeros_like(z), v=np.zeros_like(z))


def _is_quiet(losses: Sequence[float], tolerance: float) -> bool:
    """Whether each of the last chunks was less than `tolerance` nats better than the best before it."""
    if len(losses) <= QUIET_CHUNKS:
        return False
    return all(
        min(losses[:index]) - losses[index] < tolerance
        for index in range(len(losses) - QUIET_CHUNKS, len(losses))
    )
