"""Activity around changepoints and between them; which neurons differ. Numbers are from PyTau's own functions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from pytau_hpc.analysis.activity import (
    get_state_firing,
    get_state_snippets,
    get_transition_snips,
    mean_around,
    state_means,
    transition_snips,
)
from pytau_hpc.analysis.significance import (
    calc_significant_neurons_firing,
    calc_significant_neurons_snippets,
)

TAU = np.array([[8, 15], [10, 10], [9, 17], [11, 16]])


@pytest.fixture
def spikes() -> np.ndarray:
    """Four trials, three neurons, 24 bins; the first neuron fires more from bin 10 on."""
    # RandomState's streams are frozen: the same array under every numpy.
    array = np.random.RandomState(7).poisson(2.0, (4, 3, 24))
    array[:, 0, 10:] += 3
    return array


def test_state_firing_is_pytaus(spikes):
    """The second trial has no bins between its changepoints: 0, as in PyTau."""
    firing = get_state_firing(spikes, TAU)

    np.testing.assert_allclose(
        firing[1],
        [[2.5, 0.9, 1.9], [0, 0, 0], [4.785714, 2.0, 2.785714]],
        atol=1e-6,
    )
    np.testing.assert_allclose(
        firing.sum(axis=0),
        [
            [7.97095959596, 6.849494949495, 7.825505050505],
            [13.767857142857, 7.260714285714, 5.892857142857],
            [19.551587301587, 6.77380952381, 8.888888888889],
        ],
    )


def test_a_state_without_bins_can_be_told_from_silence(spikes):
    """NaN, where PyTau's name says 0."""
    means = state_means(spikes, TAU)

    assert np.isnan(means[1, 1]).all()
    assert np.isnan(means).sum() == 3


def test_state_snippets_are_the_pieces_between_the_changepoints(spikes):
    """By state, then trial; put together they are the trial."""
    pieces = get_state_snippets(spikes, TAU)

    assert [piece.shape for piece in pieces[1]] == [(3, 7), (3, 0), (3, 8), (3, 5)]
    for trial in range(4):
        joined = np.concatenate([state[trial] for state in pieces], axis=-1)
        np.testing.assert_array_equal(joined, spikes[trial])


def test_transition_snips_are_pytaus(spikes):
    """Shape (trial, neuron, sample, changepoint), as floats."""
    snips = get_transition_snips(spikes, TAU, window_radius=5)

    assert snips.shape == (4, 3, 10, 2)
    assert snips.dtype == np.float64
    np.testing.assert_array_equal(snips.sum(axis=(0, 2)), [[136, 179], [89, 76], [86, 80]])
    np.testing.assert_array_equal(snips[0, :, :, 0], spikes[0, :, 3:13])


def test_a_window_outside_of_the_data_is_refused_under_pytaus_name(spikes):
    with pytest.raises(ValueError, match="Transition window extends outside data bounds"):
        get_transition_snips(spikes, TAU, window_radius=9)


def test_a_window_outside_of_the_data_is_nan_where_there_is_nothing(spikes):
    """The first changepoint of the first trial is at 8: a window of 9 lacks one sample."""
    snips = transition_snips(spikes, TAU, 9, valid=(0, 24))

    assert np.isnan(snips[0, :, :, 0]).sum() == 3
    np.testing.assert_array_equal(snips[0, :, 1:, 0], spikes[0, :, :17])


def test_anova_is_pytaus(spikes):
    """p values of each neuron over the states; none passes Bonferroni's 0.05 / 3."""
    p_values, significant = calc_significant_neurons_firing(get_state_firing(spikes, TAU))

    np.testing.assert_allclose(
        p_values, [0.045318470066702546, 0.976761741120483, 0.45442328225559153]
    )
    assert significant.tolist() == []
    _, lenient = calc_significant_neurons_firing(get_state_firing(spikes, TAU), p_val=0.2)
    assert lenient.tolist() == [0]


def test_paired_t_tests_are_pytaus(spikes):
    """Not corrected for the number of tests, as in PyTau."""
    p_values, significant = calc_significant_neurons_snippets(get_transition_snips(spikes, TAU, 5))

    np.testing.assert_allclose(
        p_values,
        [
            [0.00246465527397391, 0.6346866147498474],
            [0.2254778786108471, 0.6260945858825185],
            [0.7275498361433617, 0.6801087390907959],
        ],
    )
    assert significant.tolist() == [[True, False], [False, False], [False, False]]


def test_windows_with_gaps_are_left_out_of_the_t_test(spikes):
    """The other trials count as if they were alone."""
    snips = get_transition_snips(spikes, TAU, 5)
    gap = snips.copy()
    gap[2, :, :2, 0] = np.nan

    p_values, _ = calc_significant_neurons_snippets(gap)

    alone, _ = calc_significant_neurons_snippets(snips[[0, 1, 3]])
    np.testing.assert_allclose(p_values[:, 0], alone[:, 0])
    full, _ = calc_significant_neurons_snippets(snips)
    np.testing.assert_allclose(p_values[:, 1], full[:, 1])


def test_a_silent_neuron_and_a_single_trial_have_no_p_value(spikes):
    """NaN, which is never significant; and no warning for what is quite usual."""
    silent = spikes.copy()
    silent[:, 1] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        anova, significant = calc_significant_neurons_firing(get_state_firing(silent, TAU), 1.0)
        paired, across = calc_significant_neurons_snippets(
            get_transition_snips(silent, TAU, 5), 1.0
        )
        single, none = calc_significant_neurons_firing(get_state_firing(spikes[:1], TAU[:1]))
        one, _ = calc_significant_neurons_snippets(get_transition_snips(spikes[:1], TAU[:1], 5))

    assert np.isnan(anova).tolist() == [False, True, False]
    assert 1 not in significant
    assert np.isnan(paired[1]).all()
    assert not across[1].any()
    assert np.isnan(single).all()
    assert none.size == 0
    assert np.isnan(one).all()


def test_the_mean_around_a_changepoint_is_smooth_and_in_hz():
    """A step from 10 to 30 Hz is -10 and +10 around the mean, wherever windows leave the recording."""
    snips = np.full((3, 1, 60, 1), 0.01)
    snips[:, :, 30:] = 0.03
    snips[0, :, :10] = np.nan

    around = mean_around(snips, hz_per_unit=1000)

    assert around.shape == (1, 1, 60)
    np.testing.assert_allclose(around[0, 0, [0, 20, 40, 59]], [-10, -10, 10, 10], atol=0.1)
    assert (np.diff(around[0, 0, 24:36]) > 0).all()
