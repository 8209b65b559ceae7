"""`cancel` on the command line: what it says, what it asks, its exit codes and its JSON."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys

import pytest

from tests.builders import BuiltSweep, a_far_process, a_sweep


@pytest.fixture
def sweep(study) -> BuiltSweep:
    """Four points: one succeeded, one runs far away, two wait."""
    made = a_sweep(study)
    submission = made.submit(driver=a_far_process())
    made.succeed(submission, [0])
    made.run(submission, 1, process=a_far_process()).starts(made.points[1])
    return made


def counts(pytau_hpc_cli) -> dict[str, int]:
    found = json.loads(pytau_hpc_cli("status", "--json", check=True).stdout)["counts"]
    return {state: n for state, n in found.items() if n}


def test_cancel_says_what_it_gives_up_what_stays_and_what_to_type_next(sweep, pytau_hpc_cli):
    """The answer on standard output, the talk on standard error."""
    done = pytau_hpc_cli("cancel", "gc_states", "--yes", check=True)

    assert done.stdout == "Cancelled 3 points.\n"
    said = "Cancel 3 points of gc_states: 1 running, 2 queued (3 tasks). Finished results stay."
    assert said in done.stderr
    assert "node-0417" in done.stderr
    assert "Next    pytau-hpc resume gc_states --cancelled" in done.stderr
    assert counts(pytau_hpc_cli) == {"succeeded": 1, "cancelled": 3}


def test_nothing_to_cancel_is_an_answer(sweep, pytau_hpc_cli):
    """Also the second time, and where the points that are meant are not sent."""
    pytau_hpc_cli("cancel", "--yes", check=True)

    again = pytau_hpc_cli("cancel", check=True)
    chosen = pytau_hpc_cli("cancel", "--where", "state = 'succeeded'", check=True)

    assert again.stdout == "Nothing to cancel: nothing of gc_states is queued or running.\n"
    assert chosen.stdout.startswith("Nothing to cancel: nothing of the points that you chose")


def test_without_a_terminal_it_does_not_ask_and_does_nothing(sweep, pytau_hpc_cli):
    refused = pytau_hpc_cli("cancel")

    assert refused.returncode == 2
    assert "help: add --yes" in refused.stderr
    assert counts(pytau_hpc_cli) == {"succeeded": 1, "running": 1, "queued": 2}


@pytest.mark.parametrize(
    ("answer", "cancelled"), [("y", True), ("yes", True), ("n", False), ("", False)]
)
def test_on_a_terminal_it_asks_and_takes_silence_for_no(sweep, study, answer, cancelled):
    """This one throws work away."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytau_hpc", "cancel"],
        cwd=study,
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    said = _until(ours, "[y/N]")
    os.write(ours, f"{answer}\n".encode())

    stdout = process.communicate(timeout=60)[0]

    os.close(ours)
    assert "Cancel 3 points" in said
    assert stdout == ("Cancelled 3 points.\n" if cancelled else "Nothing was cancelled.\n")
    assert process.returncode == 0
    assert sweep.dir.cancelled.exists() == cancelled


def _until(descriptor: int, words: str) -> str:
    said = ""
    while words not in said:
        assert select.select([descriptor], [], [], 60)[0], said
        said += os.read(descriptor, 4096).decode()
    return said


def test_a_dry_run_shows_every_point_and_gives_nothing_up(sweep, pytau_hpc_cli):
    dry = pytau_hpc_cli("cancel", "--dry-run", "--queued-only", check=True)

    assert "Cancel 2 points of gc_states: 2 queued (2 tasks). 1 running go on." in dry.stdout
    assert all(point.point_id in dry.stdout for point in sweep.points[2:])
    assert sweep.points[1].point_id not in dry.stdout
    assert "Nothing was cancelled." in dry.stdout
    assert not sweep.dir.cancelled.exists()


def test_the_json_document_says_what_was_and_what_became_of_it(sweep, pytau_hpc_cli):
    one = sweep.points[2]

    done = pytau_hpc_cli("cancel", "--point", one.point_id[:8], "--yes", "--json", check=True)

    told = json.loads(done.stdout)
    assert told["schema"] == "pytau-hpc/cancelled/1"
    assert [(point["point_id"], point["state"]) for point in told["points"]] == [
        (one.point_id, "queued")
    ]
    assert told["became"] == {"cancelled": 1}
    assert told["was_cancelled"]
    assert not told["dry_run"]


def test_a_mistake_in_a_condition_is_a_mistake(sweep, pytau_hpc_cli):
    wrong = pytau_hpc_cli("cancel", "--where", "nstates = 4", "--yes")

    assert wrong.returncode == 2
    assert "nstates" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_where_slurm_is_silent_the_exit_code_says_to_try_again(
    study, pytau_hpc_cli, tmp_path, monkeypatch
):
    """The points are cancelled, and that is said; so is the command that tells SLURM later."""
    sweep = a_sweep(study, n=2)
    sweep.submit(executor="slurm", driver=a_far_process())
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "squeue").write_text(
        "#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n"
    )
    (folder / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    done = pytau_hpc_cli("cancel", "--yes")

    assert done.returncode == 75
    assert done.stdout == "Cancelled 2 points.\n"
    assert "(2 SLURM tasks)" in done.stderr
    assert "SLURM could not be told (Unable to contact slurm controller)" in done.stderr
    assert "Next    pytau-hpc cancel gc_states " in done.stderr
