"""Every data format keeps the same promises; a new one is found by itself and needs a builder here."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pytau_hpc.data import READERS, Reader, reader_of
from pytau_hpc.data.facts import check
from pytau_hpc.data.load import located
from pytau_hpc.data.recording import facts
from pytau_hpc.data.synthetic import write_blech_session
from pytau_hpc.errors import BadData
from pytau_hpc.sweep.point import Selection, Session

#: Written in an order that is not the natural one.
NAMES = ("AN10_demo_260101_101500", "AN2_demo_260101_101500")
COUNTS = np.arange(2 * 3 * 4 * 100).reshape(2, 3, 4, 100) % 7


@dataclass
class Case:
    """Two sessions of a format, on disk where it has files."""

    reader: Reader
    study: Path
    patterns: list[str]
    options: Mapping[str, Any]
    has_all: bool = True

    def sessions(self) -> list[Session]:
        return self.reader.sessions(self.patterns, self.study, self.options)

    def first(self) -> Session:
        return located(self.sessions()[0], self.study)

    def read(self, selection: Selection | None = None) -> Any:
        return self.reader.read(self.first(), selection or Selection(), self.options)


def _blech(folder: Path) -> dict[str, Any]:
    for name in NAMES:
        write_blech_session(
            folder / name,
            seed=1,
            tastes=2,
            trials=3,
            regions={"gc": 4},
            duration_ms=600,
            window_ms=(100, 500),
        )
    return {}


def _hdf5(folder: Path) -> dict[str, Any]:
    for name in NAMES:
        with h5py.File(folder / f"{name}.hdf5", "w") as file:
            file["recording/spikes"] = COUNTS.astype(np.uint8)
    return {"dataset": "recording/spikes"}


def _npy(folder: Path) -> dict[str, Any]:
    for name in NAMES:
        np.save(folder / f"{name}.npy", COUNTS)
    return {}


def _csv(folder: Path) -> dict[str, Any]:
    for name in NAMES:
        (folder / f"{name}.csv").write_text("year,disasters\n1851,4\n1852,5\n1853,4\n")
    return {"column": "disasters"}


def _synthetic(folder: Path) -> dict[str, Any]:
    return {
        "sessions": 2,
        "tastes": 2,
        "trials": 3,
        "neurons": 4,
        "n_states": 3,
        "duration_ms": 200,
    }


BUILDERS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "blech_hdf5": _blech,
    "hdf5": _hdf5,
    "npy": _npy,
    "csv": _csv,
    "synthetic": _synthetic,
}


def a_case(name: str, study: Path) -> Case:
    data = study / "data"
    data.mkdir()
    return Case(READERS[name], study, ["data/*"], BUILDERS[name](data), has_all=name != "csv")


@pytest.fixture(params=sorted(READERS))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return a_case(request.param, tmp_path)


@pytest.fixture(params=sorted(name for name in READERS if READERS[name].on_disk))
def case_on_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return a_case(request.param, tmp_path)


def _contents(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in folder.rglob("*")
    }


def test_reading_never_changes_the_input(case):
    """Not a byte, not a time, and no file beside it."""
    before = _contents(case.study)

    case.reader.values(case.first(), case.options)
    case.read()

    assert _contents(case.study) == before


def test_sessions_come_in_natural_order(case):
    """AN2 before AN10, whatever the order on disk, and the same every time."""
    names = [session.name for session in case.sessions()]

    assert names == [session.name for session in case.sessions()]
    if case.reader.on_disk:
        assert names == ["AN2_demo_260101_101500", "AN10_demo_260101_101500"]
    assert len(names) == 2


def test_a_session_knows_its_animal_and_its_date(case):
    """Both are fields of its name."""
    [first, second] = case.sessions()

    assert first.animal != second.animal
    assert first.name.startswith(first.animal + "_")
    assert first.date == "260101"


def test_paths_are_relative_to_the_study_folder(case):
    """So that the study can be moved as a whole."""
    for session in case.sessions():
        assert not Path(session.path).is_absolute()
        assert (case.study / session.path).exists()


def test_what_is_read_is_sound(case):
    """Names and number of the axes agree, the type is one of three, and nothing keeps it from being fitted."""
    recording = case.read()
    time = (0, recording.array.shape[-1]) if recording.kind == "spikes" else None

    assert recording.kind == case.reader.kind
    assert recording.array.dtype == (np.uint8 if recording.kind == "spikes" else np.int64)
    assert recording.array.flags.c_contiguous
    assert check(facts(recording), transform="none", window_ms=time, bin_ms=time and 10) == []


def test_reading_twice_gives_the_same_digest(case):
    """The digest is a property of the data."""
    assert facts(case.read()) == facts(case.read())


def test_values_tell_what_reading_gives(case):
    """Plan believes them without reading."""
    values = case.reader.values(case.first(), case.options)
    sizes = dict(zip(case.read().dims, case.read().array.shape, strict=True))

    assert values.n_trials is None or values.n_trials == (sizes["trial"],) * values.n_tastes
    assert values.n_neurons == sizes.get("neuron")
    assert values.n_ms == sizes.get("ms")


def test_all_tastes_are_the_single_ones_stacked(case):
    """4-D models see exactly what the 3-D ones see."""
    if not case.has_all:
        with pytest.raises(BadData, match="taste `all`"):
            case.read(Selection(taste="all"))
        return

    together = case.read(Selection(taste="all"))

    assert together.dims[0] == "taste"
    for taste, array in enumerate(together.array):
        np.testing.assert_array_equal(array, case.read(Selection(taste=taste)).array)


def test_a_pattern_that_matches_nothing_says_where_it_looked(case_on_disk):
    """The folder that was searched is in the message, and what is there."""
    case_on_disk.patterns[:] = ["nowhere/*.h5"]

    with pytest.raises(BadData) as caught:
        case_on_disk.sessions()

    assert "`nowhere/*.h5` matches nothing" in caught.value.message
    assert str(case_on_disk.study) in caught.value.message
    assert "it holds data" in caught.value.message


def test_a_missing_session_is_bad_data(case):
    """Whatever the format raises by itself."""
    gone = Session(name="AN3_x", animal="AN3", date="x", path=str(case.study / "data/AN3_x"))

    with pytest.raises(BadData, match="AN3_x"):
        case.reader.read(gone, Selection(), case.options)


@pytest.mark.parametrize("garbage", [b"", b"not what it should be\0\xff"])
def test_a_file_of_garbage_is_bad_data_that_names_the_file(case_on_disk, garbage):
    """Truncated copies are common."""
    session = case_on_disk.first()
    path = Path(session.path)
    file = next(path.glob("*.h5")) if path.is_dir() else path
    file.write_bytes(garbage)

    with pytest.raises(BadData, match=file.name):
        case_on_disk.reader.read(session, Selection(), case_on_disk.options)


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(taste=99), "taste 99 does not exist"),
        (Selection(taste=-1), "taste -1 does not exist"),
        (Selection(taste="chocolate"), "taste `chocolate` does not exist"),
        (Selection(region="atlantis"), "region `atlantis` does not exist; the session has: all"),
        (Selection(laser="on"), "laser `on`"),
        (Selection(laser="blue"), "use none"),
    ],
)
def test_what_cannot_be_selected_is_named(case, selection, words):
    """By `values` for plan and by `read` for the fit, in the same words."""
    [problem] = case.reader.values(case.first(), case.options).problems(selection)

    assert words in problem
    with pytest.raises(BadData) as caught:
        case.read(selection)
    assert problem in caught.value.message


def test_options_are_checked_by_name_and_type(case):
    """Misspelt and mistyped options are found before any file is opened."""
    wrong = {key: object() for key in case.reader.options} | {"colum": "x"}

    found = case.reader.check_options(wrong)

    assert set(found) == set(wrong)
    assert case.reader.check_options(case.options) == {}


def test_every_reader_has_a_builder():
    """Add a format, add the function that writes one here."""
    assert sorted(BUILDERS) == sorted(READERS)


def test_the_names_in_the_registry_are_the_readers_own():
    """One name for one format."""
    assert all(name == reader.name for name, reader in READERS.items())


def test_an_unknown_format_gets_a_hint():
    """Most are misspelt."""
    with pytest.raises(BadData) as caught:
        reader_of("blech_hdf")

    assert caught.value.help == "did you mean `blech_hdf5`?"


def test_the_registry_imports_nothing_heavy():
    """The spec is checked on login nodes, in a fraction of a second."""
    code = (
        "import sys, pytau_hpc.data, pytau_hpc.data.facts, pytau_hpc.data.sessions;"
        "print(*({'numpy', 'h5py', 'pandas', 'pymc', 'jax'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""
