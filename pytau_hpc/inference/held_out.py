"""How well a fitted model predicts trials that it has not seen, in nats a trial.

A new trial has changepoints of its own, which the fit cannot know, so they are integrated out: the log of the mean,
over draws of what trials share (rates and the prior of changepoints), of the probability of the trial with its
changepoints drawn anew. Drawing them from their prior and averaging would take millions of draws for five states, and
too few would favour models with fewer states. So annealed importance sampling does it (Neal 2001, Statistics and
Computing 11:125): changepoints begin as draws from the prior and move, by Metropolis steps, to where the trial wants
them; the mean of the weights is the probability, without bias.

For models whose trials have changepoints of their own (`tau_latent`, with a Beta prior `a_tau`, `b_tau`) and nothing
else. Called by `model_selection`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pytau_hpc.errors import UserError
from pytau_hpc.inference.jax_programs import MAX_SHAPES, compiled, kept
from pytau_hpc.inference.lowering import Lowered, lower, lower_observed

LOCAL = "tau_latent"
PRIOR = ("a_tau", "b_tau")

PARTICLES = 128
TEMPERATURES = 96
SCALES = (0.3, 0.1, 0.03)  # of the Metropolis steps, in turn, as parts of the trial
_EDGE = 1e-6  # changepoints stay this far from the trial's ends

_programs: OrderedDict[str, Callable[..., Any]] = OrderedDict()


def refuse_without_trials(kind: Any) -> None:
    """Raise `UserError` for a model whose held-out trials cannot be scored."""
    dims: Mapping[str, Sequence[str]] = kind.posterior_dims
    if LOCAL not in dims or any(name not in dims for name in PRIOR) or "trial" not in kind.dims:
        raise UserError(f"{kind.name} has no trials with changepoints of their own to hold out")
    others = [n for n, d in dims.items() if "trial" in d and n not in (LOCAL, "tau")]
    if others or "tau_trial_latent" in dims:
        raise UserError(
            f"{kind.name} cannot be scored on held-out trials: its trials are not exchangeable",
            help="its ELBOs can be compared",
        )


def log_predictive(
    kind: Any,
    data: np.ndarray,
    n_states: int,
    options: Mapping[str, Any],
    draws: Mapping[str, np.ndarray],
    rng: np.random.Generator,
    *,
    particles: int = PARTICLES,
    temperatures: int = TEMPERATURES,
) -> np.ndarray:
    """Log probability of each trial of `data` under a model that was fitted to others.

    Parameters
    ----------
    data : held-out trials, as `kind.prepare` returns them
    options : as `kind.settled` returns them for all trials; the fit to the others had the same
    draws : posterior draws of the fit to the other trials, by variable, first axis draws
    particles : draws of what trials share, each with changepoints of its own for every trial
    temperatures : steps from the prior to the trial

    Returns
    -------
    shape ([taste,] trial), nats
    """
    model = kind.build(data, n_states, options)
    lowered = lower(model)
    inputs = lowered.as_inputs(kind.inputs(data, n_states, options))
    n_draws = len(next(iter(draws.values())))
    chosen = rng.choice(n_draws, particles, replace=n_draws < particles)
    shared = [name for name in lowered.names if name != LOCAL]
    free = [lowered.start({name: draws[name][draw] for name in shared}, inputs) for draw in chosen]
    stacks = [np.stack([one[name] for one in free]) for name in lowered.names]
    a, b = (np.stack([draws[name][draw] for draw in chosen]) for name in PRIOR)
    shape = free[0][LOCAL].shape
    first = rng.beta(a[:, None], b[:, None], (particles, int(np.prod(shape[:-1])), shape[-1]))
    first = np.clip(first.reshape(particles, *shape), _EDGE, 1 - _EDGE)
    moves = rng.standard_normal((temperatures, *first.shape))
    # One changepoint of each trial moves at a time.
    which = rng.integers(shape[-1], size=(temperatures, *first.shape[:-1]))
    uniform = np.log(rng.random((temperatures, *first.shape[:-1])))
    data_arrays = tuple(inputs[name] for name in lowered.input_names)
    arguments = (stacks, a, b, first, moves, which, uniform, *data_arrays)
    key = repr([kind.name, dict(options), [np.shape(x) for x in jax.tree.leaves(arguments)]])
    program = kept(
        _programs,
        key,
        MAX_SHAPES,
        lambda: compiled(_annealed(lowered, lower_observed(model, len(shape) - 1)), *arguments),
    )
    weights = np.asarray(program(*arguments))  # (particle, …)
    most = weights.max(axis=0)
    return most + np.log(np.exp(weights - most).mean(axis=0))


def _annealed(lowered: Lowered, observed: Callable[[Sequence[Any]], Any]) -> Callable[..., Any]:
    place = lowered.names.index(LOCAL)

    def one(particle: Any, given: Any) -> Any:
        """The log weights of one particle, for all trials."""
        free, a, b, t, moves, which, uniform = particle

        def likelihood(t: Any) -> Any:
            values = list(free)
            values[place] = jnp.log(t) - jnp.log1p(-t)
            return given(values)

        def prior(t: Any) -> Any:
            return ((a - 1) * jnp.log(t) + (b - 1) * jnp.log1p(-t)).sum(axis=-1)

        steps = len(moves)
        heat = (jnp.arange(steps + 1) / steps) ** 3  # slow at first, where most of the way is
        scales = jnp.asarray(SCALES)

        def anneal(carry: Any, step: Any) -> Any:
            t, now, weight = carry
            index, move, chosen, log_uniform = step
            weight = weight + (heat[index + 1] - heat[index]) * now
            at = jax.nn.one_hot(chosen, t.shape[-1], dtype=bool)
            moved = jnp.where(at, t + scales[index % len(SCALES)] * move, t)
            inside = ((moved > _EDGE) & (moved < 1 - _EDGE)).all(axis=-1)
            moved = jnp.clip(moved, _EDGE, 1 - _EDGE)
            then = likelihood(moved)
            gain = heat[index + 1] * (then - now) + prior(moved) - prior(t)
            taken = inside & (log_uniform < gain)
            t = jnp.where(taken[..., None], moved, t)
            return (t, jnp.where(taken, then, now), weight), None

        begin = (t, likelihood(t), jnp.zeros(t.shape[:-1]))
        steps_of = (jnp.arange(steps), moves, which, uniform)
        (_, _, weight), _ = jax.lax.scan(anneal, begin, steps_of)
        return weight

    def all_particles(
        free: Any, a: Any, b: Any, t: Any, moves: Any, which: Any, uniform: Any, *data: Any
    ) -> Any:
        given = observed(data)
        each = (free, a, b, t, *(jnp.moveaxis(x, 1, 0) for x in (moves, which, uniform)))
        return jax.lax.map(lambda particle: one(particle, given), each)

    return all_particles
