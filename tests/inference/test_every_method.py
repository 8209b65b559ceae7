"""What every inference method promises about its settings. The tests find a new method by themselves."""

from __future__ import annotations

import importlib
import inspect
import json
from importlib.util import find_spec

import pytest

from pytau_hpc.errors import UserError
from pytau_hpc.files import canonical_json
from pytau_hpc.inference import METHODS, MethodKind, nuts

#: Those whose packages are here.
ENGINES = [
    (name, engine)
    for name, kind in sorted(METHODS.items())
    for engine in kind.engines
    if engine not in nuts.OPTIONAL or find_spec(engine) is not None
]
WHOLE_NUMBERS = [
    (name, engine, key)
    for name, engine in ENGINES
    for key in ("iterations", "draws", "tune", "chains")
    if key in METHODS[name].settings
]
every_method = pytest.mark.parametrize("name", sorted(METHODS))
every_engine = pytest.mark.parametrize(("name", "engine"), ENGINES)


@every_method
def test_a_method_is_described_completely(name):
    """What the spec reads from a kind is there."""
    kind = METHODS[name]

    assert kind.name == name
    assert kind.summary
    assert "engine" in kind.settings
    assert kind.resolve({})["engine"] == next(iter(kind.engines))


@every_engine
def test_resolved_settings_can_be_part_of_an_id(name, engine):
    """They are plain values, the same after a round trip through a file, and say which engine and algorithm."""
    resolved = METHODS[name].resolve({"engine": engine})

    assert json.loads(canonical_json(resolved)) == resolved
    assert resolved["engine"] == engine
    assert resolved["algorithm"] >= 1
    assert "checkpoint_s" not in resolved


@every_engine
def test_saying_the_default_changes_nothing(name, engine):
    """`draws: 1000` written out and left out are one fit with one id."""
    kind = METHODS[name]

    assert kind.resolve({"engine": engine, "draws": kind.settings["draws"]}) == kind.resolve(
        {"engine": engine}
    )


@pytest.mark.parametrize(("name", "engine", "key"), WHOLE_NUMBERS)
def test_a_setting_that_matters_changes_the_resolved_settings(name, engine, key):
    """Two fits that differ must not share an id."""
    resolve = METHODS[name].resolve

    assert resolve({"engine": engine, key: 777})[key] == 777


@every_method
def test_resolving_leaves_the_given_settings_alone(name):
    """They belong to the spec."""
    given = {"draws": 5}

    METHODS[name].resolve(given)

    assert given == {"draws": 5}


@every_method
@pytest.mark.parametrize(
    "wrong",
    [
        {"iterations": 0},
        {"iterations": -5},
        {"iterations": "all"},
        {"iterations": 2.5},
        {"iterations": True},
        {"draws": 0},
        {"draws": None},
        {"restarts": 0},
        {"engine": "torch"},
        {"engine": ["jax"]},
    ],
    ids=str,
)
def test_an_impossible_value_is_a_user_error_that_names_the_setting(name, wrong):
    """At plan time, not on the cluster."""
    [key] = wrong

    with pytest.raises(UserError, match=f"`{key}`"):
        METHODS[name].resolve(wrong)


@every_method
def test_an_unknown_setting_gets_a_suggestion(name):
    """A misspelt setting would otherwise be a fit with the default."""
    with pytest.raises(UserError, match="did you mean `draws`"):
        METHODS[name].resolve({"drawss": 100})


@every_method
def test_all_problems_are_reported_at_once(name):
    """One line for each."""
    with pytest.raises(UserError) as caught:
        METHODS[name].resolve({"iteration": 100, "draws": 0, "restarts": -1})

    assert len(caught.value.message.splitlines()) == 3


@every_engine
def test_every_engine_fits_by_the_same_signature(name, engine):
    """The fit process calls all of them alike."""
    module = importlib.import_module(METHODS[name].engines[engine])

    wanted = set(inspect.signature(MethodKind.fit).parameters) - {"self"}

    assert set(inspect.signature(module.fit).parameters) == wanted


def test_the_pymc_engine_runs_as_long_as_pytau_does():
    """`iterations: auto` is what PyTau's users run."""
    assert METHODS["advi"].resolve({"engine": "pymc"})["iterations"] == 80_000


@pytest.mark.parametrize("wrong", [{"learning_rate": 0.1}, {"elbo_draws": 3}], ids=str)
def test_settings_of_the_jax_engine_are_refused_for_the_pymc_engine(wrong):
    """They would be ignored."""
    with pytest.raises(UserError, match="engine pymc"):
        METHODS["advi"].resolve({"engine": "pymc", **wrong})


@pytest.mark.parametrize("iterations", [1, 2, 249, 1000, 5000, 100_000])
def test_a_budget_of_the_jax_engine_is_divided_without_a_rest(iterations):
    """Whatever the number, exploring and annealing fit into it."""
    settings = METHODS["advi"].resolve({"iterations": iterations})

    assert settings["max_iterations"] == iterations
    assert settings["explore_iterations"] >= 1
    assert settings["anneal_iterations"] >= 0
    assert settings["explore_iterations"] + settings["anneal_iterations"] <= iterations


def test_a_full_rank_fit_needs_the_engine_that_has_it():
    """At plan time; and a mean-field fit keeps the id that it always had."""
    resolve = METHODS["advi"].resolve

    with pytest.raises(UserError, match="full_rank` needs `engine: pymc`"):
        resolve({"approximation": "full_rank"})

    assert resolve({"engine": "pymc", "approximation": "full_rank"})["approximation"] == "full_rank"
    assert resolve({"engine": "pymc", "restarts": 8})["restarts"] == 8
    said = resolve({"engine": "pymc", "approximation": "mean_field", "restarts": 1})
    assert said == resolve({"engine": "pymc"})


@pytest.mark.parametrize("engine", nuts.OPTIONAL)
def test_a_sampler_that_is_not_installed_is_refused_with_a_way_out(engine):
    """By `plan`, where it costs nothing, not by every task."""
    if find_spec(engine) is not None:
        pytest.skip(f"{engine} is installed")

    with pytest.raises(UserError, match=f"needs the package {engine}") as refused:
        METHODS["nuts"].resolve({"engine": engine})

    assert "pytau_hpc[samplers]" in refused.value.help


@pytest.mark.parametrize(
    "wrong",
    [{"draws": 3}, {"chains": 0}, {"target_accept": 1.0}, {"max_tree_depth": 16}, {"tune": 0.5}],
    ids=str,
)
def test_an_impossible_setting_of_nuts_is_named(wrong):
    """With what it must be."""
    [key] = wrong

    with pytest.raises(UserError, match=f"`{key}` must be"):
        METHODS["nuts"].resolve(wrong)
