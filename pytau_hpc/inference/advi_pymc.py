"""PyTau's own algorithm, run by PyMC and PyTensor: the reference that the default engine is measured against.

PyTau calls ``pm.fit(method=pm.ADVI("full-rank"))``. The string lands in a parameter that `pm.ADVI` does not use, so
what runs, and what all published PyTau fits are, is *mean-field* ADVI (Kucukelbir et al. 2017, JMLR 18:14) with one
draw a step and PyMC's default optimiser, `adagrad_window` (rate 0.001). That is what runs here, from where the
published fits started (`even_start`). Ours are the seed (PyTau has none), the checkpoints, and the estimate of the
ELBO at the end.

A step of PyMC's inference is a function of its shared variables alone: parameters, optimiser windows and their
counters, random generator. Saving and restoring those resumes a fit bit for bit, in any cut of the iterations.

Called through `inference.METHODS`. The starts, the schedule and the stopping rule of the default engine are not here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytau_hpc.errors import Interrupted, NonFinite
from pytau_hpc.inference.checkpoint import CheckpointLike, State
from pytau_hpc.inference.posterior import Posterior

if TYPE_CHECKING:
    from pytau_hpc.inference.method import Progress
    from pytau_hpc.models import ModelKind

CHUNK = 250  # iterations between two looks at the clock; 0.1 to 1 s
ELBO_DRAWS = 2000
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
    settings : `iterations` and `draws`, resolved
    seed : any non-negative integer; the same seed gives the same bits on the same kind of machine
    checkpoint : where to look for a state to go on from, and to leave ours
    progress : called with phase ("compile", "fit", "draws"), done, total

    Raises
    ------
    Interrupted : a stop was asked for; the state is saved
    NonFinite : the loss became NaN, or the fitted posterior has no finite ELBO
    """
    iterations, n_draws = int(settings["iterations"]), int(settings["draws"])
    for_steps, for_draws, for_elbo = np.random.SeedSequence(seed).spawn(3)

    progress("compile", 0, 1)
    model = kind.build(data, n_states, options)
    optimiser = _Optimiser.compiled(model, for_steps)
    progress("compile", 1, 1)

    restarted = _restore(optimiser, checkpoint)
    while optimiser.iteration < iterations:
        progress("fit", optimiser.iteration, iterations)
        optimiser.advance(
            min(CHUNK - optimiser.iteration % CHUNK, iterations - optimiser.iteration)
        )
        if checkpoint.due():
            checkpoint.save(*optimiser.state(), optimiser.iteration)
            if checkpoint.stop_requested:
                raise Interrupted(optimiser.iteration)
    progress("fit", iterations, iterations)

    fitted = optimiser.mean_field()
    progress("draws", 0, n_draws)
    elbo, elbo_se = elbo_of(model, fitted, np.random.default_rng(for_elbo))
    draws = _draws(
        model, list(kind.posterior_dims), fitted, n_draws, np.random.default_rng(for_draws)
    )
    progress("draws", n_draws, n_draws)

    loss = optimiser.loss
    info: dict[str, str | int | float | bool] = {
        "engine": "pymc",
        "algorithm": "mean-field ADVI, adagrad_window",
        "final_loss": float(loss[-FINAL_LOSS:].mean()),
        "n_parameters": fitted.mean.size,
        **_versions(),
    }
    if restarted:
        info["restarted"] = restarted
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


@dataclass(frozen=True, kw_only=True)
class MeanField:
    """The fitted normal distribution over the unconstrained parameters.

    mean, sd : shape (parameter,)
    parts : name of the value variable → its slice of the parameters and its shape
    """

    mean: np.ndarray
    sd: np.ndarray
    parts: Mapping[str, tuple[slice, tuple[int, ...]]]

    def point(self, z: np.ndarray) -> dict[str, np.ndarray]:
        return {name: z[where].reshape(shape) for name, (where, shape) in self.parts.items()}


class _Optimiser:
    """PyMC's inference object, its compiled step, and the shared variables that the step changes."""

    def __init__(self, inference: Any) -> None:
        self._inference = inference
        # Not `step.get_shared()`: that also holds the data, which no step changes.
        step = inference.state.step
        self._shared = [entry.variable for entry in step.maker.inputs if entry.update is not None]

    @classmethod
    def compiled(cls, model: Any, seeds: np.random.SeedSequence) -> _Optimiser:
        import pymc as pm

        with _quiet(), model:
            inference = pm.ADVI(
                start=even_start(model), random_seed=int(seeds.generate_state(1)[0])
            )
            inference.fit(0, progressbar=False)
        optimiser = cls(inference)
        # PyMC takes 30 bits of seed; the generators are given all of ours.
        generators = [variable for variable in optimiser._shared if _is_generator(variable)]
        for variable, child in zip(generators, seeds.spawn(len(generators)), strict=True):
            variable.set_value(np.random.default_rng(child))
        return optimiser

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

    def mean_field(self) -> MeanField:
        group = self._inference.approx.groups[0]
        mean = np.asarray(group.params_dict["mu"].get_value(), dtype=np.float64)
        rho = np.asarray(group.params_dict["rho"].get_value(), dtype=np.float64)
        if not (np.isfinite(mean).all() and np.isfinite(rho).all()):
            raise NonFinite("the variational parameters are not finite")
        parts = {name: (entry[1], tuple(entry[2])) for name, entry in group.ordering.items()}
        return MeanField(mean=mean, sd=np.logaddexp(0.0, rho), parts=parts)


def _restore(optimiser: _Optimiser, checkpoint: CheckpointLike) -> str | None:
    """Go on from a checkpoint where there is one. Returns why a checkpoint was passed over, else None."""
    state = checkpoint.load()
    if state is None:
        return checkpoint.refused
    if not optimiser.restore(state):
        return f"the checkpoint at iteration {state.iteration} does not fit this model's optimiser"
    return None


def elbo_of(model: Any, fitted: MeanField, rng: np.random.Generator) -> tuple[float, float]:
    """Evidence lower bound and its standard error, in nats, from fresh draws of the fitted distribution.

    The mean of log p - log q over draws: where q is close to p the two noises cancel, so it is far more precise than
    log p with q's exact entropy.
    """
    logp = _interpreted(model, [model.logp()])
    standard = rng.standard_normal((ELBO_DRAWS, fitted.mean.size))
    log_q = (
        -0.5 * (standard**2).sum(axis=1)
        - np.log(fitted.sd).sum()
        - 0.5 * fitted.mean.size * np.log(2 * np.pi)
    )
    log_p = np.array(
        [float(logp(fitted.point(fitted.mean + fitted.sd * row))[0]) for row in standard]
    )
    terms = log_p - log_q
    if not np.isfinite(terms).all():
        bad = int((~np.isfinite(terms)).sum())
        raise NonFinite(
            f"the log density is not finite at {bad} of {ELBO_DRAWS} draws of the fitted posterior"
        )
    return float(terms.mean()), float(terms.std(ddof=1) / np.sqrt(ELBO_DRAWS))


def _draws(
    model: Any, names: Sequence[str], fitted: MeanField, n_draws: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draws of the named variables, each of shape (draw, …); deterministic ones such as `tau` included."""
    known = {variable.name: variable for variable in model.unobserved_value_vars}
    values = _interpreted(model, [known[name] for name in names])
    rows: list[list[np.ndarray]] = [[] for _ in names]
    for _ in range(n_draws):
        z = fitted.mean + fitted.sd * rng.standard_normal(fitted.mean.size)
        for row, value in zip(rows, values(fitted.point(z)), strict=True):
            row.append(np.asarray(value, dtype=np.float64))
    draws = {name: np.stack(row) for name, row in zip(names, rows, strict=True)}
    for name, array in draws.items():
        if not np.isfinite(array).all():
            raise NonFinite(f"draws of {name} are not finite")
    return draws


def _interpreted(
    model: Any, outputs: Sequence[Any]
) -> Callable[[Mapping[str, np.ndarray]], Sequence[Any]]:
    """A function from a point to the values of `outputs`, without a compiler.

    A few thousand evaluations are cheaper than building C code for them. The interpreter runs fused nodes and casts
    element by element; so there is no fusion, and the data become constants whose casts are done once.
    """
    from pytensor.compile.mode import Mode
    from pytensor.compile.sharedvalue import SharedVariable
    from pytensor.graph.replace import clone_replace
    from pytensor.graph.traversal import graph_inputs
    from pytensor.tensor import constant

    data = {
        v: constant(v.get_value()) for v in graph_inputs(outputs) if isinstance(v, SharedVariable)
    }
    return model.compile_fn(
        clone_replace(list(outputs), replace=data),
        inputs=model.value_vars,
        mode=Mode(linker="py", optimizer="fast_run").excluding("fusion", "inplace"),
        on_unused_input="ignore",  # `tau` does not need the rates
    )


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
