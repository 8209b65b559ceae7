"""From PyMC to JAX: one lowering for all shapes, the same density, and no model whose density is another one."""

from __future__ import annotations

import functools

import numpy as np
import pytensor
import pytest

from pytau_hpc.errors import PytauHpcError
from pytau_hpc.inference.lowering import Lowered, guard, lower
from pytau_hpc.models import MODELS
from tests.models.references import displaced, wave

jax = pytest.importorskip("jax")
compiled = pytest.importorskip("pytau_hpc.inference.jax_programs").compiled
pm = pytest.importorskip("pymc")

every_model = pytest.mark.parametrize("name", sorted(MODELS))


@functools.cache
def lowered(name: str) -> Lowered:
    """Lowered once, for two states and six bins."""
    kind = MODELS[name]
    return lower(kind.build(data_of(name, 6), 2, kind.options))


def data_of(name: str, *ends: int) -> np.ndarray:
    """Data with `ends` as its last axes, and axes of length 1 before them where the model has more."""
    kind = MODELS[name]
    shape = (1,) * (len(kind.dims) - len(ends)) + ends[-len(kind.dims) :]
    return kind.prepare(np.round(10 + 9 * wave(shape, 0.3)))


def density_in_jax(
    low: Lowered, point: dict[str, np.ndarray], inputs: dict[str, np.ndarray]
) -> float:
    """Traced, as the engine does it, with the data as arguments."""
    arguments = list(inputs.values()), [point[key] for key in low.names]
    return float(compiled(lambda data, free: low.log_density(data)(free), *arguments)(*arguments))


@every_model
@pytest.mark.parametrize(
    ("ends", "n_states"),
    [
        ((3, 2, 9), 4),
        pytest.param((6,), 2, marks=pytest.mark.slow),
        pytest.param((2, 3, 5, 17), 3, marks=pytest.mark.slow),
    ],
)
def test_one_lowering_serves_any_shape_and_number_of_states(name, ends, n_states):
    """Value of JAX and of PyTensor for other data than it was lowered for, and of a model built for those data."""
    kind, low = MODELS[name], lowered(name)
    data = data_of(name, *ends)
    inputs = low.as_inputs(kind.inputs(data, n_states, kind.options))
    point = displaced(low.start({}, inputs), 1)

    in_jax = density_in_jax(low, point, inputs)

    model = kind.build(data, n_states, kind.options)
    values = {model.rvs_to_values[rv].name: point[rv.name] for rv in model.free_RVs}
    with pytensor.config.change_flags(cxx=""):
        fresh = model.compile_logp(mode="FAST_COMPILE")(values)
    assert in_jax == pytest.approx(float(fresh), rel=1e-12)
    assert low.reference_log_density(point, inputs) == pytest.approx(float(fresh), rel=1e-12)


@every_model
def test_the_gradient_is_the_slope_of_the_density(name):
    """JAX differentiates what it was given: a step along a direction changes the density accordingly."""
    kind, low = MODELS[name], lowered(name)
    inputs = low.as_inputs(kind.inputs(data_of(name, 2, 2, 8), 3, kind.options))
    point = displaced(low.start({}, inputs), 2)
    direction = {key: wave(value.shape, 0.1) for key, value in point.items()}
    density = low.log_density(list(inputs.values()))

    free = [point[key] for key in low.names]
    slopes = compiled(jax.grad(density), free)(free)

    step = 1e-5
    ahead, behind = (
        low.reference_log_density(
            {k: v + sign * step * direction[k] for k, v in point.items()}, inputs
        )
        for sign in (1, -1)
    )
    expected = (ahead - behind) / (2 * step)
    along = sum(float((s * direction[k]).sum()) for k, s in zip(low.names, slopes, strict=True))
    assert along == pytest.approx(expected, rel=1e-5)


@every_model
def test_a_start_given_in_the_models_own_space_is_that_point(name):
    """There and back again: constrained values → free values → draws."""
    kind, low = MODELS[name], lowered(name)
    data = data_of(name, 4, 3, 12)
    inputs = low.as_inputs(kind.inputs(data, 3, kind.options))
    start = kind.starts(data, 3, kind.options, np.random.default_rng(0))[0]

    free = low.start(start.values, inputs)
    back = low.draws({key: value[None] for key, value in free.items()}, inputs)

    for key, value in start.values.items():
        np.testing.assert_allclose(back[key][0], value, rtol=1e-9)


def test_a_start_of_another_shape_is_refused():
    """It would be broadcast to something that nobody meant."""
    name = "poisson_changepoint_1d"
    low = lowered(name)
    inputs = low.as_inputs(MODELS[name].inputs(data_of(name, 9), 3, {}))

    with pytest.raises(ValueError, match="lambda starts with"):
        low.start({"lambda": np.ones(1)}, inputs)
    with pytest.raises(KeyError, match="nonsense"):
        low.start({"nonsense": np.ones(3)}, inputs)


def test_a_model_that_jax_reads_differently_is_refused():
    """PyMC calls probabilities that do not sum to one impossible; JAX drops that check and gives a finite number."""
    with pm.Model() as model:
        data = pm.Data("data", np.array([0, 1, 1]))
        share = pm.Beta("share", 2.0, 2.0)
        pm.Categorical("obs", p=pm.math.stack([share, share]), observed=data)
    low = lower(model)
    inputs = low.as_inputs({"data": np.array([0, 1, 1])})
    point = {"share": np.array(0.3)}
    ours = density_in_jax(low, point, inputs)
    assert np.isfinite(ours)

    with pytest.raises(PytauHpcError, match="in JAX but") as caught:
        guard("shares", low, [ours], [point], inputs)

    assert "engine: pymc" in str(caught.value.help)


def test_a_model_that_jax_reads_right_is_accepted():
    """The guard does not cry wolf."""
    name = "gaussian_changepoint_mean_2d"
    low = lowered(name)
    inputs = low.as_inputs(MODELS[name].inputs(data_of(name, 2, 9), 3, {}))
    point = low.start({}, inputs)
    ours = density_in_jax(low, point, inputs)

    guard(name, low, [ours], [point], inputs)
