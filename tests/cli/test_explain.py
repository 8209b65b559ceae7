from __future__ import annotations

import json
import os

import pytest

from pytau_hpc.errors import UserError
from pytau_hpc.explain import explain
from pytau_hpc.reports import explain as report
from pytau_hpc.reports.because import because, meaning
from pytau_hpc.reports.format import plain
from pytau_hpc.sweep.point import DataSource, Session
from pytau_hpc.sweep.resources import Resources, RetrySettings
from pytau_hpc.sweep.state import Kind, State
from tests.builders import NOON, BuiltSweep, a_far_process, a_gone_process, a_point, a_sweep

LATER = NOON + 1000


@pytest.fixture(autouse=True)
def _a_profile(monkeypatch):
    """What `resume` uses here, whatever is installed."""
    monkeypatch.setenv("PYTAU_HPC_PROFILE", "local")


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """``squeue("PENDING|Priority", submission)``: from now on squeue shows the first task of a submission so."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def answer(words: str, submission) -> None:
        state, _, reason = words.partition("|")
        name = submission.job_name(submission.arrays[0])
        script = f"#!/bin/sh\necho '{name}|0|{state}|8123||{reason}'\n"
        (folder / "squeue").write_text(script)
        (folder / "squeue").chmod(0o755)

    return answer


def why(sweep: BuiltSweep, point: int = 0) -> str:
    """The sentences about a point, one a line."""
    return "\n".join(because(explain(sweep.dir, sweep.points[point].point_id, now=LATER)))


def text(sweep: BuiltSweep, point: int = 0, width: int | None = 100) -> str:
    found = explain(sweep.dir, sweep.points[point].point_id, now=LATER)
    return plain(report.as_lines(found, width=width))


# -- why it is in its state -------------------------------------------------------------------------------------------


def test_a_point_that_was_never_sent_says_so(study):
    """And what would be asked for."""
    sweep = a_sweep(study, n=1)

    assert why(sweep) == "it was never sent"
    assert "submit    sends it: new · 1 CPU · 4 GiB · 01:00:00 (profile local)" in text(sweep)
    assert "history" not in text(sweep)


def test_a_queued_point_says_what_is_before_it_in_its_task(study):
    """And where the task is now."""
    sweep = a_sweep(study, n=4)
    submission = sweep.submit(per_task=4)
    run = sweep.run(submission)
    run.succeeds(sweep.points[0]).starts(sweep.points[1]).progresses(sweep.points[1], 300, 500)

    running = f"{sweep.points[1].point_id[:8]} AM10_4Tastes_201006_095803/K3, fitting 300/500"
    assert why(sweep, 2) == f"behind 1 point of its task (0), which is now at {running}"
    assert why(sweep, 3) == f"behind 2 points of its task (0), which is now at {running}"


def test_a_point_that_slurm_holds_says_why_in_slurms_words_and_in_ours(study, squeue):
    """The task by its name in SLURM, which was noted when it was sent."""
    sweep = a_sweep(study, n=2)
    submission = sweep.submit(executor="slurm", per_task=2)
    sweep.dir.bound_file(submission.uuid).write_text('{"format": 1, "job_ids": {"0": "8123"}}')
    squeue("PENDING|Priority", submission)

    assert why(sweep) == "SLURM holds task 8123_0: PENDING (Priority): other jobs come first"
    assert "behind 1 point of its task (0)" in why(sweep, 1)


def test_where_slurm_does_not_answer_that_is_said(study, tmp_path, monkeypatch):
    """And nothing is taken for lost."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "squeue").write_text("#!/bin/sh\necho 'Socket timed out' >&2\nexit 1\n")
    (folder / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    sweep = a_sweep(study, n=1)
    sweep.submit(executor="slurm", driver=a_far_process())

    found = explain(sweep.dir, sweep.points[0].point_id, now=LATER)

    assert found.state is State.QUEUED
    assert any("Socket timed out" in sentence for sentence in because(found))


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("PENDING (Resources)", "no node is free"),
        ("PENDING (AssocGrpCpuLimit)", "a limit of your account"),
        ("PENDING (ReqNodeNotAvail, UnavailableNodes:n1)", "down or reserved"),
        ("PENDING (launch failed requeued held)", "scontrol release"),
    ],
)
def test_slurms_reasons_are_put_into_words(reason, words):
    """Those that have many names, too."""
    assert words in meaning(reason)


def test_a_reason_that_we_do_not_know_stays_as_it_is():
    """It is shown all the same."""
    assert meaning("PENDING (SomethingNew)") is None
    assert meaning("CONFIGURING") is None


def test_a_running_point_says_how_far_it_is_and_when_it_was_heard_of(study):
    """With the memory that it holds of what it may have."""
    sweep = a_sweep(study, n=1)
    run = sweep.run(sweep.submit())
    run.starts(sweep.points[0]).checkpoints(sweep.points[0], 200)
    run.wait(700).progresses(sweep.points[0], 300, 500, rss=2**30)

    assert why(sweep).splitlines() == [
        "fitting 300/500 · 1.00 GiB of 4.00 GiB · checkpoint at 200",
        "8123457_4 on node-0417, last heard of 0:05:00 ago",
    ]
    assert "↻ running since " in text(sweep)
    assert "(0:16:40)" in text(sweep)


def test_a_failure_says_what_was_raised_where_and_what_it_used(study):
    """Of what its task had."""
    sweep = a_sweep(study, n=1)
    with sweep.run(sweep.submit(resources=Resources(mem_gb=3.0))) as run:
        run.fails(sweep.points[0], max_rss_bytes=int(2.98 * 2**30), message="no spikes\nat all")

    assert why(sweep).splitlines() == [
        "ValueError: no spikes",
        "at all",
        "at load.py:88 load",
        "memory at its peak 2.98 GiB of 3.00 GiB · ran for 0:00:10, the task's limit is 01:00:00",
    ]


def test_a_lost_point_says_whether_it_had_begun(study):
    """Its own run, the run of its task, or nothing at all."""
    sweep = a_sweep(study, n=3)
    together = sweep.submit(sweep.points[:2], per_task=2)
    sweep.run(together, process=a_gone_process()).starts(sweep.points[0])
    sweep.submit(sweep.points[2:], driver=a_gone_process())

    assert why(sweep, 0).startswith("its run ended without a last word; last heard of")
    assert why(sweep, 1) == "run 1 of its task (0) died before it came to it"
    assert why(sweep, 2) == "its task (0) was gone before it began"


def test_a_result_that_another_sweep_made_is_said_to_be_foreign(study):
    """There is no try here."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit()
    with sweep.run(submission) as run:
        run.skips(sweep.points[0])
    result = study / sweep.points[0].result_path
    sweep.succeed(sweep.submit())

    assert why(sweep).startswith(f"its result is there: {sweep.points[0].result_path}")
    result.unlink()
    assert why(sweep) == "it succeeded, but its result is not there any more"


def test_the_history_has_a_line_for_every_time_it_was_sent(study):
    """A requeue too, and a submission that gave it back untouched, which is no try."""
    sweep = a_sweep(study, n=2)
    point, other = sweep.points
    first = sweep.submit(per_task=2)
    with sweep.run(first) as run:
        run.succeeds(other)
    second = sweep.submit([point], command="resume")
    with sweep.run(second) as run:
        run.is_interrupted(point, iteration=500)
    with sweep.run(second, number=2, host="node-0388") as run:
        run.fails(point, Kind.OUT_OF_MEMORY, resumed_from=500)

    lines = text(sweep).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("history"))
    rows = [" ".join(line.split()) for line in lines[start + 1 : start + 5]]

    assert rows == [
        "try sent task host began ended after reached resumed",
        "- submit #1 0 - 12:00:00 = given back - - -",
        "1 resume #2 0.r1 node-0417 12:00:00 ‖ interrupted (preempted) - 500 -",
        "2 resume #2 0.r2 node-0388 12:00:00 ✗ failed (out of memory) 0:00:10 - from 500",
    ]


def test_what_was_cancelled_says_by_whom(study, pytau_hpc_cli):
    """And how it comes back."""
    sweep = a_sweep(study, n=1)
    sweep.submit(driver=a_far_process())
    pytau_hpc_cli("cancel", "--yes")

    done = pytau_hpc_cli("explain", sweep.points[0].point_id, check=True)

    assert "⊘ cancelled" in done.stdout
    assert "because   `cancel` gave it up" in done.stdout
    assert "--cancelled   sends it again" in done.stderr


# -- what would be done -----------------------------------------------------------------------------------------------


@pytest.fixture
def everything(study) -> BuiltSweep:
    """Points in every state that a journal makes."""
    sweep = a_sweep(study, n=8)
    submission = sweep.submit(sweep.points[:7], per_task=6)
    points = sweep.points
    with sweep.run(submission) as run:
        run.succeeds(points[0])
        run.fails(points[1], Kind.OUT_OF_MEMORY)
        run.fails(points[2], Kind.BAD_INPUT)
        run.fails(points[3])
        run.is_interrupted(points[4], Kind.TIMEOUT)
        # Point 5 is given back; 6 is queued; 7 was never sent.
    return sweep


@pytest.mark.parametrize("command", ["submit", "resume"])
def test_what_would_be_done_is_what_the_commands_do(everything, pytau_hpc_cli, command):
    """The dry run of each, point by point."""
    dry = json.loads(pytau_hpc_cli(command, "--dry-run", "--json", check=True).stdout)
    sent = {one["point_id"]: one for one in dry["sent"]}
    left = {one["point_id"]: one for one in dry["left"]}

    for point in everything.points:
        found = explain(everything.dir, point.point_id)
        choice = getattr(found.would, command)
        assert choice.send == (point.point_id in sent)
        if choice.send:
            asked = sent[point.point_id]
            assert choice.why == asked["because"]
            assert choice.resources.mem_gb == asked["mem_gb"]
            assert choice.resources.time_min == asked["time_min"]
        else:
            assert choice.why == left[point.point_id]["because"]
            assert choice.final == left[point.point_id]["final"]
    assert len(sent) + len(left) == len(everything.points)


def test_more_memory_is_said_with_the_reason(everything):
    """And what the budgets have left."""
    told = text(everything, 1)

    assert "submit    left to `resume`" in told
    assert "resume    sends it: again with more memory · 1 CPU · 6 GiB · 01:00:00" in told
    assert "failures 1 (2 are tried again) · interruptions 0 (10 are)" in told


def test_what_is_final_says_how_it_is_tried_all_the_same(everything, pytau_hpc_cli):
    """Once the cause is mended."""
    point = everything.points[2].point_id

    done = pytau_hpc_cli("explain", point, check=True)

    assert "resume    not again: the input has to change first (final)" in done.stdout
    assert f"pytau-hpc resume gc_states --point {point[:8]} --errors" in done.stderr


def test_the_budgets_are_those_of_the_spec(study):
    """Not the built-in ones."""
    sweep = a_sweep(study, n=1, retry=RetrySettings(failures=5, interruptions=1))
    with sweep.run(sweep.submit()) as run:
        run.is_interrupted(sweep.points[0])

    assert "failures 0 (5 are tried again) · interruptions 1 (1 are)" in text(sweep)


def test_without_the_profile_everything_else_is_still_said(study, monkeypatch):
    """The sweep is looked at from another computer than it is sent from."""
    monkeypatch.delenv("PYTAU_HPC_PROFILE")
    sweep = a_sweep(study, n=1, profile="their_cluster")

    told = text(sweep)

    assert "submit    nobody can say here: there is no profile `their_cluster`" in told
    assert "because   it was never sent" in told
    with pytest.raises(UserError, match="no profile `mine`"):
        explain(sweep.dir, sweep.points[0].point_id, profile="mine")


# -- what it is -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fake_slurm")
def test_what_was_asked_names_partition_and_account_of_the_newest_submission(study):
    """As they were then, whatever the profile says now."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm", resources=Resources(cpus=4, mem_gb=6, time_min=300))
    path = sweep.dir.submission_file(submission.uuid)
    body = json.loads(path.read_text())
    body["profile"] = {
        "name": "brandeis",
        "slurm": {"account": "katz-lab", "partition": "guest-compute"},
    }
    path.write_text(json.dumps(body))

    asked = "4 CPU · 6 GiB · 05:00:00 · guest-compute · katz-lab (submit #1, profile brandeis)"
    assert f"asked     {asked}" in text(sweep)


def test_data_that_are_gone_are_seen(study):
    """Before a worker finds out."""
    point = a_point()
    sweep = a_sweep(study, [point])
    folder = study / point.session.path

    # Where the line is broken depends on how long the path is.
    assert "not there any more" in " ".join(text(sweep).split())
    folder.mkdir(parents=True)
    said = " ".join(text(sweep).split())
    assert "there; whether its arrays are unchanged, the worker checks" in said


def test_data_that_changed_since_they_were_planned_are_not_called_unchanged(study, pytau_hpc_cli):
    """By the names, sizes and times of their files, as `plan` noted them."""
    import numpy as np

    (study / "data").mkdir()
    np.save(study / "data" / "AM10_201006.npy", np.ones((6, 3, 20), dtype=int))
    (study / "gc_states.yaml").write_text(
        "name: gc_states\n"
        "data: {format: npy, sessions: [data/AM10_201006.npy]}\n"
        "grid: {model: [single_taste_poisson], n_states: [2]}\n"
    )
    pytau_hpc_cli("plan", "gc_states.yaml", check=True)
    [point] = pytau_hpc_cli("status", "--ids", check=True).stdout.split()

    before = json.loads(pytau_hpc_cli("explain", point, "--json", check=True).stdout)
    np.save(study / "data" / "AM10_201006.npy", np.ones((7, 3, 20), dtype=int))
    after = json.loads(pytau_hpc_cli("explain", point, "--json", check=True).stdout)

    assert before["input"]["unchanged"] is True
    assert after["input"]["unchanged"] is None
    assert after["input"]["exists"] is True


def test_data_that_are_made_have_no_file(study):
    """Nothing can be missing."""
    session = Session(name="SYN1_synthetic", animal="SYN1", date="", path="")
    sweep = a_sweep(study, [a_point(session=session, source=DataSource(format="synthetic"))])

    assert "input     synthetic data, made when they are read · 30×10×40 · sha256:" in text(sweep)


def test_the_identity_is_what_is_computed_and_nothing_else(study):
    """With the values that this point has."""
    sweep = a_sweep(study, [a_point(n_states=3, transform="trial_shuffled", repeat=2)])

    told = text(sweep, width=None)

    for words in (
        "transform trial_shuffled",
        "window 2000 to 4000 ms · bins of 50 ms",
        "single_taste_poisson v1, 3 states · repeat 2",
        "advi: engine jax · draws 1000",
        "(memory, time, partition and computer do not change a point)",
    ):
        assert words in told


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_document_holds_what_the_text_says(everything, pytau_hpc_cli):
    """In seconds, bytes and UTC."""
    point = everything.points[1]

    done = pytau_hpc_cli("explain", point.point_id[:8], "gc_states", "--json", check=True)

    told = json.loads(done.stdout)
    assert told["schema"] == "pytau-hpc/explain/1"
    assert told["point"]["state"] == "failed"
    assert told["point"]["axes"]["n_states"] == 3
    assert told["since"].endswith("Z")
    assert told["budgets"]["failures"] == {"used": 1, "limit": 2}
    assert told["resume"]["send"] is True
    assert told["resume"]["mem_bytes"] == 6 * 2**30
    assert told["history"][0]["try"] == 1
    assert told["history"][0]["kind"] == "out_of_memory"
    assert told["identity"]["model"]["n_states"] == 3
    assert told["next"][0] == f"pytau-hpc logs {point.point_id[:8]} gc_states"
    assert done.stderr == ""


@pytest.mark.parametrize("width", [80, 100])
def test_everything_fits_the_terminal(everything, width):
    """Sentences are wrapped below their beginning."""
    for point in range(len(everything.points)):
        assert max(map(len, text(everything, point, width).splitlines())) <= width


def test_piped_nothing_is_wrapped(everything):
    """A sentence is a line, for grep."""
    told = text(everything, 0, None)

    assert "\nbecause   its result is there: models/AM10/AM10_4Tastes_201006_095803/model_" in told
    assert max(map(len, told.splitlines())) > 80
