"""csv, npy and hdf5: what each of them says about a file that is not what it should be."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from pytau_hpc.data import READERS
from pytau_hpc.data.recording import facts
from pytau_hpc.errors import BadData
from pytau_hpc.sweep.point import Selection, Session


def a_session(path):
    return Session(name=path.stem, animal="x", date="x", path=str(path))


def csv_of(tmp_path, text, **options):
    path = tmp_path / "coal.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return READERS["csv"].read(a_session(path), Selection(), options)


def npy_of(path, taste=0, **options):
    return READERS["npy"].read(a_session(path), Selection(taste=taste), options)


def test_a_column_of_whole_numbers_is_counts(tmp_path):
    """What Excel saves: a byte order mark before the first name, and CRLF."""
    recording = csv_of(
        tmp_path, b"\xef\xbb\xbfdisasters,year\r\n4,1851\r\n5,1852\r\n\r\n", column="disasters"
    )

    assert (recording.dims, recording.kind) == (("bin",), "binned")
    assert recording.array.dtype == np.int64
    assert recording.array.tolist() == [4, 5]


def test_a_column_with_a_decimal_point_is_real(tmp_path):
    """One is enough."""
    recording = csv_of(tmp_path, "flow\n1120\n963.5\n1e3\n")

    assert recording.array.dtype == np.float64
    assert recording.array.tolist() == [1120, 963.5, 1000]


def test_cells_that_are_no_numbers_are_named_with_their_lines(tmp_path):
    """Five of them, and how many more; a quoted line break does not shift the count."""
    rows = ['"a\nb",1', "x,one", "x,nan", "x,", "x,1_0", "x,2,3", "x,inf", "x,--"]

    with pytest.raises(BadData) as caught:
        csv_of(tmp_path, "name,n\n" + "\n".join(rows) + "\n", column="n")

    lines = caught.value.message.splitlines()
    assert len(lines) == 6
    assert lines[0].endswith("coal.csv:4: `one` in column `n` is not a finite number")
    assert lines[4].endswith("coal.csv:8: 3 cells, but the header has 2")
    assert lines[5] == "… and 2 more"


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("year,n\n1,2\n", {}, "2 columns: year, n"),
        ("year,n\n1,2\n", {"column": "N"}, "no column `N`; it has year, n"),
        ("n,n\n1,2\n", {"column": "n"}, "2 columns `n`"),
        ("4\n5\n4\n", {}, ":1: the first line must name the columns"),
        ("n\n", {}, "a header and at least one row"),
        ("", {}, "a header and at least one row"),
        ("n\n1\n\n2\n", {}, ":3: 0 cells"),
        (b"n\n\xff\n", {}, "cannot be read as CSV"),
    ],
)
def test_a_table_that_is_not_one_is_refused(tmp_path, text, options, words):
    """No guess about which column, no silent loss of the first or an empty row."""
    with pytest.raises(BadData) as caught:
        csv_of(tmp_path, text, **options)

    assert words in caught.value.message


@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        ((5,), ("bin",)),
        ((3, 5), ("dimension", "bin")),
        ((2, 3, 5), ("trial", "neuron", "bin")),
    ],
)
def test_the_number_of_axes_says_what_they_are(tmp_path, shape, dims):
    """Floats stay floats."""
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 4
    np.save(tmp_path / "a.npy", array)

    recording = npy_of(tmp_path / "a.npy")

    assert recording.dims == dims
    assert recording.array.dtype == np.float64
    np.testing.assert_array_equal(recording.array, array)


def test_big_endian_and_fortran_order_do_not_change_the_digest(tmp_path):
    """The same numbers are the same data."""
    array = np.arange(24.0).reshape(2, 3, 4)
    np.save(tmp_path / "a.npy", array)
    np.save(tmp_path / "b.npy", np.asfortranarray(array).astype(">f8"))

    assert facts(npy_of(tmp_path / "a.npy")) == facts(npy_of(tmp_path / "b.npy"))


def test_an_archive_of_one_array_needs_no_key(tmp_path):
    """With several, the key is asked for, and the names are told."""
    np.savez(tmp_path / "one.npz", data=np.arange(3))
    np.savez(tmp_path / "two.npz", years=np.arange(3), counts=np.arange(3) + 5)

    assert npy_of(tmp_path / "one.npz").array.tolist() == [0, 1, 2]
    assert npy_of(tmp_path / "two.npz", key="counts").array.tolist() == [5, 6, 7]
    with pytest.raises(BadData, match="2 arrays: years, counts"):
        npy_of(tmp_path / "two.npz")
    with pytest.raises(BadData, match="no array `count`"):
        npy_of(tmp_path / "two.npz", key="count")


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("the pickle was read",))


@pytest.mark.parametrize("name", ["trap.npy", "trap.npz"])
def test_pickled_objects_are_never_loaded(tmp_path, name):
    """Anybody may write to a shared folder, and reading a pickle runs code."""
    save = np.save if name.endswith("npy") else np.savez
    save(tmp_path / name, np.array([Trap()], dtype=object), allow_pickle=True)

    with pytest.raises(BadData, match="cannot be read as a NumPy array"):
        npy_of(tmp_path / name)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((1, 1, 1, 1, 1)), "1 to 4 dimensions"),
        (np.float64(1), "1 to 4 dimensions"),
        (np.array(["a"]), "numbers are needed"),
        (np.array([1j]), "numbers are needed"),
        (np.array([2**63], dtype=np.uint64), "too large"),
    ],
)
def test_arrays_that_no_model_takes_are_refused(tmp_path, array, words):
    """What is there and what is needed is in the message."""
    np.save(tmp_path / "a.npy", array)

    with pytest.raises(BadData, match=words):
        npy_of(tmp_path / "a.npy")


def hdf5_of(path, dataset="spikes", **selection):
    return READERS["hdf5"].read(a_session(path), Selection(**selection), {"dataset": dataset})


def test_a_dataset_of_one_taste_is_taste_0(tmp_path):
    """Together with itself it is a 4-D array of one taste."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["spikes"] = np.ones((2, 3, 4), dtype=bool)

    assert hdf5_of(tmp_path / "a.h5").array.shape == (2, 3, 4)
    assert hdf5_of(tmp_path / "a.h5", taste="all").array.shape == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("spike", "/spike does not exist; / holds flat, group, spikes"),
        ("group", "/group is a group, not an array"),
        ("flat", r"/flat has shape \(3,\)"),
    ],
)
def test_a_dataset_that_is_not_one_of_spikes_is_refused(tmp_path, dataset, words):
    """What the file holds instead is in the message."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["spikes"] = np.ones((2, 3, 4))
        file["flat"] = np.ones(3)
        file.create_group("group")

    with pytest.raises(BadData, match=words):
        hdf5_of(tmp_path / "a.h5", dataset)


def test_the_dataset_must_be_told(tmp_path):
    """There is no usual name."""
    with pytest.raises(BadData, match="needs `dataset`"):
        READERS["hdf5"].sessions(["*"], tmp_path, {})
