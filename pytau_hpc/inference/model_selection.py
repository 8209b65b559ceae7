"""How many states: ELBOs and held-out probabilities of fits with different numbers of them.

Both have limits, which the pages name: ELBOs compare fits of the same data only, and depend on the prior; held-out
probabilities need trials that may be exchanged. Called by the door `changepoint_model`, and by `api` for sweeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from pytau_hpc.errors import BadData, UserError
from pytau_hpc.inference import METHODS
from pytau_hpc.inference.checkpoint import NullCheckpoint
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.models import MODELS
from pytau_hpc.models.kind import ModelKind


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model whose number of states is in question: one of ours, with its options."""

    kind: ModelKind
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def named(cls, name: str, options: Mapping[str, Any] | None = None) -> Candidate:
        """One of `MODELS`.

        Raises
        ------
        UserError : no such model, or no such option
        """
        if name not in MODELS:
            raise UserError(f"there is no model {name!r}; there are {', '.join(MODELS)}")
        kind = MODELS[name]
        return cls(kind=kind, options=kind.resolve_options(options or {}))

    def prepare(self, data: Any, states: Sequence[int]) -> np.ndarray:
        """The data as the model takes them.

        Raises
        ------
        BadData : it does not take such data, or not with all of these numbers of states
        """
        prepared = self.kind.prepare(data)
        for n_states in states:
            problem = self.kind.accepts(prepared.shape, self.kind.dims, n_states)
            if problem:
                raise BadData(problem)
        return prepared

    def fit(
        self, data: np.ndarray, n_states: int, settings: Mapping[str, Any], seed: int
    ) -> Posterior:
        """Fit in this process.

        Parameters
        ----------
        settings : of `advi`, as a spec gives them
        """
        method = METHODS["advi"]
        return method.fit(
            kind=self.kind,
            data=data,
            n_states=n_states,
            options=self.options,
            settings=method.resolve(settings),
            seed=seed,
            checkpoint=NullCheckpoint(),
            progress=lambda phase, done, total: None,
        )


@dataclass(frozen=True)
class Foreign:
    """A model that is not one of ours: a function (data, number of states) → PyMC model.

    Only engine `pymc` can fit it, and its trials cannot be held out.
    """

    make: Callable[[Any, int], Any]

    def prepare(self, data: Any, states: Sequence[int]) -> np.ndarray:
        return np.asarray(data)

    def fit(
        self, data: np.ndarray, n_states: int, settings: Mapping[str, Any], seed: int
    ) -> Posterior:
        from pytau_hpc.inference.advi_pymc import fit

        return fit(
            cast(ModelKind, _Once(self.make(data, n_states))),
            data,
            n_states,
            {},
            METHODS["advi"].resolve({**settings, "engine": "pymc"}),
            seed,
            NullCheckpoint(),
            lambda phase, done, total: None,
        )


@dataclass(frozen=True)
class _Once:
    """A built model, as an engine asks for one."""

    model: Any

    def build(self, data: Any, n_states: int, options: Any) -> Any:
        return self.model

    @cached_property
    def posterior_dims(self) -> dict[str, tuple[str, ...]]:
        named = [*self.model.free_RVs, *self.model.deterministics]
        return {variable.name: () for variable in named}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Fits of the same data with different numbers of states.

    Attributes
    ----------
    states : numbers of states
    elbos : in nats, higher is better, each with its standard error; from fresh draws, not from the last step
    converged : whether each fit passed its test
    """

    states: tuple[int, ...]
    elbos: tuple[float, ...]
    elbo_errors: tuple[float, ...]
    converged: tuple[bool, ...]

    @property
    def best(self) -> int:
        """Place of the highest ELBO."""
        return int(np.argmax(self.elbos))


def best_states(
    data: Any,
    candidate: Candidate | Foreign,
    states: Sequence[int],
    settings: Mapping[str, Any],
    *,
    seed: int = 0,
) -> Selection:
    """Fit with each number of states and compare the ELBOs.

    Parameters
    ----------
    data : as the model takes them
    settings : of `advi`, as a spec gives them

    Raises
    ------
    UserError : the model cannot be fitted to such data, or a setting is wrong
    """
    prepared = candidate.prepare(data, states)
    fits = [candidate.fit(prepared, n_states, settings, seed) for n_states in states]
    return Selection(
        states=tuple(states),
        elbos=tuple(fit.elbo for fit in fits),
        elbo_errors=tuple(fit.elbo_se for fit in fits),
        converged=tuple(fit.converged for fit in fits),
    )


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """Held-out log probabilities of trials, in nats.

    Attributes
    ----------
    states : numbers of states
    trials : shape (number of states, trial); all tastes of a trial together
    """

    states: tuple[int, ...]
    trials: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """Mean over trials, shape (number of states,); higher is better."""
        return self.trials.mean(axis=1)

    @property
    def behind_best(self) -> np.ndarray:
        """How far each is behind the best, and the standard error of that, shape (number of states, 2).

        The same trials are scored by all, so the differences are far more precise than the scores.
        """
        gaps = self.trials[int(self.scores.argmax())] - self.trials
        errors = gaps.std(axis=1, ddof=1) / np.sqrt(gaps.shape[1])
        return np.stack([gaps.mean(axis=1), errors], axis=1)


def cross_validate(
    data: Any,
    candidate: Candidate,
    states: Sequence[int],
    *,
    folds: int = 5,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> CrossValidation:
    """Fit without one part of the trials, predict that part; for each part, and each number of states.

    Parameters
    ----------
    data : as the model takes them, with trials
    folds : parts, made at random from `seed`; the same for all numbers of states

    Raises
    ------
    UserError : the model's trials cannot be held out, or there are too few
    """
    from pytau_hpc.inference.held_out import log_predictive, refuse_without_trials

    refuse_without_trials(candidate.kind)
    prepared = candidate.prepare(data, states)
    candidate = replace(candidate, options=candidate.kind.settled(prepared, candidate.options))
    axis = candidate.kind.dims.index("trial")
    n_trials = prepared.shape[axis]
    if not 2 <= folds <= n_trials:
        raise UserError(f"{n_trials} trials cannot be divided into {folds} parts")
    scores = np.zeros((len(states), n_trials))
    for row, n_states in enumerate(states):
        for number, held_out in enumerate(parts(n_trials, folds, seed)):
            rest = np.setdiff1d(np.arange(n_trials), held_out)
            fitted = candidate.fit(
                np.take(prepared, rest, axis=axis), n_states, settings or {}, seed
            )
            found = log_predictive(
                candidate.kind,
                np.take(prepared, held_out, axis=axis),
                n_states,
                candidate.options,
                fitted.draws,
                np.random.default_rng([seed, number]),
            )
            scores[row, held_out] = found.reshape(-1, len(held_out)).sum(axis=0)
    return CrossValidation(states=tuple(states), trials=scores)


def parts(n_trials: int, folds: int, seed: int) -> Iterator[np.ndarray]:
    """Which trials are held out together: parts of nearly equal size, sorted inside."""
    order = np.random.default_rng(seed).permutation(n_trials)
    for part in np.array_split(order, folds):
        yield np.sort(part)
