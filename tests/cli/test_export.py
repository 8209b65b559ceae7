from __future__ import annotations

import csv
import io

import pandas as pd
import pytest

from pytau_hpc.cli.export import as_csv
from tests.builders import BuiltSweep, a_sweep


@pytest.fixture
def sweep(study) -> BuiltSweep:
    made = a_sweep(study, n=3)
    submission = made.submit(made.points[:2], per_task=2)
    with made.run(submission) as run:
        run.succeeds(made.points[0]).fails(made.points[1], message='=HYPERLINK("http://evil")')
    return made


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_goes_to_standard_output_unless_a_file_is_named(sweep, pytau_hpc_cli):
    """One row per point, times in UTC."""
    table = rows(pytau_hpc_cli("export", check=True).stdout)

    assert [row["point_id"] for row in table] == [point.point_id for point in sweep.points]
    assert table[0]["started_at"] == "2026-11-22T12:00:00.000000Z"
    assert table[2]["started_at"] == ""
    assert table[0]["elbo"] == "-1234.5"


def test_a_file_is_written_whole_and_said(sweep, study, pytau_hpc_cli):
    """Nothing on standard output, and nothing else in the folder."""
    (study / "out").mkdir()

    done = pytau_hpc_cli("export", "gc_states", "--csv", "out/points.csv", check=True)

    assert done.stdout == ""
    assert "Wrote 3 rows to out/points.csv" in done.stderr
    assert [path.name for path in (study / "out").iterdir()] == ["points.csv"]
    same = pytau_hpc_cli("export", check=True).stdout
    assert (study / "out" / "points.csv").read_text() == same


def test_attempts_are_rows_of_their_own(sweep, pytau_hpc_cli):
    """Only points that were tried have any."""
    table = rows(pytau_hpc_cli("export", "--attempts", check=True).stdout)

    assert [row["state"] for row in table] == ["succeeded", "failed"]


def test_tasks_are_rows_of_their_own(sweep, pytau_hpc_cli):
    """One for each time that a task ran, with what it used; one table at a time."""
    [row] = rows(pytau_hpc_cli("export", "--tasks", check=True).stdout)

    assert (row["points"], row["succeeded"], row["ended"]) == ("2", "1", "done")
    assert (row["elapsed_s"], row["max_rss_bytes"]) == ("70.0", str(2**30))
    both = pytau_hpc_cli("export", "--tasks", "--attempts")
    assert both.returncode == 2
    assert "two tables" in both.stderr


def test_parquet_keeps_every_type(sweep, study, pytau_hpc_cli):
    """Times with their zone, whole numbers whole, states in order."""
    pytest.importorskip("pyarrow")

    pytau_hpc_cli("export", "--parquet", "points.parquet", check=True)

    table = pd.read_parquet(study / "points.parquet")
    assert str(table["started_at"].dtype) == "datetime64[us, UTC]"
    assert str(table["n_states"].dtype) == "Int64"
    assert table["state"].cat.ordered
    assert len(table) == 3


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_text_that_a_spreadsheet_would_run_is_defused(text):
    """An error message is not a formula."""
    [row] = rows(as_csv(pd.DataFrame({"message": pd.array([text], dtype="string")})))

    assert row["message"] == f"'{text}".replace("\r", "\n")


def test_every_point_is_one_row_whatever_its_message_is():
    """Quotes, commas and line breaks of any system."""
    messages = ['a "quoted" word, and a comma', "two\nlines", "old\rMac", "Windows\r\nlines"]

    table = rows(as_csv(pd.DataFrame({"message": pd.array(messages, dtype="string")})))

    assert [row["message"] for row in table] == [*messages[:2], "old\nMac", "Windows\nlines"]


@pytest.mark.parametrize("text", ["-3", "+1.5", "-1e-3", "gc", "a=b", ""])
def test_numbers_and_other_text_stay_as_they_are(text):
    """An axis of -1 and "all" keeps its -1."""
    [row] = rows(as_csv(pd.DataFrame({"axis": pd.array([text], dtype="string"), "n": [-3.5]})))

    assert (row["axis"], row["n"]) == (text, "-3.5")


def test_formulas_in_messages_are_defused_on_the_way_out(sweep, pytau_hpc_cli):
    """From the journal of a fit into somebody's spreadsheet."""
    table = rows(pytau_hpc_cli("export", check=True).stdout)

    assert table[1]["message"] == '\'=HYPERLINK("http://evil")'


def test_a_folder_that_is_not_there_is_a_mistake_of_the_user(sweep, study, pytau_hpc_cli):
    """Said before the ledger is read."""
    missing = pytau_hpc_cli("export", "--csv", "no/such/folder/points.csv")
    folder = pytau_hpc_cli("export", "--csv", study)

    assert missing.returncode == folder.returncode == 2
    assert "mkdir -p no/such/folder" in missing.stderr
    assert "is a folder" in folder.stderr


WITHOUT_PYARROW = """
import sys
sys.modules["pyarrow"] = None
from pytau_hpc.cli import main
sys.exit(main(["export", "--parquet", "points.parquet"]))
"""


def test_parquet_without_pyarrow_names_the_extra(sweep, study):
    """One line to type."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYARROW], cwd=study, capture_output=True, text=True
    )

    assert done.returncode == 2
    assert 'pip install "pytau_hpc[parquet]"' in done.stderr
    assert not (study / "points.parquet").exists()
