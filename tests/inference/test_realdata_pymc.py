"""PyTau's algorithm, run by us, against what PyTau itself and the literature published.

The recordings are not part of this repository; the tests look for them beside it. Sources and expected numbers are in
``shared/data/README.md``.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pytau_hpc.inference.advi_pymc import fit
from pytau_hpc.inference.checkpoint import NullCheckpoint
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.models import MODELS

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
START_MS, END_MS, BIN_MS = 2000, 4000, 50

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="no recordings beside the repository"),
]


def fitted(
    model: str, data: np.ndarray, *, n_states: int, iterations: int, draws: int
) -> Posterior:
    kind = MODELS[model]
    return fit(
        kind,
        kind.prepare(data),
        n_states,
        kind.resolve_options({}),
        {"engine": "pymc", "iterations": iterations, "draws": draws},
        seed=1,
        checkpoint=NullCheckpoint(),
        progress=lambda phase, done, total: None,
    )


@pytest.fixture(scope="module")
def am11() -> Posterior:
    """PyTau's walkthrough session, fitted with the settings of its notebook."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(DATA / "AM11_recon_191030_114043/AM11_recon_191030_114043.h5", "r") as file:
        spikes = file["spike_trains/dig_in_0/spike_array"][:, :, START_MS:END_MS]
    counts = spikes.reshape(*spikes.shape[:2], -1, BIN_MS).sum(axis=-1, dtype=np.int64)
    return fitted("single_taste_poisson", counts, n_states=4, iterations=40_000, draws=20_000)


def published_modes() -> dict[str, np.ndarray]:
    """The distinct published tables of modal changepoints, in bins, each of shape (trial, changepoint)."""
    published = json.loads((DATA / "AM11_published_outputs.json").read_text())
    tables = {}
    for name, table in published.items():
        if name.startswith("mode_tau_bins_"):
            tables[name] = np.array(table)
        elif name.startswith("scaled_mode_tau_ms_"):
            tables[name] = (np.array(table) - START_MS) // BIN_MS
    distinct: dict[str, np.ndarray] = {}
    for name, table in tables.items():
        if not any(np.array_equal(table, other) for other in distinct.values()):
            distinct[name] = table
    return distinct


def modes(tau: np.ndarray) -> np.ndarray:
    """Most frequent whole bin of each changepoint over draws; (draw, trial, changepoint) → (trial, changepoint)."""
    whole = tau.astype(int)
    votes = np.stack([(whole == bin_).sum(axis=0) for bin_ in range(whole.max() + 1)])
    return votes.argmax(axis=0)


def test_the_loss_of_pytaus_walkthrough_is_the_published_one(am11):
    """The mean of the last 1000 losses is what PyTau's progress bar printed in eight published runs."""
    assert am11.info["final_loss"] == pytest.approx(22_160, abs=40)


def test_the_final_elbo_agrees_with_the_loss_it_was_reached_with(am11):
    """Fresh draws of the fitted distribution have the ELBO that the last losses averaged to."""
    last = am11.loss[-1000:]
    error = np.hypot(am11.elbo_se, last.std() / np.sqrt(last.size))

    assert -am11.elbo == pytest.approx(last.mean(), abs=5 * error + 5)
    assert 0 < am11.elbo_se < 3


def test_changepoints_of_pytaus_walkthrough_are_where_pytau_found_them(am11):
    """Within one bin of the published modes, about as often as the published runs agree with each other."""
    ours = modes(am11.draws["tau"])
    tables = published_modes()
    agreement = {name: float((abs(ours - table) <= 1).mean()) for name, table in tables.items()}

    assert len(tables) == 6
    assert sum(share >= 0.80 for share in agreement.values()) >= 4, agreement
    assert max(agreement.values()) >= 0.90, agreement


def test_british_coal_mining_became_safer_in_1890():
    """The exact posterior of the classic data has mean 1890.07 and sd 2.45."""
    with (DATA / "classic/coal_1851_1962.csv").open() as file:
        rows = list(csv.DictReader(file))
    disasters = np.array([int(row["disasters"]) for row in rows])
    first_year = int(rows[0]["year"])

    posterior = fitted(
        "poisson_changepoint_1d", disasters, n_states=2, iterations=40_000, draws=5_000
    )

    year = first_year + posterior.draws["tau"][:, 0].mean()
    assert year == pytest.approx(1890, abs=1.5)
    assert posterior.draws["lambda"].mean(axis=0).ravel() == pytest.approx([3.064, 0.922], rel=0.12)
