"""Loading what a point fits: the data that were planned, or an error that says what happened to them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from pytau_hpc.data import READERS
from pytau_hpc.data.load import load, located
from pytau_hpc.data.recording import facts
from pytau_hpc.data.synthetic import write_blech_session
from pytau_hpc.errors import BadData
from pytau_hpc.sweep.point import DataSource, Preprocessing, Selection

NAME = "AN01_demo_260101_101500"
WINDOW = Preprocessing(window_ms=(100, 300), bin_ms=50)
SOURCE = DataSource(format="blech_hdf5")


class Study:
    """A study folder with one session whose digest was planned."""

    def __init__(self, folder):
        self.folder = folder
        write_blech_session(
            folder / "data" / NAME,
            seed=1,
            tastes=2,
            trials=5,
            duration_ms=400,
            window_ms=(100, 300),
        )
        reader = READERS["blech_hdf5"]
        [self.session] = reader.sessions(["data/*"], folder)
        self.planned = facts(reader.read(located(self.session, folder), Selection())).digest

    def load(self, preprocessing=WINDOW, repeat=0):
        return load(
            self.session, SOURCE, Selection(), preprocessing, repeat, self.planned, self.folder
        )

    @property
    def h5(self):
        return self.folder / "data" / NAME / f"{NAME}.h5"


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study").mkdir()
    return Study(tmp_path / "study")


def test_the_planned_data_are_loaded_and_binned(study):
    """With the names of the axes that the model asks for."""
    loaded = study.load()

    assert loaded.dims == ("trial", "neuron", "bin")
    assert loaded.array.shape == (5, 10, 4)
    with h5py.File(study.h5) as file:
        spikes = file["spike_trains/dig_in_0/spike_array"][..., 100:300]
    np.testing.assert_array_equal(loaded.array.sum(axis=-1), spikes.sum(axis=-1))


def test_a_study_that_moved_is_loaded_where_it_is(study):
    """Paths are relative to the study folder, not to the current one."""
    study.folder = study.folder.rename(study.folder.with_name("moved"))

    assert study.load().array.shape == (5, 10, 4)


def test_a_repeat_is_a_new_shuffle_and_the_same_repeat_the_same(study):
    """Also in another process, since only the data and the settings go in."""
    shuffled = Preprocessing(transform="trial_shuffled", window_ms=(100, 300), bin_ms=50)

    first = study.load(shuffled).array

    np.testing.assert_array_equal(first, study.load(shuffled).array)
    assert (first != study.load(shuffled, repeat=1).array).any()


def test_a_vanished_session_is_bad_data(study):
    """The path that was tried is in the message."""
    study.folder.joinpath("data").rename(study.folder / "elsewhere")

    with pytest.raises(
        BadData, match=rf"session {NAME} has vanished: .*/data/{NAME} does not exist"
    ):
        study.load()


def test_a_session_whose_file_vanished_is_bad_data(study):
    """The folder alone is not the session."""
    study.h5.unlink()

    with pytest.raises(BadData, match=r"holds no \.h5 or \.hdf5 file"):
        study.load()


def test_one_spike_more_than_planned_is_bad_data(study):
    """A fit of other data under the planned name would be a wrong result."""
    with h5py.File(study.h5, "r+") as file:
        file["spike_trains/dig_in_0/spike_array"][0, 0, 0] ^= 1

    with pytest.raises(BadData, match="changed since plan") as caught:
        study.load()
    assert study.planned[:19] in caught.value.message


def test_changes_elsewhere_in_the_file_do_not_matter(study):
    """Other tools write into the same file, and other tastes may be sorted again."""
    with h5py.File(study.h5, "r+") as file:
        file["spike_trains/dig_in_1/spike_array"][0, 0, 0] ^= 1
        file["changepoints"] = np.arange(3)

    assert study.load().array.shape == (5, 10, 4)


def test_what_cannot_be_preprocessed_is_bad_data_of_the_session(study):
    """All problems, under the session's name."""
    with pytest.raises(
        BadData, match=rf"session {NAME}: window 100-900 ms is outside .*; bins of 70 ms"
    ):
        study.load(Preprocessing(window_ms=(100, 900), bin_ms=70))


def test_synthetic_sessions_load_without_files(tmp_path):
    """Nothing on disk can vanish."""
    reader = READERS["synthetic"]
    options = {"trials": 3, "neurons": 2, "duration_ms": 400}
    [session, _] = reader.sessions([], tmp_path, options)
    planned = facts(reader.read(session, Selection(taste="all"), options)).digest

    loaded = load(
        session,
        DataSource(format="synthetic", options=options),
        Selection(taste="all"),
        WINDOW,
        0,
        planned,
        tmp_path,
    )

    assert loaded.dims == ("taste", "trial", "neuron", "bin")
    assert loaded.array.shape == (4, 3, 2, 4)
