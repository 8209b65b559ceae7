"""Comparing fits: the best of the repeats, how far behind, and never between different data."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from pytau_hpc.errors import UserError
from pytau_hpc.ledger.comparison import comparison

AXES = [
    "session", "taste", "region", "laser", "transform", "window_ms", "bin_ms", "model", "n_states", "repeat",
]  # fmt: skip


def a_row(**values: Any) -> dict[str, Any]:
    row = {
        "session": "one", "taste": 0, "region": "gc", "laser": "none", "transform": "none", "window_ms": "[0, 2000]",
        "bin_ms": 50, "model": "single_taste_poisson", "n_states": 2, "repeat": 0, "state": "succeeded",
        "elbo": -100.0, "elbo_se": 0.3, "converged": True, "rhat_max": None, "ess_min": None, "divergences": None,
    }  # fmt: skip
    row.update(values)
    row["point_id"] = f"{hash(tuple(map(str, row.values()))) & 0xFFFF:04x}"
    return row


def points(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([a_row(**row) for row in rows])


def test_the_best_of_the_repeats_stands_for_its_number_of_states():
    """With how many there were and how far they were apart; `behind` is zero for the best of the group."""
    table = comparison(
        points(
            {"n_states": 2, "elbo": -100.0},
            {"n_states": 2, "elbo": -96.0, "repeat": 1},
            {"n_states": 3, "elbo": -90.0, "elbo_se": 0.4},
            {"n_states": 4, "elbo": -93.0, "state": "failed"},
        ),
        AXES,
        None,
    )

    assert table["n_states"].tolist() == [2, 3]
    assert table["repeats"].tolist() == [2, 1]
    assert table["elbo_spread"].tolist() == [4.0, 0.0]
    assert table["elbo"].tolist() == [-96.0, -90.0]
    assert table["behind"].tolist() == [6.0, 0.0]
    assert table["behind_se"].tolist() == pytest.approx([0.5, 0.0])


def test_each_data_set_has_a_best_of_its_own():
    """By default a group is whatever is the same data; models are compared within it."""
    table = comparison(
        points(
            {"taste": 0, "n_states": 2, "elbo": -100.0},
            {"taste": 0, "n_states": 3, "elbo": -99.0, "model": "all_taste_poisson"},
            {"taste": 1, "n_states": 2, "elbo": -50.0},
            {"taste": 1, "n_states": 3, "elbo": -55.0},
        ),
        AXES,
        None,
    )

    best = table[table["behind"] == 0]
    assert best[["taste", "n_states"]].to_numpy().tolist() == [[0, 3], [1, 2]]
    assert list(table.columns[:4]) == ["taste", "model", "n_states", "repeats"]


def test_fits_of_different_data_are_not_compared():
    """Their ELBOs differ for reasons that have nothing to do with the model; the help names the axis."""
    different = points({"bin_ms": 25, "elbo": -200.0}, {"bin_ms": 50, "elbo": -100.0})

    with pytest.raises(UserError, match="different bin_ms") as refused:
        comparison(different, AXES, ["session"])

    assert refused.value.help == "compare(by=['session', 'bin_ms'])"
    assert comparison(different, AXES, ["bin_ms"])["behind"].tolist() == [0.0, 0.0]


def test_shuffles_of_different_repeats_are_different_data():
    """Each repeat has a shuffle of its own; without a shuffle the repeats are fits of one array."""
    shuffled = points(
        {"transform": "trial_shuffled", "repeat": 0, "elbo": -100.0},
        {"transform": "trial_shuffled", "repeat": 1, "elbo": -90.0},
    )

    with pytest.raises(UserError, match="different repeat"):
        comparison(shuffled, AXES, ["session"])

    assert comparison(shuffled, AXES, None)["repeats"].tolist() == [1, 1]


def test_an_axis_that_is_not_there_is_named():
    """With those that are."""
    with pytest.raises(UserError, match="'tasty'"):
        comparison(points({}), AXES, ["tasty"])


def test_fits_without_an_elbo_have_no_distance():
    """Those of nuts: the best mixed of the repeats is shown."""
    table = comparison(
        points(
            {"elbo": None, "elbo_se": None, "rhat_max": 1.05, "repeat": 0},
            {"elbo": None, "elbo_se": None, "rhat_max": 1.002, "repeat": 1},
        ),
        AXES,
        None,
    )

    assert table["rhat_max"].tolist() == [1.002]
    assert table["behind"].isna().all()
