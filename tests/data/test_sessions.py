"""Sessions are found, ordered and named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytau_hpc.data import READERS
from pytau_hpc.data.sessions import date_of, name_problem, natural_key
from pytau_hpc.errors import BadData

BLECH = READERS["blech_hdf5"]
CSV = READERS["csv"]


def a_folder(study: Path, path: str, *files: str) -> Path:
    folder = study / path
    folder.mkdir(parents=True)
    for name in files or ("spikes.h5",):
        (folder / name).touch()
    return folder


def found(study: Path, *patterns: str, **options):
    return BLECH.sessions(patterns, study, options)


def test_a_glob_passes_over_what_is_no_session(tmp_path):
    """Notes and empty folders lie beside real data."""
    a_folder(tmp_path, "data/AM1_x_260101_000000")
    (tmp_path / "data/notes").mkdir()
    (tmp_path / "data/README.md").touch()

    assert [session.path for session in found(tmp_path, "data/*")] == ["data/AM1_x_260101_000000"]


def test_a_path_that_is_no_session_is_an_error(tmp_path):
    """Who names one folder means that folder."""
    (tmp_path / "data/AM1").mkdir(parents=True)

    with pytest.raises(BadData, match=r"nothing there is a \.h5 or \.hdf5 file or a folder"):
        found(tmp_path, "data/AM1")


def test_the_file_itself_can_be_the_session(tmp_path):
    """Then it is called like the file."""
    a_folder(tmp_path, "data/AM1", "AM1_x_260101_1.h5", "AM1_x_260101_1_copy.h5")

    [session] = found(tmp_path, "data/AM1/AM1_x_260101_1.h5")

    assert (session.name, session.path) == ("AM1_x_260101_1", "data/AM1/AM1_x_260101_1.h5")


def test_two_files_in_a_folder_are_ambiguous(tmp_path):
    """No prompt, no guess: both are named, and what to write."""
    a_folder(tmp_path, "data/AM1", "a.h5", "b.h5")

    with pytest.raises(
        BadData, match=r"holds 2 .* files \(a\.h5, b\.h5\); name the one to use .*AM1/a\.h5"
    ):
        found(tmp_path, "data/*")


def test_a_folder_and_its_file_are_one_session(tmp_path):
    """`data/**` matches both."""
    a_folder(tmp_path, "data/AM1")

    assert [session.path for session in found(tmp_path, "data/**", "data/AM1")] == ["data/AM1"]


def test_data_outside_the_study_have_absolute_paths(tmp_path):
    """They stay where they are when the study moves."""
    folder = a_folder(tmp_path, "elsewhere/AM1")
    study = tmp_path / "study"
    study.mkdir()

    [session] = found(study, "../elsewhere/*")

    assert session.path == str(folder)


def test_a_link_in_the_study_stays_in_the_study(tmp_path):
    """`data` is often a link to a big disk."""
    a_folder(tmp_path, "big_disk/AM1")
    study = tmp_path / "study"
    study.mkdir()
    (study / "data").symlink_to(tmp_path / "big_disk")

    [session] = found(study, "data/*")

    assert session.path == "data/AM1"


def test_paths_can_be_relative_to_another_folder_than_patterns(tmp_path):
    """A spec may lie in manifests/ of the study."""
    a_folder(tmp_path, "data/AM1")
    (tmp_path / "manifests").mkdir()

    [session] = BLECH.sessions(["../data/*"], tmp_path / "manifests", study=tmp_path)

    assert session.path == "data/AM1"


def test_brackets_in_a_real_name_are_no_glob(tmp_path):
    """A name that exists wins over its meaning as a pattern."""
    (tmp_path / "x[1]").mkdir()
    (tmp_path / "x[1]/coal.csv").touch()

    [session] = CSV.sessions(["x[1]/coal.csv"], tmp_path)

    assert session.name == "coal"


def test_animal_and_date_can_be_told(tmp_path):
    """Per session, where the name does not say."""
    a_folder(tmp_path, "data/rec_7")

    [session] = found(tmp_path, "data/*", animals={"rec_7": "AM7"}, dates={"rec_7": "260102"})

    assert (session.animal, session.date, session.name) == ("AM7", "260102", "rec_7")


def test_telling_about_an_unknown_session_is_an_error(tmp_path):
    """It is a typing error, and would go unnoticed."""
    a_folder(tmp_path, "data/rec_7")

    with pytest.raises(BadData, match=r"rec_8 \(did you mean `rec_7`\?\)"):
        found(tmp_path, "data/*", animals={"rec_8": "AM7"})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("AM1 copy", "contains ' '"),
        ("AM1;rm", "contains ';'"),
        ("_x", "animals: {_x: NAME}"),
        ("Ä1", "contains 'Ä'"),
    ],
)
def test_names_that_are_not_safe_in_a_path_are_refused(tmp_path, name, words):
    """Results lie under models/<animal>/<session>/; the message says how to fix it."""
    a_folder(tmp_path, f"data/{name}")

    with pytest.raises(BadData) as caught:
        found(tmp_path, "data/*")

    assert words in caught.value.message


def test_an_animal_cannot_lead_out_of_the_study(tmp_path):
    """Told names are checked like found ones."""
    a_folder(tmp_path, "data/rec")

    with pytest.raises(BadData, match="animal's name"):
        found(tmp_path, "data/*", animals={"rec": "../../etc"})


def test_two_sessions_of_one_name_are_refused(tmp_path):
    """They would share a folder of results."""
    a_folder(tmp_path, "a/AM1")
    a_folder(tmp_path, "b/AM1")

    with pytest.raises(BadData, match=r"2 sessions are called AM1 \(a/AM1, b/AM1\)"):
        found(tmp_path, "*/AM1")


def test_all_problems_are_told_at_once(tmp_path):
    """One run of plan, one list."""
    a_folder(tmp_path, "data/AM 1")

    with pytest.raises(BadData) as caught:
        found(tmp_path, "data/*", "nowhere/*", dates={"x": "1"})

    assert len(caught.value.message.splitlines()) == 3


def test_no_patterns_is_an_error(tmp_path):
    """An empty list is not everything."""
    with pytest.raises(BadData, match="`sessions` is empty"):
        found(tmp_path)


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("AM28_4Tastes_201006_095803", "201006"),
        ("NM51_2500ms_161029_125147", "161029"),
        ("AM11_recon_x", "x"),
        ("nile", "nile"),
    ],
)
def test_the_date_is_the_first_field_of_six_digits(name, date):
    """The time of day has six digits too, and follows it."""
    assert date_of(name) == date


@given(st.text(max_size=12))
def test_a_name_that_passes_is_one_plain_path_component(name):
    """No separator, no hidden name, no parent, nothing a shell would expand."""
    if name_problem(name) is None:
        assert Path("models", name).parent == Path("models")
        assert name not in ("", ".", "..")
        assert not set(name) & set("/\\ \n\t*?[]{}$'\"`~;&|<>()\0")
        assert name.isascii()


@given(st.lists(st.from_regex(r"[a-z]{0,2}_?[0-9]{0,3}[a-z]?", fullmatch=True)), st.randoms())
def test_natural_order_is_total(names, random):
    """The order of the result does not depend on the order of the disk."""
    ordered = sorted(names, key=natural_key)
    random.shuffle(names)

    assert sorted(names, key=natural_key) == ordered


def test_natural_order_counts():
    """dig_in_10 comes last."""
    assert sorted(["d10", "d9", "d2"], key=natural_key) == ["d2", "d9", "d10"]
