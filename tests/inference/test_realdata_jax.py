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


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("SingleTastePoisson", "single_taste_poisson"),
        ("GaussianChangepointMean2D", "gaussian_changepoint_mean_2d"),
    ],
)
def test_the_data_of_pytaus_notebooks_change_where_they_were_made_to(name, model):
    """Simulated by PyTau with changes at bins 33 and 66 of 100."""
    with np.load(DATA / f"pytau_notebooks/{name}.npz") as stored:
        data = stored["data"]

    tau = np.median(fitted(model, data, 3).draws["tau"], axis=0).reshape(-1, 2)

    assert np.abs(np.median(tau, axis=0) - [32.5, 65.5]).max() < 1.5
