"""The manifest brings every point back as it was planned, whatever happens while it is written."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytau_hpc.errors import NotASweep, PytauHpcError, UserError
from pytau_hpc.sweep import revision
from pytau_hpc.sweep.cells import CellReader, CellWriter
from pytau_hpc.sweep.manifest import newest_revision, read_manifest, revisions
from pytau_hpc.sweep.point import DataSource, Point, Preprocessing, Selection, Session, point_id_of
from pytau_hpc.sweep.resources import Request, RetrySettings
from pytau_hpc.sweep.revision import Draft, freeze, publish, refresh_copies

SESSIONS = (
    Session(name="AM1_201006_095803", animal="AM1", date="201006", path="data/AM1_201006_095803"),
    # Text that YAML and CSV would like to take for something else.
    Session(name="0123", animal="on", date="2024-01-15", path="/outside/ä b/0123"),
)


def a_point(**changes: Any) -> Point:
    axes = {
        "session": "AM1_201006_095803",
        "taste": 0,
        "region": "all",
        "laser": "none",
        "transform": "none",
        "window_ms": [2000, 4000],
        "bin_ms": 50,
        "model": "single_taste_poisson",
        "n_states": 4,
        "repeat": 0,
        "learning_rate": 0.05,
    } | changes
    window = axes["window_ms"]
    what: dict[str, Any] = {
        "data_digest": "sha256:" + "ab" * 32,
        "selection": Selection(taste=axes["taste"], region=axes["region"], laser=axes["laser"]),
        "preprocessing": Preprocessing(
            transform=axes["transform"],
            window_ms=None if window is None else tuple(window),
            bin_ms=axes["bin_ms"],
        ),
        "model": axes["model"],
        "model_version": 1,
        "model_options": {"prior": None},
        "n_states": axes["n_states"],
        "method": "advi",
        "settings": {
            "engine": "jax",
            "learning_rate": axes["learning_rate"],
            "tolerance": 1e-5,
            "on": True,
        },
        "repeat": axes["repeat"],
    }
    [session] = [one for one in SESSIONS if one.name == axes["session"]]
    return Point(
        point_id=point_id_of(**what),
        session=session,
        source=DataSource(format="blech_hdf5", options={"dates": {"0123": "2024-01-15"}}),
        shape=(30, 14, 40),
        axes=axes,
        **what,
    )


def a_draft(*points: Point, **changes: Any) -> Draft:
    points = points or (a_point(),)
    draft = Draft(
        name="gc",
        spec_text="name: gc\n",
        spec_file="gc.yaml",
        points=points,
        source=points[0].source,
        sessions=SESSIONS,
        axes={name: [point.axes[name] for point in points] for name in points[0].axes},
        request=Request(cpus=2),
        retry=RetrySettings(),
        profile="on",
        checkpoint_s=60.0,
        made={"user": "off", "host": "0x1F", "git_commit": None},
        versions={"python": "3.10", "jax": None},
        created_at="2026-11-22T19:05:12Z",
    )
    return dataclasses.replace(draft, **changes)


@pytest.fixture
def sweep(study: Path) -> Path:
    return study / "sweeps" / "gc"


def published(draft: Draft, sweep: Path, number: int = 1) -> Path:
    publish(freeze(draft), sweep, number)
    return sweep


def test_points_come_back_as_they_were_planned(sweep: Path):
    """Types and order of everything, through both files."""
    points = [
        a_point(),
        a_point(taste="suc", region="4", laser="on", transform="trial_shuffled"),
        a_point(taste="0", window_ms=None, bin_ms=None, session="0123"),
        a_point(taste="all", region="null", repeat=3, learning_rate=1),
        a_point(region='say "hi", now', learning_rate=1e-07, model="poisson_changepoint_1d"),
    ]

    manifest = read_manifest(published(a_draft(*points), sweep))

    assert manifest.points() == points
    assert [list(point.axes) for point in manifest.points()] == [
        list(point.axes) for point in points
    ]
    assert [type(p.settings["learning_rate"]) for p in manifest.points()] == [
        type(p.settings["learning_rate"]) for p in points
    ]
    assert manifest.point_ids() == [point.point_id for point in points]
    assert manifest.n_points == len(manifest.rows()) == 5
    assert manifest.rows()[0]["result_path"] == points[0].result_path


def test_the_header_comes_back_as_it_was(sweep: Path):
    """What submit and the reports need of it."""
    manifest = read_manifest(published(a_draft(), sweep))

    assert (manifest.name, manifest.revision, manifest.created_at) == (
        "gc",
        1,
        "2026-11-22T19:05:12Z",
    )
    assert (manifest.request, manifest.retry, manifest.profile) == (
        Request(cpus=2),
        RetrySettings(),
        "on",
    )
    assert manifest.sessions == SESSIONS
    assert manifest.header["made"] == {"user": "off", "host": "0x1F", "git_commit": None}
    assert manifest.header["versions"] == {"python": "3.10", "jax": None}
    assert manifest.header["data"] == [
        {
            "session": "AM1_201006_095803",
            "taste": 0,
            "region": "all",
            "laser": "none",
            "digest": "sha256:" + "ab" * 32,
        }
    ]


@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
def test_every_value_survives_a_cell(value: Any):
    """With its type."""
    found = CellReader().value(CellWriter().text(value))

    assert found == value
    assert type(found) is type(value)


def test_a_cell_looks_as_one_would_write_it():
    """For people with a spreadsheet, and for pandas."""
    write = CellWriter().text

    assert [write(one) for one in (4, "4", "gc", None, [0, 5], True, 1, "NaN", "")] == [
        "4",
        '"4"',
        "gc",
        "",
        "[0,5]",
        "true",
        "1",
        '"NaN"',
        '""',
    ]


def test_the_newest_revision_is_the_one_that_is_read(sweep: Path):
    """Numbers, not names, are compared."""
    for number in (1, 2, 10_000):
        published(a_draft(a_point(repeat=number)), sweep, number)

    assert revisions(sweep) == [1, 2, 10_000]
    assert read_manifest(sweep).points()[0].repeat == 10_000
    assert newest_revision(sweep) == sweep / "revisions" / "10000"


def test_of_two_plans_at_once_the_first_one_wins(sweep: Path):
    """The second one is told, and leaves nothing behind."""
    published(a_draft(a_point(repeat=1)), sweep)

    with pytest.raises(UserError, match="another plan"):
        published(a_draft(a_point(repeat=2)), sweep)

    assert read_manifest(sweep).points()[0].repeat == 1
    assert os.listdir(sweep / "revisions") == ["0001"]


def test_a_crash_between_the_rename_and_the_copies_loses_nothing(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
):
    """Readers use the revision; the next plan brings the copies up to date."""
    published(a_draft(a_point(repeat=1)), sweep)

    class Crash(BaseException):
        pass

    def crash(path: Path, content: bytes) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(revision, "write_atomic", crash)
        with pytest.raises(Crash):
            published(a_draft(a_point(repeat=2)), sweep, 2)

    assert read_manifest(sweep).points()[0].repeat == 2
    assert "revision: 1\n" in (sweep / "manifest.yaml").read_text()
    refresh_copies(sweep)
    assert "revision: 2\n" in (sweep / "manifest.yaml").read_text()


def test_a_revision_that_was_never_renamed_is_not_there(sweep: Path):
    """A plan that was killed while it wrote."""
    published(a_draft(a_point(repeat=1)), sweep)
    half = sweep / "revisions" / ".0002.abc.tmp"
    half.mkdir()
    (half / "manifest.yaml").write_text("format: 1\n")

    assert revisions(sweep) == [1]
    assert read_manifest(sweep).revision == 1


def test_rows_that_were_changed_are_not_believed(sweep: Path):
    """By hand, or by a disk."""
    published(a_draft(), sweep)
    rows = sweep / "revisions" / "0001" / "manifest.csv"
    rows.write_text(rows.read_text().replace(",4,", ",5,"))

    with pytest.raises(PytauHpcError, match="is not what was planned"):
        read_manifest(sweep)


def test_a_newer_format_is_refused_in_words(sweep: Path):
    """Not misread."""
    published(a_draft(), sweep)
    header = sweep / "revisions" / "0001" / "manifest.yaml"
    header.write_text(header.read_text().replace("format: 1\n", "format: 2\n", 1))

    with pytest.raises(PytauHpcError, match="has format 2; this version reads 1"):
        read_manifest(sweep)


def test_a_sweep_without_its_history_is_read_from_the_copies(sweep: Path, tmp_path: Path):
    """Somebody copied the three files only."""
    published(a_draft(), sweep)
    elsewhere = tmp_path / "sweeps" / "gc"
    elsewhere.mkdir(parents=True)
    for name in ("manifest.yaml", "manifest.csv"):
        (elsewhere / name).write_bytes((sweep / name).read_bytes())

    assert read_manifest(elsewhere).points() == read_manifest(sweep).points()
    with pytest.raises(NotASweep):
        read_manifest(tmp_path)


def test_the_same_plan_is_the_same_whoever_made_it(sweep: Path):
    """Who, when and with which versions does not make a new revision; resources do."""
    manifest = read_manifest(published(a_draft(), sweep))

    later = a_draft(
        created_at="2027-01-01T00:00:00Z", made={"user": "me"}, versions={"python": "3.14"}
    )
    assert freeze(later).same_as(manifest)
    for change in (
        {"request": Request(cpus=3)},
        {"profile": None},
        {"spec_text": "#"},
        {"checkpoint_s": 5.0},
    ):
        assert not freeze(a_draft(**change)).same_as(manifest)
    assert not freeze(a_draft(a_point(repeat=1))).same_as(manifest)


def test_a_hundred_thousand_rows_share_what_they_have_in_common(sweep: Path):
    """One object for each variant and selection, so that memory stays small."""
    points = [dataclasses.replace(a_point(), point_id=f"{n:016x}") for n in range(2_000)]

    read = read_manifest(published(a_draft(*points), sweep)).points()

    assert len({id(point.settings) for point in read}) == 1
    assert len({id(point.selection) for point in read}) == 1
    assert len({id(point.axes) for point in read}) == 2_000


def test_a_manifest_is_read_without_numpy_and_pydantic(sweep: Path):
    """`status` and `submit` answer at once."""
    published(a_draft(), sweep)
    code = (
        "import sys, json, pathlib\n"
        "from pytau_hpc.sweep.manifest import read_manifest\n"
        "read_manifest(pathlib.Path(sys.argv[1])).points()\n"
        "print(json.dumps([n for n in ('numpy', 'pandas', 'pydantic') if n in sys.modules]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(sweep)], capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout) == []
