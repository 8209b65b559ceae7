"""Results as a fit would leave them, without a fit: draws scattered around a truth that is known."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytau_hpc.analysis.fitted import Fitted, Raw, TimeAxis
from pytau_hpc.data import READERS
from pytau_hpc.data.load import located
from pytau_hpc.data.preprocess import preprocess, preprocessing_rng
from pytau_hpc.data.recording import facts
from pytau_hpc.data.synthetic import Truth, write_blech_session
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.inference.result_file import write_result
from pytau_hpc.models import MODELS
from pytau_hpc.sweep.point import DataSource, Point, Session
from tests.builders import a_point

TASTES, TRIALS, NEURONS, STATES = 2, 6, 5, 3
WINDOW, BIN_MS, DURATION, DRAWS = (500, 1500), 50, 2000, 60
N_BINS = (WINDOW[1] - WINDOW[0]) // BIN_MS
NAME = "AN01_made_260101_101500"


@dataclass(frozen=True)
class Made:
    """A result on disk: its file, the point, what is true, and what was written."""

    path: Path
    point: Point
    truth: Truth
    posterior: Posterior
    data: np.ndarray


def a_session(
    study: Path, *, tastes: int = TASTES, region: str = "gc", laser_trials: int | None = None
) -> tuple[Session, Truth]:
    """A session of blech_clust in the study; its truth."""
    truth = write_blech_session(
        study / "data" / NAME, seed=3, tastes=tastes, trials=TRIALS, regions={region: NEURONS}, n_states=STATES,
        duration_ms=DURATION, window_ms=WINDOW, laser_trials=laser_trials,
    )  # fmt: skip
    return Session(name=NAME, animal="AN01", date="260101", path=f"data/{NAME}"), truth


def a_result(
    study: Path,
    *,
    taste: int | str = 1,
    transform: str = "none",
    tastes: int = TASTES,
    region: str = "gc",
) -> Made:
    """A result of one taste (`single_taste_poisson`), or of all (`all_taste_poisson`).

    `taste` may be the name of the second one, which is "nacl".
    """
    session, truth = a_session(study, tastes=tastes, region=region)
    model = "all_taste_poisson" if taste == "all" else "single_taste_poisson"
    point = a_point(
        session=session, source=DataSource(format="blech_hdf5", options={"animals": {}, "dates": {}}),
        taste=taste, region=region, transform=transform, window_ms=WINDOW, bin_ms=BIN_MS, model=model, n_states=STATES,
    )  # fmt: skip
    recording = READERS["blech_hdf5"].read(
        located(session, study), point.selection, point.source.options
    )
    digest = facts(recording).digest
    rng = preprocessing_rng(digest, point.selection, point.preprocessing, point.repeat)
    data = preprocess(recording, point.preprocessing, rng)
    point = dataclasses.replace(point, data_digest=digest, shape=data.shape)

    noise = np.random.default_rng(8)
    chosen = slice(None) if taste == "all" else 1 if isinstance(taste, str) else taste
    places = (truth.changepoints_ms[chosen] - WINDOW[0]) / BIN_MS - 0.5
    tau = np.sort(places + noise.normal(scale=0.4, size=(DRAWS, *places.shape)), axis=-1)
    tau = np.clip(tau, 0, N_BINS - 1)
    rates = truth.rates_hz[chosen] * BIN_MS / 1000
    scatter = np.exp(noise.normal(scale=0.1, size=(DRAWS, *rates.shape)))
    draws = {"tau": tau, "lambda": rates * scatter}
    if taste == "all":
        draws["lambda"] = draws["lambda"].swapaxes(-1, -2)  # (draw, taste, state, neuron)
    return _written(study, point, draws, data, truth)


def a_binned_result(
    study: Path, model: str, data: np.ndarray, draws: dict[str, np.ndarray]
) -> Path:
    """A result of data that came binned."""
    session = Session(name="series", animal="series", date="none", path="data/series.npy")
    point = a_point(
        session=session, source=DataSource(format="npy"), region="all", window_ms=None, bin_ms=None, model=model,
        n_states=draws["tau"].shape[-1] + 1,
    )  # fmt: skip
    return _written(study, point, draws, data, None).path


def _written(
    study: Path, point: Point, draws: dict[str, np.ndarray], data: np.ndarray, truth: Any
) -> Made:
    posterior = Posterior(
        draws=draws, elbo=-1234.5, elbo_se=0.1, converged=True, iterations=3000,
        loss=1234.5 + 100 / np.arange(1, 13), loss_every=250, info={"engine": "jax"},
    )  # fmt: skip
    kind = MODELS[point.model]
    path = study / point.result_path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_result(
        path, posterior=posterior, data=data, dims=kind.dims, kind=kind,
        attrs={
            "point_id": point.point_id, "point": point.to_json(),
            "provenance": {"created_at": "2026-11-22T10:00:00+00:00", "versions": {"pymc": "6.1"}},
        },
    )  # fmt: skip
    return Made(path, point, truth, posterior, data)


def a_fitted(tau: np.ndarray, **changes: Any) -> Fitted:
    """In memory, with nothing but the draws of its changepoints to think about."""
    n_trials = tau.shape[1] if tau.ndim == 3 else 1
    observed = np.zeros((n_trials, 2, 20), dtype=np.int64)
    fitted = Fitted(
        name="made", model="single_taste_poisson", values="counts", tau=tau,
        tau_dims=("trial", "changepoint") if tau.ndim == 3 else ("changepoint",),
        observed=observed, observed_dims=("trial", "neuron", "bin"), states={},
        time=TimeAxis(start=1500, step=50, unit="ms"), loss=None, quality={}, metadata={},
        raw=lambda: Raw(activity=observed, valid=(0, 20)),
    )  # fmt: skip
    return dataclasses.replace(fitted, **changes)
