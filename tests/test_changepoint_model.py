"""The door with PyTau's names for models and fits: what its users write works, in their order of arguments."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from pytau_hpc import changepoint_model as door
from pytau_hpc.errors import BadData, UserError
from pytau_hpc.model_classes import class_name
from pytau_hpc.models import MODELS

pm = pytest.importorskip("pymc")

every_model = pytest.mark.parametrize("name", sorted(MODELS))
SHAPES = {1: (40,), 2: (4, 40), 3: (4, 3, 40), 4: (2, 4, 3, 40)}


def data_for(name: str) -> np.ndarray:
    kind = MODELS[name]
    shape = SHAPES[len(kind.dims)]
    return door.gen_test_array(shape, 3, "normal" if kind.values == "real" else "poisson")


@every_model
def test_every_model_has_a_class_and_a_function(name):
    """By the names of PyTau; the model knows where it is from."""
    cls, function = getattr(door, class_name(name)), getattr(door, name)
    instance = cls(data_array=data_for(name), n_states=3)

    model = instance.generate_model()
    by_function = function(data_for(name), n_states=3)

    assert isinstance(model, pm.Model)
    assert model.changepoint_model is instance
    assert instance.data.ndim == len(MODELS[name].dims)
    assert {v.name for v in by_function.free_RVs} == {v.name for v in model.free_RVs}
    assert issubclass(cls, door.ChangepointModel)
    assert function.__name__ == name
    assert {name, class_name(name)} <= set(door.__all__)


def test_names_of_classes_are_pytaus():
    """Digits stay with their letter."""
    names = {
        "poisson_changepoint_1d": "PoissonChangepoint1D",
        "gaussian_changepoint_mean_var_2d": "GaussianChangepointMeanVar2D",
        "all_taste_poisson_trial_switch": "AllTastePoissonTrialSwitch",
    }

    assert {name: class_name(name) for name in names} == names


def test_arguments_may_come_in_pytaus_order_or_by_its_words():
    """Trial switches stand before the states, the span after them, and Dirichlet models have a default."""
    spikes = data_for("single_taste_poisson")

    assert door.single_taste_poisson(spikes, states=3).changepoint_model.n_states == 3
    assert door.SingleTastePoisson(spikes, 4).n_states == 4
    switch = door.SingleTastePoissonTrialSwitch(spikes, 2, 3)
    assert (switch.options["switch_components"], switch.n_states) == (2, 3)
    by_name = door.SingleTastePoissonTrialSwitch(data_array=spikes, n_states=4, switch_components=3)
    assert (by_name.options["switch_components"], by_name.n_states) == (3, 4)
    assert door.SingleTastePoissonVarsigFixed(spikes, 3, 2).options["inds_span"] == 2
    assert door.SingleTastePoissonDirichlet(spikes).n_states == 10
    assert door.SingleTastePoissonDirichlet(spikes, max_states=5).n_states == 5
    series = data_for("gaussian_changepoint_mean_2d")
    assert door.GaussianChangepointMeanDirichlet(series).n_states == 15


def test_a_single_neuron_needs_no_axis_of_neurons():
    """Trials × bins are trials of one neuron."""
    counts = data_for("single_taste_poisson")[:, 0]

    model = door.SingleTastePoisson(counts, 3)

    assert model.data.shape == (4, 1, 40)
    assert model.data_array.shape == (4, 40)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((), {"n_states": 3}), ((1, 2, 3, 4), {}), ((np.ones(4),), {"data": np.ones(4), "states": 2})],
    ids=["no data", "too many", "twice"],
)
def test_a_wrong_call_is_a_type_error(arguments, named):
    """As for any function."""
    with pytest.raises(TypeError, match="single_taste_poisson"):
        door.SingleTastePoisson(*arguments, **named)


@pytest.mark.parametrize("states", [2.7, 3.0, "3", None])
def test_a_number_of_states_that_is_no_whole_number_is_refused(states):
    """Rather than cut to one; numpy's numbers are numbers."""
    counts = data_for("single_taste_poisson")

    with pytest.raises(UserError, match="number of states of single_taste_poisson must be a whole"):
        door.SingleTastePoisson(counts, states)

    assert door.SingleTastePoisson(counts, np.int64(3)).n_states == 3


def test_data_that_a_model_does_not_take_are_a_value_error():
    """Also a BadData, with what is wrong."""
    with pytest.raises(ValueError, match="poisson_changepoint_1d takes"):
        door.PoissonChangepoint1D(data_for("single_taste_poisson"), 3)
    with pytest.raises(BadData, match=r"nan|NaN|finite"):
        door.SingleTastePoisson(np.full((3, 2, 20), np.nan), 3)
    with pytest.raises(ValueError, match="states"):
        door.PoissonChangepoint1D(np.arange(5), 9)
    with pytest.raises(UserError, match="inds_spam"):
        door.SingleTastePoissonVarsigFixed(data_for("single_taste_poisson"), 3, inds_spam=1)


def test_the_base_class_is_no_model():
    """It takes anything and makes nothing."""
    with pytest.raises(NotImplementedError):
        door.ChangepointModel(any_word=1).generate_model()
    with pytest.raises(NotImplementedError):
        door.ChangepointModel().test()


def test_a_model_tests_itself():
    """Its log density is finite where a fit begins."""
    assert door.PoissonChangepoint1D(data_for("poisson_changepoint_1d"), 3).test()


@pytest.mark.parametrize(
    ("function", "defaults"),
    [
        ("advi_fit", {"fit": 10_000, "samples": 5000, "convergence_tol": None}),
        ("mcmc_fit", {"samples": 1000, "tune": 500, "chains": 4}),
        (
            "dpp_fit",
            {"n_chains": 24, "n_cores": 1, "tune": 500, "draws": 500, "use_numpyro": False},
        ),
        ("find_best_states", {"min_states": 2, "max_states": 10, "convergence_tol": None}),
        ("cross_validate_states", {"k_folds": 5, "min_states": 2, "max_states": 8}),
    ],
)
def test_defaults_are_pytaus(function, defaults):
    """Those of its code and its pages."""
    parameters = inspect.signature(getattr(door, function)).parameters

    assert {name: parameters[name].default for name in defaults} == defaults


@pytest.fixture(scope="module")
def fitted():
    pytensor = pytest.importorskip("pytensor")
    counts = np.random.default_rng(3).poisson(np.repeat([2.0, 8.0], 10))
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        model = door.poisson_changepoint_1d(counts, states=2)
        fit = door.advi_fit(model, fit=60, samples=40)
        fit.trace  # noqa: B018  (made while there is no C compiler)
        again = door.advi_fit(model, fit=60, samples=40, seed=1)
        return counts, model, fit, again


def test_a_fit_is_the_pair_that_the_pages_show(fitted):
    """With PyMC's own objects; PyTau's other values are attributes."""
    counts, model, fit, again = fitted

    same, approx = fit

    assert same is model
    assert approx.hist.shape == (60,)
    assert not np.array_equal(approx.hist, again.approx.hist)
    assert fit[:2] == (model, approx)
    assert fit.tau_samples.shape == (40, 1)
    assert fit.lambda_stack.shape == (2, 40)  # the states of a single series first
    np.testing.assert_array_equal(fit.observations, counts)
    values = door.extract_inferred_values(fit.trace)
    np.testing.assert_array_equal(values["tau_samples"], fit.tau_samples)
    np.testing.assert_array_equal(values["lambda_stack"], fit.lambda_stack)


def test_inferred_values_of_an_old_trace_have_pytaus_axes():
    """A trace that is indexed by the names of its variables."""

    class OldTrace(dict):
        varnames = ("tau", "lambda")

    trace = OldTrace({"tau": np.zeros((10, 5, 2)), "lambda": np.zeros((10, 5, 3))})

    found = door.extract_inferred_values(trace)

    assert found["tau_samples"].shape == (10, 5, 2)
    assert found["lambda_stack"].shape == (5, 10, 3)


def test_an_unknown_approximation_is_refused(fitted):
    """PyTau's own string is none: PyMC takes no notice of it."""
    with pytest.raises(UserError, match="mean_field, full_rank"):
        door.advi_fit(fitted[1], approximation="full-rank")


def test_data_are_no_model_and_no_steps_are_no_fit(fitted):
    """The help is in Python's own traceback, too."""
    with pytest.raises(UserError, match="takes a PyMC model, not a ndarray") as raised:
        door.advi_fit(np.ones((4, 2, 10)))
    assert "single_taste_poisson(data, states=3)" in raised.value.__notes__[0]
    with pytest.raises(UserError, match="at least 1"):
        door.advi_fit(fitted[1], fit=0)


def test_numbers_of_states_must_be_a_range():
    """Nothing to choose from is a mistake of the call."""
    counts = np.ones((4, 2, 10), dtype=int)
    with pytest.raises(UserError, match="below min_states"):
        door.find_best_states(counts, "single_taste_poisson", 10, 10, 5, 3)
    with pytest.raises(UserError, match="below min_states"):
        door.cross_validate_states(counts, "single_taste_poisson", 2, 5, 3)


def test_the_best_number_of_states_has_the_highest_elbo():
    """Two clearly different halves have two states; a model is built for each number."""
    counts = np.random.default_rng(3).poisson(np.repeat([1.0, 9.0], 25))

    best, models, elbos = door.find_best_states(
        counts, door.poisson_changepoint_1d, n_fit=1500, n_samples=50, min_states=2, max_states=3
    )

    with pytest.raises(UserError, match="torch"):
        door.find_best_states(counts, "poisson_changepoint_1d", 10, 10, engine="torch")
    with pytest.raises(UserError, match="one's own"):
        door.find_best_states(counts, lambda data, n_states: None, 10, 10, engine="jax")
    with pytest.raises(BadData, match="too few"):
        door.find_best_states(counts[:6], "poisson_changepoint_1d", 10, 10, 2, 7)

    assert best is models[int(np.argmax(elbos))]
    assert [model.changepoint_model.n_states for model in models] == [2, 3]
    assert all(np.isfinite(elbos))


def test_a_tolerance_that_nothing_would_look_at_is_refused():
    """Rather than taken without a word; what is there instead is said."""
    counts = np.ones(20, dtype=int)

    for model, engine, instead in (
        ("poisson_changepoint_1d", "pymc", "engine jax"),
        (lambda data, n_states: None, None, "advi_fit"),
    ):
        with pytest.raises(UserError, match="convergence_tol") as told:
            door.find_best_states(counts, model, 10, 10, 2, 3, 0.01, engine=engine)
        assert instead in str(told.value.help)


def test_what_cannot_be_cross_validated_says_so():
    """A function of one's own has trials that nobody knows of."""
    with pytest.raises(UserError, match="only models of this package"):
        door.cross_validate_states(np.ones((4, 2, 10)), lambda data, n_states: None)


@pytest.mark.slow
def test_mcmc_and_dirichlet_fits_return_what_pytau_does():
    """Under the compiler; chains, draws and axes."""
    counts = np.random.default_rng(3).poisson(np.repeat([2.0, 8.0], 10))
    model = door.poisson_changepoint_1d(counts, states=2)

    same, trace, rates, tau, data = door.mcmc_fit(model, samples=30, tune=30, chains=2, cores=1)
    dpp = door.dpp_fit(model, n_chains=2, tune=30, draws=20)

    assert same is model
    assert trace.posterior["tau"].shape == (2, 30, 1)
    assert tau.shape == (60, 1)
    assert rates.shape == (2, 60)
    np.testing.assert_array_equal(data, counts)
    assert dpp.posterior["tau"].shape == (2, 20, 1)


def test_what_a_caller_gives_to_pymc_goes_before_what_we_would_give():
    """Its own start and its own seed, by the names of `pymc.sample`."""
    pytensor = pytest.importorskip("pytensor")
    short = {"samples": 3, "tune": 1, "chains": 1}
    with pytensor.config.change_flags(mode="FAST_COMPILE"), pm.Model() as model:
        x = pm.Normal("x", 0.0, 1e4)

        def drawn(**more):
            return np.asarray(door.mcmc_fit(model, **short, **more)[1].posterior["x"]).ravel()

        still = drawn(initvals={"x": 1e8}, step=pm.Metropolis([x], tune=False))
        same, seeded, other = drawn(seed=7), drawn(random_seed=7), drawn(random_seed=8)

    assert np.abs(still - 1e8).max() < 1e6
    np.testing.assert_array_equal(seeded, same)
    assert not np.array_equal(seeded, other)


@pytest.mark.parametrize("name", ["single_taste_poisson", "single_taste_poisson_dirichlet"])
def test_a_model_for_jax_has_fixed_shapes_and_starts_where_it_did(name):
    """JAX takes no computed shapes; PyMC makes them constants, but refuses models with initial values."""
    from pytau_hpc.inference.pymc_fits import with_fixed_shapes

    counts = np.random.default_rng(3).poisson(np.repeat([2.0, 8.0], 6), (4, 2, 12))
    model = door.model_function(name)(counts, 3)
    before = dict(model.rvs_to_initial_values)

    fixed = with_fixed_shapes(model)

    shapes = [shape for value in fixed.value_vars if len(shape := value.type.shape) == 2]
    assert len(shapes) == 2  # rates, and places or lengths of the states of each trial
    assert all(None not in shape for shape in shapes)
    assert model.rvs_to_initial_values == before
    start, same = model.initial_point(), fixed.initial_point()
    assert start.keys() == same.keys()
    assert all(np.array_equal(start[key], same[key]) for key in start)


@pytest.mark.slow
def test_a_dirichlet_model_is_drawn_by_numpyro():
    """As PyTau's `use_numpyro`: chains, draws and axes; the model's shapes are computed, and JAX takes none such."""
    pytest.importorskip("numpyro")
    counts = np.random.default_rng(3).poisson(np.repeat([2.0, 8.0], 6), (2, 2, 12))
    model = door.single_taste_poisson_dirichlet(counts, 3)

    dpp = door.dpp_fit(model, n_chains=1, tune=20, draws=10, use_numpyro=True)

    assert dpp.posterior["tau"].shape == (1, 10, 2, 2)
    assert np.isfinite(dpp.posterior["tau"]).all()
