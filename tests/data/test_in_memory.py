"""Arrays that are in memory already: generated, checked."""

from __future__ import annotations

import numpy as np
import pytest

from pytau_hpc.data.generated import CannotGenerate, gen_test_array
from pytau_hpc.data.in_memory import preprocess_array, transform_named
from pytau_hpc.data.quality import (
    check_data_quality,
    data_problems,
    data_remarks,
    remove_incomplete_trials,
)
from pytau_hpc.errors import BadData, UserError


@pytest.mark.parametrize("shape", [60, (60,), (5, 60), (4, 5, 60), (2, 4, 5, 60)])
@pytest.mark.parametrize("kind", ["poisson", "normal"])
def test_a_test_array_has_the_shape_and_type_asked_for(shape, kind):
    """Whole numbers for Poisson models, others for Gaussian ones."""
    array = gen_test_array(shape, 3, type=kind)

    assert array.shape == ((60,) if shape == 60 else shape)
    assert array.dtype.kind == ("i" if kind == "poisson" else "f")


def test_every_state_of_a_test_array_has_its_level():
    """In each trial all neurons change at the same bins, and there are as many levels as states."""
    array = gen_test_array((50, 8, 40), 4, type="normal")

    # Steps between levels are large beside the noise of 0.1 in some of eight neurons.
    for trial in array:
        steps = np.abs(np.diff(trial, axis=-1)).max(axis=0)
        assert np.count_nonzero(steps > 0.8) <= 3
    jumps = [np.count_nonzero(np.abs(np.diff(trial, axis=-1)).max(axis=0) > 0.6) for trial in array]
    assert np.mean(jumps) > 1


def test_no_state_of_a_test_array_is_empty():
    """With one bin more than states each has one, and one has two."""
    array = gen_test_array((30, 200, 5), 4, type="normal")

    for trial in array:
        steps = np.abs(np.diff(trial, axis=-1)).mean(axis=0)
        # Between states the mean step of 200 neurons is 1/3, within one it is 0.11.
        assert np.count_nonzero(steps > 0.22) == 3


def test_a_test_array_that_cannot_be_is_refused_like_pytau_does():
    """As a mistake of the user, and as the AssertionError that PyTau's function raises."""
    with pytest.raises(CannotGenerate, match="10 bins are too few for 10 states"):
        gen_test_array((5, 10), 10)
    with pytest.raises(AssertionError, match="type must be one of"):
        gen_test_array((5, 10), 2, type="gamma")


def test_limits_in_samples_must_be_whole():
    """A float that is whole is fine: PyTau's parameters come out of JSON and numpy."""
    spikes = np.ones((2, 3, 60), dtype=np.uint8)

    counts = preprocess_array(spikes, window=np.array([0.0, 60.0]), bin_width=np.int64(10))
    assert (counts == 10).all()
    with pytest.raises(UserError, match=r"bin_width is in samples and must be whole, not 0\.05"):
        preprocess_array(spikes, window=(0, 60), bin_width=0.05)
    for window in ((0, 30, 60), 60):
        with pytest.raises(UserError, match="two numbers, start and end, not"):
            preprocess_array(spikes, window=window, bin_width=10)


def test_a_shuffle_of_a_single_series_needs_trials():
    """There is nothing to move."""
    with pytest.raises(BadData, match="needs the dimensions trial, neuron"):
        preprocess_array(
            np.ones(60, dtype=int), window=(0, 60), bin_width=10, transform="simulated"
        )


@pytest.mark.parametrize("name", [None, "None", "none"])
def test_no_transform_has_three_names(name):
    """PyTau's two and ours."""
    assert transform_named(name) == "none"


@pytest.mark.parametrize(
    ("array", "values", "problem"),
    [
        (np.array(["a"]), None, "numbers are needed"),
        (np.empty((0, 3)), None, "it is empty"),
        (np.array([1.0, np.inf]), None, "1 of 2 values are infinite"),
        (np.array([1, -2]), "counts", "smallest value is -2; counts must be 0 or more"),
        (np.array([0.5, 2.0]), "categories", "not whole numbers"),
    ],
)
def test_each_problem_is_named(array, values, problem):
    """One after another."""
    [found] = data_problems(array, values=values)

    assert problem in found
    with pytest.raises(BadData):
        check_data_quality(array, values=values)


def test_what_is_fine_for_one_kind_of_model_is_not_for_another():
    """Gaussian models take negative numbers and fractions."""
    assert data_problems(np.array([-0.5, 1.0])) == data_problems(np.array([-0.5, 1]), values="real")
    assert len(data_problems(np.array([-0.5, 1.0]), values="counts")) == 2


def test_strange_data_are_remarked_upon_and_pass():
    """Nearly all zeros, or the same everywhere; ordinary counts are neither."""
    nearly_empty = np.zeros((3, 4, 10), dtype=int)
    nearly_empty[0, 0, 0] = 1

    with pytest.warns(UserWarning, match=r"data: 99\.2% of its values are 0"):
        assert check_data_quality(nearly_empty)
    assert "no changepoint" in " ".join(data_remarks(np.ones(20)))
    assert data_remarks(np.random.default_rng(0).poisson(3, (5, 4, 30))) == []


def test_trials_with_gaps_are_removed_whole():
    """And counts are left as they are."""
    data = np.zeros((3, 2, 4))
    data[1, 1, 2] = np.nan

    assert remove_incomplete_trials(data).shape == (2, 2, 4)
    assert remove_incomplete_trials(np.zeros((3, 4), dtype=int)).shape == (3, 4)
    with pytest.raises(BadData):
        remove_incomplete_trials(np.zeros(4))
