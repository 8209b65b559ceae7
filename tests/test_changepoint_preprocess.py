"""Preprocessing by PyTau's names.

The counts below were taken from PyTau's own functions (changepoint_preprocess, commit 57b517f), run on arrays that a
formula makes.
"""

from __future__ import annotations

import numpy as np
import pytest

from pytau_hpc.changepoint_preprocess import (
    check_data_quality,
    gen_test_array,
    generate_synthetic_spikes,
    preprocess_all_taste,
    preprocess_single_taste,
    preprocess_spike_data,
    remove_incomplete_trials,
)
from pytau_hpc.data.load import load
from pytau_hpc.data.recording import array_digest
from pytau_hpc.data.synthetic import write_blech_session
from pytau_hpc.errors import BadData, UserError
from pytau_hpc.sweep.point import DataSource, Preprocessing, Selection, Session

SHUFFLES = ["trial_shuffled", "spike_shuffled", "simulated"]

PYTAU_SINGLE = [
    [[1, 3, 0, 3, 0, 3], [1, 2, 1, 2, 2, 2]],
    [[2, 2, 3, 2, 2, 2], [3, 1, 3, 2, 2, 2]],
    [[1, 1, 1, 1, 2, 1], [0, 0, 0, 0, 0, 0]],
]
PYTAU_SINGLE_WHOLE = [[[5, 6, 6], [6, 5, 6]], [[7, 7, 8], [7, 8, 6]], [[4, 3, 4], [0, 0, 0]]]
PYTAU_ALL = [
    [[[4, 3, 3], [3, 3, 4]], [[4, 5, 4], [4, 5, 4]], [[2, 2, 3], [0, 0, 0]]],
    [[[0, 0, 0], [4, 5, 4]], [[4, 3, 3], [2, 2, 3]], [[6, 7, 6], [5, 4, 4]]],
]


def four_axes():
    """2 tastes, 3 trials, 2 neurons, 60 ms."""
    taste, trial, neuron, ms = np.ogrid[:2, :3, :2, :60]
    return (((5 * taste + 7 * trial + 13 * neuron + ms * ms) % 11) < 3).astype(int)


def some_spikes(*shape, seed=1):
    return (np.random.default_rng(seed).random(shape) < 0.2).astype(int)


# ------------------------------------------------------------------------------------------------- PyTau's functions


@pytest.mark.parametrize("transform", [None, "None"])
def test_the_counts_of_a_taste_are_pytaus(transform):
    """With a window inside the trial, and over all of it."""
    spikes = four_axes()[0]

    counts = preprocess_single_taste(spikes, [12, 48], 6, transform)
    whole = preprocess_single_taste(spikes, (0, 60), bin_width=20, data_transform=transform)

    assert counts.tolist() == PYTAU_SINGLE
    assert whole.tolist() == PYTAU_SINGLE_WHOLE
    assert counts.dtype == np.int64


@pytest.mark.parametrize("transform", [None, "None"])
def test_the_counts_of_all_tastes_are_pytaus(transform):
    """Taste by taste they are also those of a single one."""
    counts = preprocess_all_taste(four_axes(), [12, 48], 12, transform)

    assert counts.tolist() == PYTAU_ALL
    for taste, spikes in enumerate(four_axes()):
        single = preprocess_single_taste(spikes, [12, 48], 12, transform)
        np.testing.assert_array_equal(counts[taste], single)


@pytest.mark.parametrize("transform", SHUFFLES)
def test_a_shuffle_is_the_same_every_time_and_another_one_with_another_seed(transform):
    """Without a seed it depends on the data; a Generator is used and moves on."""
    spikes = some_spikes(8, 4, 60)

    def shuffled(seed=None, spikes=spikes):
        return preprocess_single_taste(spikes, (0, 60), 10, transform, seed=seed).tolist()

    assert shuffled() == shuffled()
    assert shuffled(3) == shuffled(3) == shuffled(np.random.default_rng(3))
    assert len({str(shuffled(seed)) for seed in (None, 3, 4)}) == 3
    generator = np.random.default_rng(3)
    assert shuffled(generator) != shuffled(generator)
    assert shuffled() != preprocess_single_taste(spikes, (0, 60), 10).tolist()


@pytest.mark.parametrize("transform", ["trial_shuffled", "spike_shuffled"])
def test_a_shuffle_of_all_tastes_moves_their_trials_alike(transform):
    """Tastes that are equal before are equal after."""
    one = some_spikes(6, 3, 40)

    counts = preprocess_all_taste(np.stack([one, one]), (0, 40), 10, transform, seed=1)

    np.testing.assert_array_equal(counts[0], counts[1])
    assert counts.sum() == 2 * one.sum()


def test_shuffled_trials_are_the_same_trials():
    """Each neuron keeps its trials, in an order of its own."""
    spikes = some_spikes(7, 3, 40)
    before = preprocess_single_taste(spikes, (0, 40), 5)

    after = preprocess_single_taste(spikes, (0, 40), 5, "trial_shuffled")

    for neuron in range(3):
        assert sorted(before[:, neuron].tolist()) == sorted(after[:, neuron].tolist())


def test_simulated_spikes_come_at_the_mean_rate_of_their_millisecond():
    """Where no trial has a spike there is none, where all have one there is one."""
    spikes = np.zeros((400, 2, 30), dtype=np.uint8)
    spikes[:, :, 10:20] = 1
    spikes[:100, :, 20:30] = 1

    counts = preprocess_single_taste(spikes, (0, 30), 10, "simulated")

    assert (counts[..., 0] == 0).all()
    assert (counts[..., 1] == 10).all()
    # 8000 draws with probability 1/4: four standard deviations of their mean are 0.02.
    assert counts[..., 2].mean() / 10 == pytest.approx(0.25, abs=0.02)


def test_a_sweep_sees_the_same_counts(tmp_path):
    """The same window and bins of the same session, by a point and by PyTau's function."""
    import h5py

    folder = tmp_path / "AN01_demo_260101_101500"
    write_blech_session(folder, seed=1, tastes=2, trials=5, duration_ms=400, window_ms=(100, 300))
    with h5py.File(folder / f"{folder.name}.h5") as file:
        spikes = file["spike_trains/dig_in_1/spike_array"][...]

    loaded = load(
        session=Session(name=folder.name, animal="AN01", date="260101", path=str(folder)),
        source=DataSource(format="blech_hdf5"),
        selection=Selection(taste=1),
        preprocessing=Preprocessing(window_ms=(100, 300), bin_ms=20),
        repeat=0,
        expected_digest=array_digest(spikes),
        study=tmp_path,
    )

    np.testing.assert_array_equal(loaded.array, preprocess_single_taste(spikes, (100, 300), 20))


def test_what_does_not_fit_is_refused_all_at_once():
    """A window beyond the data and a bin that does not divide it, in one message; and nothing is cut silently."""
    with pytest.raises(BadData, match=r"outside the data.*do not divide the window of 50 ms"):
        preprocess_single_taste(some_spikes(4, 2, 60), (20, 70), 7)
    with pytest.raises(BadData, match="at least 2 trials"):
        preprocess_single_taste(some_spikes(1, 2, 60), (0, 60), 10, "trial_shuffled")
    with pytest.raises(BadData, match="NaN or infinite"):
        preprocess_single_taste(np.full((2, 2, 60), np.nan), (0, 60), 10)
    with pytest.raises(BadData, match=r"taste x trial x neuron x time, not of shape \(4, 2, 60\)"):
        preprocess_all_taste(some_spikes(4, 2, 60), (0, 60), 10)


def test_an_unknown_transform_is_named_with_the_known_ones():
    """And with the one that was probably meant."""
    with pytest.raises(UserError, match="not 'spikes_shuffled'") as caught:
        preprocess_single_taste(some_spikes(4, 2, 60), (0, 60), 10, "spikes_shuffled")

    assert caught.value.help == "did you mean `spike_shuffled`?"


# ------------------------------------------------------------------------------------------- seconds, as on the page


def test_seconds_are_samples_at_the_sampling_rate():
    """50 ms bins of two seconds by default; at 500 Hz the same bins have half the samples."""
    spikes = some_spikes(5, 3, 2500)

    default = preprocess_spike_data(spikes)
    asked = preprocess_spike_data(spikes, bin_width=0.1, time_lims=(0.5, 2.5), shuffle=False)
    slower = preprocess_spike_data(spikes, 0.1, (0.5, 2.5), sampling_rate=500)

    np.testing.assert_array_equal(default, preprocess_single_taste(spikes, (0, 2000), 50))
    np.testing.assert_array_equal(asked, preprocess_single_taste(spikes, (500, 2500), 100))
    np.testing.assert_array_equal(slower, preprocess_single_taste(spikes, (250, 1250), 50))


@pytest.mark.parametrize("shape", [(2000,), (6, 2000), (6, 3, 2000), (2, 6, 3, 2000)])
def test_every_number_of_axes_is_binned(shape):
    """A series, trials, trials of neurons, tastes."""
    spikes = some_spikes(*shape)

    counts = preprocess_spike_data(spikes)

    assert counts.shape == (*shape[:-1], 40)
    assert counts.sum() == spikes.sum()


@pytest.mark.parametrize("shape", [(6, 2000), (6, 3, 2000), (2, 6, 3, 2000)])
def test_shuffle_moves_trials_for_a_null_distribution(shape):
    """True is trial_shuffled; the name of a transform works, too."""
    spikes = some_spikes(*shape)

    shuffled = preprocess_spike_data(spikes, shuffle=True, seed=2)
    by_name = preprocess_spike_data(spikes, shuffle="trial_shuffled", seed=2)

    np.testing.assert_array_equal(shuffled, by_name)
    plain = preprocess_spike_data(spikes)
    trial = -2 if len(shape) == 2 else -3
    np.testing.assert_array_equal(shuffled.sum(axis=trial), plain.sum(axis=trial))
    assert (shuffled != plain).any()


def test_limits_that_are_no_whole_samples_or_outside_are_refused_in_seconds():
    """Not rounded: a bin of 33.3 ms would silently be one of 33."""
    spikes = some_spikes(4, 2, 1000)

    with pytest.raises(BadData, match=r"bin_width 0\.0333 s is not a whole number of samples"):
        preprocess_spike_data(spikes, bin_width=0.0333, time_lims=(0, 1))
    with pytest.raises(BadData, match=r"which run from 0 to 1 s \(1000 samples at 1000 Hz\)"):
        preprocess_spike_data(spikes)
    with pytest.raises(BadData, match=r"nearest that do: 0\.025 and 0\.04 s"):
        preprocess_spike_data(spikes, bin_width=0.03, time_lims=(0, 1))
    with pytest.raises(BadData, match="is empty"):
        preprocess_spike_data(spikes, time_lims=(1, 0.5))


# --------------------------------------------------------------------------------------- arrays to try, and to check


def test_the_synthetic_functions_are_seeded():
    """The same array every time; another seed, another array."""
    assert gen_test_array((4, 3, 50), 3).tolist() == gen_test_array((4, 3, 50), 3).tolist()
    assert gen_test_array((4, 3, 50), 3).tolist() != gen_test_array((4, 3, 50), 3, seed=1).tolist()
    first, second = (generate_synthetic_spikes(3, 2, 3, 300, seed=seed) for seed in (0, 1))
    assert first.spikes.shape == (1, 3, 2, 300)
    assert (first.spikes != second.spikes).any()
    assert (first.spikes == generate_synthetic_spikes(3, 2, 3, 300).spikes).all()


def test_data_that_cannot_be_fitted_are_an_error_not_a_printed_box(capsys):
    """Everything that is wrong in one message, with the trials to look at; sound data are True."""
    data = np.ones((5, 3, 20))
    data[1, 0, 0] = np.nan
    data[3] = np.inf

    with pytest.raises(BadData, match=r"my_data cannot be fitted: 1 of 300 .* NaN .*: 1\); 60 of"):
        check_data_quality(data, "my_data")
    assert check_data_quality(remove_incomplete_trials(data) + np.arange(20)) is True
    assert capsys.readouterr() == ("", "")
