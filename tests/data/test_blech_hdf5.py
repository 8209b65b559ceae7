"""blech_clust sessions: tastes, regions, laser, and everything that can be wrong with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from pytau_hpc.data import READERS
from pytau_hpc.data.facts import check
from pytau_hpc.data.load import located
from pytau_hpc.data.recording import facts
from pytau_hpc.data.synthetic import write_blech_session
from pytau_hpc.errors import BadData
from pytau_hpc.sweep.point import Selection

BLECH = READERS["blech_hdf5"]
NAME = "AN01_demo_260101_101500"


class Folder:
    """A small session on disk that a test can spoil."""

    def __init__(self, tmp_path: Path, **settings) -> None:
        small = {
            "tastes": 3,
            "trials": 4,
            "regions": {"bla": 2, "gc": 3},
            "duration_ms": 300,
            "n_states": 2,
        }
        self.path = tmp_path / NAME
        write_blech_session(self.path, seed=7, window_ms=(100, 250), **(small | settings))
        self.h5 = self.path / f"{NAME}.h5"
        self.info = self.path / f"{NAME}.info"

    def edit(self):
        return h5py.File(self.h5, "r+")

    def edit_info(self, change) -> None:
        content = json.loads(self.info.read_text())
        change(content)
        self.info.write_text(json.dumps(content))

    @property
    def session(self):
        return located(BLECH.sessions([NAME], self.path.parent)[0], self.path.parent)

    def values(self):
        return BLECH.values(self.session)

    def read(self, **selection):
        return BLECH.read(self.session, Selection(**selection)).array

    def stored(self, taste: int):
        with h5py.File(self.h5) as file:
            return file[f"spike_trains/dig_in_{taste}/spike_array"][:]

    def fails(self, **selection) -> str:
        with pytest.raises(BadData) as caught:
            self.read(**selection)
        return caught.value.message


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_a_taste_is_its_dig_in(folder):
    """Trials, neurons and milliseconds as they are stored."""
    np.testing.assert_array_equal(folder.read(taste=1), folder.stored(1))


def test_dig_ins_are_in_natural_order(folder):
    """dig_in_10 is the last taste, not the second."""
    with folder.edit() as file:
        file.move("spike_trains/dig_in_1", "spike_trains/dig_in_10")

    np.testing.assert_array_equal(folder.read(taste=2), folder.stored(10))


def test_a_taste_can_be_called_by_name(folder):
    """The names are those of .info."""
    assert folder.values().tastes == ("sucrose", "nacl", "citric_acid")
    np.testing.assert_array_equal(folder.read(taste="nacl"), folder.stored(1))


def test_names_belong_to_dig_in_numbers(folder):
    """.info may list the dig_ins in any order."""
    folder.edit_info(lambda info: info["taste_params"].update(dig_ins=[2, 0, 1]))

    assert folder.values().tastes == ("nacl", "citric_acid", "sucrose")


def test_names_go_by_order_where_the_numbers_are_others(folder):
    """The numbers may be those of the digital inputs, while the groups are counted from 0."""
    folder.edit_info(
        lambda info: info["taste_params"].update(dig_ins=["DIN-11", "DIN-12", "DIN-13"])
    )

    assert folder.values().tastes == ("sucrose", "nacl", "citric_acid")


def test_names_that_cannot_be_assigned_are_not_used(folder):
    """Four names for three dig_ins; the index still works."""
    folder.edit_info(lambda info: info["taste_params"].update(dig_ins=[], tastes=list("abcd")))

    assert folder.values().tastes == ()
    assert "its tastes have no names, use the index" in folder.fails(taste="a")


def test_a_name_that_two_tastes_share_is_refused(folder):
    """Half of the data would be left out without a word."""
    folder.edit_info(lambda info: info["taste_params"].update(tastes=["water", "nacl", "water"]))

    assert "several tastes (0, 2)" in folder.fails(taste="water")


def test_a_region_is_the_units_on_its_electrodes(folder):
    """In the order of the units."""
    assert folder.values().regions == ("bla", "gc")
    np.testing.assert_array_equal(folder.read(region="bla"), folder.stored(0)[:, :2])
    np.testing.assert_array_equal(folder.read(region="gc"), folder.stored(0)[:, 2:])


@pytest.mark.parametrize("layout", [[1], [[1]], [[], [[1], 5]]])
def test_the_electrode_layout_may_be_nested(folder, layout):
    """blech_clust nests one list per group of common reference; older files are flat."""
    with folder.edit() as file:
        descriptor = file["unit_descriptor"][:]
        descriptor["electrode_number"] = [0, 1, 2, 5 if [] in layout else 1, 7]
        file["unit_descriptor"][:] = descriptor
    folder.edit_info(lambda info: info.update(electrode_layout={"gc": layout, "emg": [3]}))

    np.testing.assert_array_equal(folder.read(region="gc"), folder.stored(0)[:, [1, 3]])


def test_a_unit_on_no_region_belongs_to_none(folder):
    """PyTau counts it to the first region."""
    with folder.edit() as file:
        descriptor = file["unit_descriptor"][:]
        descriptor["electrode_number"][-1] = 99
        file["unit_descriptor"][:] = descriptor

    assert folder.read(region="bla").shape[1] + folder.read(region="gc").shape[1] == 4
    assert folder.read(region="all").shape[1] == 5


def test_emg_is_no_region(folder):
    """Its electrodes record muscles."""
    assert "emg" not in folder.values().regions
    assert "does not exist; the session has: all, bla, gc" in folder.fails(region="emg")


def test_a_single_listed_region_needs_no_layout(folder):
    """Then all units are in it."""
    folder.edit_info(lambda info: (info.pop("electrode_layout"), info.update(regions=["gc"])))

    np.testing.assert_array_equal(folder.read(region="gc"), folder.stored(0))


def test_several_listed_regions_need_a_layout(folder):
    """Nothing else tells the units apart."""
    folder.edit_info(lambda info: info.pop("electrode_layout"))

    assert "electrode_layout does not say" in folder.fails(region="gc")


def test_a_session_without_info_can_be_read_by_index(folder):
    """Taste by number and all regions need nothing else."""
    folder.info.unlink()

    assert folder.values().regions == ()
    assert folder.read(taste=2).shape == (4, 5, 300)
    assert "the session has: all" in folder.fails(region="gc")


def test_an_info_file_of_another_name_is_found(folder):
    """Names inside the folder may differ from the folder's."""
    folder.info.rename(folder.path / "notes.info")

    assert folder.values().regions == ("bla", "gc")


def test_two_strange_info_files_are_ambiguous(folder):
    """Neither is called like the data."""
    folder.info.rename(folder.path / "a.info")
    (folder.path / "b.info").write_text("{}")

    assert "2 .info files (a.info, b.info)" in folder.fails()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{\n 'x'", ":2: not JSON"),
        ("[1, 2]", "not in the form"),
        ('{"electrode_layout": {"gc": ["x"]}}', "form"),
    ],
)
def test_a_broken_info_file_is_named(folder, text, words):
    """With its line where it is not JSON."""
    folder.info.write_text(text)

    message = folder.fails()

    assert words in message
    assert str(folder.info) in message


def test_laser_none_is_all_trials(tmp_path):
    """As PyTau's None; on and off are its parts."""
    folder = Folder(tmp_path, laser_trials=1)

    assert folder.values().lasers == ("none", "on", "off")
    np.testing.assert_array_equal(folder.read(laser="none"), folder.stored(0))
    np.testing.assert_array_equal(folder.read(laser="on"), folder.stored(0)[[1]])
    np.testing.assert_array_equal(folder.read(laser="off"), folder.stored(0)[[0, 2, 3]])


def test_laser_durations_that_are_all_zero_leave_no_trials_on(tmp_path):
    """The dataset alone does not make a laser session."""
    folder = Folder(tmp_path, laser_trials=0)

    assert folder.values().lasers == ("none", "off")
    assert "laser `on` cannot be selected: the session has no such trials" in folder.fails(
        laser="on"
    )
    assert folder.read(laser="off").shape[0] == 4


def test_a_taste_without_laser_trials_is_refused(tmp_path):
    """Other tastes have some, so only reading finds it."""
    folder = Folder(tmp_path, laser_trials=1)
    with folder.edit() as file:
        file["spike_trains/dig_in_2/laser_durations"][:] = 0

    assert "leaves 0 of the 4 trials of taste 2" in folder.fails(taste=2, laser="on")


def test_laser_durations_must_be_one_per_trial(tmp_path):
    """Else nobody knows which trial is which."""
    folder = Folder(tmp_path, laser_trials=1)
    with folder.edit() as file:
        del file["spike_trains/dig_in_0/laser_durations"]
        file["spike_trains/dig_in_0/laser_durations"] = np.zeros(9)

    assert "shape (9,), but there are 4 trials" in folder.fails()


def test_tastes_fitted_together_need_equal_trials(folder):
    """The numbers found are in the message; one taste alone is fine."""
    with folder.edit() as file:
        spikes = file["spike_trains/dig_in_1/spike_array"][:3]
        del file["spike_trains/dig_in_1/spike_array"]
        file["spike_trains/dig_in_1/spike_array"] = spikes

    assert "the tastes have 4, 3, 4 trials" in folder.fails(taste="all")
    assert folder.read(taste=1).shape[0] == 3


def test_one_taste_is_read_without_the_others(folder):
    """Damage in another dig_in goes unnoticed, so it was not read; in its own it is bad data."""
    with folder.edit() as file:
        dataset = file["spike_trains/dig_in_1/spike_array"]
        dataset.id.write_direct_chunk((0, 0, 0), b"this is not gzip")

    assert folder.read(taste=0).shape == (4, 5, 300)
    assert "dig_in_1/spike_array cannot be read" in folder.fails(taste=1)


def test_a_descriptor_of_other_length_is_refused(folder):
    """Regions would be wrong by some units."""
    with folder.edit() as file:
        descriptor = file["unit_descriptor"][:-1]
        del file["unit_descriptor"]
        file["unit_descriptor"] = descriptor

    assert "describes 4 units, but there are 5 neurons" in folder.fails(region="gc")


def test_a_region_without_units_is_refused(folder):
    """Sorting found none there."""
    folder.edit_info(lambda info: info["electrode_layout"].update(pc=[[90, 91]]))

    assert "region `pc` has 0 of the 5 neurons" in folder.fails(region="pc")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.pop("spike_trains"), "has no /spike_trains/dig_in_N"),
        (
            lambda file: file["spike_trains/dig_in_2"].pop("spike_array"),
            "dig_in_2/spike_array does not exist",
        ),
        (lambda file: file.pop("unit_descriptor"), "/unit_descriptor does not exist"),
    ],
)
def test_what_is_missing_in_the_file_is_named(folder, spoil, words):
    """With the place inside the file."""
    with folder.edit() as file:
        spoil(file)

    message = folder.fails(region="gc")

    assert words in message
    assert str(folder.h5) in message


def test_a_file_that_another_tool_holds_open_can_be_read(folder):
    """PyTau opens r+ to read, which locks the file."""

    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(folder.h5)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        assert folder.read().shape == (4, 5, 300)
    finally:
        other.communicate("")


@pytest.mark.parametrize("stored", [np.int64, np.float32, bool])
def test_the_digest_is_of_the_spikes_not_of_their_type(folder, stored):
    """Tools store the same spikes as bool, integers or floats."""
    before = facts(BLECH.read(folder.session, Selection()))
    spikes = folder.stored(0)
    with folder.edit() as file:
        del file["spike_trains/dig_in_0/spike_array"]
        file["spike_trains/dig_in_0/spike_array"] = spikes.astype(stored)

    assert facts(BLECH.read(folder.session, Selection())) == before


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.nan, "1 of 6000 values are NaN or infinite"),
        (np.inf, "1 of 6000 values are NaN or infinite"),
        (-1, "the smallest value is -1; spikes must be 0 or more"),
        (0.5, "some values are not whole numbers"),
    ],
)
def test_impossible_spikes_are_found(folder, value, words):
    """They are read as they are, so that check can say what is wrong."""
    spikes = folder.stored(0).astype(float)
    spikes[1, 2, 3] = value
    with folder.edit() as file:
        del file["spike_trains/dig_in_0/spike_array"]
        file["spike_trains/dig_in_0/spike_array"] = spikes

    [problem] = check(
        facts(BLECH.read(folder.session, Selection())),
        transform="none",
        window_ms=(0, 300),
        bin_ms=50,
    )

    assert words in problem


@pytest.mark.realdata
def test_the_walkthrough_session_of_pytau_is_read(recordings):
    """30 trials of 35 neurons for 7 s, with spikes from 1500 to 4000 ms only."""
    folder = recordings / "AM11_recon_191030_114043"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    session = located(BLECH.sessions([folder.name], recordings)[0], recordings)
    before = [(path.name, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]

    recording = BLECH.read(session, Selection(region="all35"))
    values = BLECH.values(session)

    assert (session.animal, session.date) == ("AM11", "191030")
    assert values.tastes == ("unknown",)
    assert values.regions == ("all35",)
    assert values.lasers == ("none",)
    assert recording.array.shape == (30, 35, 7000)
    assert recording.array[..., 2000:4000].sum() == 11331
    assert recording.array[..., :1500].sum() == recording.array[..., 4000:].sum() == 0
    assert facts(recording).digest == AM11_DIGEST
    assert before == [(path.name, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]


#: As sha256sum gives it for the header line and the bytes of the array.
AM11_DIGEST = "sha256:a548db09bf04975eafb9b0e320ae8f52a34eab299d8ae1e6065c7009b07c6edd"
