"""What every model promises. The tests find a new model by themselves; it needs an entry in `references`."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

from pytau_hpc.errors import BadData, UserError
from pytau_hpc.inference.lowering import Lowered, lower
from pytau_hpc.models import MODELS
from tests.models.references import REFERENCES, displaced
from tests.models.simulated import simulated

NAMES = sorted(MODELS)
every_model = pytest.mark.parametrize("name", NAMES)


@functools.cache
def lowered(name: str) -> Lowered:
    """The model lowered for its reference data with the fewest states; its shapes are symbolic."""
    kind, reference = MODELS[name], REFERENCES[name]
    data = kind.prepare(reference.data)
    return lower(kind.build(data, kind.min_states, kind.resolve_options({})))


def inputs_of(name: str, data: np.ndarray, n_states: int) -> dict[str, np.ndarray]:
    kind = MODELS[name]
    return lowered(name).as_inputs(kind.inputs(kind.prepare(data), n_states, kind.options))


def some_points(name: str, inputs: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    initial = lowered(name).start({}, inputs)
    return [initial, *(displaced(initial, number) for number in range(3))]


@every_model
def test_a_model_is_described_completely(name):
    """What plan and the result file read from a kind is there and hangs together."""
    kind = MODELS[name]

    assert kind.name == name
    assert kind.version >= 1
    assert kind.dims[-1] == "bin"
    assert kind.min_states >= 2
    assert kind.summary
    assert kind.posterior_dims["tau"][-1] == "changepoint"


@every_model
def test_a_model_has_the_variables_that_its_kind_names(name):
    """The result file gives dimensions to every variable, and to no other."""
    kind = MODELS[name]
    model = kind.build(kind.prepare(REFERENCES[name].data), 3, kind.resolve_options({}))

    names = {variable.name for variable in [*model.free_RVs, *model.deterministics]}

    assert names == set(kind.posterior_dims)


@every_model
def test_the_density_is_the_formula(name):
    """Written down independently, without PyMC, it gives the same numbers at any point."""
    reference = REFERENCES[name]
    for n_states in reference.pytau:
        inputs = inputs_of(name, reference.data, n_states)
        for point in some_points(name, inputs):
            ours = lowered(name).reference_log_density(point, inputs)
            # PyMC's half-Cauchy takes log(2) in single precision: 2e-8 nats for each.
            expected = reference.formula(reference.data, point, n_states)
            assert ours == pytest.approx(expected, rel=1e-8)


@every_model
def test_the_density_is_pytaus(name):
    """PyTau's own classes gave these numbers, at its initial point (so that is the same too) and around it."""
    reference = REFERENCES[name]
    for n_states, expected in reference.pytau.items():
        inputs = inputs_of(name, reference.data, n_states)
        ours = [lowered(name).reference_log_density(p, inputs) for p in some_points(name, inputs)]
        assert ours == pytest.approx(list(expected), rel=1e-10)


@every_model
def test_changepoints_are_sorted_and_inside_the_data(name):
    """Wherever the optimiser goes, tau counts bins from the first to the last, in order."""
    kind = MODELS[name]
    made = simulated(kind)
    inputs = inputs_of(name, made.data, made.n_states)
    start = lowered(name).start({}, inputs)
    rng = np.random.default_rng(1)
    wild = {key: value + 5 * rng.normal(size=(50, *value.shape)) for key, value in start.items()}

    tau = lowered(name).draws(wild, inputs)["tau"]

    assert (np.diff(tau, axis=-1) >= 0).all()
    assert (tau >= 0).all()
    assert (tau <= made.data.shape[-1] - 1).all()


@every_model
def test_draws_have_the_shapes_that_the_kind_names(name):
    """One length for one name of a dimension, whatever the variable."""
    kind = MODELS[name]
    made = simulated(kind)
    inputs = inputs_of(name, made.data, made.n_states)
    free = {k: v[None].repeat(7, axis=0) for k, v in lowered(name).start({}, inputs).items()}
    lengths = dict(zip(kind.dims, kind.prepare(made.data).shape, strict=True))
    lengths.update(state=made.n_states, changepoint=made.n_states - 1)

    drawn = lowered(name).draws(free, inputs)

    for variable, dims in kind.posterior_dims.items():
        assert drawn[variable].shape == (7, *(lengths[dim] for dim in dims))


@every_model
@pytest.mark.parametrize("n_states", [2, 3, 5])
def test_every_start_is_a_point_of_finite_density(name, n_states):
    """A start that the model cannot evaluate would be lost without a word."""
    kind = MODELS[name]
    made = simulated(kind, n_states=n_states)
    data = kind.prepare(made.data)
    inputs = inputs_of(name, made.data, n_states)

    starts = kind.starts(data, n_states, kind.resolve_options({}), np.random.default_rng(0))

    names = [start.name for start in starts]
    assert len(set(names)) == len(names)
    assert {"even", "prior"} <= set(names)
    for start in starts:
        point = lowered(name).start(start.values, inputs)
        assert np.isfinite(lowered(name).reference_log_density(point, inputs))


@every_model
def test_starts_follow_from_the_random_numbers(name):
    """The same seed, the same starts: a fit that starts over is the same fit."""
    kind = MODELS[name]
    data = kind.prepare(simulated(kind).data)

    once, again = (kind.starts(data, 3, {}, np.random.default_rng(5)) for _ in range(2))

    for one, other in zip(once, again, strict=True):
        assert one.name == other.name
        assert all(np.array_equal(one.values[key], other.values[key]) for key in one.values)


@every_model
def test_the_first_start_is_near_the_truth_where_that_is_clear(name):
    """The segmentation sees changes of this size by itself, to within a bin or two."""
    kind = MODELS[name]
    made = simulated(kind, n_bins=60)
    start = kind.starts(kind.prepare(made.data), made.n_states, {}, np.random.default_rng(0))[0]

    tau = start.values["tau_latent"] * (made.data.shape[-1] - 1)

    assert np.abs(tau - made.tau).mean() < 1.0


@every_model
def test_silent_and_constant_data_have_a_finite_density(name):
    """A neuron that never fires, or a flat series, is data like any other."""
    kind, reference = MODELS[name], REFERENCES[name]
    flat = np.zeros_like(reference.data)
    inputs = inputs_of(name, flat, 2)

    for start in kind.starts(kind.prepare(flat), 2, {}, np.random.default_rng(0)):
        point = lowered(name).start(start.values, inputs)
        assert np.isfinite(lowered(name).reference_log_density(point, inputs))


@every_model
def test_a_model_takes_data_with_fewer_axes(name):
    """One series is one trial of one neuron: axes of length 1 are added in front."""
    kind = MODELS[name]
    series = np.arange(20) % 3

    assert kind.accepts((20,), ("bin",)) is None
    prepared = kind.prepare(series)

    assert prepared.shape == (1,) * (len(kind.dims) - 1) + (20,)
    assert np.array_equal(prepared.ravel(), series)


@every_model
def test_a_model_refuses_data_with_more_axes_and_says_what_it_takes(name):
    """Also in `plan`, which has the shape but not the array."""
    kind = MODELS[name]
    dims = ("taste", "more", *kind.dims)
    shape = (2,) * len(dims)

    problem = kind.accepts(shape, dims)

    assert problem is not None
    assert " × ".join(kind.dims) in problem
    with pytest.raises(BadData, match=name):
        kind.prepare(np.ones(shape))


@every_model
def test_a_model_refuses_more_states_than_bins(name):
    """Every state needs a bin of its own."""
    kind = MODELS[name]
    shape = (*(2 for _ in kind.dims[:-1]), 4)

    assert kind.accepts(shape, kind.dims, n_states=4) is None
    assert "4 bins" in str(kind.accepts(shape, kind.dims, n_states=5))
    assert "at least" in str(kind.accepts(shape, kind.dims, n_states=kind.min_states - 1))


@every_model
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_model_refuses_values_that_are_not_finite(name, bad):
    """NaN would become NaN everywhere, hours later."""
    data = REFERENCES[name].data.astype(float).copy()
    data.flat[1] = bad

    with pytest.raises(BadData, match="NaN or infinite"):
        MODELS[name].prepare(data)


@every_model
def test_a_model_of_counts_refuses_what_is_no_count(name):
    """Rates or z-scores in a model of counts are a mistake in the spec, not a fit."""
    kind = MODELS[name]
    if kind.values == "real":
        assert kind.prepare(REFERENCES[name].data - 0.5).dtype == np.float64
        return
    for wrong, word in ((0.5, "fractions"), (-1, "negative")):
        with pytest.raises(BadData, match=word):
            kind.prepare(
                REFERENCES[name].data
                + np.where(np.arange(REFERENCES[name].data.shape[-1]), 0, wrong)
            )


@every_model
def test_an_option_that_a_model_does_not_have_is_an_error(name):
    """A misspelt option would otherwise be a fit with the default."""
    with pytest.raises(UserError, match="has no option 'colour'"):
        MODELS[name].resolve_options({"colour": 1})


def test_cutting_finds_the_best_of_all_cuts():
    """The dynamic programme gives what trying everything gives."""
    from pytau_hpc.models.starts import cut, hard_weights

    rng = np.random.default_rng(3)
    n_trials, n_states, n_bins = 4, 3, 9
    density = rng.normal(size=(n_trials, n_states, n_bins))

    score, edges = cut(density)

    everything = np.array(list(itertools.combinations(range(1, n_bins), n_states - 1)))
    scores = np.stack(
        [(density[t] * hard_weights(everything, n_bins)).sum(axis=(1, 2)) for t in range(n_trials)]
    )
    assert score == pytest.approx(scores.max(axis=1).sum())
    assert np.array_equal(edges, everything[scores.argmax(axis=1)])


def test_every_state_gets_a_bin_even_where_all_are_alike():
    """Ties must not produce empty states or cuts outside of the data."""
    from pytau_hpc.models.starts import cut

    _, edges = cut(np.zeros((2, 4, 4)))

    assert np.array_equal(edges, [[1, 2, 3], [1, 2, 3]])
