"""A sweep on this computer: run, killed, interrupted, resumed, rebuilt."""

from __future__ import annotations

import os
import random
import signal
import time

import h5py
import numpy as np
import pytest

from tests.toy_sweep import kill_everything, processes_of


def arrays(path):
    """Every array of a result file, as bytes."""
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(
            lambda name, item: (
                found.update({name: np.asarray(item).tobytes()})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return found


def test_a_sweep_runs_to_its_end_and_a_second_submit_sends_nothing(toy):
    """Every point has one result; done is done."""
    sweep = toy()

    sweep.run("submit", "-j", "2")
    before = {path: path.stat().st_mtime_ns for path in sweep.results()}
    again = sweep.run("submit", "-j", "2")

    assert sweep.counts() == {"succeeded": 8}
    assert len(before) == 8
    assert set(sweep.successes().values()) == {1}
    assert "Nothing to send" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in sweep.results()} == before
    assert len(os.listdir(sweep.path / "submissions")) == 1


def test_a_dry_run_says_what_is_sent_and_sends_nothing(toy):
    sweep = toy()

    dry = sweep.run("submit", "--dry-run")

    assert "8 points" in dry.stdout
    assert not (sweep.path / "submissions").exists()
    assert sweep.counts() == {"planned": 8}


def test_scratch_and_checkpoints_are_gone_at_the_end(toy):
    sweep = toy(checkpoint_s=0.001)

    sweep.run("submit", "-j", "2")

    scratch = os.environ.get("PYTAU_HPC_SCRATCH") or sweep.environment["PYTAU_HPC_SCRATCH"]
    assert not [path for path in os.scandir(scratch) for _ in os.scandir(path)]
    assert not list((sweep.path / "checkpoints").rglob("*.npz"))


def test_kill_nine_of_everything_at_any_moment_loses_nothing(toy):
    """Three times in a row, then `resume`: every point succeeds, and none that was done is computed again."""
    sweep = toy(repeat=4, sleep_s=0.05, iterations=4)
    chance = random.Random(7)
    for command in ("submit", "resume", "resume"):
        driver = sweep.start(command, "-j", "2")
        time.sleep(chance.uniform(0.8, 4.0))
        kill_everything(str(sweep.study))
        driver.wait()
        assert not processes_of(str(sweep.study))

    sweep.run("resume", "-j", "2")

    assert sweep.counts() == {"succeeded": 32}
    assert len(sweep.results()) == 32
    # A worker killed between the publication and its journal leaves a result that is adopted, not made again.
    assert max(sweep.successes().values()) == 1
    assert "Nothing to send" in sweep.run("resume").stdout


def test_the_ledger_is_rebuilt_row_for_row(toy):
    """It is an index: delete it, and the files say the same again."""
    sweep = toy(repeat=2, sleep_s=0.05)
    driver = sweep.start("submit", "-j", "2")
    time.sleep(3)
    kill_everything(str(sweep.study))
    driver.wait()
    sweep.run("resume", "-j", "2")
    tables = [
        f"SELECT * FROM {t}"
        for t in ("point", "attempt", "run", "task", "placement", "axis", "adopted")
    ]
    before = [sweep.rows(sql) for sql in tables]

    (sweep.path / "ledger.db").unlink()
    sweep.run("status")

    assert [sweep.rows(sql) for sql in tables] == before


def test_a_fit_that_was_interrupted_gives_the_bytes_of_one_that_was_not(toy, tmp_path, eventually):
    """Ctrl-C in the middle: a checkpoint, `interrupted`, and the same numbers after `resume`."""
    same = {"sessions": 1, "iterations": 20, "sleep_s": 0.05, "checkpoint_s": 0.2}
    whole = toy(**same, folder=tmp_path / "whole")
    whole.run("submit", "-j", "2")
    sweep = toy(**same)
    driver = sweep.start("submit", "-j", "1")
    eventually(lambda: list((sweep.path / "checkpoints").rglob("*.npz")), "a checkpoint")

    os.killpg(driver.pid, signal.SIGINT)

    assert driver.wait(60) == 130
    assert "resume" in driver.stderr.read()
    assert sweep.counts()["interrupted"] == 1
    sweep.run("resume", "-j", "1")
    assert sweep.counts() == {"succeeded": 4}
    assert sweep.rows("SELECT max(resumed_from) FROM attempt")[0][0] > 0
    assert [path.name for path in sweep.results()] == [path.name for path in whole.results()]
    for ours, theirs in zip(sweep.results(), whole.results(), strict=True):
        assert arrays(ours) == arrays(theirs)


@pytest.mark.parametrize(
    ("how", "kind", "final"),
    [
        ("exception", "exception", True),
        ("non_finite", "non_finite", True),
        ("segfault", "exception", True),
        ("memory", "out_of_memory", False),
    ],
)
def test_a_fit_that_fails_costs_one_point_and_says_why(toy, how, kind, final):
    """The others go on in a fresh process; what fails twice in the same way is final."""
    sweep = toy(sessions=1, more="  fail: [never, " + how + "]")

    sweep.run("submit", "-j", "1", ok=(3,))

    assert sweep.counts() == {"succeeded": 4, "failed": 4}
    assert sweep.rows("SELECT DISTINCT kind FROM point WHERE state = 'failed'") == [(kind,)]
    assert all(
        message for (message,) in sweep.rows("SELECT message FROM point WHERE state = 'failed'")
    )
    if how == "exception":
        [log] = {log for (log,) in sweep.rows("SELECT log FROM point WHERE state = 'failed'")}
        assert "RuntimeError: the toy was told to fail" in (sweep.study / log).read_text()
    if final:
        sweep.run("resume", "-j", "1", ok=(0, 3))
        assert "Nothing to send" in sweep.run("resume", "-j", "1").stdout


def test_a_resume_beside_running_tasks_does_not_disturb_them(toy, eventually):
    """It sends what failed again; the task that runs goes on with the rest of its points."""
    sweep = toy(sessions=2, sleep_s=0.2, iterations=4, more="  fail: [exception, never]")
    driver = sweep.start("submit", "-j", "1", "--points-per-task", "16")
    eventually(lambda: sweep.counts().get("failed"), "a failure")

    sweep.run("resume", "-j", "1", ok=(0, 3))

    assert driver.wait(120) in (0, 3), driver.stderr.read()
    assert sweep.counts()["succeeded"] == 8
    assert not sweep.counts().get("interrupted")
    assert set(sweep.successes().values()) == {1}
    ended = [path.read_text() for path in (sweep.path / "journal").rglob("*.jsonl")]
    assert not any("superseded" in text for text in ended)


def test_tasks_that_had_no_turn_are_given_back_uncharged(toy, eventually):
    """Ctrl-C: what never began is planned, as before."""
    sweep = toy(sleep_s=0.3, iterations=20)
    driver = sweep.start("submit", "-j", "1", "--points-per-task", "1")
    eventually(lambda: list((sweep.path / "journal").rglob("*.jsonl")), "the first task")

    os.killpg(driver.pid, signal.SIGINT)

    assert driver.wait(60) == 130
    counts = sweep.counts()
    assert counts["planned"] >= 6
    assert not counts.get("lost")
    assert sweep.rows("SELECT max(interruptions) FROM point WHERE state = 'planned'") == [(0,)]


def test_a_fit_that_has_not_iterated_yet_is_not_waited_for(toy, eventually):
    """A compiler does not listen, and there is nothing to save: Ctrl-C ends it at once, in good order."""
    sweep = toy(sessions=1, iterations=2, sleep_s=600)
    driver = sweep.start("submit", "-j", "1")
    eventually(lambda: sweep.counts().get("running"), "the first fit")

    os.killpg(driver.pid, signal.SIGINT)

    assert driver.wait(60) == 130
    assert sweep.counts() == {"interrupted": 1, "planned": 3}
    assert sweep.rows("SELECT kind FROM point WHERE state = 'interrupted'") == [("killed",)]
    assert not processes_of(str(sweep.study))


def test_two_submits_at_once_send_nothing_twice(toy):
    sweep = toy(repeat=2, sleep_s=0.02)

    both = [sweep.start("submit", "-j", "1") for _ in range(2)]
    for driver in both:
        assert driver.wait(120) == 0, driver.stderr.read()

    assert sweep.counts() == {"succeeded": 16}
    assert set(sweep.successes().values()) == {1}
    placed = sweep.rows("SELECT point_id, count(*) FROM placement GROUP BY point_id")
    assert {n for _, n in placed} == {1}


def test_a_removed_result_is_made_again(toy):
    """What counts is the file: without it there is no success."""
    sweep = toy(sessions=1)
    sweep.run("submit", "-j", "1")
    lost = sweep.results()[0]
    good = arrays(lost)
    lost.unlink()

    assert sweep.counts() == {"succeeded": 3, "planned": 1}
    sweep.run("submit", "-j", "1")

    assert sweep.counts() == {"succeeded": 4}
    assert arrays(lost) == good


def test_a_damaged_result_is_put_aside_and_made_again(toy):
    """A result that does not open is no result, whoever wrote it."""
    sweep = toy(sessions=1)
    sweep.run("submit", "-j", "1")
    damaged = sweep.results()[0]
    good = arrays(damaged)
    damaged.unlink()
    assert sweep.counts() == {"succeeded": 3, "planned": 1}
    damaged.write_bytes(b"\x89HDF\r\n\x1a\n and then nothing")

    sweep.run("submit", "-j", "1")

    assert sweep.counts() == {"succeeded": 4}
    assert arrays(damaged) == good
    assert (damaged.parent / f".damaged.{damaged.name}").exists()


def test_a_study_can_be_moved_and_goes_on(toy, tmp_path):
    """Every path in it is relative."""
    sweep = toy()
    sweep.run("submit", "-j", "1", "--where", "taste = 0")
    moved = tmp_path / "elsewhere"
    sweep.study.rename(moved)
    sweep.study = moved

    assert sweep.counts() == {"succeeded": 4, "planned": 4}
    sweep.run("submit", "-j", "1")

    assert sweep.counts() == {"succeeded": 8}
    assert set(sweep.successes().values()) == {1}


def test_a_ledger_that_is_no_database_is_thrown_away(toy):
    sweep = toy(sessions=1)
    sweep.run("submit", "-j", "1")
    (sweep.path / "ledger.db").write_bytes(b"not a database" * 1000)

    assert sweep.counts() == {"succeeded": 4}


def test_what_was_final_runs_again_when_a_person_says_that_it_is_mended(toy):
    """`--errors`: a module that was not loaded, a disk that was not mounted."""
    sweep = toy(sessions=1, more="  fail: [never, non_finite]")
    sweep.run("submit", "-j", "1", ok=(3,))
    assert "Nothing to send" in sweep.run("resume").stdout

    sweep.run("resume", "-j", "1", "--errors", ok=(3,))

    assert sweep.rows("SELECT DISTINCT attempts FROM point WHERE state = 'failed'") == [(2,)]


def test_another_sweep_finds_the_results_that_are_there(toy):
    """The same fit has the same id in any sweep."""
    first = toy()
    first.run("submit", "-j", "2")
    spec = (
        (first.study / "toy.yaml")
        .read_text()
        .replace("name: toy", "name: again")
        .replace("[2, 3]", "[2, 3, 4]")
    )
    (first.study / "again.yaml").write_text(spec)

    plan = first.run("plan", "again.yaml")
    first.run("submit", "again", "-j", "2")

    assert "done already" in plan.stdout
    assert len(first.results()) == 12
    assert set(first.successes().values()) == {1}
