from __future__ import annotations

import pandas as pd
import pytest

from pytau_hpc.collect import collect
from pytau_hpc.ledger import frames
from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.sweep.journal import EventKind
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.sweep.state import Kind, State
from tests.builders import NOON, BuiltSweep, a_gone_process, a_point, a_sweep, some_points

UTC_TIMES = "datetime64[us, UTC]"


@pytest.fixture
def sweep(study) -> BuiltSweep:
    made = a_sweep(study, some_points(6))
    submission = made.submit(made.points[:5], per_task=4, resources=Resources(cpus=2, mem_gb=3.0))
    with made.run(submission) as run:
        run.succeeds(made.points[0]).succeeds(made.points[1], converged=0, elbo=None)
        run.fails(made.points[2], Kind.OUT_OF_MEMORY)
        run.skips(made.points[3])
    made.run(submission, 1, process=a_gone_process()).starts(made.points[4])
    return made


def table(sweep: BuiltSweep, which: str) -> pd.DataFrame:
    with collect(sweep.dir, now=NOON + 1000) as collected:
        return getattr(frames, which)(collected.ledger)


def test_points_have_one_row_each_in_the_order_of_the_manifest(sweep):
    """And one column per axis, right after the id."""
    points = table(sweep, "points")

    assert list(points["point_id"]) == [point.point_id for point in sweep.points]
    assert list(points.columns[:12]) == ["point_id", *sweep.points[0].axes, "state"]
    assert points.columns.is_unique
    assert points.columns[-1] == "result_path"


def test_every_column_has_the_type_that_its_content_asks_for(sweep):
    """The same under pandas 2 and 3, with values missing or not."""
    types = {name: str(dtype) for name, dtype in table(sweep, "points").dtypes.items()}

    assert types["submitted_at"] == types["started_at"] == types["ended_at"] == UTC_TIMES
    assert (
        types["elapsed_s"] == types["cpu_s"] == types["elbo"] == types["time_limit_s"] == "float64"
    )
    assert types["attempts"] == types["max_rss_bytes"] == types["req_mem_bytes"] == "Int64"
    assert types["converged"] == "boolean"
    assert types["state"] == types["kind"] == "category"
    assert types["point_id"] == types["job_id"] == types["message"] == "string"
    assert types["n_states"] == types["taste"] == "Int64"
    assert types["region"] == types["window_ms"] == "string"


def test_empty_and_full_tables_have_the_same_columns_and_types(study, sweep):
    """Code that works on Monday's sweep works before anything has run."""
    empty = a_sweep(study, n=2, name="fresh")

    for which in ("attempts", "tasks", "submissions"):
        none, some = table(empty, which), table(sweep, which)
        assert len(none) == 0
        assert list(none.columns) == list(some.columns)
        for name in some.columns:
            if str(some[name].dtype) != "category":
                assert none[name].dtype == some[name].dtype, name


def test_states_are_ordered_and_kinds_are_the_known_ones(sweep):
    """A group-by shows every state, in the order of every other table."""
    points = table(sweep, "points")

    assert list(points["state"].cat.categories) == [state.value for state in State]
    assert points["state"].cat.ordered
    assert list(points["kind"].cat.categories) == [kind.value for kind in Kind]
    assert list(points["state"]) == [
        "succeeded",
        "succeeded",
        "failed",
        "planned",
        "lost",
        "planned",
    ]
    assert list(points["kind"].dropna()) == ["out_of_memory", "killed"]


def test_times_are_utc_and_sizes_bytes(sweep):
    """Units stand in the names."""
    first = table(sweep, "points").iloc[0]

    assert first["started_at"] == pd.Timestamp("2026-11-22T12:00:00Z")
    assert first["ended_at"] == pd.Timestamp("2026-11-22T12:01:00Z")
    assert first["max_rss_bytes"] == 2**30
    assert first["req_mem_bytes"] == 3 * 2**30
    assert first["req_cpus"] == 2
    assert first["result_path"] == sweep.points[0].result_path


def test_a_microsecond_of_a_time_is_kept(sweep):
    """Seconds since the epoch as floats have them."""
    times = frames._times([NOON + 0.123457, None])

    assert times[0] == pd.Timestamp("2026-11-22T12:00:00.123457Z")
    assert times[1] is pd.NaT


def test_what_is_not_known_is_missing(sweep):
    """Not zero, not text."""
    points = table(sweep, "points")

    assert (
        points.loc[5, ["started_at", "elapsed_s", "max_rss_bytes", "job_id", "elbo"]].isna().all()
    )
    assert pd.isna(points.loc[1, "elbo"])
    assert points.loc[:1, "converged"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], "Int64"),
        ([1, None], "Int64"),
        ([0.5, 2], "float64"),
        (["gc", None], "string"),
        ([0, "all"], "string"),
        ([None, None], "string"),
    ],
)
def test_an_axis_is_typed_by_its_values(study, values, dtype):
    """Numbers where all are numbers."""
    points = [a_point(more_axes={"learning_rate": value}) for value in values]
    if len({point.point_id for point in points}) < len(points):
        points = points[:1]

    column = table(a_sweep(study, points), "points")["learning_rate"]

    assert str(column.dtype) == dtype


def test_attempts_tell_the_whole_story(sweep):
    """What failed, what was skipped, what vanished; a second try is a second row."""
    again = sweep.submit(
        sweep.points[2:3], command="resume", because="again with more memory", at=NOON + 500
    )
    sweep.succeed(again)

    attempts = table(sweep, "attempts")

    assert list(attempts["state"]) == [
        "succeeded",
        "succeeded",
        "failed",
        "skipped",
        "lost",
        "succeeded",
    ]
    tries = attempts[attempts["point_id"] == sweep.points[2].point_id]
    assert list(tries["number"]) == [1, 2]
    assert list(tries["because"]) == ["new", "again with more memory"]
    assert list(tries["kind"].astype("string").fillna("")) == ["out_of_memory", ""]
    assert str(attempts["started_at"].dtype) == UTC_TIMES


def test_tasks_have_one_row_for_each_run(sweep):
    """What was asked for and what was used of it; a run that died is there until it was heard of last."""
    again = sweep.submit(sweep.points[2:3], resources=Resources(mem_gb=6.0), at=NOON + 500)
    run = sweep.run(again, job="8124001_0").succeeds(sweep.points[2], max_rss_bytes=4 * 2**30)
    told = {"elapsed_s": 75.5, "cpu_s": 70.5, "max_rss_bytes": 5 * 2**30}
    run.journal.append(EventKind.RUN_ENDED, because="done", **told)

    tasks = table(sweep, "tasks")

    assert [tuple(row) for row in tasks[["number", "task", "run", "array"]].to_numpy()] == [
        (1, 0, 1, 0),
        (1, 1, 1, 0),
        (2, 0, 1, 0),
    ]
    assert list(tasks["points"]) == [4, 1, 1]
    assert list(tasks["succeeded"]) == [2, 0, 1]
    assert list(tasks["req_mem_bytes"]) == [3 * 2**30, 3 * 2**30, 6 * 2**30]
    assert list(tasks["req_cpus"]) == [2, 2, 1]
    assert list(tasks["elapsed_s"]) == [130.0, 0.0, 75.5]
    assert list(tasks["cpu_s"])[::2] == [117.0, 70.5]
    assert list(tasks["max_rss_bytes"])[::2] == [2**30, 5 * 2**30]
    assert list(tasks["ended"].fillna("")) == ["done", "", "done"]
    assert list(tasks["gone"].fillna("")) == ["", "killed", ""]
    assert tasks.loc[2, "job_id"] == "8124001_0"


def test_a_run_that_goes_on_has_no_end_yet(sweep):
    """Neither a time nor a duration is made up for it."""
    running = sweep.submit(sweep.points[5:], at=NOON + 500)
    sweep.run(running).starts(sweep.points[5])

    last = table(sweep, "tasks").iloc[-1]

    assert last[["elapsed_s", "ended_at", "ended", "gone"]].isna().all()
    assert last["started_at"] == pd.Timestamp("2026-11-22T12:00:00Z")


def test_submissions_have_one_row_each(sweep):
    """Command, executor, sizes, time."""
    [row] = table(sweep, "submissions").to_dict("records")

    assert (row["number"], row["command"], row["executor"]) == (1, "submit", "local")
    assert (row["n_tasks"], row["n_points"]) == (2, 5)
    assert row["submitted_at"] == pd.Timestamp("2026-11-22T12:00:00Z")


def test_points_of_an_older_plan_are_gone_from_points_and_stay_in_attempts(sweep):
    """The history is not rewritten by a new plan."""
    newer = sweep.plan_again(sweep.points[1:])

    assert sweep.points[0].point_id not in set(table(newer, "points")["point_id"])
    assert sweep.points[0].point_id in set(table(newer, "attempts")["point_id"])


def test_the_ledger_can_be_read_by_pandas_alone(sweep):
    """The file is plain SQLite; `points` is a view."""
    table(sweep, "points")

    with Ledger.open(sweep.dir.ledger) as ledger:
        rows = pd.read_sql("SELECT point_id, n_states, state FROM points", ledger.connection)

    assert list(rows["n_states"]) == [point.n_states for point in sweep.points]
