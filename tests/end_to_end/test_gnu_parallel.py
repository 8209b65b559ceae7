"""Lists of commands: a person runs them, once, twice, in parts, kills some of it, and the ledger stays true."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toy_sweep import Toy, processes_of

ROOT = Path(__file__).resolve().parents[2]
PROFILE = """\
executor: gnu_parallel
limits: {max_running_tasks: 2}
"""


@pytest.fixture
def lists(toy):
    """Plan a toy sweep whose profile writes lists."""

    def plan(profile: str = PROFILE, **what: object) -> Toy:
        sweep = toy(profile="lists", **{"sessions": 1, "points_per_task": 1, **what})
        (sweep.study / "jobs").mkdir()
        (sweep.study / "jobs" / "lists.yaml").write_text(profile)
        return sweep

    return plan


def lists_of(sweep: Toy) -> list[Path]:
    """The oldest first."""
    return sorted(sweep.path.glob("submissions/*/jobs.txt"), key=lambda path: path.stat().st_mtime)


def start(sweep: Toy, jobs: Path, *, by: str = "bash") -> subprocess.Popen[str]:
    """Run a list in some other folder: with bash one line after another, with GNU Parallel two at once."""
    if by == "bash":
        command = ["bash", str(jobs)]
    else:
        command = ["bash", "-c", f"parallel -j 2 < {jobs}"]
    return subprocess.Popen(
        command,
        cwd="/",
        env=sweep.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(sweep: Toy, jobs: Path, *, by: str = "bash") -> str:
    """Run a list to its end; returns what was printed."""
    said, _ = start(sweep, jobs, by=by).communicate(timeout=300)
    return said


def is_gnu_parallel_here() -> bool:
    if shutil.which("parallel") is None:
        return False
    return "GNU" in subprocess.run(["parallel", "--version"], capture_output=True, text=True).stdout


def test_a_list_that_was_run_with_gnu_parallel_is_a_finished_sweep(lists):
    """Written without a question; it waits for as long as nobody runs it; then everything is as with any executor."""
    if not is_gnu_parallel_here():
        pytest.skip("GNU Parallel is not installed")
    sweep = lists()

    sent = sweep.run("submit")

    [jobs] = lists_of(sweep)
    command = f"parallel -j 2 < {jobs.relative_to(sweep.study)}"
    assert f"Wrote 4 tasks to {jobs.relative_to(sweep.study)}" in sent.stdout
    assert command in sent.stderr
    status = sweep.run("status")
    assert "4 of a list that nobody has run yet" in status.stdout
    assert command in status.stderr
    assert sweep.counts() == {"queued": 4}
    assert "Nothing to send" in sweep.run("resume").stdout

    run(sweep, jobs, by="parallel")

    assert sweep.counts() == {"succeeded": 4}
    assert set(sweep.successes().values()) == {1}
    assert "Nothing to send" in sweep.run("resume").stdout
    assert command not in sweep.run("status").stderr


def test_a_list_that_is_run_again_does_only_what_is_not_done(lists):
    """What succeeded is kept, what failed is left to `resume`, what was interrupted or has not begun is done."""
    sweep = lists(more="  fail: [never, non_finite]", points_per_task=4)
    sweep.run("submit")
    [jobs] = lists_of(sweep)
    first_task = jobs.with_name("first.txt")
    first_task.write_text(jobs.read_text().splitlines(keepends=True)[0])
    run(sweep, first_task)
    before = sweep.counts()

    run(sweep, jobs)
    run(sweep, jobs)

    assert before["queued"] == 4
    assert sweep.counts() == {"succeeded": 4, "failed": 4}
    assert set(sweep.successes().values()) == {1}
    assert sweep.rows("SELECT max(attempts) FROM point") == [(1,)]
    assert not sweep.rows("SELECT 1 FROM run WHERE ended IS NULL")


def test_what_a_killed_worker_leaves_is_known_at_once_and_put_on_a_new_list(lists, eventually):
    """`kill -9` in the middle of a list: the rest of it goes on, the dead one is lost, and the old list cannot
    compute what the new one has.
    """
    sweep = lists(iterations=12, sleep_s=0.1, checkpoint_s=0.1, points_per_task=2)
    sweep.run("submit")
    [old] = lists_of(sweep)
    running = start(sweep, old)
    eventually(lambda: list((sweep.path / "checkpoints").rglob("*.npz")), "a checkpoint")
    [worker] = [pid for pid in processes_of("pytau_hpc worker") if str(sweep.path) in words(pid)]

    os.kill(worker, signal.SIGKILL)
    running.communicate(timeout=300)

    assert sweep.counts() == {"succeeded": 2, "lost": 2}
    sweep.run("resume")
    new = lists_of(sweep)[-1]
    assert len(new.read_text().splitlines()) == 1
    run(sweep, old)
    assert sweep.counts() == {"succeeded": 2, "queued": 2}
    run(sweep, new)
    assert sweep.counts() == {"succeeded": 4}
    assert sweep.rows("SELECT max(resumed_from) > 0 FROM attempt") == [(1,)]
    assert set(sweep.successes().values()) == {1}


def words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def test_a_list_is_given_up_only_by_a_person(lists):
    """`resume` cannot know whether somebody will run it tomorrow; `resume --lost` is told that nobody will."""
    sweep = lists(points_per_task=4)
    sweep.run("submit")
    [old] = lists_of(sweep)
    assert "Nothing to send" in sweep.run("resume").stdout

    sweep.run("resume", "--lost")

    new = lists_of(sweep)[-1]
    assert new != old
    status = sweep.run("status")
    assert new.parent.name in status.stderr
    assert old.parent.name not in status.stderr
    run(sweep, old)
    assert sweep.counts() == {"queued": 4}
    run(sweep, new)
    assert sweep.counts() == {"succeeded": 4}


def test_a_task_that_runs_already_is_not_started_a_second_time(lists, eventually):
    """The same list in two terminals."""
    sweep = lists(iterations=8, sleep_s=0.1, points_per_task=4)
    sweep.run("submit")
    [jobs] = lists_of(sweep)
    first = start(sweep, jobs)
    eventually(lambda: list((sweep.path / "journal").rglob("*.jsonl")), "the first run")

    said = run(sweep, jobs)
    first.communicate(timeout=300)

    assert "task 0 runs already" in said
    assert sweep.counts() == {"succeeded": 4}
    assert sweep.rows("SELECT count(*) FROM run") == [(1,)]


def test_a_task_that_is_told_to_stop_stops_at_a_checkpoint_and_goes_on_with_the_same_list(
    lists, eventually
):
    """What GNU Parallel does to its jobs at Ctrl-C."""
    sweep = lists(iterations=12, sleep_s=0.1, checkpoint_s=0.1, points_per_task=2)
    sweep.run("submit")
    [jobs] = lists_of(sweep)
    running = start(sweep, jobs)
    eventually(lambda: list((sweep.path / "checkpoints").rglob("*.npz")), "a checkpoint")

    os.killpg(running.pid, signal.SIGTERM)
    running.communicate(timeout=300)
    eventually(lambda: not processes_of(str(sweep.study)), "the end of the worker")

    assert sweep.counts()["interrupted"] == 1
    run(sweep, jobs)
    assert sweep.counts() == {"succeeded": 4}
    assert sweep.rows("SELECT max(resumed_from) > 0 FROM attempt") == [(1,)]


KILLED_AT_A_LINK = """
import os, runpy, signal, sys
left = int(sys.argv.pop(1))

def hook(event, arguments):
    global left
    if event == "os.link":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
runpy.run_module("pytau_hpc", run_name="__main__", alter_sys=True)
"""


def test_a_submit_that_is_killed_leaves_a_whole_list_or_no_submission(lists):
    """Killed before it publishes its first file, its second, …: no point may wait for a list that is not there."""
    sweep = lists(points_per_task=4)
    killed = 0
    while True:
        command = [sys.executable, "-c", KILLED_AT_A_LINK, str(killed), "submit"]
        done = subprocess.run(
            command, cwd=sweep.study, env=sweep.environment, capture_output=True, text=True
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not list(sweep.path.glob("submissions/*/submission.json"))
        killed += 1

    assert killed >= 3
    [submission] = sweep.path.glob("submissions/*/submission.json")
    run(sweep, submission.with_name("jobs.txt"))
    assert sweep.counts() == {"succeeded": 4}
    assert sweep.rows("SELECT count(*) FROM submission") == [(1,)]


def test_cancelled_points_of_a_list_are_not_fitted(lists):
    """The list is a file that anybody may still run."""
    sweep = lists(points_per_task=2)
    sweep.run("submit")
    sweep.run("cancel", "--where", "taste = 0", "--yes")

    [jobs] = lists_of(sweep)
    run(sweep, jobs)

    assert sweep.counts() == {"succeeded": 2, "cancelled": 2}


@pytest.mark.parametrize("executor", ["gnu_parallel", "local"])
def test_tasks_run_with_the_python_of_the_profile(lists, tmp_path, executor):
    """And the fit process with the worker's own."""
    python, calls = tmp_path / "bin" / "python-of-theirs", tmp_path / "calls"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$*" >> {calls}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    sweep = lists(f"executor: {executor}\npython: {python}\n", points_per_task=4)

    sweep.run("submit")
    for jobs in lists_of(sweep):
        run(sweep, jobs)

    assert sweep.counts() == {"succeeded": 4}
    [call] = calls.read_text().splitlines()
    assert call.startswith("-m pytau_hpc worker")


def test_a_dry_run_shows_the_script_and_writes_no_list(lists):
    sweep = lists()

    shown = sweep.run("submit", "--dry-run").stdout

    assert "pytau_hpc worker" in shown
    assert not lists_of(sweep)


def test_the_list_is_named_for_programs(lists):
    sweep = lists()

    sent = json.loads(sweep.run("submit", "--json").stdout)

    assert Path(sent["job_list"]).read_text().count("\n") == 4
    assert (sent["was_sent"], sent["job_ids"]) == (True, {})
    assert any(
        "parallel" in step for step in json.loads(sweep.run("status", "--json").stdout)["next"]
    )


# -- jobs/single_process.sh -------------------------------------------------------------------------------------------


def single_process(sweep: Toy, folder: Path, *words: str) -> subprocess.Popen[str]:
    """The script that people copy, with a TMPDIR of its own."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        ["bash", str(ROOT / "jobs" / "single_process.sh"), *words],
        cwd=sweep.study,
        env={**sweep.environment, "TMPDIR": str(folder), "PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_the_script_runs_one_task_in_a_folder_of_its_own_and_removes_it(
    lists, tmp_path, eventually
):
    sweep = lists(points_per_task=2, iterations=4, sleep_s=0.1)
    sweep.run("submit")
    [jobs] = lists_of(sweep)

    task = single_process(sweep, tmp_path / "own", "sweeps/toy", jobs.parent.name, "1")
    eventually(lambda: list((tmp_path / "own").glob("single_process.*/pytau-hpc-*/*")), "scratch")
    said, _ = task.communicate(timeout=300)

    assert task.returncode == 0, said
    assert sweep.counts() == {"succeeded": 2, "queued": 2}
    assert not list((tmp_path / "own").iterdir())


def test_the_script_passes_a_signal_on_and_waits_for_the_checkpoint(lists, tmp_path, eventually):
    sweep = lists(points_per_task=4, iterations=60, sleep_s=0.1, checkpoint_s=0.2)
    sweep.run("submit")
    [jobs] = lists_of(sweep)
    task = single_process(sweep, tmp_path / "own", "sweeps/toy", jobs.parent.name, "0")
    eventually(lambda: list((sweep.path / "checkpoints").rglob("*.npz")), "a checkpoint")

    os.kill(task.pid, signal.SIGTERM)
    said, _ = task.communicate(timeout=300)

    assert task.returncode == 0, said
    assert sweep.counts() == {"interrupted": 1, "planned": 3}
    assert not list((tmp_path / "own").iterdir())


def test_the_script_says_how_it_is_used(lists, tmp_path):
    task = single_process(lists(), tmp_path / "own", "sweeps/toy")

    assert "SWEEP SUBMISSION TASK" in task.communicate(timeout=60)[0]
    assert task.returncode == 2
