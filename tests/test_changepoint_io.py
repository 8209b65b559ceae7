"""`DatabaseHandler`, as PyTau's pages and scripts use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pytau_hpc.changepoint_io import DatabaseHandler
from pytau_hpc.errors import UserError
from pytau_hpc.ledger.model_columns import COLUMNS
from pytau_hpc.ledger.model_frames import PYTAU_COLUMNS
from tests.builders import a_point
from tests.published import publish

#: Written by PyTau's own DatabaseHandler (commit 57b517f); folders, dates and options were changed by hand.
PYTAU_CSV = """\
,preprocess.time_lims,preprocess.bin_width,preprocess.data_transform,preprocess.preprocessor_name,model.states,\
model.fit,model.samples,model.model_kwargs,model.model_template_name,model.inference_func_name,data.data_dir,\
data.basename,data.animal_name,data.session_date,data.taste_num,data.laser_type,data.region_name,exp.exp_name,\
exp.model_id,exp.save_path,exp.fit_date,module.pymc_version,module.theano_version
0,"[2000, 4000]",50,None,preprocess_single_taste,4,40000,20000,{'None': None},single_taste_poisson,advi_fit,\
/data/AM35_4Tastes_201228_124547,AM35_4Tastes_201228_124547,AM35,124547,0,,gc,pytau_test,3be5dec8,\
/old/models/pytau_test/pytau_test_3be5dec8,11-22-25,5.28.5,1.0.0
0,"[2000, 4000]",50,trial_shuffled,preprocess_all_taste,4,40000,20000,{'inds_span': 1},all_taste_poisson,advi_fit,\
/data/AM35_4Tastes_201228_124547,AM35_4Tastes_201228_124547,AM35,124547,all,off,gc,pytau_test,b97ad7aa,\
/old/models/pytau_test/pytau_test_b97ad7aa,11-22-25,5.28.5,1.0.0
0,"[2000, 4000]",50,,preprocess_single_taste,4,40000,20000,{'None': None},single_taste_poisson,advi_fit,\
/data/AM35_4Tastes_201228_124547,AM35_4Tastes_201228_124547,AM35,124547,2,,gc,pytau_test,b9e861d6,\
/old/models/pytau_test/pytau_test_b9e861d6,03-01-22,3.9.3,1.0.5
,,,,,,,,,,,,,,,,,,,,,,,
"""


@pytest.fixture
def db(study, monkeypatch) -> DatabaseHandler:
    """Opened from the study folder, as on the page."""
    monkeypatch.chdir(study)
    return DatabaseHandler(database_path="models/database.db")


@pytest.fixture
def pytau_folder(study) -> Path:
    """PyTau's models, moved away from where the file says they are; one pickle is lost."""
    folder = study / "from_pytau"
    (folder / "pytau_test").mkdir(parents=True)
    (folder / "model_database.csv").write_text(PYTAU_CSV)
    for name in ("3be5dec8", "b97ad7aa"):
        # Whoever unpickled these would notice.
        (folder / "pytau_test" / f"pytau_test_{name}.pkl").write_bytes(b"\x80no pickle")
    return folder


def test_the_operations_of_the_page(db):
    """Query, add, update, delete; by keyword, with the page's columns."""
    path = "models/animal1/session1/model_001.pkl"

    model_id = db.add_model(
        model_path=path,
        metadata={
            "animal_name": "mouse1",
            "session_date": "2024-01-15",
            "region_name": "GC",
            "states": 3,
            "observer": "ada",
        },
    )
    models = db.query(animal_name="mouse1", region_name="GC", states=3)
    assert model_id == 1
    assert models["model_path"].to_list() == [path]
    assert db.query(animal_name="mouse2").empty

    db.update_model(model_id=1, fit_date="2024-01-20")
    assert db.query()["fit_date"].to_list() == ["2024-01-20"]

    db.delete_model(model_id=1)
    assert db.query().empty
    assert list(db.query().columns) == [name for name in models.columns if name != "observer"]
    with pytest.raises(UserError, match="there is no model 1"):
        db.delete_model(model_id=1)


def test_a_published_result_is_in_the_next_answer(db, study):
    """Nobody has to register it, and its path can be opened as it stands."""
    point = a_point(n_states=3)
    publish(study, point)

    models = db.query(states=3, model_type="single_taste_poisson", bin_width=0.05)

    assert models["model_path"].to_list() == [point.result_path]
    assert Path(models["model_path"][0]).exists()
    assert models["time_lims"].to_list() == [(2.0, 4.0)]


def test_metadata_complete_what_a_result_says_itself(db, study):
    """And survive the looks that follow."""
    point = a_point()
    publish(study, point)

    model_id = db.add_model(point.result_path, {"experiment_name": "mine", "note": "good"})

    [row] = db.query().to_dict("records")
    assert (row["model_id"], row["experiment_name"], row["note"]) == (model_id, "mine", "good")
    assert (row["states"], row["region_name"]) == (4, "gc")


def test_a_deleted_model_stays_deleted_and_its_file_goes_only_where_asked(db, study):
    """Without the file there is nothing left to find."""
    kept, removed = a_point(n_states=2), a_point(n_states=3)
    for point in (kept, removed):
        publish(study, point)
    ids = db.query().set_index("states")["model_id"]

    db.delete_model(int(ids[2]))
    db.delete_model(int(ids[3]), delete_file=True)

    assert db.query().empty
    assert (study / kept.result_path).exists()
    assert not (study / removed.result_path).exists()
    assert db.orphans().files == [study / kept.result_path]


def test_orphans_both_ways(db, study):
    """Models whose file is gone, and files that no model has; another current folder makes no difference."""
    point = a_point()
    publish(study, point)
    gone = db.add_model("models/animal1/session1/model_001.pkl", {"states": 3})
    stray = study / "models" / "animal1" / "stray.pkl"
    stray.parent.mkdir()
    stray.write_bytes(b"")

    orphans = db.orphans()
    assert orphans.rows["model_id"].to_list() == [gone]
    assert orphans.files == [stray]

    db.clear_mismatched_paths()
    assert stray.exists()
    assert db.query()["point_id"].to_list() == [point.point_id]
    db.clear_mismatched_paths(delete_files=True)
    assert not stray.exists()
    assert (study / point.result_path).exists()


@pytest.mark.parametrize(
    "call",
    [
        lambda db: db.update_model("x", states=3),
        lambda db: db.update_model(1.5, states=3),
        lambda db: db.delete_model([1, 2]),
        lambda db: db.query(model_id="x"),
        lambda db: db.add_model("models/a.pkl", ["states", 3]),
        lambda db: db.add_model("models/a.pkl", {"states": "three"}),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_in_words(db, call):
    """And nothing is changed."""
    with pytest.raises(UserError, match="must be a"):
        call(db)
    assert db.query().empty


def test_only_what_is_nobodys_is_removed(db, study):
    """Not the pickle of a result that is listed, nor a result that cannot be read: perhaps it is being copied."""
    point, copied = a_point(n_states=2), a_point(n_states=3)
    pickled = publish(study, point).with_suffix(".pkl")
    pickled.write_bytes(b"")
    half = publish(study, copied)
    half.write_bytes(half.read_bytes()[:500])

    assert db.orphans().files == [half]
    db.clear_mismatched_paths(delete_files=True)

    assert half.exists()
    assert pickled.exists()


def test_a_result_that_arrives_while_the_folder_is_looked_through_stays(db, study, monkeypatch):
    """Published after the first look, it is not taken for a file without a model."""
    from pytau_hpc import register

    looked = register._files_of_models
    late = a_point(n_states=5)

    def publish_and_look(folder):
        publish(study, late)
        return looked(folder)

    monkeypatch.setattr(register, "_files_of_models", publish_and_look)
    db.clear_mismatched_paths(delete_files=True)

    assert (study / late.result_path).exists()
    assert db.query()["point_id"].to_list() == [late.point_id]


def test_duplicates_are_shown_and_dropped(db):
    """The first of equal ones stays; the files stay, all of them."""
    for name, states in (("a", 3), ("b", 3), ("c", 4)):
        db.add_model(f"models/x/y/model_{name}.pkl", {"animal_name": "mouse1", "states": states})

    assert db.duplicates()["model_id"].to_list() == [2]
    shown, among = db.show_duplicates()
    assert among.to_list() == [False, True, False]
    assert shown.index.to_list() == [2]
    assert db.drop_duplicates() == 1
    assert db.query()["model_id"].to_list() == [1, 3]


def test_pytaus_database_is_imported_without_opening_a_pickle(db, pytau_folder):
    """In our units, with the pickles where they are now; again, nothing is added."""
    ids = db.import_pytau(pytau_folder / "model_database.csv")

    models = db.query()
    assert models["model_id"].to_list() == ids == [1, 2, 3]
    assert db.import_pytau(pytau_folder / "model_database.csv") == ids
    first, second, third = db.query().to_dict("records")
    expected = {
        "model_path": str(pytau_folder / "pytau_test" / "pytau_test_3be5dec8.pkl"),
        "animal_name": "AM35",
        "session_date": "124547",
        "session_name": "AM35_4Tastes_201228_124547",
        "taste_num": 0,
        "region_name": "gc",
        "experiment_name": "pytau_test",
        "fit_date": "2025-11-22",
        "model_type": "single_taste_poisson",
        "data_type": "actual",
        "states": 4,
        "fit_steps": 40000,
        "samples": 20000,
        "time_lims": (2.0, 4.0),
        "bin_width": 0.05,
        "method": "advi",
        "raw_data": "/data/AM35_4Tastes_201228_124547",
        "parameters": {"model_options": {}},
        "pymc_version": "5.28.5",
        "exp.model_id": "3be5dec8",
    }
    assert {name: first[name] for name in expected} == expected
    assert pd.isna(first["laser_type"])
    assert pd.isna(first["data_transform"])
    assert (second["taste_name"], second["laser_type"]) == ("all", "off")
    assert (second["data_type"], second["data_transform"]) == ("shuffled", "trial_shuffled")
    assert second["parameters"] == {"model_options": {"inds_span": 1}}
    assert third["model_path"] == "/old/models/pytau_test/pytau_test_b9e861d6.pkl"
    assert db.orphans().rows["model_id"].to_list() == [3]


def test_the_frame_of_pytau_is_what_pytaus_scripts_filter(db, study, pytau_folder):
    """Dotted columns and milliseconds, for what was imported and for results of ours alike."""
    db.import_pytau(pytau_folder / "model_database.csv")
    point = a_point(n_states=3, taste=1)
    publish(study, point, experiment="pilot")

    table = db.fit_database
    wanted = table.loc[table["exp.exp_name"] == "pytau_test"]

    assert tuple(table.columns) == PYTAU_COLUMNS
    assert wanted["exp.save_path"].iloc[0] == str(
        pytau_folder / "pytau_test" / "pytau_test_3be5dec8"
    )
    assert wanted["exp.model_id"].to_list() == ["3be5dec8", "b97ad7aa", "b9e861d6"]
    assert wanted["data.taste_num"].to_list() == [0, "all", 2]
    ours = table.loc[table["exp.exp_name"] == "pilot"].iloc[0]
    assert ours["preprocess.time_lims"] == [2000, 4000]
    assert ours["preprocess.bin_width"] == 50
    assert (ours["model.states"], ours["model.fit"], ours["data.taste_num"]) == (3, 700, 1)
    assert ours["model.inference_func_name"] == "advi_fit"
    assert ours["exp.save_path"] == point.result_path
    assert pd.isna(ours["data.laser_type"])


def test_pytaus_own_sequence_of_calls_works(db, pytau_folder):
    """Drop duplicates, clear what has no file, write, filter; files are never removed unasked."""
    db.import_pytau(pytau_folder / "model_database.csv")
    in_database, in_folder, files = db.check_mismatched_paths()
    assert (in_database, in_folder, files) == ([False, False, True], [], [])

    db.drop_duplicates()
    db.clear_mismatched_paths()
    db.write_updated_database()

    assert db.fit_database["exp.model_id"].to_list() == ["3be5dec8", "b97ad7aa"]
    assert len(list(pytau_folder.rglob("*.pkl"))) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "it lacks exp.save_path, model.states"),
        ("", "not a table that can be read"),
        (PYTAU_CSV.replace("40000,", "many,"), "row 2: could not convert"),
        (PYTAU_CSV.replace("[2000, 4000]", "__import__('os')"), "cannot be imported: row 2"),
    ],
)
def test_a_file_that_is_not_pytaus_database_is_refused_and_nothing_is_added(
    db, study, text, message
):
    """Nor is anything in it run."""
    (study / "x.csv").write_text(text)

    with pytest.raises(UserError, match=message):
        db.import_pytau(study / "x.csv")
    assert db.query().empty
    with pytest.raises(UserError, match="cannot be read"):
        db.import_pytau(study / "missing.csv")


def test_a_handler_is_made_where_there_is_nothing_yet_and_says_who_it_is(tmp_path, monkeypatch):
    """The page's pipeline begins with it."""
    monkeypatch.chdir(tmp_path)

    db = DatabaseHandler("models/database.db")

    assert (tmp_path / "models" / "database.db").exists()
    assert db.query(animal_name="mouse1").empty
    assert repr(db) == "DatabaseHandler('models/database.db')"
    assert db.database_path == tmp_path / "models" / "database.db"
    assert db.model_save_dir == str(tmp_path / "models")


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    """As in every other path that a person writes."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    db = DatabaseHandler("~/models/database.db")
    db.add_model("~/models/mouse1/one.pkl", {"states": 3})

    assert db.models_dir == tmp_path / "home" / "models"
    assert db.query()["model_path"].to_list() == [str(db.models_dir / "mouse1/one.pkl")]
    assert list((tmp_path / "here").iterdir()) == []


ADD = """
import sys
from pytau_hpc.changepoint_io import DatabaseHandler
db = DatabaseHandler("models/database.db")
for i in range(5):
    db.add_model(f"models/mouse/{sys.argv[1]}/model_{i}.pkl", {"session_date": sys.argv[1], "states": i})
    assert len(db.query(session_date=sys.argv[1])) == i + 1
"""


def test_sessions_in_parallel_share_a_database(db, study):
    """Each process sees its own models at once, and in the end all are there."""
    processes = [
        subprocess.Popen([sys.executable, "-c", ADD, f"2024-01-1{i}"], cwd=study) for i in range(3)
    ]

    assert [process.wait(timeout=120) for process in processes] == [0] * 3
    assert len(db.query()) == 15


def test_the_page_about_python_explains_every_column():
    """In the words of the code."""
    page = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")

    assert [c.name for c in COLUMNS.values() if f"| `{c.name}` | {c.summary} |" not in page] == []
