"""One transition of the No-U-Turn sampler, in JAX: pure, compiled once for each model and shape.

The dynamic sampler with multinomial weights of Betancourt (2017, arXiv:1701.02434), which improves on Hoffman & Gelman
(2014, JMLR 15:1593), in its iterative form (Phan et al. 2019, arXiv:1912.11554): a doubling adds its leaves one after
another, and the U-turns inside it are found from a few momenta that are kept on the way. So there is one place only
where the gradient is computed, which is what compiling it costs.

All random numbers are arguments. Called by `nuts_jax`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

DIVERGENT = 1000.0  # a loss of energy, in nats, that no correct step has


class Noise(NamedTuple):
    """The random numbers of one transition.

    Attributes
    ----------
    momentum : standard normal, shape (parameter,)
    direction : uniform, shape (max_depth,); below 0.5 the doubling goes backward
    merge : uniform, shape (max_depth,); whether the draw is taken from the new half
    leaf : uniform, shape (2 ** max_depth,); whether a leaf becomes the draw of its subtree
    """

    momentum: Any
    direction: Any
    merge: Any
    leaf: Any


class Moved(NamedTuple):
    """Where a transition ended, and how it went.

    Attributes
    ----------
    z, log_density, gradient : the new point, shape (parameter,), its log density and gradient
    accept : mean probability of acceptance over the trajectory, what the step size is adapted to
    leaves : how many gradients it took
    energy : of the new point with its momentum
    diverged : the trajectory met a region that the step size is too long for
    """

    z: Any
    log_density: Any
    gradient: Any
    accept: Any
    leaves: Any
    energy: Any
    diverged: Any


class _Edge(NamedTuple):
    z: Any
    p: Any
    gradient: Any


class _Draw(NamedTuple):
    z: Any
    log_density: Any
    gradient: Any
    energy: Any


class _Tree(NamedTuple):
    """A trajectory, or the half that is being added to one. `log_weight` is relative to the starting point's."""

    back: _Edge
    front: _Edge
    draw: _Draw
    log_weight: Any
    p_sum: Any
    turned: Any
    diverged: Any
    accept_sum: Any
    leaves: Any


def transition(
    log_density: Callable[[Any], Any],
    max_depth: int,
    z: Any,
    value: Any,
    gradient: Any,
    inverse_mass: Any,
    step_size: Any,
    noise: Noise,
) -> Moved:
    """Move one step.

    Parameters
    ----------
    log_density : (parameter,) → scalar
    z, value, gradient : where to start, shape (parameter,), with its log density and gradient
    inverse_mass : variances of the parameters, shape (parameter,)
    step_size : of the leapfrog integrator
    """
    value_and_gradient = jax.value_and_grad(log_density)
    p = noise.momentum / jnp.sqrt(inverse_mass)
    start_energy = _kinetic(p, inverse_mass) - value
    edge = _Edge(z, p, gradient)
    tree = _Tree(
        back=edge,
        front=edge,
        draw=_Draw(z, value, gradient, start_energy),
        log_weight=jnp.zeros(()),
        p_sum=p,
        turned=jnp.zeros((), bool),
        diverged=jnp.zeros((), bool),
        accept_sum=jnp.zeros(()),
        leaves=jnp.zeros((), jnp.int64),
    )

    def leaf_after(edge: _Edge, step: Any) -> tuple[_Edge, _Draw]:
        p = edge.p + 0.5 * step * edge.gradient
        z = edge.z + step * inverse_mass * p
        value, gradient = value_and_gradient(z)
        p = p + 0.5 * step * gradient
        energy = _kinetic(p, inverse_mass) - value
        return _Edge(z, p, gradient), _Draw(z, value, gradient, energy)

    def half(tree: _Tree, depth: Any, forward: Any) -> _Tree:
        """As many leaves as the tree has, beyond one of its ends; fewer where a U-turn or a divergence stops it."""
        step = jnp.where(forward, step_size, -step_size)
        size = 2**depth

        def goes_on(carry: Any) -> Any:
            n, new, *_ = carry
            return (n < size) & ~new.turned & ~new.diverged

        def add(carry: Any) -> Any:
            n, new, kept_p, kept_sum = carry
            edge, draw = leaf_after(new.front, step)
            gain = start_energy - draw.energy
            gain = jnp.where(jnp.isfinite(gain), gain, -jnp.inf)
            log_weight = jnp.logaddexp(new.log_weight, gain)
            # The first leaf is taken whatever its weight; a draw of weight zero is never merged.
            taken = (n == 0) | (jnp.log(noise.leaf[tree.leaves + n]) < gain - log_weight)
            p_sum = new.p_sum + edge.p
            kept_p, kept_sum, turned = _look_back(n, edge.p, p_sum, kept_p, kept_sum, inverse_mass)
            new = _Tree(
                back=edge,
                front=edge,
                draw=_choose(taken, draw, new.draw),
                log_weight=log_weight,
                p_sum=p_sum,
                turned=turned,
                diverged=gain < -DIVERGENT,
                accept_sum=new.accept_sum + jnp.minimum(1.0, jnp.exp(gain)),
                leaves=new.leaves + 1,
            )
            return n + 1, new, kept_p, kept_sum

        begin = _choose(forward, tree.front, tree.back)
        empty = tree._replace(
            back=begin,
            front=begin,
            log_weight=-jnp.inf * jnp.ones(()),
            p_sum=jnp.zeros_like(p),
            turned=jnp.zeros((), bool),
            diverged=jnp.zeros((), bool),
            accept_sum=jnp.zeros(()),
            leaves=jnp.zeros((), jnp.int64),
        )
        kept = jnp.zeros((max(1, max_depth), p.size))
        _, new, _, _ = jax.lax.while_loop(
            goes_on, add, (jnp.zeros((), jnp.int64), empty, kept, kept)
        )
        return new

    def double(carry: tuple[Any, _Tree]) -> tuple[Any, _Tree]:
        depth, tree = carry
        forward = noise.direction[depth] >= 0.5
        new = half(tree, depth, forward)
        whole = ~new.turned & ~new.diverged
        # Biased towards the new half, so that draws move far.
        taken = whole & (jnp.log(noise.merge[depth]) < new.log_weight - tree.log_weight)
        back, front = (
            _choose(forward, tree.back, new.front),
            _choose(forward, new.front, tree.front),
        )
        p_sum = tree.p_sum + new.p_sum
        return depth + 1, _Tree(
            back=back,
            front=front,
            draw=_choose(taken, new.draw, tree.draw),
            log_weight=jnp.logaddexp(tree.log_weight, new.log_weight),
            p_sum=p_sum,
            turned=new.turned | _has_turned(back.p, front.p, p_sum, inverse_mass),
            diverged=new.diverged,
            accept_sum=tree.accept_sum + new.accept_sum,
            leaves=tree.leaves + new.leaves,
        )

    _, tree = jax.lax.while_loop(
        lambda carry: (carry[0] < max_depth) & ~carry[1].turned & ~carry[1].diverged,
        double,
        (jnp.zeros((), jnp.int64), tree),
    )
    return Moved(
        z=tree.draw.z,
        log_density=tree.draw.log_density,
        gradient=tree.draw.gradient,
        accept=tree.accept_sum / jnp.maximum(tree.leaves, 1),
        leaves=tree.leaves,
        energy=tree.draw.energy,
        diverged=tree.diverged,
    )


def _look_back(
    n: Any, p: Any, p_sum: Any, kept_p: Any, kept_sum: Any, inverse_mass: Any
) -> tuple[Any, Any, Any]:
    """Keep the momentum of leaf `n` (the first leaf of some subtree), or close the subtrees that end with it.

    Leaf n (from 0) ends as many balanced subtrees as its number has ones at the end, in binary. The first leaf of
    each is even, and waits in the place that the count of ones above its last digit gives.
    """
    place = jax.lax.population_count(n >> 1)
    closed = jax.lax.population_count(n ^ (n + 1)) - 1
    opens = (n & 1) == 0
    kept_p = jnp.where(opens, kept_p.at[place].set(p), kept_p)
    kept_sum = jnp.where(opens, kept_sum.at[place].set(p_sum), kept_sum)

    def look(carry: Any) -> Any:
        i, _ = carry
        inside = p_sum - kept_sum[i] + kept_p[i]
        return i - 1, _has_turned(kept_p[i], p, inside, inverse_mass)

    _, turned = jax.lax.while_loop(
        lambda carry: (carry[0] > place - closed) & ~carry[1], look, (place, jnp.zeros((), bool))
    )
    return kept_p, kept_sum, turned


def _has_turned(p_back: Any, p_front: Any, p_sum: Any, inverse_mass: Any) -> Any:
    """Betancourt's generalised criterion; half of either end is left out, as in NumPyro.

    Without that a trajectory can miss its U-turn and run in circles.
    """
    inside = inverse_mass * (p_sum - 0.5 * (p_back + p_front))
    return (p_back @ inside <= 0) | (p_front @ inside <= 0)


def _kinetic(p: Any, inverse_mass: Any) -> Any:
    return 0.5 * (inverse_mass * p**2).sum()


def _choose(condition: Any, one: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)
