"""The transition of NUTS and its tuning: they must sample what they are given, whatever its scales."""

from __future__ import annotations

import numpy as np
import pytest

from pytau_hpc.inference.adaptation import Adaptation, first_stretch, window_ends

jax = pytest.importorskip("jax")

MAX_DEPTH = 8


def noise_of(rng: np.random.Generator, size: int) -> tuple[np.ndarray, ...]:
    return (
        rng.standard_normal(size),
        rng.random(MAX_DEPTH),
        rng.random(MAX_DEPTH),
        rng.random(2**MAX_DEPTH),
    )


def chain_of(log_density, size: int, *, tune: int, draws: int, seed: int = 1):
    """Draws, and how many gradients each took."""
    from pytau_hpc.inference.nuts_kernel import Noise, transition

    jax.config.update("jax_enable_x64", True)

    @jax.jit
    def move(z, value, gradient, scale, step, noise):
        return transition(log_density, MAX_DEPTH, z, value, gradient, scale, step, Noise(*noise))

    adaptation = Adaptation.fresh(size, tune=tune, target=0.8)
    rng = np.random.default_rng(seed)
    z = np.zeros(size)
    value, gradient = jax.value_and_grad(log_density)(z)
    kept, leaves, diverged = [], [], []
    for draw in range(tune + draws):
        noise = noise_of(rng, size)
        moved = move(z, value, gradient, adaptation.inverse_mass, adaptation.step_size, noise)
        z, value, gradient = np.asarray(moved.z), moved.log_density, moved.gradient
        if draw < tune:
            adaptation.learn(z, np.asarray(gradient), float(moved.accept))
        else:
            kept.append(z)
            leaves.append(int(moved.leaves))
            diverged.append(bool(moved.diverged))
    return np.array(kept), np.array(leaves), np.array(diverged), adaptation


def test_a_correlated_normal_of_very_different_scales_is_sampled_as_it_is():
    """Means, variances, correlation and tails of the draws are those of the distribution."""
    scales = np.array([1.0, 10.0, 0.1])
    correlation = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    precision = np.linalg.inv(correlation * np.outer(scales, scales))

    draws, leaves, diverged, adaptation = chain_of(
        lambda z: -0.5 * z @ precision @ z, 3, tune=600, draws=5000
    )

    standard = draws / scales
    np.testing.assert_allclose(standard.mean(axis=0), 0.0, atol=0.1)
    np.testing.assert_allclose(np.cov(standard.T), correlation, atol=0.12)
    np.testing.assert_allclose((standard**4).mean(axis=0), 3.0, atol=0.6)
    # The spread of draws over that of gradients: between the variance and the variance given the others.
    between = np.sqrt([1 - 0.9**2, 1 - 0.9**2, 1.0])
    np.testing.assert_allclose(adaptation.inverse_mass / scales**2, between, rtol=0.2)
    assert not diverged.any()
    assert 3 <= leaves.mean() <= 20


def test_a_wall_in_the_density_is_a_divergence_and_never_a_draw():
    """Where the density is NaN the trajectory stops; the draws stay on this side."""
    import jax.numpy as jnp

    draws, _, diverged, _ = chain_of(
        lambda z: jnp.where(z[0] < 1.0, -0.5 * (z**2).sum(), jnp.nan), 1, tune=100, draws=500
    )

    assert np.isfinite(draws).all()
    assert (draws < 1.0).all()
    assert diverged.any()


@pytest.mark.parametrize("tune", [1, 10, 19, 20, 100, 149, 150, 200, 1000, 5000])
def test_the_windows_fill_what_lies_between_the_first_and_the_last_stretch(tune):
    """They follow one another, each at least as long as the one before, and end before the tuning does."""
    ends = window_ends(tune)

    assert ends == sorted(set(ends))
    if tune < 20:
        assert ends == []
        return
    lengths = np.diff([first_stretch(tune), *ends])
    assert (np.diff(lengths) >= 0).all()
    assert first_stretch(tune) < ends[0]
    assert ends[-1] < tune


def test_a_tuning_goes_on_from_a_checkpoint_bit_for_bit():
    """Everything that it learned so far is in the arrays."""
    rng = np.random.default_rng(3)
    one, other = (Adaptation.fresh(2, tune=60, target=0.9) for _ in range(2))
    for _ in range(33):
        one.learn(rng.standard_normal(2), rng.standard_normal(2), rng.random())

    other.restore(one.to_arrays())
    for _ in range(27):
        learned = rng.standard_normal(2), rng.standard_normal(2), rng.random()
        one.learn(*learned)
        other.learn(*learned)

    assert one.step_size == other.step_size
    assert not one.tuning
    assert one.inverse_mass.tobytes() == other.inverse_mass.tobytes()
    assert not np.array_equal(one.inverse_mass, np.ones(2))
