"""A sweep on this computer, cancelled in its middle: what is stopped, what is passed over, what goes on."""

from __future__ import annotations

ENDS = (
    "SELECT point_id, outcome, said, done FROM attempt WHERE outcome IN ('interrupted', 'skipped')"
)
#: Long enough to be cancelled in the middle on a busy machine.
SLOW = {"sessions": 1, "iterations": 150, "sleep_s": 0.05, "checkpoint_s": 0.2}


def fitted(sweep) -> list[str]:
    """Points that have a checkpoint: with one worker, the one that it is at."""
    return [path.parent.name for path in (sweep.path / "checkpoints").rglob("*.npz")]


def begun_tasks(sweep) -> int:
    return len(list((sweep.path / "journal").rglob("*.jsonl")))


def tables(sweep) -> list[list[tuple]]:
    names = ("point", "attempt", "run", "task", "placement", "cancellation")
    return [sweep.rows(f"SELECT * FROM {name}") for name in names]


def test_a_sweep_that_is_cancelled_in_its_middle_can_be_taken_up_again(toy, eventually):
    """The worker stops at a checkpoint, tasks that wait do not begin, the driver ends; nothing is charged."""
    sweep = toy(**SLOW)
    driver = sweep.start("submit", "-j", "1", "--points-per-task", "2")
    eventually(lambda: fitted(sweep), "a checkpoint")

    done = sweep.run("cancel", "--yes")

    assert "✓ asked 1 worker on this computer to stop" in done.stdout
    assert driver.wait(60) == 0, driver.stderr.read()
    assert sweep.counts() == {"cancelled": 4}
    assert begun_tasks(sweep) == 1
    [(point, outcome, said, reached)] = sweep.rows(ENDS)
    assert (outcome, said) == ("interrupted", "killed")
    assert reached > 0
    assert set(fitted(sweep)) == {point}
    assert "Nothing to cancel" in sweep.run("cancel").stdout
    assert "Nothing to send" in sweep.run("resume", "-j", "1").stdout
    before = tables(sweep)
    (sweep.path / "ledger.db").unlink()
    sweep.run("status")
    assert tables(sweep) == before

    sweep.run("resume", "--cancelled", "-j", "1", "--where", f"point_id = '{point}'")

    assert sweep.counts() == {"succeeded": 1, "cancelled": 3}
    assert sweep.rows("SELECT max(resumed_from) FROM attempt") == [(reached,)]
    assert sweep.rows("SELECT sum(failures), sum(interruptions) FROM point") == [(0, 0)]


def test_a_point_that_shares_its_task_with_others_is_stopped_and_the_others_go_on(toy, eventually):
    """One that is being fitted stops at its next checkpoint, one that waits is passed over."""
    sweep = toy(**SLOW)
    ids = sweep.run("status", "--ids", "--where", "taste = 0 or n_states = 2").stdout.split()
    driver = sweep.start("submit", "-j", "1", "--where", "taste = 0 or n_states = 2")
    eventually(lambda: fitted(sweep), "a checkpoint")
    now = fitted(sweep)[0]
    waiting = next(point for point in reversed(ids) if point != now)

    done = sweep.run("cancel", "--point", now, "--point", waiting, "--yes")

    assert "1 running, 1 queued (1 task, shared with points that go on)" in done.stderr
    assert "asked" not in done.stdout
    assert driver.wait(60) == 0, driver.stderr.read()
    assert sweep.counts() == {"planned": 1, "succeeded": 1, "cancelled": 2}
    ends = {point: (outcome, said) for point, outcome, said, _ in sweep.rows(ENDS)}
    assert ends == {now: ("interrupted", "killed"), waiting: ("skipped", None)}
    assert sweep.rows("SELECT DISTINCT ended FROM run") == [("done",)]


def test_with_only_queued_the_fit_that_runs_succeeds(toy, eventually):
    """The others of its task are passed over, and tasks that wait do not begin."""
    sweep = toy(**SLOW)
    driver = sweep.start("submit", "-j", "1", "--points-per-task", "2")
    eventually(lambda: fitted(sweep), "a checkpoint")

    sweep.run("cancel", "--queued-only", "--yes")

    assert driver.wait(60) == 0, driver.stderr.read()
    assert sweep.counts() == {"succeeded": 1, "cancelled": 3}
    assert begun_tasks(sweep) == 1


def test_fits_in_the_calling_process_stop_at_their_next_checkpoint(toy, eventually):
    """Nobody signals a process that may be somebody's notebook."""
    sweep = toy(**SLOW)
    (sweep.study / "inline.yaml").write_text("executor: inline\n")
    driver = sweep.start("submit", "--profile", "inline.yaml")
    eventually(lambda: fitted(sweep), "a checkpoint")

    done = sweep.run("cancel", "--yes")

    assert "asked" not in done.stdout
    assert driver.wait(60) == 0, driver.stderr.read()
    assert sweep.counts() == {"cancelled": 4}
    assert len(set(fitted(sweep))) == 1
