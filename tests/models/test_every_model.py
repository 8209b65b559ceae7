"""What every model promises. The tests find a new model by themselves; it needs an entry in `references`."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from pytau_hpc.errors import BadData, UserError
from pytau_hpc.inference.lowering import Lowered, lower
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.inference.result_file import verify, write_result
from pytau_hpc.models import MODELS
from tests.models.references import REFERENCES, displaced
from tests.models.simulated import N_CATEGORIES, simulated

NAMES = sorted(MODELS)
every_model = pytest.mark.parametrize("name", NAMES)


@functools.cache
def lowered(name: str) -> Lowered:
    """The model lowered for its reference data with the fewest states; its shapes are symbolic."""
    kind, reference = MODELS[name], REFERENCES[name]
    data = kind.prepare(reference.data)
    return lower(kind.build(data, kind.min_states, kind.resolve_options({})))


def inputs_of(
    name: str, data: np.ndarray, n_states: int, options: Mapping[str, Any] | None = None
) -> dict[str, np.ndarray]:
    kind = MODELS[name]
    resolved = kind.resolve_options(options or {})
    return lowered(name).as_inputs(kind.inputs(kind.prepare(data), n_states, resolved))


def drawn_at(
    name: str, values: Mapping[str, np.ndarray], inputs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """All variables of the model at a start."""
    free = lowered(name).start(values, inputs)
    drawn = lowered(name).draws({key: value[None] for key, value in free.items()}, inputs)
    return {key: value[0] for key, value in drawn.items()}


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
    for case in reference.cases:
        options = MODELS[name].resolve_options(case.options)
        inputs = inputs_of(name, reference.data, case.n_states, options)
        for point in some_points(name, inputs):
            ours = lowered(name).reference_log_density(point, inputs)
            # PyMC's half-Cauchy takes log(2) in single precision: 2e-8 nats for each.
            expected = reference.formula(reference.data, point, case.n_states, options)
            assert ours == pytest.approx(expected, rel=1e-8)


@every_model
def test_the_density_is_pytaus(name):
    """PyTau's own classes gave these numbers, at its initial point (so that is the same too) and around it."""
    reference = REFERENCES[name]
    compared = [case for case in reference.cases if case.pytau is not None]
    assert compared
    for case in compared:
        inputs = inputs_of(name, reference.data, case.n_states, case.options)
        ours = [lowered(name).reference_log_density(p, inputs) for p in some_points(name, inputs)]
        assert ours == pytest.approx(list(case.pytau), rel=1e-10)


@every_model
def test_changepoints_are_sorted_and_inside_the_data(name):
    """Wherever the optimiser goes, tau counts bins from the first to the last (or its end), in order."""
    kind = MODELS[name]
    made = simulated(kind)
    inputs = inputs_of(name, made.data, made.n_states)
    start = lowered(name).start({}, inputs)
    rng = np.random.default_rng(1)
    wild = {key: value + 5 * rng.normal(size=(50, *value.shape)) for key, value in start.items()}

    tau = lowered(name).draws(wild, inputs)["tau"]

    assert (np.diff(tau, axis=-1) >= 0).all()
    assert (tau >= 0).all()
    assert (tau <= made.data.shape[-1] + REFERENCES[name].last).all()


@every_model
def test_draws_have_the_shapes_that_the_kind_names(name):
    """One length for one name of a dimension, whatever the variable."""
    kind = MODELS[name]
    made = simulated(kind)
    inputs = inputs_of(name, made.data, made.n_states)
    free = {k: v[None].repeat(7, axis=0) for k, v in lowered(name).start({}, inputs).items()}
    lengths = dict(zip(kind.dims, kind.prepare(made.data).shape, strict=True))
    lengths.update(state=made.n_states, changepoint=made.n_states - 1, category=N_CATEGORIES)
    lengths.update(component=2, switch=1)

    drawn = lowered(name).draws(free, inputs)

    for variable, dims in kind.posterior_dims.items():
        assert drawn[variable].shape == (7, *(lengths[dim] for dim in dims))


@every_model
def test_a_result_file_takes_all_variables(name, tmp_path):
    """With the axes that the kind names, whole when it is read again."""
    kind = MODELS[name]
    made = simulated(kind)
    inputs = inputs_of(name, made.data, made.n_states)
    free = {k: v[None].repeat(4, axis=0) for k, v in lowered(name).start({}, inputs).items()}
    posterior = Posterior(
        draws=lowered(name).draws(free, inputs),
        elbo=-1.0,
        elbo_se=0.1,
        converged=True,
        iterations=1,
        loss=np.ones(1),
        loss_every=1,
    )
    path = tmp_path / "result.nc"

    write_result(
        path,
        posterior=posterior,
        data=kind.prepare(made.data),
        dims=kind.dims,
        kind=kind,
        attrs={"point_id": "00000000000000aa", "point": {}, "provenance": {}},
    )

    contents = verify(path, "00000000000000aa")["contents"]
    assert {f"posterior/{variable}" for variable in kind.posterior_dims} <= set(contents)


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

    once, again = (
        kind.starts(data, 3, kind.resolve_options({}), np.random.default_rng(5)) for _ in range(2)
    )

    for one, other in zip(once, again, strict=True):
        assert one.name == other.name
        assert all(np.array_equal(one.values[key], other.values[key]) for key in one.values)


@every_model
def test_the_first_start_is_near_the_truth_where_that_is_clear(name):
    """The segmentation sees changes of this size by itself, to within a bin or two."""
    kind = MODELS[name]
    made = simulated(kind, n_bins=60)
    rng = np.random.default_rng(0)
    start = kind.starts(kind.prepare(made.data), made.n_states, kind.resolve_options({}), rng)[0]

    drawn = drawn_at(name, start.values, inputs_of(name, made.data, made.n_states))

    assert np.abs(drawn["tau"] - made.tau).mean() < 1.0
    if len(made.switches):
        assert np.abs(drawn["tau_trial"] - made.switches).max() < 0.1


@every_model
def test_silent_and_constant_data_have_a_finite_density(name):
    """A neuron that never fires, or a flat series, is data like any other."""
    kind, reference = MODELS[name], REFERENCES[name]
    flat = np.zeros_like(reference.data)
    inputs = inputs_of(name, flat, 2)

    options = kind.resolve_options({})
    for start in kind.starts(kind.prepare(flat), 2, options, np.random.default_rng(0)):
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
def test_trials_by_bins_are_trials_of_one_series(name):
    """As PyTau's pages say of its models of one taste. Trials by neurons by bins are one taste."""
    kind = MODELS[name]
    if "trial" not in kind.dims:
        return
    lengths = {"trial": 4, "bin": 20}

    prepared = kind.prepare(np.arange(80).reshape(4, 20) % 3)

    assert kind.accepts((4, 20), ("dimension", "bin"), 3) is None
    assert prepared.shape == tuple(lengths.get(dim, 1) for dim in kind.dims)
    if "taste" in kind.dims:
        assert kind.prepare(np.ones((4, 3, 20))).shape == (1, 4, 3, 20)


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
    data = REFERENCES[name].data.astype(float)
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


@every_model
def test_options_are_of_the_type_of_their_defaults(name):
    """`2` where 2.0 is meant is the same fit; what makes no sense is refused with the option's name."""
    kind = MODELS[name]
    for option, default in kind.options.items():
        assert kind.resolve_options({option: default}) == kind.resolve_options({})
        for three in (3, np.int64(3)):
            assert type(kind.resolve_options({option: three})[option]) is type(default)
        for wrong in (0, -1, True, "3", None, [3]):
            with pytest.raises(UserError, match=f"`{option}` of {name} must be"):
                kind.resolve_options({option: wrong})


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("single_taste_poisson_varsig_fixed", "inds_span", 0.1),
        ("all_taste_poisson_varsig_fixed", "inds_span", 30.0),
        ("single_taste_poisson_trial_switch", "switch_components", 4),
        ("all_taste_poisson_trial_switch", "switch_components", 4),
    ],
)
def test_starts_follow_the_options(name, option, value):
    """Also where there are fewer trials than components."""
    kind = MODELS[name]
    for n_trials in (8, 2):
        made = simulated(kind).data
        data = kind.prepare(made[..., :n_trials, :, :])
        inputs = inputs_of(name, data, 3, {option: value})
        options = kind.resolve_options({option: value})
        for start in kind.starts(data, 3, options, np.random.default_rng(0)):
            point = lowered(name).start(start.values, inputs)
            assert np.isfinite(lowered(name).reference_log_density(point, inputs))


@pytest.mark.parametrize("inds_span", [1.0, 4.0])
def test_a_change_takes_as_many_bins_as_was_said(inds_span):
    """From 5 % to 95 % of the way."""
    from pytau_hpc.models.changepoints import changed, slope_of

    # A bin half the span before the changepoint, and one half the span after it.
    tau = np.array([inds_span / 2, -inds_span / 2])
    before, after = changed(tau, 1, slope_of(inds_span)[0]).eval(mode="FAST_COMPILE")[:, 0]

    assert before == pytest.approx(0.05, abs=1e-4)
    assert after == pytest.approx(0.95, abs=1e-4)


def test_categories_are_ranks_of_what_occurs():
    """Whatever their numbers; where all are alike, there is a second category all the same."""
    kind = MODELS["categorical_changepoint_2d"]

    found = kind.inputs(kind.prepare([[7, 3, 3, 9], [9, 7, 7, 3]]), 2, {})
    alike = kind.inputs(kind.prepare([[7, 7, 7, 7]]), 2, {})

    assert found["categories"].tolist() == [[1, 0, 0, 2], [2, 1, 1, 0]]
    assert found["concentration"].shape == (2, 3)
    assert alike["categories"].tolist() == [[0, 0, 0, 0]]
    assert alike["concentration"].shape == (2, 2)


def test_a_part_of_the_trials_has_the_categories_of_all():
    """Once they are settled: a category that some trials lack changes the numbers of none."""
    kind = MODELS["categorical_changepoint_2d"]
    data = kind.prepare([[0, 0, 1, 1], [4, 4, 1, 1]])
    options = kind.settled(data, {})

    parts = [kind.inputs(data[[trial]], 2, options) for trial in range(2)]

    assert [part["categories"].tolist() for part in parts] == [[[0, 0, 1, 1]], [[2, 2, 1, 1]]]
    assert {part["concentration"].shape for part in parts} == {(2, 3)}


def test_probabilities_of_categories_sum_to_one_with_many_states():
    """PyTau's do not, and its ELBO is infinite: at any point, for three states and more."""
    name = "categorical_changepoint_2d"
    for n_states in (3, 5, 8):
        inputs = inputs_of(name, REFERENCES[name].data, n_states)
        for point in some_points(name, inputs):
            assert np.isfinite(lowered(name).reference_log_density(point, inputs))


def test_parents_of_exponentials_are_likely_given_their_children():
    """The fixed point has no slope in the joint log density of the parents' logarithms."""
    from pytau_hpc.models.starts import chain_of_exponentials

    leaf = np.random.default_rng(0).gamma(2.0, size=(3, 4, 5))

    low, high = chain_of_exponentials(leaf, (2, 0), 10.0)

    assert low.shape == (3, 4)
    assert high.shape == (4,)
    np.testing.assert_allclose(low * (high + leaf.sum(axis=2)), 1 + 5, rtol=1e-6)
    np.testing.assert_allclose(high * (10 + low.sum(axis=0)), 1 + 3, rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["gaussian_changepoint_mean_dirichlet", "single_taste_poisson_dirichlet"]
)
def test_a_start_uses_up_as_much_of_a_stick_as_is_likely(name, monkeypatch):
    """Any share gives the same changepoints, but from an unlikely one an optimiser does not come back."""
    from pytau_hpc.models import starts

    kind = MODELS[name]
    made = simulated(kind, n_states=5)
    data, inputs = kind.prepare(made.data), inputs_of(name, made.data, 5)

    def log_density() -> float:
        start = kind.starts(data, 5, kind.resolve_options({}), np.random.default_rng(0))[0]
        point = lowered(name).start(start.values, inputs)
        return lowered(name).reference_log_density(point, inputs)

    ours = log_density()
    for other in (0.95, 0.02):
        monkeypatch.setattr(starts, "FILLED", other)
        assert log_density() < ours


def test_cutting_finds_the_best_of_all_cuts():
    """The dynamic programme gives what trying everything gives."""
    from pytau_hpc.models.segmentation import cut, hard_weights

    rng = np.random.default_rng(3)
    n_trials, n_states, n_bins = 4, 3, 9
    density = rng.normal(size=(n_trials, n_states, n_bins))

    best, edges = cut(density)

    everything = np.array(list(itertools.combinations(range(1, n_bins), n_states - 1)))
    scores = np.stack(
        [(density[t] * hard_weights(everything, n_bins)).sum(axis=(1, 2)) for t in range(n_trials)]
    )
    np.testing.assert_allclose(best, scores.max(axis=1))
    assert np.array_equal(edges, everything[scores.argmax(axis=1)])


def test_every_state_gets_a_bin_even_where_all_are_alike():
    """Ties must not produce empty states or cuts outside of the data."""
    from pytau_hpc.models.segmentation import cut

    _, edges = cut(np.zeros((2, 4, 4)))

    assert np.array_equal(edges, [[1, 2, 3], [1, 2, 3]])
