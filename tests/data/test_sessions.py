"""Sessions are found, ordered and named."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytau_hpc.data import READERS
from pytau_hpc.data.session_folders import sessions_below
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


@pytest.fixture
def closed(monkeypatch):
    """Folders called `closed` are somebody else's, also to root, to whom no folder says no."""
    listing = Path.iterdir

    def iterdir(folder: Path):
        if folder.name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)


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


def test_a_glob_passes_over_a_folder_that_may_not_be_read(tmp_path, closed):
    """A colleague's folder lies among those of the study."""
    a_folder(tmp_path, "data/AM1")
    a_folder(tmp_path, "data/closed")

    assert [session.name for session in found(tmp_path, "data/*")] == ["AM1"]
    assert [one.name for one in sessions_below(BLECH, tmp_path / "data", study=tmp_path)] == ["AM1"]


@pytest.mark.parametrize("pattern", ["data/closed", "data/c*", "data/closed/x/*", "data/closed/x"])
def test_what_may_not_be_read_is_an_error_where_nothing_else_is_meant(tmp_path, closed, pattern):
    """With the folder, and no traceback."""
    a_folder(tmp_path, "data/closed")

    with pytest.raises(BadData, match=r"you may not read .*/data/closed"):
        found(tmp_path, pattern)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("mode", [0o000, 0o400])
@pytest.mark.parametrize("pattern", ["data/*", "data/*/*.h5", "data/**"])
def test_a_folder_without_its_permissions_is_passed_over(tmp_path, mode, pattern):
    """Neither may be listed, or listed but not entered."""
    a_folder(tmp_path, "data/AM1")
    folder = a_folder(tmp_path, "data/closed")
    folder.chmod(mode)
    try:
        assert len(found(tmp_path, pattern)) == 1
        with pytest.raises(BadData, match="you may not read"):
            found(tmp_path, "data/closed/spikes.h5")
    finally:
        folder.chmod(0o700)


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


def test_a_name_that_is_told_counts_and_not_that_of_the_folder(tmp_path):
    """Raw recordings may often not be renamed."""
    a_folder(tmp_path, "data/_rec 7")
    called = {"name": "AM7_260102", "animal": "AM7"}

    [session] = BLECH.sessions(["data/*"], tmp_path, called=called)
    [below] = sessions_below(
        BLECH, a_folder(tmp_path, "data/_rec"), study=tmp_path, animal="AM7", date="260102"
    )

    assert (session.name, session.animal) == ("AM7_260102", "AM7")
    assert (below.name, below.animal, below.date) == ("AM7__rec", "AM7", "260102")


def test_an_animal_that_nobody_told_is_asked_for(tmp_path):
    """The session has a name, but the folder's own name does not say whose it is."""
    a_folder(tmp_path, "data/rec 7")

    with pytest.raises(BadData, match=r"'rec 7' contains ' ' .* animal: NAME"):
        BLECH.sessions(["data/*"], tmp_path, called={"name": "AM7_260102"})


def test_one_name_is_not_for_two_sessions(tmp_path):
    """Their results would lie in one folder."""
    a_folder(tmp_path, "data/a")
    a_folder(tmp_path, "data/b")

    with pytest.raises(BadData, match=r"matches 2 sessions; only one can be called AM7"):
        BLECH.sessions(["data/*"], tmp_path, called={"name": "AM7"})


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
