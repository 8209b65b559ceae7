"""A result file, opened: what it says and what is behind it."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from pytau_hpc.analysis.handler import ResultHandler
from pytau_hpc.errors import BadData, UserError
from pytau_hpc.inference.result_file import ResultInvalid
from tests.analysis.made import (
    BIN_MS,
    DRAWS,
    N_BINS,
    NEURONS,
    STATES,
    TASTES,
    TRIALS,
    WINDOW,
    a_binned_result,
    a_result,
)


@pytest.fixture
def made(study):
    return a_result(study)


def test_changepoints_are_where_they_are_true(made):
    """Draws were scattered by 20 ms around the truth; `mean`, `median` and the interval say so, in ms."""
    table = ResultHandler(made.path).changepoints()
    true = made.truth.changepoints_ms[1]

    np.testing.assert_allclose(table["mean"], true, atol=10)
    np.testing.assert_allclose(table["median"], true, atol=10)
    np.testing.assert_allclose(table["sd"], 20, atol=8)
    assert (table["lower"] < true).all()
    assert (true < table["upper"]).all()


def test_rates_are_in_hz(made):
    table = ResultHandler(made.path).rates()

    np.testing.assert_allclose(table["mean"], made.truth.rates_hz[1], rtol=0.1)
    assert table["mean"].attrs["units"] == "Hz"


def test_pytaus_names_have_pytaus_shapes(made):
    """As `PklHandler` documents them."""
    result = ResultHandler(made.path)
    cuts = STATES - 1

    assert result.tau.raw_tau.shape == (DRAWS, TRIALS, cuts)
    assert result.tau.raw_int_tau.shape == (DRAWS, TRIALS, cuts)
    assert result.tau.raw_mode_tau.shape == (TRIALS, cuts)
    assert result.tau.scaled_mode_tau.shape == (TRIALS, cuts)
    assert result.firing.raw_spikes.shape == (TRIALS, NEURONS, 2000)
    assert result.firing.state_firing.shape == (TRIALS, STATES, NEURONS)
    assert result.firing.transition_snips.shape == (TRIALS, NEURONS, 600, cuts)
    assert result.firing.anova_p_val_array.shape == (NEURONS,)
    assert result.firing.pairwise_p_val_array.shape == (NEURONS, cuts)
    assert result.firing.pairwise_significant_neurons.dtype == bool
    assert result.firing.n_whole_windows.tolist() == [TRIALS] * cuts
    assert result.processed_spikes.shape == (TRIALS, NEURONS, N_BINS)
    assert result.lambda_array.shape == (DRAWS, NEURONS, STATES)
    assert set(result.data["model_data"]) == {"model", "approx", "lambda", "tau", "data"}
    assert result.data["model_data"]["approx"].hist.shape == (12,)
    assert result.metadata["preprocess"]["time_lims"] == list(WINDOW)
    assert result.metadata["preprocess"]["bin_width"] == BIN_MS
    assert result.pretty_metadata.loc["data.taste_num"].item() == 1


def test_the_spikes_behind_a_fit_are_those_of_its_taste(made):
    """Cut and binned they are what the model saw."""
    result = ResultHandler(made.path)

    window = result.firing.raw_spikes[..., slice(*WINDOW)]

    binned = window.reshape(TRIALS, NEURONS, N_BINS, BIN_MS).sum(axis=-1)
    np.testing.assert_array_equal(binned, result.processed_spikes)


@pytest.mark.parametrize("transform", ["trial_shuffled", "spike_shuffled", "simulated"])
def test_the_spikes_behind_a_shuffled_fit_are_shuffled_in_the_same_way(study, transform):
    """With the same random numbers, at 1 ms; outside of the window, where nothing was shuffled, is nothing."""
    made = a_result(study, transform=transform)
    result = ResultHandler(made.path)

    window = result.firing.raw_spikes[..., slice(*WINDOW)]

    binned = window.reshape(TRIALS, NEURONS, N_BINS, BIN_MS).sum(axis=-1)
    np.testing.assert_array_equal(binned, made.data)
    snips = result.around_changepoints(400)
    first = int(result.changepoints()["median"].isel(trial=0, changepoint=0).round())
    np.testing.assert_array_equal(
        np.isnan(snips[0, 0, :, 0]), np.arange(first - 400, first + 400) < WINDOW[0]
    )


def test_activity_is_aligned_to_where_the_changepoints_are(made):
    """Neurons change at 0, not half a bin later as around PyTau's `scaled_mode_tau`."""
    result = ResultHandler(made.path)
    median = np.rint(result.changepoints()["median"].to_numpy()).astype(int)

    snips = result.around_changepoints(100)

    at = median[2, 1]
    np.testing.assert_array_equal(
        snips[2, :, :, 1], result.firing.raw_spikes[2, :, at - 100 : at + 100]
    )


def test_of_several_tastes_one_is_chosen(study):
    """`changepoints` and `rates` are of all; activity is of one, and without a choice the error says how."""
    made = a_result(study, taste="all")
    result = ResultHandler(made.path)

    assert result.changepoints()["mean"].dims == ("taste", "trial", "changepoint")
    assert result.rates()["mean"].dims == ("taste", "neuron", "state")
    assert result.tau.scaled_mode_tau.shape == (TASTES, TRIALS, STATES - 1)
    with pytest.raises(UserError, match="several tastes") as error:
        _ = result.firing
    assert "result.taste(0)" in (error.value.help or "")
    with pytest.raises(UserError, match="no taste 2"):
        result.taste(2)

    second = result.taste(1)

    np.testing.assert_array_equal(
        second.changepoints()["mean"], result.changepoints()["mean"].isel(taste=1)
    )
    np.testing.assert_allclose(second.rates()["mean"], made.truth.rates_hz[1], rtol=0.1)
    assert second.tau.raw_mode_tau.shape == (TRIALS, STATES - 1)
    binned = second.firing.raw_spikes[..., slice(*WINDOW)]
    np.testing.assert_array_equal(
        binned.reshape(TRIALS, NEURONS, N_BINS, BIN_MS).sum(axis=-1), made.data[1]
    )


def test_the_only_taste_of_a_fit_of_all_need_not_be_chosen(study):
    """A session of one taste: everything is there at once, without an axis of tastes."""
    made = a_result(study, taste="all", tastes=1)
    result = ResultHandler(made.path)
    cuts = STATES - 1

    assert result.changepoints()["mean"].dims == ("trial", "changepoint")
    assert result.rates()["mean"].dims == ("neuron", "state")
    assert result.tau.scaled_mode_tau.shape == (TRIALS, cuts)
    assert result.firing.state_firing.shape == (TRIALS, STATES, NEURONS)
    assert result.firing.transition_snips.shape == (TRIALS, NEURONS, 600, cuts)
    np.testing.assert_array_equal(result.firing.raw_spikes, result.fitted.raw().activity[0])


@pytest.mark.parametrize("taste", [1, "all"])
def test_a_taste_that_was_not_fitted_is_refused_where_one_was(study, taste):
    result = ResultHandler(a_result(study, taste=taste, tastes=1 if taste == "all" else 2).path)

    with pytest.raises(UserError, match="no taste 7; one was fitted"):
        result.taste(7)

    np.testing.assert_array_equal(result.taste(0).tau.raw_mode_tau, result.tau.raw_mode_tau)


def test_a_series_has_changepoints_in_bins_and_one_trial(study, rng):
    """Values by dimension and bin; the activity around a changepoint is in bins, too."""
    data = np.concatenate([rng.normal(0, 1, (2, 30)), rng.normal(5, 1, (2, 30))], axis=1)
    tau = rng.normal(29.5, 0.2, (40, 1))
    mu = np.tile([[0.0, 5.0], [0.0, 5.0]], (40, 1, 1))
    path = a_binned_result(study, "gaussian_changepoint_mean_2d", data, {"tau": tau, "mu": mu})

    result = ResultHandler(path)

    assert float(result.changepoints()["mean"].item()) == pytest.approx(30.0, abs=0.2)
    assert result.changepoints()["mean"].attrs["units"] == "bins"
    assert result.tau.raw_mode_tau.shape == (1, 1)
    assert result.firing.state_firing.shape == (1, 2, 2)
    snips = result.around_changepoints()
    assert snips.shape == (1, 2, 12, 1)
    np.testing.assert_array_equal(snips[0, :, :, 0], data[:, 24:36])


def test_categories_are_counted_one_by_one(study):
    """Each that occurs is a row of zeros and ones: how often it was seen in a state is its probability there."""
    data = np.array([[0, 0, 1, 1, 7, 7], [0, 0, 0, 7, 7, 7]])
    tau = np.full((10, 2, 1), 3.0)
    p = np.tile([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], (10, 1, 1))
    path = a_binned_result(study, "categorical_changepoint_2d", data, {"tau": tau, "p": p})

    result = ResultHandler(path)

    assert result.rates()["mean"].dims == ("category", "state")
    np.testing.assert_allclose(
        result.firing.state_firing[0], [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]
    )


def test_one_category_has_two_rows_as_in_its_model(study):
    data = np.full((2, 6), 4)
    draws = {"tau": np.full((10, 2, 1), 3.0), "p": np.full((10, 2, 2), 0.5)}
    path = a_binned_result(study, "categorical_changepoint_2d", data, draws)

    activity = ResultHandler(path).fitted.activity(None)

    np.testing.assert_array_equal(activity.sum(axis=-1), [[6, 0], [6, 0]])


def test_a_study_that_moved_still_opens(made, study, tmp_path):
    """Paths are relative to the study; a result that left it needs to be told where the study is."""
    alone = tmp_path / "elsewhere" / made.path.name
    alone.parent.mkdir()
    shutil.copy(made.path, alone)

    with pytest.raises(UserError, match="not at") as error:
        _ = ResultHandler(alone).firing.raw_spikes
    assert "study=" in (error.value.help or "")
    assert ResultHandler(alone).firing.state_firing.shape == (TRIALS, STATES, NEURONS)
    assert ResultHandler(alone, study=study).firing.raw_spikes.any()


def test_spikes_that_changed_since_are_not_taken_for_those_that_were_fitted(made):
    """Aligned to changepoints of other data, activity would mean nothing."""
    fitted = ResultHandler(made.path).fitted
    reading = fitted.raw
    changed = dataclasses.replace(made.point, data_digest="sha256:0")

    with pytest.raises(BadData, match="changed since it was fitted"):
        type(reading)(reading.func, changed, *reading.args[1:])()


def test_a_path_without_suffix_or_with_pytaus_means_the_result(made):
    """PyTau's paths have no suffix, and its files end in .pkl."""
    for path in (made.path.with_suffix(""), made.path.with_suffix(".pkl"), str(made.path)):
        assert ResultHandler(path).path == made.path


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(UserError, match="no result at"):
        ResultHandler(tmp_path / "model_1")
    with pytest.raises(UserError, match="no result at"):
        ResultHandler(tmp_path / "model_1.nc")
    (tmp_path / "model_1.nc").write_bytes(b"not a result")
    with pytest.raises(ResultInvalid):
        ResultHandler(tmp_path / "model_1.nc")


def test_the_loss_knows_its_iterations(made):
    loss = ResultHandler(made.path).loss

    np.testing.assert_array_equal(loss.iteration, 250 * np.arange(1, 13))
