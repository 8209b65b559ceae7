"""What the states emit, in units that people use."""

from __future__ import annotations

import numpy as np
import pytest

from pytau_hpc.analysis.fitted import TimeAxis
from pytau_hpc.analysis.rates import rates
from pytau_hpc.errors import UserError
from tests.analysis.made import a_fitted

TAU = np.full((4, 1, 1), 3.0)
#: Four draws, one neuron, two states: counts in bins of 50 ms.
LAMBDA = np.array([[[0.4, 1.0]], [[0.6, 1.0]], [[0.4, 3.0]], [[0.6, 3.0]]])


def with_states(name="lambda", dims=("draw", "neuron", "state"), draws=LAMBDA, **changes):
    return a_fitted(TAU, states={name: (dims, draws)}, **changes)


def test_counts_of_spikes_become_hz():
    """0.5 spikes in 50 ms are 10 Hz."""
    table = rates(with_states())

    np.testing.assert_allclose(table["mean"], [[10.0, 40.0]])
    np.testing.assert_allclose(table["sd"], [[2.0, 20.0]])
    assert table["mean"].dims == ("neuron", "state")
    assert table["mean"].attrs["units"] == "Hz"
    assert (table["lower"] <= table["mean"]).all()
    assert (table["mean"] <= table["upper"]).all()


@pytest.mark.parametrize(
    ("values", "time", "name", "units"),
    [
        ("counts", TimeAxis(), "lambda", "per bin"),
        ("real", TimeAxis(start=0, step=50, unit="ms"), "mu", ""),
        ("categories", TimeAxis(), "p", "probability"),
    ],
)
def test_what_is_no_rate_stays_as_it_is(values, time, name, units):
    table = rates(with_states(name, values=values, time=time))

    np.testing.assert_allclose(table["mean"], [[0.5, 2.0]])
    assert table["mean"].attrs["units"] == units
    assert table.attrs["variable"] == name


def test_states_are_the_last_axis_however_the_model_has_them():
    """`all_taste_poisson` has (taste, state, neuron)."""
    table = rates(with_states(dims=("draw", "state", "neuron"), draws=LAMBDA.swapaxes(1, 2)))

    assert table["mean"].dims == ("neuron", "state")
    np.testing.assert_allclose(table["mean"], [[10.0, 40.0]])


def test_an_interval_of_an_average_is_narrower_than_an_average_of_intervals(rng):
    """Trials with rates of their own are averaged draw by draw."""
    draws = rng.normal(5, 1, (500, 16, 1, 2))
    fitted = with_states(dims=("draw", "trial", "neuron", "state"), draws=draws)

    averaged, single = rates(fitted, average=("trial",)), rates(fitted)

    assert averaged["mean"].dims == ("neuron", "state")
    width = averaged["upper"] - averaged["lower"]
    assert (width < 0.4 * (single["upper"] - single["lower"]).mean("trial")).all()


def test_a_result_without_rates_says_where_the_mean_counts_are():
    with pytest.raises(UserError, match="kept no draws") as error:
        rates(a_fitted(TAU))

    assert "state_firing" in (error.value.help or "")
