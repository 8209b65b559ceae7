"""Choosing the number of states: held-out probabilities against exact integrals, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pytau_hpc.errors import UserError
from pytau_hpc.inference.held_out import log_predictive, refuse_without_trials
from pytau_hpc.inference.model_selection import (
    Candidate,
    CrossValidation,
    Selection,
    cross_validate,
    parts,
)
from pytau_hpc.models import MODELS

pytest.importorskip("jax")

KIND = MODELS["single_taste_poisson"]
BINS = 20


def trials_of(rates: np.ndarray, n_trials: int, rng: np.random.Generator) -> np.ndarray:
    """Counts of trials that go through the states of `rates` (neuron, state) at times of their own."""
    ends = np.sort(rng.uniform(0.15, 0.85, (n_trials, rates.shape[1] - 1)) * BINS, axis=1)
    state = (np.arange(BINS) >= ends[..., None]).sum(axis=1)
    return rng.poisson(rates.T[state].swapaxes(1, 2))


def certain(values: np.ndarray, n_draws: int) -> np.ndarray:
    """Draws of something that is known."""
    return np.broadcast_to(values, (n_draws, *np.shape(values))).astype(np.float64)


def exact_log_predictive(data: np.ndarray, rates: np.ndarray, a, b) -> np.ndarray:
    """Two changepoints integrated out on a fine grid."""
    grid = (np.arange(300) + 0.5) / 300
    one, two = np.meshgrid(grid, grid, indexing="ij")
    prior = stats.beta.pdf(one, a[0], b[0]) * stats.beta.pdf(two, a[1], b[1]) / 300**2
    after = [
        1 / (1 + np.exp(-(np.arange(BINS) - (BINS - 1) * tau[..., None])))
        for tau in (np.minimum(one, two), np.maximum(one, two))
    ]
    weights = np.stack([1 - after[0], after[0] * (1 - after[1]), after[1]])
    expected = np.einsum("nk,kxyt->xynt", rates, weights)
    found = []
    for trial in data:
        logp = stats.poisson.logpmf(trial, expected).sum(axis=(-1, -2))
        found.append(np.log((np.exp(logp - logp.max()) * prior).sum()) + logp.max())
    return np.array(found)


def test_the_probability_of_a_new_trial_is_the_integral_over_its_changepoints():
    """To a fraction of a nat, where a grid can say what it is."""
    rng = np.random.default_rng(1)
    rates = np.array([[1.0, 4, 1], [2, 1, 5], [3, 3, 1], [5, 2, 2]])
    data = trials_of(rates, 5, rng)
    a, b = np.array([2.0, 3.0]), np.array([3.0, 2.0])
    draws = {
        "lambda": certain(rates, 50),
        "a_tau": certain(a, 50),
        "b_tau": certain(b, 50),
    }

    found = log_predictive(KIND, KIND.prepare(data), 3, {}, draws, np.random.default_rng(7))

    exact = exact_log_predictive(data, rates, a, b)
    assert found.shape == (5,)
    np.testing.assert_allclose(found, exact, atol=0.7)
    assert found.mean() == pytest.approx(exact.mean(), abs=0.25)


def test_held_out_trials_keep_their_categories():
    """A rare one, that some parts of the trials lack, is the same one in every part, fitted or predicted."""
    data = np.tile([0] * 10 + [1] * 10, (4, 1))
    data[0, 10:] = 2  # improbable to who has never seen a 2
    fast = {"iterations": 200, "restarts": 1, "draws": 50, "elbo_draws": 8}

    found = cross_validate(
        data, Candidate.named("categorical_changepoint_2d"), [2], folds=4, settings=fast
    )

    assert np.isfinite(found.trials).all()
    assert found.trials[0, 1:].min() > found.trials[0, 0] + 5


@pytest.mark.slow
def test_held_out_trials_know_how_many_states_there_are():
    """Two are too few for three true ones; every trial is scored once, by a fit that has not seen it."""
    rng = np.random.default_rng(2)
    rates = np.array([[1.0, 6, 1], [2, 1, 6], [6, 3, 1], [5, 1, 2]])
    data = trials_of(rates, 8, rng)

    found = cross_validate(
        data,
        Candidate.named("single_taste_poisson"),
        [2, 3],
        folds=2,
        settings={"iterations": 1000, "restarts": 1, "draws": 200, "elbo_draws": 64},
    )

    assert found.trials.shape == (2, 8)
    assert np.isfinite(found.trials).all()
    assert found.scores[1] > found.scores[0] + 3
    gap, error = found.behind_best[0]
    assert gap > 2 * error
    assert found.behind_best[1].tolist() == [0.0, 0.0]


def test_every_trial_is_held_out_once():
    """The same parts for every number of states; other parts for another seed."""
    found = [*parts(10, 3, seed=1)]

    assert sorted(np.concatenate(found)) == [*range(10)]
    assert [len(part) for part in found] == [4, 3, 3]
    assert all((one == other).all() for one, other in zip(found, parts(10, 3, 1), strict=True))
    assert any((one != other).any() for one, other in zip(found, parts(10, 3, 2), strict=True))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("poisson_changepoint_1d", "no trials"),
        ("gaussian_changepoint_mean_2d", "no trials"),
        ("single_taste_poisson_trial_switch", "not exchangeable"),
        ("single_taste_poisson_dirichlet", "no trials"),
    ],
)
def test_a_model_whose_trials_cannot_be_held_out_is_refused(name, why):
    """Rather than scored wrongly."""
    with pytest.raises(UserError, match=why):
        refuse_without_trials(MODELS[name])


@pytest.mark.parametrize(
    "name", ["single_taste_poisson", "all_taste_poisson", "categorical_changepoint_2d"]
)
def test_a_model_whose_trials_stand_alone_is_taken(name):
    """Each with changepoints of its own, and nothing else."""
    refuse_without_trials(MODELS[name])


def test_more_parts_than_trials_are_refused():
    """One could not be fitted."""
    with pytest.raises(UserError, match="5 parts"):
        cross_validate(
            np.ones((3, 2, 10), dtype=int), Candidate.named("single_taste_poisson"), [2], folds=5
        )


def test_the_best_of_a_selection_has_the_highest_elbo():
    """And differences of scores are judged trial by trial."""
    found = Selection(
        states=(2, 3, 4),
        elbos=(-20.0, -10.0, -11.0),
        elbo_errors=(0.1,) * 3,
        converged=(True,) * 3,
    )
    folds = CrossValidation(states=(2, 3), trials=np.array([[-5.0, -50.0], [-4.0, -49.0]]))

    assert found.states[found.best] == 3
    np.testing.assert_allclose(folds.behind_best, [[1.0, 0.0], [0.0, 0.0]])


def test_an_unknown_model_is_named():
    """With those that there are."""
    with pytest.raises(UserError, match=r"no model 'two_tastes'.*single_taste_poisson"):
        Candidate.named("two_tastes")
