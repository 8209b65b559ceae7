"""Changepoints in ms, with their uncertainty; and PyTau's numbers under PyTau's names."""

from __future__ import annotations

import numpy as np
import pytest

from pytau_hpc.analysis.changepoints import Tau, changepoints, state_probability
from pytau_hpc.analysis.fitted import TimeAxis
from tests.analysis.made import a_fitted

#: Four draws of one trial.
TAU = np.array([[[2.7, 9.2]], [[2.1, 8.9]], [[3.0, 8.3]], [[3.9, 9.9]]])


def test_a_changepoint_is_in_the_middle_of_its_bin():
    """The sigmoid is half-way at bin index `tau`: bins of 50 ms from 1500 ms, so tau 3 is 1675 ms."""
    table = changepoints(a_fitted(np.full((5, 1, 1), 3.0)))

    assert {name: float(table[name].item()) for name in ("mean", "median", "lower", "upper", "sd")} == {
        "mean": 1675.0, "median": 1675.0, "lower": 1675.0, "upper": 1675.0, "sd": 0.0
    }  # fmt: skip
    assert table["mean"].attrs["units"] == "ms"


def test_the_mode_is_the_middle_of_the_bin_that_most_draws_fall_into():
    """Draws from 3 to below 4 have bin index 3; of two bins with as many draws it is the earlier one."""
    table = changepoints(a_fitted(TAU))

    np.testing.assert_array_equal(table["mode_bin"], [[2, 8]])
    np.testing.assert_array_equal(table["mode"], [[1500 + 3 * 50, 1500 + 9 * 50]])


def test_the_interval_holds_the_probability_that_was_asked_for(rng):
    """Central: 10 % below, 80 % inside, 10 % above."""
    tau = np.sort(rng.uniform(0, 19, (2000, 3, 2)), axis=-1)
    table = changepoints(a_fitted(tau), prob=0.8)
    places = 1500 + 50 * (tau + 0.5)

    below = (places < table["lower"].to_numpy()).mean(axis=0)
    above = (places > table["upper"].to_numpy()).mean(axis=0)

    np.testing.assert_allclose(below, 0.1, atol=0.001)
    np.testing.assert_allclose(above, 0.1, atol=0.001)
    assert table.attrs["prob"] == 0.8
    assert table["mean"].dims == ("trial", "changepoint")


def test_data_that_came_binned_have_changepoints_in_bins():
    """Nobody knows how long such a bin is."""
    table = changepoints(a_fitted(np.full((5, 1), 3.0), time=TimeAxis()))

    assert table["mean"].attrs["units"] == "bins"
    assert table["mean"].dims == ("changepoint",)
    assert float(table["mean"].item()) == 3.5


def test_a_probability_outside_of_0_to_1_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        changepoints(a_fitted(TAU), prob=95)


def test_states_share_the_probability_of_a_bin(rng):
    """The same as counting, draw by draw, how many changepoints a bin has behind it."""
    tau = np.sort(rng.uniform(0, 11, (50, 4, 3)), axis=-1)
    tau[0, 0] = [0.0, 5.0, 11.0]  # on whole bins, the first and the last included

    probability = state_probability(tau, 12)

    state = (np.arange(12) >= tau[..., np.newaxis]).sum(axis=-2)  # (draw, trial, bin)
    counted = np.stack([(state == each).mean(axis=0) for each in range(4)], axis=1)
    np.testing.assert_allclose(probability, counted, atol=1e-12)
    np.testing.assert_allclose(probability.sum(axis=1), 1)


def test_pytaus_names_have_pytaus_numbers():
    """Computed with PyTau's own `_tau`, window from 1500 ms, bins of 50 ms: no half bin, whole numbers cut."""
    tau = Tau(TAU, start=1500, step=50)

    np.testing.assert_array_equal(tau.raw_mode_tau, [[2, 8]])
    np.testing.assert_array_equal(tau.scaled_mode_tau, [[1605, 1915]])
    np.testing.assert_array_equal(
        tau.scaled_int_tau[:, 0], [[1635, 1960], [1605, 1945], [1650, 1915], [1695, 1995]]
    )
    np.testing.assert_allclose(tau.scaled_tau, TAU * 50 + 1500)
    assert tau.raw_int_tau.dtype == np.int64


def test_shared_changepoints_are_repeated_for_every_trial():
    """As PyTau does for models without changepoints of single trials."""
    tau = Tau(TAU[:, 0], start=1500, step=50, n_trials=3)

    np.testing.assert_array_equal(tau.raw_mode_tau, [[2, 8]] * 3)
    np.testing.assert_array_equal(tau.scaled_mode_tau, [[1605, 1915]] * 3)


def test_the_modes_have_one_row_per_trial_and_one_column_per_changepoint(rng):
    """PyTau repeats tables that have rows already, and loses axes of length one."""
    for shape in [(9, 4, 2), (9, 1, 2), (9, 4, 1), (9, 1, 1)]:
        tau = Tau(np.sort(rng.uniform(0, 20, shape), axis=-1), start=0, step=1, n_trials=shape[1])

        assert tau.raw_mode_tau.shape == shape[1:]
        assert tau.scaled_mode_tau.shape == shape[1:]
