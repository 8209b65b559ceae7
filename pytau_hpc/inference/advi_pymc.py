"""PyTau's own algorithm, run by PyMC and PyTensor: the reference that the default engine is measured against.

PyTau calls ``pm.fit(method=pm.ADVI("full-rank"))``. The string lands in a parameter that `pm.ADVI` does not use, so
what runs, and what all published PyTau fits are, is *mean-field* ADVI (Kucukelbir et al. 2017, JMLR 18:14) with one
draw a step and PyMC's default optimiser, `adagrad_window` (rate 0.001). That is what runs here, from where the
published fits started (`even_start`). Ours are the seed (PyTau has none), the checkpoints, and the estimate of the
ELBO at the end; on request also what the string was meant to say, a full-rank distribution, and restarts: the same
fit with other random numbers, of which the best is kept.

A step of PyMC's inference is a function of its shared variables alone: parameters, optimiser windows and their
counters, random generator. Saving and restoring those resumes a fit bit for bit, in any cut of the iterations.

Called through `inference.METHODS`. The starts, the schedule and the stopping rule of the default engine are not here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pytau_hpc.errors import Interrupted, NonFinite
from pytau_hpc.inference.approximation import (
    Approximation,
    approximation_of,
    draws_of,
    elbo_of,
)
from pytau_hpc.inference.checkpoint import CheckpointLike, State
from pytau_hpc.inference.posterior import Posterior

if TYPE_CHECKING:
    from pytau_hpc.inference.method import Progress
    from pytau_hpc.models import ModelKind

CHUNK = 250  # iterations between two looks at the clock; 0.1 to 1 s
ELBO_DRAWS = 2000
RESTARTS = 3  # spawn key of their random numbers; 0 to 2 are those of the first fit
FINAL_LOSS = 1000  # PyMC's progress bar, and so PyTau's notebooks, average the loss over this many iterations


def fit(
    kind: ModelKind,
    data: np.ndarray,
    n_states: int,
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int,
    checkpoint: CheckpointLike,
    progress: Progress,
) -> Posterior:
    """Fit one model to one array.

    Parameters
    ----------
    kind : the model
    data : shape by `kind.dims`, last axis bins
    n_states : number of states
    options : options of the model
    settings : `iterations` and `draws`, resolved; `restarts` and `approximation` where they are not the default
    seed : any non-negative integer; the same seed gives the same bits on the same kind of machine
    checkpoint : where to look for a state to go on from, and to leave ours
    progress : called with phase ("compile", "fit", "draws"), done, total

    Raises
    ------
    Interrupted : a stop was asked for; the state is saved
    NonFinite : the loss became NaN, or the fitted posterior has no finite ELBO; of several restarts, of every one
    """
    iterations, n_draws = int(settings["iterations"]), int(settings["draws"])
    restarts = int(settings.get("restarts", 1))
    for_steps, for_draws, for_elbo = np.random.SeedSequence(seed).spawn(3)

    progress("compile", 0, 1)
    model = kind.build(data, n_states, options)
    approximation = str(settings.get("approximation", "mean_field"))
    optimiser = _Optimiser.compiled(model, for_steps, approximation)
    progress("compile", 1, 1)

    fresh = State(**dict(zip(("arrays", "meta"), optimiser.state(), strict=True)), iteration=0)
    run = _go_on(optimiser, checkpoint)
    while True:
        before = run.number * iterations
        try:
            while optimiser.iteration < iterations:
                progress("fit", before + optimiser.iteration, restarts * iterations)
                optimiser.advance(
                    min(CHUNK - optimiser.iteration % CHUNK, iterations - optimiser.iteration)
                )
                if checkpoint.due():
                    checkpoint.save(*run.with_state_of(optimiser), before + optimiser.iteration)
                    if checkpoint.stop_requested:
                        raise Interrupted(before + optimiser.iteration)
            # The same draws for every restart: differences are then precise.
            fitted = optimiser.fitted()
            elbo, elbo_se = elbo_of(model, fitted, np.random.default_rng(for_elbo), ELBO_DRAWS)
        except NonFinite as error:
            run.diverged()
            if run.number == restarts and not run.best:
                if restarts == 1:
                    raise
                raise NonFinite(
                    f"all {restarts} restarts diverged; the last: {error.message}", help=error.help
                ) from error
        else:
            run.finished(elbo, elbo_se, optimiser.state()[0])
        if run.number == restarts:
            break
        seeds = np.random.SeedSequence(seed, spawn_key=(RESTARTS, run.number))
        optimiser.begin_again(fresh, seeds)
    progress("fit", restarts * iterations, restarts * iterations)

    optimiser.restore(State(arrays=run.best, meta=optimiser.state()[1], iteration=0))
    fitted = optimiser.fitted()
    progress("draws", 0, n_draws)
    rng = np.random.default_rng(for_draws)
    draws = draws_of(model, list(kind.posterior_dims), fitted, n_draws, rng)
    progress("draws", n_draws, n_draws)

    loss = optimiser.loss
    words = {"mean_field": "mean-field ADVI", "full_rank": "full-rank ADVI"}
    info: dict[str, str | int | float | bool] = {
        "engine": "pymc",
        "algorithm": f"{words[approximation]}, adagrad_window",
        "final_loss": float(loss[-FINAL_LOSS:].mean()),
        "n_parameters": fitted.mean.size,
        **_versions(),
        **run.spread(),
    }
    if checkpoint.refused:
        info["restarted"] = checkpoint.refused
    elbo, elbo_se = run.best_elbo
    return Posterior(
        draws=draws,
        elbo=elbo,
        elbo_se=elbo_se,
        converged=has_settled(loss),
        iterations=iterations,
        loss=loss,
        loss_every=1,
        info=info,
    )


@dataclass
class _Restarts:
    """The fits that are over, of which the best is kept, and the number of the one that runs.

    Attributes
    ----------
    elbos : of each, with its standard error; None of one that diverged
    best : the state of the best one; empty while there is none
    """

    elbos: list[tuple[float, float] | None] = field(default_factory=list)
    best: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def number(self) -> int:
        return len(self.elbos)

    @property
    def best_elbo(self) -> tuple[float, float]:
        return max(found for found in self.elbos if found is not None)

    def finished(self, elbo: float, elbo_se: float, arrays: dict[str, np.ndarray]) -> None:
        if not self.best or elbo > self.best_elbo[0]:
            self.best = arrays
        self.elbos.append((elbo, elbo_se))

    def diverged(self) -> None:
        self.elbos.append(None)

    def with_state_of(self, optimiser: _Optimiser) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays, meta = optimiser.state()
        best = {f"best.{name}": array for name, array in self.best.items()}
        return {**arrays, **best}, {**meta, "elbos": self.elbos}

    @classmethod
    def of(cls, state: State) -> _Restarts:
        best = {
            name.removeprefix("best."): array
            for name, array in state.arrays.items()
            if name.startswith("best.")
        }
        return cls([None if one is None else (one[0], one[1]) for one in state.meta["elbos"]], best)

    def spread(self) -> dict[str, str | int | float | bool]:
        """What the result says of the restarts, where there were several."""
        if len(self.elbos) == 1:
            return {}
        values = {number: found[0] for number, found in enumerate(self.elbos) if found is not None}
        told: dict[str, str | int | float | bool] = {
            "restarts": len(self.elbos),
            "restart": max(values, key=lambda number: values[number]),
            "elbo_spread": max(values.values()) - min(values.values()),
            **{f"elbo_{number}": value for number, value in values.items()},
        }
        if len(values) < len(self.elbos):
            told["restarts_diverged"] = len(self.elbos) - len(values)
        return told


def has_settled(loss: np.ndarray, *, tolerance: float = 1.0) -> bool:
    """Whether the loss stopped falling: a statement about the optimiser, not about the posterior.

    The mean of the last tenth of the trace is compared with the mean of the tenth before. The fit has settled when
    the gain is below `tolerance` nats or below twice its standard error. One-draw losses are noisy, so the error is
    large for short fits: fewer than 1000 iterations never count as settled.

    Parameters
    ----------
    loss : shape (iteration,), negative ELBO in nats
    """
    tenth = loss.size // 10
    if tenth < 100 or not np.isfinite(loss[-2 * tenth :]).all():
        return False
    before, last = loss[-2 * tenth : -tenth], loss[-tenth:]
    gain = before.mean() - last.mean()
    error = float(np.sqrt((before.var(ddof=1) + last.var(ddof=1)) / tenth))
    return bool(gain < max(tolerance, 2.0 * error))


def even_start(model: Any) -> dict[str, np.ndarray]:
    """Changepoints evenly spaced; everything else at PyMC's initial point.

    PyTau's models said so (``testval=even_switches``) when its walkthroughs were published. Since June 2025 (its commit
    be71bd3) some of them leave the start to PyMC, which puts all changepoints of a trial at the same place, the middle:
    on the walkthrough session the loss after 40,000 iterations is then some 160 nats worse.

    Returns
    -------
    `tau_latent`, shape (…, changepoint), in (0, 1), where the model has one
    """
    shape = model.eval_rv_shapes().get("tau_latent")
    if shape is None:
        return {}
    n_changepoints = shape[-1]
    return {
        "tau_latent": np.broadcast_to(
            np.arange(1, n_changepoints + 1) / (n_changepoints + 1), shape
        )
    }


class _Optimiser:
    """PyMC's inference object, its compiled step, and the shared variables that the step changes."""

    def __init__(self, inference: Any) -> None:
        self._inference = inference
        step = inference.state.step
        self._shared = [entry.variable for entry in step.maker.inputs if entry.update is not None]

    @classmethod
    def compiled(
        cls, model: Any, seeds: np.random.SeedSequence, approximation: str = "mean_field"
    ) -> _Optimiser:
        import pymc as pm

        kind = {"mean_field": pm.ADVI, "full_rank": pm.FullRankADVI}[approximation]
        with _quiet(), model:
            inference = kind(start=even_start(model), random_seed=int(seeds.generate_state(1)[0]))
            inference.fit(0, progressbar=False, more_replacements=_constants(model))
        optimiser = cls(inference)
        optimiser._seed(seeds)
        return optimiser

    def _seed(self, seeds: np.random.SeedSequence) -> None:
        # PyMC takes 30 bits of seed; the generators are given all of ours.
        generators = [variable for variable in self._shared if _is_generator(variable)]
        for variable, child in zip(generators, seeds.spawn(len(generators)), strict=True):
            variable.set_value(np.random.default_rng(child))

    def begin_again(self, fresh: State, seeds: np.random.SeedSequence) -> None:
        """Go back to the start, with other random numbers."""
        self.restore(fresh)
        self._seed(seeds)

    @property
    def loss(self) -> np.ndarray:
        """Negative ELBO of every iteration so far, one draw each, shape (iteration,)."""
        return np.asarray(self._inference.hist, dtype=np.float64)

    @property
    def iteration(self) -> int:
        return int(self._inference.hist.size)

    def advance(self, iterations: int) -> None:
        wanted = self.iteration + iterations
        try:
            with _quiet():
                self._inference.refine(iterations, progressbar=False)
        except FloatingPointError as error:
            raise NonFinite(
                f"the loss became NaN after iteration {self.iteration}: {error}"
            ) from error
        if self.iteration != wanted:
            # PyMC answers Ctrl-C by returning early with what it has, one iteration of which is lost.
            raise KeyboardInterrupt

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything the next step depends on: arrays, and a JSON value with the random generators' states."""
        arrays, generators = {"loss": self.loss}, {}
        for index, variable in enumerate(self._shared):
            if _is_generator(variable):
                generators[str(index)] = variable.get_value().bit_generator.state
            else:
                arrays[str(index)] = np.asarray(variable.get_value())
        return arrays, {"generators": generators, "names": [str(v.name) for v in self._shared]}

    def restore(self, state: State) -> bool:
        """Go back to a saved state. False, and nothing is changed, where it is not the state of this step."""
        arrays, meta = self.state()
        if meta["names"] != state.meta.get("names") or _layout(arrays) != _layout(state.arrays):
            return False
        for index, variable in enumerate(self._shared):
            if _is_generator(variable):
                generator = variable.get_value()
                generator.bit_generator.state = state.meta["generators"][str(index)]
                variable.set_value(generator)
            else:
                variable.set_value(state.arrays[str(index)])
        self._inference.hist = np.array(state.arrays["loss"], dtype=np.float64)
        return True

    def fitted(self) -> Approximation:
        return approximation_of(self._inference)


def _go_on(optimiser: _Optimiser, checkpoint: CheckpointLike) -> _Restarts:
    """Go on from a checkpoint, where there is one that fits."""
    state = checkpoint.load()
    if state is None:
        return _Restarts()
    own = {n: array for n, array in state.arrays.items() if not n.startswith("best.")}
    if "elbos" in state.meta and optimiser.restore(replace(state, arrays=own)):
        return _Restarts.of(state)
    checkpoint.pass_over(
        f"the checkpoint at iteration {state.iteration} does not fit this model's optimiser"
    )
    return _Restarts()


def _constants(model: Any) -> dict[Any, Any]:
    """The model's data as constants.

    What depends on them alone, as the log-factorials of the counts, is then computed once and not in every iteration:
    a third of the time of a fit of Poisson counts. PyTau's models have constants too.
    """
    import pytensor.tensor as pt

    return {data: pt.constant(data.get_value(), name=data.name) for data in model.data_vars}


def _is_generator(variable: Any) -> bool:
    return isinstance(variable.get_value(borrow=True), np.random.Generator)


def _layout(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        name: (array.dtype.str, array.shape) for name, array in arrays.items() if name != "loss"
    }


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("pymc", "pytensor", "numpy")}


@contextmanager
def _quiet() -> Iterator[None]:
    """PyMC logs a line for every chunk."""
    logger = logging.getLogger("pymc.variational.inference")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
