"""Plan: all mistakes at once and nothing written, or a revision that says everything."""

from __future__ import annotations

import errno
import inspect
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytau_hpc.data.synthetic import write_blech_session
from pytau_hpc.errors import PytauHpcError, SpecInvalid
from pytau_hpc.inference import METHODS
from pytau_hpc.models import MODELS
from pytau_hpc.plan import PlanResult, plan
from pytau_hpc.reports import plan as report
from pytau_hpc.sweep.manifest import read_manifest
from pytau_hpc.sweep.point import Preprocessing, Selection, Session, point_id_of

SYNTHETIC = """\
name: toy
data: {format: synthetic, sessions: 2, tastes: 2, trials: 5, neurons: 3, n_states: 2, seed: 1}
grid:
  taste: [0, 1]
  window_ms: [[0, 2000]]
  bin_ms: [50]
  model: [single_taste_poisson]
  n_states: [2, 3]
"""

SERIES = """\
name: series
data: {format: csv, sessions: ["data/*.csv"]}
grid:
  model: [poisson_changepoint_1d]
  n_states: [2, 3]
"""

NOW = datetime(2026, 11, 22, 19, 5, 12, tzinfo=UTC)


def planned(study: Path, text: str, **options: object) -> PlanResult:
    spec = study / "spec.yaml"
    spec.write_text(text)
    return plan(spec, study, now=NOW, **options)  # type: ignore[arg-type]


def problems_of(study: Path, text: str) -> list[str]:
    with pytest.raises(SpecInvalid) as caught:
        planned(study, text)
    return [problem.message for problem in caught.value.problems]


def files_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def a_series(study: Path, name: str, values: list[int] | None = None) -> Path:
    path = study / "data" / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "count\n" + "".join(f"{value}\n" for value in values or [1, 2, 1, 0, 7, 8, 9, 7])
    )
    return path


def test_a_plan_is_a_revision_with_copies_for_people(study: Path):
    """And read back, it has the very points that were planned."""
    result = planned(study, SYNTHETIC)

    assert len(result.points) == 8
    assert result.new == {point.point_id for point in result.points}
    assert (result.revision, result.previous, result.unchanged) == (1, None, False)
    assert files_in(study) == [
        "spec.yaml",
        "sweeps/toy/manifest.csv",
        "sweeps/toy/manifest.yaml",
        "sweeps/toy/revisions/0001/manifest.csv",
        "sweeps/toy/revisions/0001/manifest.yaml",
        "sweeps/toy/revisions/0001/spec.yaml",
        "sweeps/toy/spec.yaml",
    ]
    manifest = read_manifest(result.sweep_dir)
    assert manifest.points() == list(result.points)
    assert manifest.created_at == "2026-11-22T19:05:12Z"
    assert (result.sweep_dir / "spec.yaml").read_text() == SYNTHETIC


@pytest.mark.parametrize(
    ("changes", "point_id"),
    [
        ({}, "e8a45876728a6aea"),
        (
            {"selection": Selection(taste="all", region="gc", laser="off"), "n_states": 3},
            "e622b12e8c59af9c",
        ),
        (
            {"preprocessing": Preprocessing(), "model": "poisson_changepoint_1d", "repeat": 7},
            "b26052d3e118ce2a",
        ),
        ({"settings": {"engine": "pymc", "iterations": 40000, "draws": 20000}}, "2972157922303f28"),
    ],
)
def test_point_ids_never_change(changes: dict[str, Any], point_id: str):
    """Results of years are found by them: a change here throws all of them away, and needs a reason."""
    what: dict[str, Any] = {
        "data_digest": "sha256:" + "0123456789abcdef" * 4,
        "selection": Selection(),
        "preprocessing": Preprocessing(transform="none", window_ms=(2000, 4000), bin_ms=50),
        "model": "single_taste_poisson",
        "model_version": 1,
        "model_options": {},
        "n_states": 4,
        "method": "advi",
        "settings": {"engine": "jax", "iterations": "auto", "learning_rate": 0.05, "draws": 1000},
        "repeat": 0,
    }

    assert point_id_of(**what | changes) == point_id


def test_a_planned_point_has_the_id_of_what_it_says(study: Path):
    """And the digest of its data is that of the numbers, whatever file they came from."""
    a_series(study, "s1")

    for point in planned(study, SERIES).points:
        assert (
            point.data_digest
            == "sha256:453fe9e53dc884f50decb0a6b7893f8d3e33b7a3b161b5149828915ffbf2322a"
        )
        said = {name: getattr(point, name) for name in inspect.signature(point_id_of).parameters}
        assert point.point_id == point_id_of(**said)
        assert said["settings"] == METHODS["advi"].resolve({})


def test_the_id_does_not_depend_on_where_and_how(tmp_path: Path):
    """Neither study folder, sweep name and other axes nor resources, retry and checkpoints."""
    ids = []
    for number, change in enumerate(
        ("", "resources: {cpus: 4}\nretry: {failures: 0}\nfit: {checkpoint_s: 5}\n")
    ):
        study = tmp_path / str(number)
        study.mkdir()
        text = SYNTHETIC.replace("name: toy", f"name: toy{number}") + change
        ids.append({point.point_id for point in planned(study, text).points})

    assert ids[0] == ids[1]
    one = tmp_path / "one"
    one.mkdir()
    assert {
        point.point_id for point in planned(one, SYNTHETIC.replace("[2, 3]", "[3]")).points
    } < ids[0]


def test_the_id_depends_on_everything_that_is_computed(tmp_path: Path):
    """One change at a time, eight new ids."""
    base = SYNTHETIC.replace("n_states: [2, 3]", "n_states: [2]").replace(
        "taste: [0, 1]", "taste: [0]"
    )
    changes = [
        ("", ""),
        ("seed: 1", "seed: 2"),
        ("[[0, 2000]]", "[[0, 1000]]"),
        ("bin_ms: [50]", "bin_ms: [100]"),
        ("n_states: [2]", "n_states: [4]"),
        ("taste: [0]", "taste: [1]"),
        ("bin_ms: [50]", "bin_ms: [50]\n  transform: trial_shuffled"),
        ("bin_ms: [50]", "bin_ms: [50]\n  repeat: [1]"),
        ("bin_ms: [50]", "bin_ms: [50]\n  draws: [500]"),
    ]
    seen = set()
    for number, (old, new) in enumerate(changes):
        study = tmp_path / str(number)
        study.mkdir()
        seen.add(planned(study, base.replace(old, new, 1)).points[0].point_id)

    assert len(seen) == len(changes)


def test_planning_again_changes_nothing_and_says_so(study: Path):
    """No new revision for the same plan."""
    planned(study, SYNTHETIC)
    stamp = (study / "sweeps/toy/manifest.csv").stat().st_mtime_ns

    again = planned(study, SYNTHETIC)

    assert (again.unchanged, again.revision, again.previous) == (True, 1, 1)
    assert again.new == frozenset()
    assert os.listdir(study / "sweeps/toy/revisions") == ["0001"]
    assert (study / "sweeps/toy/manifest.csv").stat().st_mtime_ns == stamp
    assert "Nothing changed" in report.as_text(again)


def test_an_edited_spec_shows_what_is_new_kept_and_dropped(study: Path):
    """And the older revision stays."""
    first = planned(study, SYNTHETIC)

    second = planned(study, SYNTHETIC.replace("[2, 3]", "[3, 4]"))

    assert (len(second.new), len(second.kept), len(second.dropped)) == (4, 4, 4)
    assert set(second.dropped) < {point.point_id for point in first.points}
    assert (second.revision, second.previous) == (2, 1)
    assert read_manifest(second.sweep_dir).points() == list(second.points)
    assert sorted(os.listdir(study / "sweeps/toy/revisions")) == ["0001", "0002"]


def test_other_resources_are_a_new_revision_with_the_same_points(study: Path):
    """Submit reads them from there."""
    planned(study, SYNTHETIC)

    second = planned(study, SYNTHETIC + "resources: {mem_gb: 9}\n")

    assert (second.revision, len(second.kept), second.new) == (2, 8, frozenset())
    assert read_manifest(second.sweep_dir).request.mem_gb == 9


def test_a_result_that_is_there_is_done_already(study: Path):
    """In whatever sweep it was made."""
    first = planned(study, SYNTHETIC)
    path = study / first.points[3].result_path
    path.parent.mkdir(parents=True)
    path.touch()

    assert planned(study, SYNTHETIC.replace("toy", "other")).done == {first.points[3].point_id}


def test_a_dry_run_writes_nothing(study: Path):
    """Not even what it learned about the data."""
    a_series(study, "s1")
    before = files_in(study)

    result = planned(study, SERIES, dry_run=True)

    assert len(result.points) == 2
    assert files_in(study) == sorted([*before, "spec.yaml"])


def test_mistakes_about_the_data_are_told_at_once_and_nothing_is_written(study: Path):
    """With session and value; a mistake of several sessions once."""
    text = SYNTHETIC.replace("taste: [0, 1]", "taste: [0, 7]").replace(
        "[[0, 2000]]", "[[0, 2000], [1000, 9000]]"
    )
    text = text.replace("[50]", "[50, 300]").replace("[2, 3]", "[2, 41]")
    text += "exclude: [{session: nobody}]\n"
    only_rule = problems_of(study, text)
    found = problems_of(
        study, text.replace("exclude: [{session: nobody}]\n", "  region: [gc, bla]\n")
    )

    assert only_rule == ["this rule cannot exclude session nobody: no row of the grid has it"]
    both = "2 sessions (SYN1_synthetic_260101_000000, SYN2_synthetic_260101_000000): "
    assert found == [
        both + "taste 7 does not exist; the session has 2: 0 to 1",
        both + "window 1000-9000 ms is outside the data, which run from 0 to 2000 ms",
        both
        + "bins of 300 ms do not divide the window of 2000 ms (6.67 bins); nearest that do: 250 and 400 ms",
        both
        + "bins of 300 ms do not divide the window of 8000 ms (26.67 bins); nearest that do: 250 and 320 ms",
        both + "40 bins are too few for 41 states",
        both + "region `bla` does not exist; the session has: all, gc",
    ]
    assert files_in(study) == ["spec.yaml"]


def test_what_is_excluded_need_not_be_possible(study: Path):
    """One session lacks a region, and a rule says so."""
    text = SYNTHETIC.replace("taste: [0, 1]", "taste: [0, 7]") + "exclude: [{taste: 7}]\n"

    result = planned(study, text)

    assert len(result.points) == 4
    assert [(one.n_rows, one.line) for one in result.excluded] == [(4, 9)]


def test_a_session_can_be_excluded_by_name_and_a_row_included_for_one(study: Path):
    """The session is an axis like the others."""
    text = (
        SYNTHETIC
        + "exclude: [{session: SYN1_synthetic_260101_000000}]\n"
        + "include: [{session: SYN1_synthetic_260101_000000, taste: 0, window_ms: [0, 1000], bin_ms: 50,"
        + " model: single_taste_poisson, n_states: 2}]\n"
    )

    result = planned(study, text)

    assert [point.session.animal for point in result.points] == ["SYN2"] * 4 + ["SYN1"]
    assert result.points[-1].shape == (5, 3, 20)
    assert (
        "there is no session `x`"
        in problems_of(
            study, text.replace("{session: SYN1_synthetic_260101_000000, t", "{session: x, t")
        )[0]
    )


def test_all_tastes_together_are_a_four_dimensional_array(study: Path):
    """For the models that take one; the others say that they do not."""
    text = SYNTHETIC.replace("taste: [0, 1]", "taste: all")

    assert "choose one taste" in problems_of(study, text)[0]


def test_values_that_the_model_cannot_take_are_named(study: Path):
    """Fractions for a model of counts."""
    (study / "data").mkdir()
    (study / "data/s1.csv").write_text("count\n1.5\n2\n3\n")

    [problem] = problems_of(study, SERIES)

    assert problem == "s1: some values are not whole numbers (float64); counts must be"


def test_sessions_that_hold_the_same_data_are_one_fit_and_a_mistake(study: Path):
    """A copied file is not a second animal."""
    a_series(study, "s1")
    a_series(study, "s2")

    found = problems_of(study, SERIES)

    assert len(found) == 2
    assert "session `s1` and `s2`; their data are the same" in found[0]


def test_sessions_are_named_by_the_spec_where_their_folder_is_wrong(study: Path):
    """Animal, date and name of one entry; the others by their files."""
    a_series(study, "AM1_a_201006", [1, 2, 3, 4])
    a_series(study, "odd", [4, 3, 2, 1])
    text = SERIES.replace(
        '["data/*.csv"]',
        '["data/AM*.csv", {path: data/odd.csv, session: AM2_b, animal: AM2, date: "201007"}]',
    )

    manifest = read_manifest(planned(study, text).sweep_dir)

    assert manifest.sessions == (
        Session(name="AM1_a_201006", animal="AM1", date="201006", path="data/AM1_a_201006.csv"),
        Session(name="AM2_b", animal="AM2", date="201007", path="data/odd.csv"),
    )


def test_a_name_in_the_spec_stands_for_one_that_no_result_could_lie_under(study: Path):
    """Raw recordings may often not be renamed."""
    a_series(study, "AN 02 (x)")
    entry = '{path: "data/AN 02 (x).csv", session: AN02_x_260102, animal: AN02, date: "260102"}'

    result = planned(study, SERIES.replace('"data/*.csv"', entry))

    session = Session(name="AN02_x_260102", animal="AN02", date="260102", path="data/AN 02 (x).csv")
    assert {point.session for point in result.points} == {session}


@pytest.mark.parametrize("key", ["session", "animal", "date"])
def test_names_that_could_leave_the_results_folder_are_refused(study: Path, key: str):
    """Results lie under models/<animal>/<session>/."""
    a_series(study, "s1")
    text = SERIES.replace('["data/*.csv"]', f"[{{path: data/s1.csv, {key}: ../../up}}]")

    assert "must be a plain name" in problems_of(study, text)[0]


def test_paths_are_relative_inside_the_study_and_absolute_outside(tmp_path: Path, study: Path):
    """A study can be moved as a whole; data elsewhere stay where they are."""
    a_series(study, "inside", [1, 2, 3])
    outside = a_series(tmp_path, "outside", [3, 2, 1])
    text = SERIES.replace('["data/*.csv"]', f'["data/*.csv", "{outside}"]')

    planned(study, text)

    paths = [session.path for session in read_manifest(study / "sweeps/series").sessions]
    assert paths == ["data/inside.csv", str(outside)]


def test_a_spec_beside_its_data_can_be_planned_into_another_study(tmp_path: Path, study: Path):
    """Globs start at the spec, results lie in the study."""
    a_series(tmp_path, "s1")
    spec = tmp_path / "spec.yaml"
    spec.write_text(SERIES)

    result = plan(spec, study)

    assert result.points[0].session.path == str(tmp_path / "data/s1.csv")
    assert result.sweep_dir == study / "sweeps" / "series"


def test_a_second_plan_does_not_read_the_arrays_again(study: Path):
    """Proved by a file of the same size and time that holds nonsense."""
    path = a_series(study, "s1")
    first = planned(study, SERIES)
    status = path.stat()
    path.write_bytes(b"\xff" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    second = planned(study, SERIES.replace("[2, 3]", "[2, 3, 4]"))

    assert (first.n_read, second.n_read) == (1, 0)
    assert second.points[0] == first.points[0]


def test_a_file_that_changed_is_read_again(study: Path):
    """Its points are other points."""
    path = a_series(study, "s1")
    first = planned(study, SERIES)
    path.write_text(path.read_text().replace("9", "8"))
    os.utime(path, ns=(1, 1))

    second = planned(study, SERIES)

    assert second.n_read == 1
    assert second.new.isdisjoint({point.point_id for point in first.points})


def test_a_broken_cache_costs_time_only(study: Path):
    """It is nobody's truth."""
    a_series(study, "s1")
    first = planned(study, SERIES)
    cache = study / "sweeps/.data_facts.json"
    for nonsense in (
        "",
        "[]",
        '{"format": 1, "entries": {"x": 3}}',
        cache.read_text().replace('"digest"', '"x"'),
    ):
        cache.write_text(nonsense)
        assert planned(study, SERIES).points == first.points


def test_a_sweep_of_the_same_name_from_another_spec_is_pointed_out(study: Path):
    """Somebody copied a spec and forgot to rename it."""
    planned(study, SYNTHETIC)
    other = study / "copy.yaml"
    other.write_text(SYNTHETIC.replace("[2, 3]", "[5]"))

    result = plan(other, study)

    assert "was planned from spec.yaml before" in result.notes[0]
    assert any("was planned from" in line for line in report.next_steps(result))


def test_a_damaged_revision_does_not_stop_the_next_plan(study: Path):
    """Planning again is how it is repaired."""
    result = planned(study, SYNTHETIC)
    (result.sweep_dir / "revisions/0001/manifest.csv").write_text("gone\n")

    again = planned(study, SYNTHETIC)

    assert again.revision == 2
    assert "cannot be used" in again.notes[0]
    assert read_manifest(result.sweep_dir).points() == list(result.points)


def test_a_study_that_cannot_be_written_to_is_named(study: Path):
    """In words, without a traceback."""
    (study / "sweeps").write_text("a file where a folder should be")

    with pytest.raises(PytauHpcError, match="cannot write the plan"):
        planned(study, SYNTHETIC)


def test_binned_data_need_no_window_and_no_bins(study: Path):
    """And say so where a spec gives them."""
    a_series(study, "s1")

    assert planned(study, SERIES).points[0].shape == (8,)
    text = SERIES.replace("  n_states", "  bin_ms: 50\n  n_states")
    assert problems_of(study, text) == [
        "s1: the data are binned already; leave out window_ms and bin_ms"
    ]


def test_arrays_of_numpy_are_sessions_too(study: Path, rng: np.random.Generator):
    """One taste of four dimensions; a taste that is not there is named."""
    (study / "data").mkdir()
    np.save(study / "data/s1.npy", rng.poisson(1.0, size=(2, 6, 4, 20)))
    text = SERIES.replace("csv", "npy").replace("poisson_changepoint_1d", "single_taste_poisson")

    result = planned(study, text.replace("  n_states", "  taste: [0, 1]\n  n_states"))

    assert {point.shape for point in result.points} == {(6, 4, 20)}
    assert len({point.data_digest for point in result.points}) == 2


@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_model_is_planned_on_data_of_its_kind(study: Path, model: str):
    """By the number of axes of an array, all tastes together where the model takes them."""
    kind = MODELS[model]
    (study / "data").mkdir()
    array = np.arange(2 * 3 * 2 * 20).reshape(2, 3, 2, 20) % 7
    for _ in range(4 - len(kind.dims)):
        array = array[0]
    np.save(study / "data/s1.npy", array + (0.5 if kind.values == "real" else 0))
    text = SERIES.replace("csv", "npy").replace("poisson_changepoint_1d", model)
    if "taste" in kind.dims:
        text = text.replace("  n_states", "  taste: all\n  n_states")

    points = planned(study, text).points

    assert [point.n_states for point in points] == [2, 3]
    assert {point.shape for point in points} == {array.shape}
    assert all(point.model_options == kind.options for point in points)


def test_the_printed_plan_fits_a_terminal_and_says_what_will_be(study: Path):
    """Axes, counts, shapes, and where it was written."""
    text = report.as_text(planned(study, SYNTHETIC + "exclude: [{taste: 1, n_states: 3}]\n"))

    assert max(map(len, text.splitlines())) <= 100
    assert "n_states       2  2 3" in text
    assert "excluded      −2  taste 1, n_states 3 (spec line 9)" in text
    assert "               6  points" in text
    assert "all with region all" in text
    assert "     6  5×3×40                  2–3         2  single_taste_poisson" in text
    assert "Wrote revision 1 of sweeps/toy/manifest.csv" in text


def test_the_plan_as_json_says_the_same(study: Path):
    """One document with its schema."""
    result = planned(study, SYNTHETIC)

    document = json.loads(report.as_json(result))

    assert document["schema"] == "pytau-hpc/plan/1"
    assert document["counts"] == {"points": 8, "done": 0, "new": 8, "kept": 0, "dropped": 0}
    assert [one["point_id"] for one in document["points"]] == [
        point.point_id for point in result.points
    ]
    assert document["classes"][0]["shape"] == [5, 3, 40]


@pytest.mark.realdata
def test_the_walkthrough_session_is_planned(study: Path, recordings: Path):
    """PyTau's own example, in blech_clust's layout."""
    text = SYNTHETIC.replace(
        "{format: synthetic, sessions: 2, tastes: 2, trials: 5, neurons: 3, n_states: 2, seed: 1}",
        f'{{format: blech_hdf5, sessions: ["{recordings}/AM11*"]}}',
    )
    text = text.replace("[0, 1]", "[0]").replace("[[0, 2000]]", "[[2000, 4000]]")

    result = planned(study, text)

    assert {point.shape for point in result.points} == {(30, 35, 40)}
    assert result.points[0].session.animal == "AM11"
    assert planned(study, text).n_read == 0


RECORDED = """\
name: s
data: {format: blech_hdf5, sessions: ["data/*"]}
grid: {window_ms: [[0, 500]], bin_ms: [50], model: [single_taste_poisson], n_states: [2]}
"""


def a_recording(study: Path, name: str, **changes: Any) -> Path:
    folder = study / "data" / name
    size: dict[str, Any] = {"tastes": 1, "trials": 3, "regions": {"gc": 2}, "duration_ms": 500}
    write_blech_session(folder, **{"seed": 1, "window_ms": (0, 500), **size, **changes})
    return folder


def test_a_folder_without_a_recording_is_named(study):
    """A glob passes over what is no session, and the plan says so."""
    a_recording(study, "AN01_x_260101_101500")
    (study / "data" / "AN02_x_260102_101500").mkdir()

    result = planned(study, RECORDED)

    assert any("AN02_x_260102_101500" in note for note in result.notes)


@pytest.mark.parametrize("pattern", ["data/*", "data/*/*.h5"])
def test_a_folder_that_may_not_be_read_is_named(study, monkeypatch, pattern):
    """So that nobody misses a session whose owner forgot to share it."""
    a_recording(study, "AN01_x_260101_101500")
    (study / "data" / "closed").mkdir()
    _close(monkeypatch)

    result = planned(study, RECORDED.replace("data/*", pattern))

    assert [note for note in result.notes if "you may not read" in note and "closed" in note]


def test_a_path_that_may_not_be_read_is_wrong_at_its_place(study, monkeypatch):
    """Who names one folder means that folder."""
    (study / "data" / "closed").mkdir(parents=True)
    _close(monkeypatch)

    with pytest.raises(SpecInvalid) as caught:
        planned(study, RECORDED.replace("data/*", "data/closed"))

    [problem] = caught.value.problems
    assert "you may not read" in problem.message
    assert problem.line == 2


def _close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders called `closed` say no, also to root."""
    listing = Path.iterdir

    def iterdir(folder: Path) -> Any:
        if folder.name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)


def test_what_a_recording_says_about_itself_is_read_again_when_it_changed(study):
    """Also where the session is named by its file: the regions are in the `.info` beside it."""
    folder = a_recording(study, "AN01_x_260101_101500", regions={"gc": 2, "bla": 2})
    text = RECORDED.replace("data/*", "data/*/*.h5").replace("grid: {", "grid: {region: [gc], ")
    first = planned(study, text)
    info = folder / f"{folder.name}.info"
    content = json.loads(info.read_text())
    layout = content["electrode_layout"]
    layout["gc"], layout["bla"] = layout["bla"], layout["gc"]
    info.write_text(json.dumps(content))

    second = planned(study, text)

    assert second.n_read == 1
    assert second.points[0].data_digest != first.points[0].data_digest


def test_a_session_that_an_entry_names_is_not_found_a_second_time(study: Path):
    """A glob may match its folder or its file too: what the entry says stands."""
    a_recording(study, "AN01_x_260101_101500")
    a_recording(study, "AN 02", seed=2)
    a_recording(study, "AN 03", seed=3)
    entries = (
        '"data/*", {path: data/AN 02, session: AN02_x, animal: AN02},'
        " {path: data/AN 03/AN 03.h5, session: AN03_x, animal: AN03}"
    )

    result = planned(study, RECORDED.replace('"data/*"', entries))

    names = {point.session.name for point in result.points}
    assert names == {"AN01_x_260101_101500", "AN02_x", "AN03_x"}
