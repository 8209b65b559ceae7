from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from tests.builders import BuiltSweep, a_gone_process, a_sweep


@pytest.fixture
def sweep(study) -> BuiltSweep:
    """One point done, one failed, one lost with its process, one planned."""
    made = a_sweep(study, n=4)
    submission = made.submit(made.points[:3], per_task=2)
    with made.run(submission) as run:
        run.succeeds(made.points[0]).fails(made.points[1])
    made.run(submission, 1, process=a_gone_process()).starts(made.points[2])
    return made


def test_status_is_the_answer_and_what_to_type_next_is_talk(sweep, pytau_hpc_cli):
    """The one on standard output, the other on standard error."""
    done = pytau_hpc_cli("status", check=True)

    assert "✗ failed        1   exception 1" in done.stdout
    assert "Next" not in done.stdout
    assert "pytau-hpc status gc_states --failed" in done.stderr
    assert "\x1b" not in done.stdout


def test_status_finds_a_sweep_by_name_by_folder_and_alone(sweep, pytau_hpc_cli):
    """From the study folder, and from the sweep's own."""
    by_name = pytau_hpc_cli("status", "gc_states", "--json", check=True)
    by_folder = pytau_hpc_cli("status", sweep.dir.path, "--json", check=True, cwd=sweep.dir.models)
    inside = pytau_hpc_cli("status", "--json", check=True, cwd=sweep.dir.path)

    documents = [json.loads(done.stdout) for done in (by_name, by_folder, inside)]
    assert {document["sweep"]["root"] for document in documents} == {str(sweep.dir.path)}
    assert documents[0]["counts"]["succeeded"] == 1
    assert by_name.stderr == ""


def test_a_sweep_that_is_not_there_is_a_mistake_of_the_user(sweep, pytau_hpc_cli):
    """Exit code 2, a hint, no traceback."""
    done = pytau_hpc_cli("status", "gc_state")

    assert done.returncode == 2
    assert done.stdout == ""
    assert "did you mean `gc_states`?" in done.stderr
    assert "Traceback" not in done.stderr


def test_ids_are_bare_and_follow_the_condition(sweep, pytau_hpc_cli):
    """One per line, for xargs."""
    everything = pytau_hpc_cli("status", "--ids", check=True)
    some = pytau_hpc_cli(
        "status", "--ids", "--where", "state = 'failed' OR n_states = 5", check=True
    )
    failed = pytau_hpc_cli("status", "--ids", "--failed", check=True)

    ids = [point.point_id for point in sweep.points]
    assert everything.stdout.split() == ids
    assert some.stdout.split() == [ids[1], ids[3]]
    assert failed.stdout.split() == ids[1:3]


def test_piped_points_are_tab_separated_and_whole(sweep, pytau_hpc_cli):
    """A header and a row per point."""
    header, *rows = pytau_hpc_cli("status", "--points", check=True).stdout.splitlines()

    assert len(rows) == 4
    column = header.split("\t").index("point_id")
    assert [row.split("\t")[column] for row in rows] == [point.point_id for point in sweep.points]


def test_piped_counts_by_an_axis_are_tab_separated(sweep, pytau_hpc_cli):
    """One row for each value."""
    done = pytau_hpc_cli("status", "--by", "n_states", check=True)

    assert done.stdout.splitlines()[1].split("\t")[:3] == ["2", "1", "1"]


def test_failures_are_shown_by_cause_with_what_resume_would_do(sweep, pytau_hpc_cli):
    """Message and place, no traceback."""
    done = pytau_hpc_cli("status", "--failed", check=True)

    assert "1 failed · 1 lost of 4 points" in done.stdout
    assert "✗ ValueError · failed · 1 point · resume: once more" in done.stdout
    assert "ValueError: no spikes" in done.stdout
    assert "Traceback" not in done.stdout
    assert "pytau-hpc resume gc_states --dry-run" in done.stderr


def test_the_json_holds_points_axes_and_failures_where_they_are_asked_for(sweep, pytau_hpc_cli):
    """Always one document with the same summary."""
    plain = json.loads(pytau_hpc_cli("status", "--json", check=True).stdout)
    points = json.loads(pytau_hpc_cli("status", "--json", "--points", check=True).stdout)
    failed = json.loads(pytau_hpc_cli("status", "--json", "--failed", check=True).stdout)
    by = json.loads(pytau_hpc_cli("status", "--json", "--by", "n_states", check=True).stdout)

    assert "points" not in plain
    assert plain["counts"] == points["counts"] == failed["counts"] == by["counts"]
    assert [point["state"] for point in points["points"]] == [
        "succeeded",
        "failed",
        "lost",
        "planned",
    ]
    assert points["points"][0]["axes"]["window_ms"] == [2000, 4000]
    assert [group["kind"] for group in failed["failures"]] == ["exception", "killed"]
    assert failed["failures"][0]["retry"][0]["eligible"] is True
    assert len(failed["points"]) == 2
    assert [group["value"] for group in by["by"]["values"]] == [2, 3, 4, 5]


def test_errors_are_json_too_where_json_was_asked_for(sweep, pytau_hpc_cli):
    """With the same exit code."""
    done = pytau_hpc_cli("status", "--json", "--where", "no_such_column = 1")

    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert document["schema"] == "pytau-hpc/error/1"
    assert "no_such_column" in document["error"]["message"]


def test_options_that_contradict_each_other_are_refused(sweep, pytau_hpc_cli):
    """Rather than one of them ignored."""
    done = pytau_hpc_cli("status", "--points", "--by", "taste")

    assert done.returncode == 2
    assert "--points and --by do not go together" in done.stderr


def test_the_exit_status_is_asked_for(sweep, pytau_hpc_cli):
    """A sweep with failures reports fine; --exit-status tells a script."""
    assert pytau_hpc_cli("status").returncode == 0
    assert pytau_hpc_cli("status", "--exit-status").returncode == 4


def test_watching_a_sweep_in_which_nothing_runs_ends_at_once(sweep, pytau_hpc_cli):
    """With one line."""
    done = pytau_hpc_cli("status", "--watch", check=True)

    assert len(done.stdout.splitlines()) == 1
    assert "1/4 succeeded · 1 planned · 1 failed · 1 lost" in done.stdout


def test_watching_as_json_is_one_document_per_line(sweep, pytau_hpc_cli):
    """Where nothing runs, one."""
    done = pytau_hpc_cli("status", "--watch", "--json", check=True)

    assert json.loads(done.stdout)["counts"]["lost"] == 1
    assert done.stderr == ""


def on_a_terminal(*words: str, cwd, **environment: str) -> str:
    """What the command writes to a real terminal of 80 columns."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytau_hpc", *words],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **environment},
    )
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return b"".join(parts).decode().replace("\r\n", "\n")


@pytest.mark.parametrize("words", [["status"], ["status", "--points"], ["status", "--failed"]])
def test_a_terminal_gets_colour_and_lines_that_fit(sweep, words):
    """Nothing wraps."""
    text = on_a_terminal(*words, cwd=sweep.dir.study)

    assert "\x1b[31m✗" in text
    assert "\x1b[31m" not in on_a_terminal(*words, cwd=sweep.dir.study, NO_COLOR="1")
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines())) <= 80
