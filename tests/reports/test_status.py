from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from pytau_hpc.collect import collect
from pytau_hpc.errors import UserError
from pytau_hpc.ledger.summary import Which
from pytau_hpc.reports.status import Status, as_json, exit_code, status_of
from pytau_hpc.reports.status_text import as_text, next_lines, one_line
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.sweep.state import Kind, State
from tests.builders import NOON, BuiltSweep, a_far_process, a_gone_process, a_sweep, some_points


def status(sweep: BuiltSweep, now: float = NOON + 1000, **more) -> Status:
    with collect(sweep.dir, now=now) as collected:
        return status_of(sweep.dir, collected, now=now, **more)


@pytest.fixture
def busy(study) -> BuiltSweep:
    """16 points in 4 tasks: one task done, one in the middle, one ended badly, one whose process is gone."""
    sweep = a_sweep(study, some_points(16, sessions=2))
    submission = sweep.submit(per_task=4)
    sweep.succeed(submission, [0])
    middle = sweep.run(submission, 1).succeeds(sweep.points[4], converged=0)
    middle.fails(sweep.points[5], Kind.OUT_OF_MEMORY)
    middle.starts(sweep.points[6]).progresses(sweep.points[6], 1400, 2000)
    with sweep.run(submission, 2) as bad:
        bad.fails(sweep.points[8]).fails(sweep.points[9]).is_interrupted(sweep.points[10])
    sweep.run(submission, 3, process=a_gone_process()).starts(sweep.points[12])
    return sweep


def test_a_planned_sweep_has_only_planned_points(study):
    """Before anything is sent, there is one thing to type."""
    found = status(a_sweep(study, n=3))

    assert found.counts == {**dict.fromkeys(State, 0), State.PLANNED: 3}
    assert [step.command for step in found.next] == ["pytau-hpc submit gc_states"]
    assert exit_code(found) == 4


def test_counts_stand_in_the_order_of_the_states(busy):
    """Every state is there, those without points too."""
    found = status(busy)

    assert list(found.counts) == list(State)
    assert list(found.counts.values()) == [5, 1, 1, 1, 1, 3, 4, 0]
    assert found.points == 16


def test_causes_say_why(busy):
    """By state, the most frequent first."""
    causes = [(cause.state, cause.kind, cause.points) for cause in status(busy).causes]

    assert causes == [
        (State.INTERRUPTED, "preempted", 1),
        (State.FAILED, "exception", 2),
        (State.FAILED, "out_of_memory", 1),
        (State.LOST, "never_started", 3),
        (State.LOST, "killed", 1),
    ]


def test_a_running_point_shows_how_far_it_is(busy):
    """From its last heartbeat."""
    [running] = status(busy).running

    assert running.point_id == busy.points[6].point_id
    assert (running.phase, running.fraction) == ("fitting", 0.7)
    assert running.max_rss_bytes == 2**29


def test_fits_that_did_not_converge_are_counted_apart(busy):
    """They succeeded, and yet somebody should look."""
    assert status(busy).not_converged == 1
    assert "1 fit not converged" in as_text(status(busy))


def test_queued_points_behind_a_running_one_are_told_apart(busy):
    """They wait for their task, not for the scheduler."""
    assert status(busy).behind == 1


def test_the_text_fits_into_a_hundred_columns(busy):
    """Also when the terminal is wider, and when it is narrower."""
    for width in (200, 100, 72):
        text = as_text(status(busy), width=width, running=10)
        assert max(map(len, text.splitlines())) <= min(width, 100)


def test_the_text_says_every_state_in_words(busy):
    """Marks and colours only help."""
    text = as_text(status(busy))

    for words in ("✓ succeeded", "↻ running", "… queued", "‖ interrupted", "✗ failed", "? lost"):
        assert words in text
    assert "⊘" not in text
    assert "exception 2 · out of memory 1" in text
    assert "31 % done" in text


def test_colour_is_only_added(busy):
    """Without escape sequences the coloured text is the plain one."""
    found = status(busy)

    coloured = as_text(found, colour=True)

    assert "\x1b[31m✗ failed" in coloured
    assert "\x1b" not in as_text(found)


def test_the_time_left_follows_from_the_recent_rate(study):
    """Ten successes a minute apart, three points to go: three minutes."""
    sweep = a_sweep(study, n=14)
    submission = sweep.submit(per_task=14)
    run = sweep.run(submission)
    for point in sweep.points[:11]:
        run.succeeds(point, elapsed_s=60.0)
    run.starts(sweep.points[11])

    found = status(sweep, now=NOON + 11 * 60)

    assert found.going_on == 3
    assert found.left_s == pytest.approx(180)


def test_a_sweep_that_stalls_gets_slower(study):
    """The rate counts the time up to now."""
    sweep = a_sweep(study, n=14)
    run = sweep.run(sweep.submit(per_task=14))
    for point in sweep.points[:11]:
        run.succeeds(point)
    run.starts(sweep.points[11])

    assert status(sweep, now=NOON + 21 * 60).left_s == pytest.approx(360)


def test_what_an_earlier_submission_achieved_says_nothing_about_the_time_left(study):
    """Yesterday's night on the big cluster is not today's laptop."""
    sweep = a_sweep(study, n=8)
    sweep.succeed(sweep.submit(sweep.points[:6], per_task=6))
    again = sweep.submit(sweep.points[6:], per_task=2, at=NOON + 86400)
    sweep.run(again, at=NOON + 86400).starts(sweep.points[6])

    assert status(sweep, now=NOON + 86500).left_s is None


def test_used_and_asked_come_from_finished_attempts(study):
    """A quarter of the memory, 90 % of the CPU."""
    sweep = a_sweep(study, n=2)
    sweep.succeed(sweep.submit(resources=Resources(mem_gb=4.0)), cpu_s=54.0, elapsed_s=60.0)

    used = status(sweep).used

    assert used.mem_fraction == pytest.approx(0.25)
    assert used.cpu_fraction == pytest.approx(0.9)
    assert used.cpu_s == 108.0
    assert "Asked   memory 25 % used · CPU 90 % used" in as_text(status(sweep))


def test_under_a_scheduler_the_time_counts_and_the_most_that_it_may_cost_is_told(study):
    """One task took a quarter of its time; the other two may take two hours yet, on two CPUs each."""
    sweep = a_sweep(study, n=3)
    asked = Resources(cpus=2, mem_gb=4.0, time_min=60)
    submission = sweep.submit(executor="slurm", resources=asked, at=NOON)
    sweep.succeed(submission, [0], cpu_s=900.0, elapsed_s=900.0)

    with collect(sweep.dir, now=NOON + 1000, ask=False) as collected:
        found = status_of(sweep.dir, collected, now=NOON + 1000)

    text = as_text(found)
    assert "Asked   memory 25 % used · CPU 50 % used · time 25 % used" in text
    assert "Used    0.50 CPU-hours, at most 4.0 more" in text
    cost = as_json(found)["cost"]
    assert (cost["cpu_hours_used"], cost["cpu_hours_max_left"]) == (0.5, 4.0)
    assert cost["time_fraction"] == 0.25


def test_time_left_and_cost_stand_on_one_line(study):
    """As long as points succeed."""
    sweep = a_sweep(study, n=14)
    run = sweep.run(sweep.submit(per_task=14))
    for point in sweep.points[:11]:
        run.succeeds(point, elapsed_s=60.0)
    run.starts(sweep.points[11])

    text = as_text(status(sweep, now=NOON + 11 * 60))

    assert "Left    about 3 min at 1.0 points/min · 0.18 CPU-hours used" in text
    assert "Asked   memory 25 % used · CPU 90 % used" in text


def test_a_condition_restricts_everything_that_is_counted(busy):
    """And the title says so."""
    found = status(busy, which=Which(where="n_states = 2 AND taste = 0"))

    assert found.points == 4
    assert found.counts[State.SUCCEEDED] == 2
    assert "where n_states = 2 AND taste = 0" in as_text(found)


@pytest.mark.parametrize(
    "where",
    ["n_state = 4", "1; DROP TABLE point", "n_states = ", "state = 'failed'; DELETE FROM point"],
)
def test_a_condition_that_is_none_is_the_users_mistake(busy, where):
    """SQLite's words, the columns there are, and nothing is changed."""
    with pytest.raises(UserError, match="not a condition") as caught:
        status(busy, which=Which(where=where))

    assert "n_states" in caught.value.help
    assert status(busy).points == 16


def test_the_json_has_seconds_bytes_and_utc(busy):
    """One versioned document, and every number is one."""
    document = json.loads(json.dumps(as_json(status(busy))))

    assert document["schema"] == "pytau-hpc/status/1"
    assert document["generated_at"] == "2026-11-22T12:16:40Z"
    assert document["sweep"]["points"] == 16
    assert document["counts"] == {
        "succeeded": 5,
        "running": 1,
        "queued": 1,
        "planned": 1,
        "interrupted": 1,
        "failed": 3,
        "lost": 4,
        "cancelled": 0,
    }
    assert document["running"][0]["started_at"] == "2026-11-22T12:01:10Z"
    assert document["running"][0]["req_mem_bytes"] == 4 * 2**30
    assert document["scheduler"] == {
        "kind": "local",
        "reachable": None,
        "last_heartbeat_at": "2026-11-22T12:04:00Z",
        "notes": [],
    }
    assert document["next"][0] == "pytau-hpc status gc_states --watch"


def test_points_of_a_process_that_cannot_be_seen_stay_as_they_are(study):
    """Nobody can say from here whether it lives, so nobody guesses."""
    sweep = a_sweep(study, n=2)
    submission = sweep.submit(per_task=2, driver=a_far_process())
    sweep.run(submission, process=a_far_process()).starts(sweep.points[0])

    found = status(sweep, now=NOON + 10**6)

    assert (found.counts[State.RUNNING], found.counts[State.QUEUED]) == (1, 1)


def test_a_scheduler_that_does_not_answer_is_said_first(busy):
    """With what is shown instead, and how old it is; never a guess that something died."""
    found = replace(status(busy), reachable=False, notes=("squeue: timed out",))

    first, second, *_ = as_text(found).splitlines()

    assert first == "! squeue: timed out"
    assert second.startswith("! showing what the points themselves reported, last heartbeat 12:04")
    assert as_json(found)["scheduler"]["reachable"] is False


def test_damaged_records_are_reported(study):
    """They are skipped, not hidden."""
    sweep = a_sweep(study, n=2)
    submission = sweep.submit(per_task=2)
    with sweep.run(submission) as run:
        run.succeeds(sweep.points[0])
    journal = sweep.dir.journal(submission.uuid, 0, 1)
    lines = journal.read_bytes().split(b"\n")
    journal.write_bytes(b"\n".join([lines[0], lines[1][:-9] + b'deadbeef"', *lines[2:]]))

    assert "1 damaged journal record skipped" in status(sweep).notes
    assert as_text(status(sweep)).startswith("! 1 damaged journal record skipped")


@pytest.mark.parametrize(
    ("end", "code"), [("succeeds", 0), ("fails", 3), ("is_interrupted", 3), ("starts", 4)]
)
def test_the_exit_code_tells_done_from_failed_from_unfinished(study, end, code):
    """What a script asks for with --exit-status."""
    sweep = a_sweep(study, n=1)
    run = sweep.run(sweep.submit())
    getattr(run, end)(sweep.points[0])
    if end != "starts":
        run.ends()

    assert exit_code(status(sweep)) == code


def test_a_done_sweep_is_ready_to_be_exported(study):
    """The next step after the last fit."""
    sweep = a_sweep(study, n=1)
    sweep.succeed(sweep.submit())

    assert next_lines(status(sweep, called="sweeps/gc_states").next) == [
        "Next    pytau-hpc export sweeps/gc_states --csv gc_states.csv"
    ]


def test_one_line_has_the_states_that_occur(busy):
    """For logs: words, no bars."""
    words = one_line(status(busy))

    assert "5/16 succeeded · 1 running · 1 queued · 1 planned" in words
    assert "cancelled" not in words


def test_a_deleted_ledger_gives_the_same_status(busy):
    """It is an index."""
    before = as_json(status(busy))
    busy.dir.ledger.unlink()

    assert as_json(status(busy)) == before


def test_looking_does_not_keep_the_ledger_open(busy):
    """Another process can write at once."""
    status(busy)

    with closing(sqlite3.connect(busy.dir.ledger, timeout=0)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
