"""The model database: rows, paths, and several processes at once."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pytau_hpc.errors import LockTimeout, PytauHpcError, UserError
from pytau_hpc.ledger.model_columns import COLUMNS
from pytau_hpc.ledger.model_database import ModelDatabase, Seen
from pytau_hpc.ledger.model_file import copy_in_memory, opened
from pytau_hpc.ledger.model_frames import duplicated, frame

MODEL = {
    "animal_name": "mouse1",
    "session_date": "2024-01-15",
    "states": 3,
    "time_lims": (0, 2.0),
    "bin_width": 0.05,
    "converged": True,
    "parameters": {"settings": {"draws": 1000}},
}


@pytest.fixture
def database(tmp_path, monkeypatch) -> ModelDatabase:
    """Opened as on the page, from the study folder."""
    monkeypatch.chdir(tmp_path)
    return ModelDatabase("models/database.db")


def add(database: ModelDatabase, name: str = "model_001.pkl", **columns) -> int:
    [model_id] = database.add([(f"models/animal1/session1/{name}", {**MODEL, **columns})])
    return model_id


# ------------------------------------------------------------------------------------------------------ rows


def test_what_is_added_is_found_with_its_types(database):
    """The first model has number 1; its path is the one that was given."""
    assert add(database) == 1

    [row] = database.rows({"animal_name": "mouse1", "states": 3})

    assert row["model_id"] == 1
    assert row["model_path"] == "models/animal1/session1/model_001.pkl"
    assert row["time_lims"] == (0.0, 2.0)
    assert row["bin_width"] == 0.05
    assert row["converged"] is True
    assert row["parameters"] == {"settings": {"draws": 1000}}
    assert row["taste_name"] is None
    assert {"model_id", "model_path", *COLUMNS} == set(row)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, [1, 2, 3]),
        ({"states": [3, 4]}, [1, 2]),
        ({"states": np.array([4, 5])}, [2, 3]),
        ({"states": range(2, 4)}, [1]),
        ({"states": []}, []),
        ({"laser_type": None}, [1, 3]),
        ({"laser_type": [None, "on"]}, [1, 2, 3]),
        ({"time_lims": [0, 2]}, [1, 2]),
        ({"time_lims": [(0, 2), (1, 3)]}, [1, 2, 3]),
        ({"bin_width": 50 / 1000}, [1, 2, 3]),
        ({"session_date": dt.date(2024, 1, 15)}, [1, 2, 3]),
        ({"model_id": [3, 1]}, [1, 3]),
        ({"model_id": list(range(2, 2000))}, [2, 3]),
        ({"model_path": Path("models/animal1/session1/b.pkl")}, [2]),
        ({"observer": "ada"}, [3]),
        ({"observer": None}, [1, 2]),
        ({"observer": "ada", "states": 3}, []),
    ],
)
def test_a_query_takes_values_lists_and_missing_ones(database, columns, expected):
    """In the known columns and in the user's own."""
    add(database, "a.pkl")
    add(database, "b.pkl", states=4, laser_type="on")
    add(database, "c.pkl", states=5, time_lims=(1, 3), observer="ada")

    assert [row["model_id"] for row in database.rows(columns)] == expected


def test_a_misspelt_column_is_an_error_not_an_empty_answer(database):
    """Nor does it become a new column by an update."""
    add(database)

    with pytest.raises(UserError, match="no column `animl_name`") as caught:
        database.rows({"animl_name": "mouse1"})
    assert caught.value.help == "did you mean `animal_name`?"
    with pytest.raises(UserError, match="no column `fitdate`"):
        database.update(1, {"fitdate": "2024-01-20"})
    with pytest.raises(UserError, match="`model_id` must be a whole number"):
        database.rows({"model_id": "first"})


def test_values_that_do_not_fit_their_columns_are_refused_all_at_once(database):
    """And nothing of the row is kept."""
    with pytest.raises(UserError) as caught:
        add(database, states="three", time_lims=2.0, bin_width="wide", converged=2, x=object())

    message = str(caught.value)
    for name in ("states", "time_lims", "bin_width", "converged", "x"):
        assert f"`{name}`" in message
    assert database.rows() == []


def test_numbers_of_numpy_and_pandas_and_missing_values_are_plain_inside(database):
    """What a loop over a DataFrame gives."""
    add(
        database,
        states=np.int64(3),
        bin_width=np.float64(0.05),
        time_lims=np.array([0.0, 2.0]),
        taste_name=pd.NA,
        taste_num=float("nan"),
        weights=np.array([1, 2]),
        folder=Path("a/b"),
    )

    [row] = database.rows({"states": 3, "bin_width": 0.05})

    assert (row["taste_name"], row["taste_num"]) == (None, None)
    assert (row["weights"], row["folder"]) == ([1, 2], "a/b")


def test_an_update_changes_what_it_names(database):
    """None takes a value away; own columns are there to be changed once a model has them."""
    add(database, observer="ada")

    database.update(1, {"fit_date": "2024-01-20", "animal_name": None, "observer": "bob"})

    [row] = database.rows()
    assert (row["fit_date"], row["animal_name"], row["observer"]) == ("2024-01-20", None, "bob")
    assert row["states"] == 3
    with pytest.raises(UserError, match="there is no model 7"):
        database.update(7, {"states": 4})


@pytest.mark.parametrize("notes", [{"threshold": 4}, {"a": None}, {}, [1, None], "text"])
def test_an_own_column_becomes_what_it_is_set_to(database, notes):
    """A dict is a value like any other: nothing of the old one stays in it, and None inside of it is kept."""
    add(database, notes={"limit": 3, "deep": {"er": 1}}, observer="ada")

    database.update(1, {"notes": notes})

    [row] = database.rows()
    assert row["notes"] == notes
    assert row["observer"] == "ada"
    database.update(1, {"notes": None})
    assert "notes" not in database.rows()[0]


def test_a_deleted_model_gives_its_number_to_nobody(database):
    """A script that kept the number must not meet another model; the file stays."""
    path = Path("models/animal1/session1/b.pkl")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    add(database, "a.pkl")
    add(database, "b.pkl")

    assert database.delete([2]) == [path.absolute()]

    assert path.exists()
    assert add(database, "c.pkl") == 3
    with pytest.raises(UserError, match="there is no model 2"):
        database.delete([1, 2])
    assert [row["model_id"] for row in database.rows()] == [1, 3]


def test_the_same_file_added_again_is_the_same_model(database):
    """Completed, not doubled: whoever tries again after an error makes no second row."""
    first = add(database, observer="ada")
    again = add(database, region_name="GC", states=4)

    [row] = database.rows()
    assert first == again == row["model_id"]
    assert (row["region_name"], row["states"], row["observer"]) == ("GC", 4, "ada")


# ------------------------------------------------------------------------------------------- the folder, the file


def test_the_folder_can_be_moved_as_a_whole(database, tmp_path, monkeypatch):
    """Paths below it move along; a file elsewhere stays where it is."""
    add(database)
    [elsewhere] = database.add([(tmp_path / "other" / "x.pkl", {})])
    (tmp_path / "models").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")

    shown = [row["model_path"] for row in ModelDatabase("database.db").rows()]

    assert shown == ["animal1/session1/model_001.pkl", str(tmp_path / "other" / "x.pkl")]
    absolute = ModelDatabase(tmp_path / "moved" / "database.db").files()
    assert absolute[1] == tmp_path / "moved" / "animal1" / "session1" / "model_001.pkl"
    assert elsewhere == 2


def test_another_current_folder_does_not_lose_the_database(database, tmp_path, monkeypatch):
    """It is the file that was opened, not the name."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    database.add([(tmp_path / "models" / "a.pkl", {"states": 3})])

    assert len(database.rows()) == 1
    assert not (tmp_path / "elsewhere" / "models").exists()


def test_a_file_of_something_else_is_left_alone(tmp_path):
    """Another program's database, a text, a folder, a later version of ours."""
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE t (x)")
    text = tmp_path / "text.db"
    text.write_text("not a database, but long enough to be taken for one" * 20)
    later = tmp_path / "later.db"
    ModelDatabase(later)
    with sqlite3.connect(later) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = {path: path.read_bytes() for path in (foreign, text, later)}

    with pytest.raises(UserError, match="is a database of something else"):
        ModelDatabase(foreign)
    with pytest.raises(PytauHpcError, match="not a sound database") as caught:
        ModelDatabase(text)
    assert "move it aside" in str(caught.value.help)
    with pytest.raises(UserError, match="has format 99"):
        ModelDatabase(later)
    with pytest.raises(UserError, match="is a folder"):
        ModelDatabase(tmp_path)
    assert {path: path.read_bytes() for path in before} == before


def test_the_file_keeps_a_rollback_journal_that_is_truncated(database):
    """Never WAL: the folder may lie on a network file system."""
    add(database)

    assert {path.name for path in database.folder.iterdir()} == {
        "database.db",
        "database.db-journal",
        "database.lock",
    }
    assert (database.folder / "database.db-journal").stat().st_size == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_somebody_elses_folder_can_be_read(database):
    """From a copy; changes are refused with the reason."""
    add(database)
    database.folder.chmod(0o555)
    try:
        assert len(database.rows()) == 1
        with pytest.raises(UserError, match="read-only for you"):
            add(database, "b.pkl")
    finally:
        database.folder.chmod(0o755)


def test_a_folder_that_says_no_is_read_from_a_copy(database, monkeypatch):
    """The same for root, to whom no folder says no: what others write is seen after a refresh."""
    add(database)
    reader = ModelDatabase("models/database.db")
    monkeypatch.setattr(ModelDatabase, "read_only", property(lambda self: self is reader))

    assert len(reader.rows()) == 1
    reader.note([(Seen(folder="a/b", name="model_x.nc", mtime_ns=1, size=1), {"states": 2})])
    reader.refresh()
    assert (
        len(reader.rows()) == 2
    )  # kept while nobody writes: reading results again would take long
    with pytest.raises(UserError, match="read-only for you"):
        reader.delete([1])
    add(database, "b.pkl")
    reader.refresh()
    assert len(reader.rows()) == len(database.rows()) == 2
    add(database, "c.pkl", states=5)
    reader.refresh()
    assert len(reader.rows({"states": 5})) == 1


DIES = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = TRUNCATE")
connection.execute("PRAGMA cache_size = 2")
connection.execute("BEGIN")
connection.execute("UPDATE model SET states = 99, experiment_name = hex(randomblob(500))")
os._exit(1)
"""


def test_a_change_that_was_cut_off_is_not_seen_by_somebody_who_may_only_read(database):
    """Half of it is in the file; he may not take it back there, and must not be told that the file is damaged."""
    for number in range(100):
        add(database, f"{number}.pkl", experiment_name="x" * 500)
    whole = database.path.read_bytes()
    subprocess.run([sys.executable, "-c", DIES, str(database.path)], check=False)
    assert database.path.read_bytes() != whole
    left = database.path.read_bytes()

    copy = copy_in_memory(database.path)

    assert copy.execute("SELECT DISTINCT states FROM model").fetchall() == [(3,)]
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert database.path.read_bytes() == left
    assert {row["states"] for row in database.rows()} == {3}


def test_a_writer_that_stands_still_is_not_waited_for_without_an_end(database):
    """Somebody who may only read gets what was there before its change."""
    add(database)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("UPDATE model SET states = 99")

        copy = copy_in_memory(database.path, timeout_s=0.1)

    assert copy.execute("SELECT states FROM model").fetchall() == [(3,)]


def test_a_full_disk_is_said_to_be_one(database):
    """And not that a transaction, which SQLite ended itself, could not be ended."""
    with (
        pytest.raises(PytauHpcError, match="cannot be used: database or disk is full"),
        opened(database.path, lock_timeout_s=1) as connection,
    ):
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        connection.execute("PRAGMA cache_size = 2")
        connection.executemany(
            "INSERT INTO model (model_path, experiment_name) VALUES (?, hex(randomblob(5000)))",
            [(str(number),) for number in range(1000)],
        )

    assert database.rows() == []


def test_a_lock_that_cannot_be_made_is_an_error_of_ours(database):
    """So a fit goes on without the database."""
    lock = database.path.with_suffix(".lock")
    lock.unlink()
    lock.mkdir()

    with pytest.raises(PytauHpcError, match="cannot be locked"):
        database.rows()


@pytest.mark.parametrize("closed", ["database.lock", "database.db-journal"])
def test_files_of_another_user_make_the_database_read_only(database, monkeypatch, closed):
    """Of three files that a change needs, one is enough."""
    add(database)
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path).name != closed and allowed(path, mode)
    )

    assert len(database.rows()) == 1
    with pytest.raises(UserError, match="read-only for you"):
        add(database, "b.pkl")


def test_one_file_by_two_names_of_its_folder_is_one_model(database, tmp_path):
    """Home directories are often reached over a link, and the current folder is shown without it."""
    (tmp_path / "link").symlink_to(tmp_path)
    over_the_link = ModelDatabase(tmp_path / "link" / "models" / "database.db")

    ids = over_the_link.add([(tmp_path / "models" / "a" / "b.pkl", {"states": 3})])
    ids += over_the_link.add([(tmp_path / "link" / "models" / "a" / "b.pkl", {"states": 4})])
    ids += database.add([(tmp_path / "link" / "models" / "a" / "b.pkl", {"states": 5})])

    assert ids == [1, 1, 1]
    assert over_the_link.rows({"model_path": tmp_path / "models" / "a" / "b.pkl"})


def test_a_path_that_is_not_utf8_is_refused(database):
    """SQLite has no word for it."""
    with pytest.raises(UserError, match="not UTF-8"):
        database.add([(os.fsdecode(b"models/\xe4.pkl"), {})])
    with pytest.raises(UserError, match="must be text"):
        add(database, animal_name=os.fsdecode(b"\xe4"))
    with pytest.raises(UserError, match="cannot be kept"):
        add(database, observer=os.fsdecode(b"\xe4"))


def test_a_pickled_database_is_the_same_database(database):
    """joblib sends it to its processes."""
    copy = pickle.loads(pickle.dumps(database))

    add(copy)

    assert len(database.rows()) == 1


# ------------------------------------------------------------------------------------------------ several processes

WRITER = """
import sys
from pytau_hpc.ledger.model_database import ModelDatabase
who, n = sys.argv[1], int(sys.argv[2])
database = ModelDatabase("models/database.db")
print("ready", flush=True)
for i in range(n):
    own = database.add([(f"models/a/{who}/model_{i}.nc", {"states": i, "animal_name": who})])
    database.add([(f"models/a/shared/model_{i}.nc", {"states": i}), ("models/a/hot.nc", {f"by_{who}": i})])
    database.update(own[0], {"experiment_name": f"{who}-{i}"})
    if i % 3 == 0:
        database.delete(own)
"""


def test_processes_that_write_at_once_lose_nothing(database):
    """Four of them: own rows, rows that all add, one row that all change, rows that are deleted."""
    n, names = 12, ["w0", "w1", "w2", "w3"]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name, str(n)], stdout=subprocess.DEVNULL)
        for name in names
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 4

    rows = {row["model_path"]: row for row in database.rows()}
    kept = [i for i in range(n) if i % 3]
    own = {f"models/a/{who}/model_{i}.nc" for who in names for i in kept}
    shared = {f"models/a/shared/model_{i}.nc" for i in range(n)}
    assert set(rows) == own | shared | {"models/a/hot.nc"}
    assert {rows["models/a/hot.nc"][f"by_{who}"] for who in names} == {n - 1}
    assert {rows[path]["experiment_name"] for path in own} == {
        f"{who}-{i}" for who in names for i in kept
    }
    with sqlite3.connect(database.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_writer_that_is_killed_leaves_a_sound_database_and_no_lock(database):
    """Whatever it was doing; the next one goes on at once."""
    for attempt in range(2):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, f"k{attempt}", "100000"], stdout=subprocess.PIPE
        )
        assert writer.stdout.readline() == b"ready\n"
        while not database.rows({"animal_name": f"k{attempt}"}):
            pass
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()

        add(database, f"after_{attempt}.pkl")

    with sqlite3.connect(database.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(database.rows({"animal_name": "mouse1"})) == 2


def test_a_lock_that_another_one_keeps_is_waited_for_and_named(database):
    """Not a traceback out of SQLite."""
    from filelock import FileLock

    with (
        FileLock(database.path.with_suffix(".lock")),
        pytest.raises(LockTimeout, match=r"another process is using .*database\.db"),
    ):
        ModelDatabase(database.path, lock_timeout_s=0.1)


# --------------------------------------------------------------------------------------------------------- frames


def test_a_frame_has_the_same_columns_and_types_empty_or_full(database):
    """Under pandas 2 and 3."""
    empty = frame(database.rows())
    add(database, observer="ada")
    add(database, "b.pkl")
    full = frame(database.rows())

    assert list(empty.columns) == ["model_id", "model_path", *COLUMNS]
    assert list(full.columns) == [*empty.columns, "observer"]
    assert full.dtypes[list(empty.columns)].equals(empty.dtypes)
    assert full["states"].dtype == "Int64"
    assert full["converged"].dtype == "boolean"
    assert full["taste_name"].dtype == full["observer"].dtype == "string"
    assert full["time_lims"][0] == (0.0, 2.0)


def test_duplicates_are_equal_in_everything_but_path_date_and_quality(database):
    """Another number of states, or another value of an own column, is another fit."""
    add(database, "a.pkl", elbo=-1.0, fit_date="2024-01-20", rhat_max=1.001, divergences=0)
    add(database, "b.pkl", elbo=-2.0, fit_date="2024-01-21", rhat_max=1.002, divergences=3)
    add(database, "c.pkl", states=4)
    add(database, "d.pkl", observer="ada")

    models = frame(database.rows())

    assert duplicated(models).tolist() == [False, True, False, False]
    assert duplicated(models, "last").tolist() == [True, False, False, False]
    assert duplicated(models, False).tolist() == [True, True, False, False]
