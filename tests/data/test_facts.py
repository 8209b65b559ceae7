"""What plan knows of an array without having it, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pytau_hpc.data.facts import Facts, check, preprocessed_shape
from pytau_hpc.data.preprocess import preprocess
from pytau_hpc.data.recording import Recording, array_digest, facts, recorded
from pytau_hpc.files import canonical_json
from pytau_hpc.sweep.point import Preprocessing

DIMS = ("taste", "trial", "neuron", "ms")


def some_facts(**changes) -> Facts:
    fine = {
        "digest": "sha256:00",
        "shape": (30, 10, 3000),
        "dims": DIMS[1:],
        "kind": "spikes",
        "dtype": "uint8",
        "minimum": 0.0,
        "n_not_finite": 0,
        "is_integer": True,
    }
    return Facts(**(fine | changes))


def problems(found: Facts | None = None, **changes):
    asked = {"transform": "none", "window_ms": (1000, 3000), "bin_ms": 50}
    return check(found or some_facts(), **(asked | changes))


def binned(array):
    dims = {1: ("bin",), 2: ("dimension", "bin"), 3: ("trial", "neuron", "bin")}[array.ndim]
    return recorded(array, dims, "binned", where="x")


def test_nothing_is_wrong_with_good_data():
    """No problems is an empty list."""
    assert problems() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"window_ms": (2000, 4000)},
            "window 2000-4000 ms is outside the data, which run from 0 to 3000 ms",
        ),
        ({"window_ms": (2_000_000, 4_000_000)}, "`time_lims` is in seconds"),
        ({"window_ms": (-50, 1000)}, "window -50-1000 ms is outside"),
        ({"window_ms": (2000, 2000)}, "is empty"),
        ({"window_ms": (2000, 1000)}, "its end must be after its start"),
        ({"window_ms": (1, 2, 3)}, "two numbers"),
        ({"window_ms": None}, "spikes need window_ms"),
        ({"bin_ms": None}, "spikes need bin_ms"),
        ({"bin_ms": 0}, "at least 1"),
        (
            {"bin_ms": 30},
            "bins of 30 ms do not divide the window of 2000 ms (66.67 bins); nearest that do: 25 and 40",
        ),
        ({"bin_ms": 3000}, "nearest that do: 2000 ms"),
        ({"transform": "trial_shufled"}, "did you mean `trial_shuffled`?"),
    ],
)
def test_what_was_asked_for_must_fit_the_data(changes, words):
    """The number found and the numbers allowed are in the message."""
    [problem] = problems(**changes)

    assert words in problem


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_not_finite": 3}, "3 of 900000 values are NaN or infinite"),
        ({"minimum": -2.0}, "the smallest value is -2; spikes must be 0 or more"),
        ({"is_integer": False, "dtype": "float64"}, "some values are not whole numbers (float64)"),
        ({"shape": (0, 10, 3000)}, "there are no trials (0)"),
        ({"shape": (30, 0, 3000)}, "there are no neurons (0)"),
    ],
)
def test_the_data_must_be_spikes(changes, words):
    """Whatever the model."""
    [problem] = problems(some_facts(**changes))

    assert words in problem


def test_all_problems_are_told_at_once():
    """One plan, one list."""
    found = some_facts(n_not_finite=1, minimum=-1.0, shape=(1, 10, 3000))

    assert len(problems(found, transform="simulated", window_ms=(0, 5000), bin_ms=7)) == 5


def test_shuffling_one_trial_is_refused():
    """It would be the data as they are, under another name."""
    [problem] = problems(some_facts(shape=(1, 10, 3000)), transform="trial_shuffled")

    assert "at least 2 trials; there is 1" in problem


@pytest.mark.parametrize(
    ("values", "minimum", "whole", "n"),
    [
        ("real", -1.5, False, 0),
        ("counts", -1.0, True, 1),
        ("counts", 0.5, False, 1),
        ("categories", 0.0, True, 0),
    ],
)
def test_binned_data_must_be_what_the_model_takes(values, minimum, whole, n):
    """Only models of counts and categories mind negative or broken numbers."""
    found = some_facts(shape=(9,), dims=("bin",), kind="binned", minimum=minimum, is_integer=whole)

    assert len(problems(found, window_ms=None, bin_ms=None, values=values)) == n


def test_binned_data_take_no_window():
    """Nobody knows where their milliseconds are."""
    found = some_facts(shape=(9,), dims=("bin",), kind="binned")

    assert problems(found) == ["the data are binned already; leave out window_ms and bin_ms"]
    assert problems(found, window_ms=None, bin_ms=None) == []


def test_a_transform_needs_its_dimensions():
    """A series has no trials to shuffle."""
    found = some_facts(shape=(9,), dims=("bin",), kind="binned")

    [problem] = problems(found, transform="trial_shuffled", window_ms=None, bin_ms=None)

    assert (
        problem
        == "transform trial_shuffled needs the dimensions trial, neuron; these data have bin"
    )


arrays = hnp.arrays(
    st.sampled_from([np.dtype("f8"), np.dtype("i8")]),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
)


@settings(max_examples=80, deadline=None)
@given(arrays)
def test_facts_survive_json(array):
    """Plan keeps them in a cache, also those of data that are all NaN or empty."""
    found = facts(binned(array))

    assert Facts.from_json(json.loads(canonical_json(found.to_json()))) == found


@settings(max_examples=80, deadline=None)
@given(arrays)
def test_facts_are_what_they_say(array):
    """Checked value by value."""
    found = facts(binned(array))
    finite = [value for value in array.ravel().tolist() if np.isfinite(value)]

    assert found.shape == array.shape
    assert found.n_not_finite == array.size - len(finite)
    assert found.minimum == (float(min(finite)) if finite else None)
    assert found.is_integer == all(float(value).is_integer() for value in finite)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(0, 20), st.integers(1, 20), st.integers(1, 7)
)
def test_the_shape_is_told_before_preprocessing(trials, neurons, start, width, bin_ms):
    """And check passes exactly what preprocess does."""
    recording = recorded(np.ones((trials, neurons, 30), bool), DIMS[1:], "spikes", where="x")
    asked = Preprocessing(window_ms=(start, start + width), bin_ms=bin_ms)
    refused = check(facts(recording), transform="none", window_ms=asked.window_ms, bin_ms=bin_ms)

    if not refused:
        array = preprocess(recording, asked, np.random.default_rng(0))
        assert preprocessed_shape(facts(recording), asked.window_ms, bin_ms) == array.shape
    else:
        assert start + width > 30 or width % bin_ms


def test_the_shape_of_binned_data_stays():
    """There is nothing to cut."""
    assert preprocessed_shape(some_facts(shape=(9,), dims=("bin",), kind="binned"), None, None) == (
        9,
    )


def test_the_digest_sees_values_shape_and_type():
    """And not how the numbers lie in memory."""
    array = np.arange(12, dtype=np.int64).reshape(3, 4)
    digest = array_digest(array)

    assert digest == array_digest(np.asfortranarray(array)) == array_digest(array.astype(">i8"))
    others = [array.reshape(4, 3), array.astype(np.int32), array.T, array + 1, array.ravel()]
    assert len({digest, *map(array_digest, others)}) == 6


def test_the_digest_is_pinned():
    """It is in every point's id: if it changes, every result is computed again."""
    assert array_digest(np.arange(6, dtype=np.uint8).reshape(2, 3)) == PINNED


#: As sha256sum gives it for {"dtype":"|u1","shape":[2,3]}, a new line and the bytes 0 to 5.
PINNED = "sha256:3ce86a45d5a8f929610f657c99b8c76c52be4e2161e37db2637c749df0fdc10c"


def test_dims_must_describe_the_array():
    """A reader that forgets one is wrong, not the data."""
    with pytest.raises(ValueError, match="do not describe"):
        Recording(array=np.ones((2, 3)), dims=("trial", "neuron", "ms"), kind="spikes")
