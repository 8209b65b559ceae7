"""`sweep.compare`: fits of the same data side by side, and what held-out trials say of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pytau_hpc
from pytau_hpc.errors import UserError
from pytau_hpc.inference import model_selection
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.inference.result_file import write_result
from pytau_hpc.models import MODELS
from tests.builders import BuiltSweep, a_point, a_sweep

N_TRIALS, N_NEURONS, N_BINS = 4, 2, 12


def a_compared_sweep(study, *points: Any) -> BuiltSweep:
    """A sweep whose points have all succeeded, with true result files of fits that nobody ran."""
    sweep = a_sweep(study, points)
    sweep.succeed(sweep.submit())
    data = np.random.default_rng(1).poisson(3.0, (N_TRIALS, N_NEURONS, N_BINS))
    for point in points:
        kind = MODELS[point.model]
        path = study / point.result_path
        path.unlink(missing_ok=True)
        write_result(
            path,
            posterior=Posterior(
                draws={"tau": np.zeros((3, N_TRIALS, point.n_states - 1))},
                elbo=-100.0,
                elbo_se=0.5,
                converged=True,
                iterations=1000,
                loss=np.zeros(0),
                loss_every=1,
            ),
            data=data,
            dims=kind.dims,
            kind=kind,
            attrs={"point_id": point.point_id, "point": point.to_json(), "provenance": {}},
        )
    return sweep


def test_a_sweep_compares_its_fits(study):
    """By the axes that are asked for; by default by all that say which data."""
    sweep = a_compared_sweep(study, *(a_point(n_states=n, taste=t) for t in (0, 1) for n in (2, 3)))
    opened = pytau_hpc.open_sweep(sweep.dir.path)

    table = opened.compare(by=["session", "taste"])

    assert table[["taste", "n_states"]].to_numpy().tolist() == [[0, 2], [0, 3], [1, 2], [1, 3]]
    assert table.groupby("taste")["behind"].min().tolist() == [0.0, 0.0]
    assert set(table["point_id"]) == {point.point_id for point in sweep.points}
    assert opened.compare()["point_id"].tolist() == table["point_id"].tolist()
    with pytest.raises(UserError, match="different taste"):
        opened.compare(by=["session"])


def test_a_model_whose_trials_cannot_be_held_out_is_refused_before_anything_is_fitted(
    study, monkeypatch
):
    """Not after an hour of fits of the others."""
    models = ("single_taste_poisson", "single_taste_poisson_dirichlet")
    sweep = a_compared_sweep(study, *(a_point(model=name, n_states=2) for name in models))
    monkeypatch.setattr(
        model_selection, "cross_validate", lambda *given, **named: pytest.fail("fitted")
    )

    with pytest.raises(UserError, match="single_taste_poisson_dirichlet"):
        pytau_hpc.open_sweep(sweep.dir.path).compare(held_out=2)


@pytest.mark.slow
def test_held_out_trials_are_predicted_once_for_each_model_and_number_of_states(study, monkeypatch):
    """Points that differ in settings only have one score, from one set of fits."""
    sweep = a_compared_sweep(
        study, *(a_point(n_states=n, more_axes={"draws": d}) for n in (2, 3) for d in (500, 1000))
    )
    asked = []
    original = model_selection.cross_validate
    monkeypatch.setattr(
        model_selection,
        "cross_validate",
        lambda data, candidate, states, **more: (
            asked.append(states) or original(data, candidate, states, **more)
        ),
    )

    table = pytau_hpc.open_sweep(sweep.dir.path).compare(held_out=2)

    assert asked == [[2], [3]]
    assert len(table) == 4
    assert np.isfinite(table[["held_out", "held_out_se"]].to_numpy(float)).all()
    assert table.groupby("n_states")["held_out"].nunique().tolist() == [1, 1]
