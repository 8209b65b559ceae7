"""Results on disk become rows of the model database, by themselves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pytau_hpc.data.synthetic import write_blech_session
from pytau_hpc.errors import UserError
from pytau_hpc.inference.result_file import ResultInvalid
from pytau_hpc.ledger.model_database import ModelDatabase
from pytau_hpc.register import database_of, register_result, scan, strays
from pytau_hpc.sweep.point import Session
from tests.builders import a_point, a_session, a_sweep, some_points
from tests.published import publish
from tests.toy_sweep import toy

__all__ = ["toy"]

LONG_AGO = 1_700_000_000


def settled(study: Path) -> None:
    """As if everything had been written long ago, so that unchanged folders are not listed again."""
    for folder, _, names in os.walk(study / "models"):
        for name in [*names, "."]:
            os.utime(Path(folder, name), (LONG_AGO, LONG_AGO))


@pytest.fixture
def database(study) -> ModelDatabase:
    return database_of(study)


def test_a_result_says_itself_what_it_is(study, database):
    """Identification, parameters in seconds, contents, quality; what a method measures besides has its own column."""
    point = a_point(laser="on", transform="trial_shuffled", settings={"iterations": 5000})
    publish(study, point, experiment="pilot")

    model_id = register_result(study, point.result_path)

    [row] = database.rows()
    expected = {
        "model_id": model_id,
        "point_id": point.point_id,
        "animal_name": "AM10",
        "session_date": "201006",
        "session_name": "AM10_4Tastes_201006_095803",
        "taste_num": 0,
        "region_name": "gc",
        "laser_type": "on",
        "experiment_name": "pilot",
        "fit_date": "2026-11-22",
        "model_type": "single_taste_poisson",
        "data_type": "shuffled",
        "data_transform": "trial_shuffled",
        "states": 4,
        "fit_steps": 5000,
        "samples": 5,
        "time_lims": (2.0, 4.0),
        "bin_width": 0.05,
        "method": "advi",
        "engine": "jax",
        "repeat": 0,
        "raw_data": point.session.path,
        "data_digest": point.data_digest,
        "elbo": -123.0,
        "elbo_se": 0.5,
        "converged": True,
        "iterations_run": 700,
        "pymc_version": "5.28",
        "r_hat_max": 1.003,
    }
    assert {name: row[name] for name in expected} == expected
    assert Path(row["model_path"]) == study / point.result_path
    assert row["contents"]["posterior/tau"] == [1, 5, 3, 3]
    assert row["contents"]["posterior/lambda"] == [1, 5, 2, 4]
    assert row["contents"]["observed_data/obs"] == [3, 2, 10]
    assert row["parameters"]["settings"]["draws"] == 1000
    assert register_result(study, study / point.result_path) == model_id


def test_no_transform_and_no_laser_are_missing_values_as_in_pytau(study, database):
    """And the data are actual."""
    publish(study, a_point())

    scan(database)

    assert len(database.rows({"laser_type": None, "data_transform": None})) == 1
    assert len(database.rows({"data_type": "actual"})) == 1


def test_name_and_index_of_a_taste_are_both_there_while_the_recording_is(study, database):
    """A sweep may ask by index and a person by name."""
    name = "AN01_demo_260101_101500"
    write_blech_session(study / "data" / name, seed=1, tastes=["nacl", "suc"], trials=2)
    session = Session(name=name, animal="AN01", date="260101", path=f"data/{name}")
    gone = replace(session, path="data/elsewhere")
    for taste, where in ((1, session), ("nacl", session), ("all", session), (0, gone)):
        publish(study, a_point(taste=taste, session=where))

    scan(database)

    found = {(row["taste_num"], row["taste_name"]) for row in database.rows()}
    assert found == {(1, "suc"), (0, "nacl"), (None, "all"), (0, None)}


def test_the_experiment_of_a_sweeps_result_is_the_sweep_that_planned_it_first(study, database):
    """Unless the result says itself whose it is."""
    points = some_points(3)
    a_sweep(study, points[:2], name="first")
    a_sweep(study, points[1:2], name="a_later_one")
    header = study / "sweeps" / "a_later_one" / "revisions" / "0001" / "manifest.yaml"
    header.write_text(header.read_text().replace("2026-11-22T12", "2026-11-23T12"))
    publish(study, points[0])
    publish(study, points[1])
    publish(study, points[2])

    scan(database)

    names = {row["point_id"]: row["experiment_name"] for row in database.rows()}
    assert [names[point.point_id] for point in points] == ["first", "first", None]


def test_a_look_finds_what_is_new_and_opens_nothing_twice(study, database, monkeypatch):
    """A folder that has not changed is not listed, a file that was looked at is not opened."""
    from pytau_hpc.result_rows import ResultRows

    opened = []
    original = ResultRows.of
    monkeypatch.setattr(
        ResultRows, "of", lambda self, path: opened.append(path.name) or original(self, path)
    )
    first, second = some_points(2)
    publish(study, first)
    settled(study)

    assert scan(database).registered == 1
    assert scan(database).registered == 0
    folder = publish(study, second).parent
    os.utime(folder, (LONG_AGO, LONG_AGO))
    assert scan(database).registered == 0
    os.utime(folder)
    assert scan(database).registered == 1
    assert scan(database).registered == 0

    assert opened == [f"model_{first.point_id}.nc", f"model_{second.point_id}.nc"]


def test_a_result_that_was_made_again_is_read_again(study, database):
    """A damaged one is put aside and fitted anew under the same name; the row stays the same model."""
    point = a_point()
    publish(study, point, elbo=-123.0)
    scan(database)
    (study / point.result_path).unlink()
    publish(study, point, elbo=-120.0)

    scan(database)

    [row] = database.rows()
    assert (row["model_id"], row["elbo"]) == (1, -120.0)


def test_what_a_person_changed_or_removed_stays_so(study, database):
    """A later look neither undoes an edit nor brings back a model that was deleted from the database."""
    first, second = some_points(2)
    publish(study, first)
    publish(study, second)
    scan(database)
    ids = {row["point_id"]: row["model_id"] for row in database.rows()}

    database.update(ids[first.point_id], {"experiment_name": "mine"})
    database.delete([ids[second.point_id]])
    scan(database)

    [row] = database.rows()
    assert row["experiment_name"] == "mine"
    assert strays(database).unlisted == [study / second.result_path]
    register_result(study, second.result_path)
    assert len(database.rows()) == 2


def test_a_file_that_is_no_result_is_reported_and_looked_at_again(study, database):
    """Perhaps a copy that is not complete yet; files under hidden names are nobody's."""
    point = a_point()
    complete = publish(study, point).read_bytes()
    path = study / point.result_path
    path.write_bytes(complete[:500])
    path.with_name(f".{path.name}.node.1.tmp").write_bytes(complete)
    settled(study)

    assert list(scan(database).unreadable) == [path]
    with pytest.raises(ResultInvalid):
        register_result(study, point.result_path)
    path.write_bytes(complete)
    # Only the file changed; its folder has the same time of change as before.
    assert scan(database).registered == 1
    assert scan(database).unreadable == {}


def test_edits_are_not_lost_in_a_copy_of_the_study(study, database, tmp_path):
    """`cp -r` gives every file a new time; the results are the same, and so what a person said of them stays."""
    point = a_point()
    publish(study, point)
    scan(database)
    database.update(1, {"animal_name": "mine", "fit_date": "2020-01-01"})
    copied = tmp_path / "copy"
    shutil.copytree(study, copied, copy_function=shutil.copy)
    os.utime(copied / point.result_path, (LONG_AGO, LONG_AGO))

    there = database_of(copied)
    scan(there)

    [row] = there.rows()
    assert (row["animal_name"], row["fit_date"]) == ("mine", "2020-01-01")


@pytest.mark.parametrize("name", [b"model_\xe4.nc", b"s\xe4ssion/model_1.nc"])
def test_a_name_that_is_not_utf8_does_not_stop_the_question_for_the_others(study, database, name):
    """Told, not listed, and never taken for a file that may be removed."""
    sound = publish(study, a_point())
    odd = Path(os.fsdecode(os.fsencode(study / "models" / "AM10") + b"/" + name))
    if odd.parent.name == "AM10":
        odd = sound.with_name(odd.name)
    odd.parent.mkdir(exist_ok=True)
    odd.write_bytes(sound.read_bytes())

    found = scan(database)

    assert found.registered == 1
    assert list(found.unreadable) in ([odd], [odd.parent])
    assert strays(database).unlisted == strays(database).unreadable == [odd]


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("quality", "r_hat_max", float("inf")),
        ("quality", "rhat[tau]", 1.0),
        ("quality", "elbo", "good"),
        ("quality", "draws", 1.5),
        ("provenance", "experiment", {"a": 1}),
        ("provenance", "experiment", "\ud800"),
    ],
)
def test_a_value_that_no_database_can_keep_does_not_stop_the_question(
    study, database, part, name, value
):
    """Somebody else's file may say anything; it is reported like one that cannot be read."""
    import h5py

    sound, odd = some_points(2)
    publish(study, sound)
    with h5py.File(publish(study, odd), "r+") as file:
        said = json.loads(file.attrs[part])
        del file.attrs[part]
        file.attrs[part] = json.dumps({**said, name: value})

    found = scan(database)

    assert list(found.unreadable) == [study / odd.result_path]
    assert [row["point_id"] for row in database.rows()] == [sound.point_id]


def test_a_measure_does_not_take_the_place_of_what_was_fitted(study, database):
    """A measure of quality that is called like a column of ours is not that column."""
    import h5py

    with h5py.File(publish(study, a_point(n_states=4)), "r+") as file:
        said = json.loads(file.attrs["quality"])
        del file.attrs["quality"]
        file.attrs["quality"] = json.dumps({**said, "states": 9})

    scan(database)

    [row] = database.rows()
    assert row["states"] == 4


def test_a_database_that_was_removed_comes_back(study, database):
    """Row for row, as far as results say it themselves."""
    for point in some_points(4, sessions=2):
        publish(study, point)
    scan(database)
    before = [{**row, "model_id": None} for row in database.rows()]
    database.path.unlink()

    again = database_of(study)
    scan(again)

    assert [{**row, "model_id": None} for row in again.rows()] == before
    assert len(before) == 4


def test_models_without_a_file_and_files_without_a_model_are_told_apart(study, database):
    """Ours and pickles; other files are nobody's business."""
    kept, gone = some_points(2)
    publish(study, kept)
    publish(study, gone)
    scan(database)
    (study / gone.result_path).unlink()
    pickled = study / "models" / "exp" / "exp_1234.pkl"
    pickled.parent.mkdir()
    pickled.write_bytes(b"")
    (study / "models" / "notes.txt").write_text("")

    found = strays(database)

    [row] = database.rows({"model_id": found.gone})
    assert row["point_id"] == gone.point_id
    assert set(found.files) == {study / kept.result_path, pickled}
    assert found.unlisted == [pickled]


LOOK = """
import sys
from pathlib import Path
from pytau_hpc.register import database_of, scan
for _ in range(5):
    scan(database_of(Path(sys.argv[1])))
"""


def test_processes_that_look_at_once_make_each_row_once(study):
    """While results are still arriving."""
    points = some_points(24, sessions=3)
    for point in points[:12]:
        publish(study, point)
    lookers = [subprocess.Popen([sys.executable, "-c", LOOK, str(study)]) for _ in range(3)]
    for point in points[12:]:
        publish(study, point)
        time.sleep(0.01)
    assert [looker.wait(timeout=120) for looker in lookers] == [0] * 3

    database = database_of(study)
    scan(database)

    assert sorted(row["point_id"] for row in database.rows()) == sorted(
        point.point_id for point in points
    )


def test_a_sweep_writes_nothing_into_the_database_and_is_found_in_it(toy):
    """Real fits by real workers: not one of them opens it, and the first question finds them all."""
    sweep = toy(sessions=1)
    sweep.run("submit", "-j", "2")
    assert not (sweep.study / "models" / "database.db").exists()

    database = database_of(sweep.study)
    assert scan(database).registered == 4

    rows = database.rows({"experiment_name": "toy", "states": 3})
    assert {row["taste_num"] for row in rows} == {0, 1}
    assert {row["method"] for row in rows} == {"toy"}
    assert {(row["time_lims"], row["bin_width"], row["fit_steps"]) for row in rows} == {
        ((0.0, 2.0), 0.1, 3)
    }
    assert all(Path(row["model_path"]).exists() for row in rows)


def test_a_database_elsewhere_is_not_made_by_accident(study):
    """Results are below the folder of their database, or they are not found."""
    publish(study, a_point(session=a_session(1)))
    other = ModelDatabase(study / "other" / "database.db")

    assert scan(other).registered == 0
    with pytest.raises(UserError, match="is a folder"):
        ModelDatabase(study / "models")
