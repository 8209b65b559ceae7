"""The default engine against what PyTau and the literature published for real data.

The recordings are not part of this repository; the tests look for them beside it. Sources and expected numbers are in
``shared/data/README.md``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytau_hpc.inference import METHODS
from pytau_hpc.inference.checkpoint import NullCheckpoint
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.models import MODELS

DATA = Path(__file__).resolve().parents[2] / "../shared/data"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="no recordings beside the repository"),
]


def fitted(
    model: str, data: np.ndarray, n_states: int, seed: int = 1, **settings: Any
) -> Posterior:
    kind, method = MODELS[model], METHODS["advi"]
    return method.fit(
        kind=kind,
        data=kind.prepare(data),
        n_states=n_states,
        options=kind.resolve_options({}),
        settings=method.resolve(settings),
        seed=seed,
        checkpoint=NullCheckpoint(),
        progress=lambda phase, done, total: None,
    )


def gustatory_counts() -> np.ndarray:
    """PyTau's walkthrough session, 2000-4000 ms in bins of 50 ms, shape (trial, neuron, bin)."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(DATA / "AM11_recon_191030_114043/AM11_recon_191030_114043.h5") as file:
        spikes = file["/spike_trains/dig_in_0/spike_array"][:, :, 2000:4000]
    return spikes.reshape(*spikes.shape[:2], 40, 50).sum(axis=-1, dtype=np.int64)


def column(name: str, of: str) -> np.ndarray:
    return np.genfromtxt(DATA / "classic" / name, delimiter=",", names=True)[of]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_published_session_is_fitted_better_than_pytau_did(seed):
    """Six published runs of 40,000 iterations have losses of 22,156 to 22,166; a loss is a negative ELBO."""
    published = json.loads((DATA / "AM11_published_outputs.json").read_text())["average_loss"]

    posterior = fitted("single_taste_poisson", gustatory_counts(), 4, seed=seed)

    assert posterior.converged
    assert posterior.elbo_se < 1.0
    assert -posterior.elbo < min(published.values()) - 20


def test_the_coal_disasters_change_where_the_exact_posterior_says():
    """Mean year 1890.1, sd 2.5; rates 3.06 and 0.92 a year. A sigmoid centred on a bin is half done in it."""
    posterior = fitted("poisson_changepoint_1d", column("coal_1851_1962.csv", "disasters"), 2)

    year = 1851 + posterior.draws["tau"][:, 0]
    assert year.mean() == pytest.approx(1890.07, abs=1.5)
    assert year.std() == pytest.approx(2.45, abs=0.8)
    assert posterior.draws["lambda"].mean(axis=0) == pytest.approx([3.064, 0.922], rel=0.1)


def test_the_nile_changes_in_1898():
    """One break after observation 28. In units of 100, since PyTau's prior of the means has an sd of 1."""
    flow = column("nile.csv", "flow")

    posterior = fitted("gaussian_changepoint_mean_2d", flow / 100, 2)

    assert 26 <= posterior.draws["tau"].mean() <= 30
    assert posterior.draws["mu"].mean(axis=0).ravel() == pytest.approx([10.98, 8.50], abs=0.25)


def test_the_nile_has_two_states():
    """By the ELBO, in units in which the prior of the means says little."""
    flow = column("nile.csv", "flow") / 100

    elbo = {n: fitted("gaussian_changepoint_mean_2d", flow, n).elbo for n in (2, 3, 4)}

    assert elbo[2] > elbo[3] + 1 > elbo[4] + 2


def notebook(name: str, array: str = "data") -> np.ndarray:
    """An array of one of PyTau's model notebooks, simulated there with changes at bins 33 and 66 of 100."""
    with np.load(DATA / f"pytau_notebooks/{name}.npz") as stored:
        return stored[array]


def middle(posterior: Posterior) -> np.ndarray:
    """Median over trials of where each changepoint is, in bins; each trial has been given a jitter of its own."""
    tau = posterior.draws["tau"].mean(axis=0)
    return np.median(tau.reshape(-1, tau.shape[-1]), axis=0)


TRUE = np.array([32.5, 65.5])  # a sigmoid is half done in front of bins 33 and 66


@pytest.mark.parametrize(
    ("name", "model", "variable", "levels"),
    [
        ("SingleTastePoisson", "single_taste_poisson", "lambda", [2, 8, 5]),
        ("GaussianChangepointMean2D", "gaussian_changepoint_mean_2d", "mu", [0.5, 3.5, 2]),
        ("GaussianChangepointMeanVar2D", "gaussian_changepoint_mean_var_2d", "mu", [0.5, 3.5, 2]),
    ],
)
def test_the_data_of_pytaus_notebooks_change_where_they_were_made_to(name, model, variable, levels):
    """And their levels are the true ones, mean over neurons or dimensions."""
    posterior = fitted(model, notebook(name), 3)

    assert posterior.converged
    assert np.abs(middle(posterior) - TRUE).max() < 2.0
    found = posterior.draws[variable].mean(axis=(0, 1))
    assert found == pytest.approx(levels, rel=0.05, abs=0.05)


def test_the_tastes_of_pytaus_notebook_have_their_rates():
    """Tastes are the third axis there; they fire 1, 1.5 and 0.8 times as much, roughly: each neuron is scaled, too."""
    posterior = fitted("all_taste_poisson", notebook("AllTastePoisson").transpose(2, 0, 1, 3), 3)

    assert np.abs(middle(posterior) - TRUE).max() < 1.5
    found = posterior.draws["lambda"].mean(axis=(0, 3))  # (taste, state)
    assert found == pytest.approx(np.outer([1, 1.5, 0.8], [2, 8, 5]), rel=0.15)


def test_the_categories_of_pytaus_notebook_have_their_probabilities():
    """Where PyTau's ELBO is infinite and its changepoints end at 41 and 58."""
    posterior = fitted("categorical_changepoint_2d", notebook("CategoricalChangepoint2D"), 3)

    assert posterior.converged
    assert np.abs(middle(posterior) - TRUE).max() < 2.0
    true = [[0.6, 0.2, 0.1, 0.1], [0.1, 0.1, 0.6, 0.2], [0.2, 0.5, 0.2, 0.1]]
    assert posterior.draws["p"].mean(axis=0) == pytest.approx(np.array(true), abs=0.08)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("GaussianChangepointMeanDirichlet", "gaussian_changepoint_mean_dirichlet"),
        ("SingleTastePoissonDirichlet", "single_taste_poisson_dirichlet"),
    ],
)
def test_with_room_for_more_states_the_true_changes_are_among_those_found(name, model):
    """Eight states at most, three true ones: there is a changepoint near each true one."""
    posterior = fitted(model, notebook(name), 8)

    assert np.abs(middle(posterior)[:, None] - TRUE).min(axis=0).max() < 2.0


def test_a_series_with_room_for_more_states_uses_three():
    """The states that the data show last 97 % of the time."""
    name = "gaussian_changepoint_mean_dirichlet"
    posterior = fitted(name, notebook("GaussianChangepointMeanDirichlet"), 8)

    lengths = np.sort(posterior.draws["w_latent"].mean(axis=0))
    assert lengths[-3:].sum() > 0.95


@pytest.mark.parametrize(
    ("name", "array", "model", "axes", "loss", "year", "sd"),
    [
        ("General_coal", "counts", "single_taste_poisson", 2, 173.47, 1885.6, 2.5),
        ("General_temperature", "temp", "gaussian_changepoint_mean_2d", 1, 219.14, 1978.2, 3.8),
    ],
)
def test_years_of_change_are_those_that_pytau_prints(name, array, model, axes, loss, year, sd):
    """Loss (PyTau's after 20,000 iterations), mean and sd, with tau cut to a whole index of a year as there."""
    data = notebook(name, array)

    posterior = fitted(model, data.reshape(*(1,) * axes, -1), 2)

    years = notebook(name, "years")[posterior.draws["tau"].astype(int).ravel()]
    assert -posterior.elbo < loss
    assert -posterior.elbo == pytest.approx(loss, abs=0.5)
    assert years.mean() == pytest.approx(year, abs=0.5)
    assert years.std() == pytest.approx(sd, abs=0.8)
