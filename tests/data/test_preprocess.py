"""Window, transforms and bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pytau_hpc.data import TRANSFORMS
from pytau_hpc.data.preprocess import _TRANSFORMS, bin_spikes, preprocess, preprocessing_rng
from pytau_hpc.data.recording import Recording
from pytau_hpc.errors import BadData
from pytau_hpc.sweep.point import Preprocessing, Selection

SPIKE_DIMS = ("taste", "trial", "neuron", "ms")


def rng(seed=0):
    return np.random.default_rng(seed)


def spikes_of(array):
    return Recording(array=array, dims=SPIKE_DIMS[-array.ndim :], kind="spikes")


def some_spikes(*shape, seed=3):
    return (rng(seed).random(shape) < 0.2).astype(np.uint8)


def processed(array, transform="none", *, window=None, bin_ms=1, seed=0):
    settings = Preprocessing(
        transform=transform, window_ms=window or (0, array.shape[-1]), bin_ms=bin_ms
    )
    return preprocess(spikes_of(array), settings, rng(seed))


shapes = st.one_of(
    st.tuples(st.integers(2, 5), st.integers(1, 4), st.just(24)),
    st.tuples(st.integers(1, 3), st.integers(2, 5), st.integers(1, 4), st.just(24)),
)
spike_arrays = shapes.flatmap(lambda shape: hnp.arrays(np.uint8, shape, elements=st.integers(0, 2)))
windows = (
    st.tuples(st.integers(0, 1), st.integers(1, 2))
    .map(lambda pair: (12 * pair[0], 12 * pair[1]))
    .filter(lambda window: window[0] < window[1])
)


@settings(max_examples=60, deadline=None)
@given(spike_arrays, windows, st.sampled_from([1, 2, 3, 4, 6, 12]))
def test_binning_loses_no_spike(array, window, bin_ms):
    """Every spike of the window is in exactly one bin, its own."""
    counts = processed(array, window=window, bin_ms=bin_ms)

    assert counts.dtype == np.int64
    assert counts.shape == (*array.shape[:-1], (window[1] - window[0]) // bin_ms)
    edges = range(window[0], window[1], bin_ms)
    for index, start in enumerate(edges):
        np.testing.assert_array_equal(
            counts[..., index], array[..., start : start + bin_ms].sum(axis=-1)
        )


@settings(max_examples=60, deadline=None)
@given(spike_arrays, st.integers(0, 100))
def test_trial_shuffled_moves_whole_trials_of_each_neuron(array, seed):
    """Each neuron has the same trials as before, in some order."""
    shuffled = processed(array, "trial_shuffled", seed=seed)

    before = np.moveaxis(array, -3, 0).reshape(array.shape[-3], -1, array.shape[-1])
    after = np.moveaxis(shuffled, -3, 0).reshape(before.shape)
    for neuron in range(before.shape[1]):
        assert sorted(before[:, neuron].tolist()) == sorted(after[:, neuron].tolist())


@settings(max_examples=60, deadline=None)
@given(spike_arrays, st.integers(0, 100))
def test_spike_shuffled_keeps_what_neurons_do_together(array, seed):
    """At every millisecond the population's patterns are the same as before, in other trials."""
    shuffled = processed(array, "spike_shuffled", seed=seed)

    for ms in range(array.shape[-1]):
        before = np.moveaxis(array[..., ms], -2, 0).reshape(array.shape[-3], -1)
        after = np.moveaxis(shuffled[..., ms], -2, 0).reshape(before.shape)
        assert sorted(before.tolist()) == sorted(after.tolist())


def test_trial_shuffled_gives_each_neuron_an_order_of_its_own():
    """The neurons carry their trial number, so the orders can be read off."""
    array = np.zeros((30, 5, 4), dtype=np.uint8) + np.arange(30, dtype=np.uint8)[:, None, None]

    orders = processed(array, "trial_shuffled")[:, :, 0].T

    assert len({tuple(order) for order in orders}) == 5


def test_trial_shuffled_moves_all_tastes_alike():
    """PyTau draws one order per neuron for all tastes."""
    array = np.broadcast_to(np.arange(30, dtype=np.uint8)[None, :, None, None], (3, 30, 2, 4))

    shuffled = processed(array, "trial_shuffled")

    np.testing.assert_array_equal(shuffled[0], shuffled[2])


def test_spike_shuffled_gives_each_millisecond_an_order_of_its_own():
    """All neurons share it."""
    array = np.zeros((30, 3, 6), dtype=np.uint8) + np.arange(30, dtype=np.uint8)[:, None, None]

    shuffled = processed(array, "spike_shuffled")

    assert len({tuple(order) for order in shuffled[:, 0].T}) == 6
    np.testing.assert_array_equal(shuffled[:, 0], shuffled[:, 2])


@pytest.mark.parametrize("shape", [(200, 3, 40), (2, 200, 3, 40)])
def test_simulated_spikes_follow_the_mean_over_trials(shape):
    """Exactly where it is 0 or 1, on average elsewhere."""
    array = some_spikes(*shape)
    array[..., 0, :20] = 0
    array[..., 1, :20] = 1

    simulated = processed(array, "simulated")

    assert (simulated[..., 0, :20] == 0).all()
    assert (simulated[..., 1, :20] == 1).all()
    # 40 ms of 200 trials at p of about 0.2: the standard error of a neuron's rate is below 0.005.
    np.testing.assert_allclose(simulated.mean(axis=(-3, -1)), array.mean(axis=(-3, -1)), atol=0.02)
    assert (simulated != array).any()


def test_simulated_trials_are_independent():
    """What trials have in common beyond the mean is gone: here, that a trial is silent or full."""
    array = np.zeros((100, 1, 50), dtype=np.uint8)
    array[::2] = 1

    per_trial = processed(array, "simulated", bin_ms=50)[:, 0, 0]

    assert per_trial.min() > 10
    assert per_trial.max() < 40


@pytest.mark.parametrize("transform", sorted(set(TRANSFORMS) - {"none"}))
def test_the_same_random_numbers_give_the_same_data(transform):
    """Other ones give others; the input is left as it is."""
    array = some_spikes(20, 3, 50)
    before = array.copy()

    first = processed(array, transform, seed=1, bin_ms=5)

    np.testing.assert_array_equal(first, processed(array, transform, seed=1, bin_ms=5))
    assert (first != processed(array, transform, seed=2, bin_ms=5)).any()
    np.testing.assert_array_equal(array, before)


def test_shuffles_are_pinned():
    """A shuffle that was fitted last year can be made again this year."""
    array = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)

    assert processed(array, "trial_shuffled", seed=5)[:, :, 0].tolist() == PINNED_TRIALS
    assert processed(array, "spike_shuffled", seed=5)[:, 0].tolist() == PINNED_SPIKES


PINNED_TRIALS = [[12, 21], [18, 9], [6, 15], [0, 3]]
PINNED_SPIKES = [[6, 13, 14], [12, 7, 20], [0, 19, 8], [18, 1, 2]]


def test_the_shuffle_depends_on_data_selection_preprocessing_and_repeat_alone():
    """Each of them changes it; there is nothing else to give."""
    given = (
        "sha256:ab",
        Selection(),
        Preprocessing(transform="simulated", window_ms=(0, 9), bin_ms=3),
        0,
    )
    other = (
        "sha256:cd",
        Selection(taste=1),
        Preprocessing(transform="simulated", window_ms=(0, 9), bin_ms=9),
        1,
    )

    first = preprocessing_rng(*given).random()

    assert first == preprocessing_rng(*given).random()
    for index in range(4):
        changed = [*given]
        changed[index] = other[index]
        assert preprocessing_rng(*changed).random() != first


def test_binned_data_pass_unchanged():
    """Real values too."""
    array = np.array([0.5, -2.0, 3.25])

    np.testing.assert_array_equal(
        preprocess(Recording(array=array, dims=("bin",), kind="binned"), Preprocessing(), rng()),
        array,
    )


def test_trials_of_binned_counts_can_be_shuffled():
    """Whole trials move, so bins do not matter."""
    array = np.arange(5 * 2 * 3).reshape(5, 2, 3)
    recording = Recording(array=array, dims=("trial", "neuron", "bin"), kind="binned")

    shuffled = preprocess(recording, Preprocessing(transform="trial_shuffled"), rng())

    assert sorted(shuffled[:, 0].tolist()) == array[:, 0].tolist()
    assert (shuffled != array).any()


@pytest.mark.parametrize("transform", ["spike_shuffled", "simulated"])
def test_transforms_of_spikes_refuse_binned_data(transform):
    """They would mean something else there."""
    recording = Recording(array=np.ones((5, 2, 3)), dims=("trial", "neuron", "bin"), kind="binned")

    with pytest.raises(BadData, match=f"transform {transform} needs spikes at 1 kHz"):
        preprocess(recording, Preprocessing(transform=transform), rng())


def test_spikes_that_are_not_whole_numbers_are_refused():
    """They would be counted wrong without a word."""
    with pytest.raises(BadData, match="whole numbers"):
        processed(np.full((2, 2, 4), 0.5))


def test_every_named_transform_can_be_computed():
    """The table of names and the table of functions are two, so that names need no numpy."""
    assert set(TRANSFORMS) == set(_TRANSFORMS)


def test_counts_above_255_do_not_wrap_around():
    """Spikes are stored in bytes, counts are not."""
    assert bin_spikes(np.ones((1, 1, 600), dtype=np.uint8), bin_ms=300).tolist() == [[[300, 300]]]
