from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytau_hpc import logs
from pytau_hpc.executors import sbatch
from pytau_hpc.reports import logs as report
from pytau_hpc.reports.format import plain
from pytau_hpc.sweep.state import Kind
from pytau_hpc.sweep.submission import Array, Submission, Task
from tests.builders import NOON, BuiltSweep, a_gone_process, a_submission, a_sweep, some_points

#: As slurmd wrote them (SLURM 22.05).
OOM_WORDS = (
    "slurmstepd: error: Detected 1 oom_kill event in StepId=8123.0. "
    "Some of the step tasks have been OOM Killed."
)
PREEMPTED_WORDS = (
    "slurmstepd: error: *** STEP 8123.0 ON node-0417 CANCELLED AT 2026-11-22T12:00:10 "
    "DUE TO PREEMPTION ***"
)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def run_log(sweep: BuiltSweep, submission: Submission, text: str, task: int = 0) -> Path:
    """The log of the first run of a task."""
    return write(sweep.dir.logs_of(submission.uuid) / f"{task}.r1.log", text)


def page(sweep: BuiltSweep, point, number: int | None = None, *, all_lines: bool = False) -> str:
    """What ``logs POINT`` prints."""
    seen = logs.look(sweep.dir, point.point_id)
    how = report.Look(shown=os.fspath, now=NOON + 1000, width=100)
    entry = logs.chosen(seen, number)
    return plain(report.page(sweep.dir, seen, entry, how, all_lines=all_lines))


def mark(point, what: str = "started 2026-11-22 12:00:00+00:00") -> str:
    return f"── {point.point_id} {point.label} {what}\n"


@pytest.fixture
def shared(study) -> BuiltSweep:
    """Three points in one task and one log: the first printed something, the second failed, the third is queued."""
    sweep = a_sweep(study, n=3)
    submission = sweep.submit(per_task=3)
    first, second, _ = sweep.points
    sweep.run(submission).succeeds(first).fails(second)
    run_log(
        sweep,
        submission,
        mark(first)
        + "a word of the first\n"
        + mark(second)
        + "a word of the second\n\n"
        + mark(second, "failed")
        + "Traceback (most recent call last):\nValueError: no spikes\n\n",
    )
    return sweep


def test_of_a_log_that_points_share_each_sees_its_own_part(shared):
    """Traceback included; the marks are for us."""
    first, second, _ = shared.points

    of_first, of_second = page(shared, first), page(shared, second)

    assert "a word of the first" in of_first
    assert "a word of the second" not in of_first
    assert "Traceback" not in of_first
    assert "a word of the first" not in of_second
    assert "a word of the second" in of_second
    assert "ValueError: no spikes" in of_second
    assert "started 2026-11-22" not in of_second


def test_the_heading_says_which_try_how_it_ended_where_and_when(shared, pytau_hpc_cli):
    """On the first lines, in the person's own time zone."""
    done = pytau_hpc_cli("logs", shared.points[1].point_id[:6], check=True)

    heading = " · ".join(line.strip() for line in done.stdout.split("── ")[0].splitlines())
    assert heading.startswith(f"{shared.points[1].point_id[:8]} · AM10_4Tastes_201006_095803/K3 · ")
    assert "try 1 of 1 · ✗ failed (exception) · 8123457_4 on node-0417" in heading
    assert "→" in heading


def test_the_progress_comes_from_the_journal_of_the_run(study):
    """The fit itself prints nothing about it; the last lines are enough."""
    sweep = a_sweep(study, n=2)
    one, other = sweep.points
    with sweep.run(sweep.submit(per_task=2)) as run:
        run.starts(other).progresses(other, 1, 9).succeeds(other)
        run.starts(one)
        for done in range(100, 900, 100):
            run.wait(15).progresses(one, done, 2000, rss=2**31)
        run.is_interrupted(one, iteration=850)

    text = page(sweep, one)
    everything = page(sweep, one, all_lines=True)

    assert "── progress, last 6 of 12 lines ─" in text
    assert "fitting 800/2000 · 2.00 GiB" in text
    assert "checkpoint at 850" in text
    assert "stopped (preempted) at 850" in text
    assert "fitting 100/2000" not in text
    assert "fitting 100/2000" in everything
    assert "1/9" not in everything
    assert "The fit printed nothing." in text


def test_a_long_output_is_cut_to_its_last_lines_unless_all_is_asked_for(study):
    """And says how many there are."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit()
    with sweep.run(submission) as run:
        run.fails(sweep.points[0])
    lines = "".join(f"warning {number}\n" for number in range(100))
    run_log(sweep, submission, mark(sweep.points[0]) + lines)

    short = page(sweep, sweep.points[0])
    long = page(sweep, sweep.points[0], all_lines=True)

    assert "── output, last 40 of 100 lines ─" in short
    assert next(line for line in short.splitlines() if line.startswith("warning")) == "warning 60"
    assert long.count("\nwarning ") == 100


def test_an_older_log_that_marks_tracebacks_only_still_gives_the_traceback(study):
    """What stands before it may be anybody's."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit()
    with sweep.run(submission) as run:
        run.fails(sweep.points[0])
    run_log(
        sweep,
        submission,
        f"anybody's\n\n{mark(sweep.points[0], 'failed')}Traceback …\n",
    )

    text = page(sweep, sweep.points[0])

    assert "Traceback …" in text
    assert "anybody's" not in text


def test_words_on_an_unfinished_line_stay_with_the_point_before(tmp_path):
    """A fit that was killed while it printed leaves a line without its end, and the next mark follows it."""
    one, other = some_points(2)
    path = write(tmp_path / "0.r1.log", f"{mark(one)}killed in the mid{mark(other)}mine\n")

    assert list(logs.LogPart(path, one.point_id).read()) == ["killed in the mid"]
    assert list(logs.LogPart(path, other.point_id).read()) == ["mine"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("10 %\r50 %\r100 %\n", "100 %"),
        ("50 %\r\n", "50 %"),
        ("\x1b[31mred\x1b[0m and a bell\x07\n", "red and a bell"),
        ("a\ttab\n", "a\ttab"),
        ("\n", ""),
    ],
)
def test_a_line_is_shown_as_it_would_stand_on_a_terminal_in_the_end(written, shown):
    """Nothing in a log reaches the reader's terminal but text."""
    assert logs.clean(written) == shown


# -- the scheduler ----------------------------------------------------------------------------------------------------


def slurm_log(sweep: BuiltSweep, submission: Submission, text: str, element: int = 0) -> Path:
    return write(sweep.dir.logs_of(submission.uuid) / f"{element}.slurm.log", text)


@pytest.mark.usefixtures("fake_slurm")
@pytest.mark.parametrize(
    ("kind", "words", "shown"),
    [
        (Kind.OUT_OF_MEMORY, OOM_WORDS, True),
        (Kind.TIMEOUT, "slurmstepd: error: … DUE TO TIME LIMIT ***", True),
        # It ended by itself; whatever SLURM said was about the points after it.
        (Kind.EXCEPTION, PREEMPTED_WORDS, False),
    ],
)
def test_the_scheduler_has_the_last_word_where_it_ended_the_try(study, kind, words, shown):
    """Not where the fit ended by itself, unless all is asked for."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm")
    with sweep.run(submission) as run:
        run.fails(sweep.points[0], kind)
    slurm_log(sweep, submission, f"{words}\n")

    text = page(sweep, sweep.points[0])
    everything = page(sweep, sweep.points[0], all_lines=True)

    assert (words in text) == shown
    assert words in everything


@pytest.mark.parametrize("first", [0, 5])
def test_the_schedulers_log_is_found_where_sbatch_was_told_to_write_it(study, first):
    """Of the first array of a submission, and of a later one."""
    sweep = a_sweep(study, n=2)
    submission = a_submission(sweep.points, executor="slurm")
    tasks = tuple(Task(number=first + i, points=(p,)) for i, p in enumerate(sweep.points))
    array = Array(
        number=3 if first else 0,
        first=first,
        tasks=tasks,
        resources=submission.arrays[0].resources,
    )
    told = sbatch.array_parameters(sweep.dir, submission, array, None)
    path = told["additional_parameters"]["output"]

    entry = an_entry(task=first + 1, element=1, array=array.number, submission=submission.uuid)

    assert str(logs.files_of(sweep.dir, entry).scheduler) == path.replace("%a", "1")


def an_entry(**values):
    from dataclasses import fields

    from pytau_hpc.ledger.history import Entry

    nothing = {field.name: None for field in fields(Entry)}
    return Entry(**{**nothing, "executor": "slurm", "state": "running", "run": 1, **values})


def test_of_a_task_that_never_began_everything_that_was_said_is_shown(study):
    """A prologue line that failed stands in SLURM's log and nowhere else."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm")
    sweep.dir.gone(submission.uuid).mkdir()
    write(
        sweep.dir.gone(submission.uuid) / "000000.json",
        '{"format": 1, "at": 1.0, "verdicts": [[0, null, "never_started"]]}\n',
    )
    words = "".join(f"line {number} of the prologue\n" for number in range(30))
    slurm_log(sweep, submission, words + "bash: module: command not found\n")

    text = page(sweep, sweep.points[0])

    assert "? lost (never started)" in text
    assert "── SLURM and the worker, 31 lines ─" in text
    assert "bash: module: command not found" in text


def test_of_a_local_worker_that_died_before_its_first_word_the_last_words_are_found(
    study, pytau_hpc_cli
):
    """submitit caught them; there is no journal and no log."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(driver=a_gone_process())
    folder = sweep.dir.submission(submission.uuid) / "submitit"
    write(folder / "4711_0_log.out", "ModuleNotFoundError: No module named 'pytau_hpc'\n")
    write(folder / "4712_0_log.out", "")

    text = page(sweep, sweep.points[0])
    path = pytau_hpc_cli("logs", sweep.points[0].point_id, "--path", check=True).stdout

    assert "No module named 'pytau_hpc'" in text
    assert path.strip().endswith("4711_0_log.out")


def test_of_a_point_whose_task_died_before_it_the_log_of_that_run_is_shown(study):
    """The reason stands there, though under another point's name."""
    sweep = a_sweep(study, n=2)
    submission = sweep.submit(per_task=2)
    sweep.run(submission, process=a_gone_process()).starts(sweep.points[0])
    run_log(sweep, submission, f"{mark(sweep.points[0])}terminate called\n")

    text = page(sweep, sweep.points[1])

    assert "── run 1 of its task, which did not come to the point, 2 lines ─" in text
    assert "terminate called" in text


# -- which try --------------------------------------------------------------------------------------------------------


@pytest.fixture
def tried_twice(study) -> BuiltSweep:
    """A point that ran out of memory, and then raised an error."""
    sweep = a_sweep(study, n=1)
    for kind in (Kind.OUT_OF_MEMORY, Kind.EXCEPTION):
        submission = sweep.submit()
        with sweep.run(submission) as run:
            run.fails(sweep.points[0], kind)
        run_log(sweep, submission, f"{mark(sweep.points[0])}a word about {kind}\n")
    return sweep


def test_the_newest_try_is_shown_unless_another_is_asked_for(tried_twice, pytau_hpc_cli):
    """`--try` counts from 1; that there was one before is said."""
    point = tried_twice.points[0].point_id

    newest = pytau_hpc_cli("logs", point, check=True)
    first = pytau_hpc_cli("logs", point, "--try", "1", check=True)

    assert "try 2 of 2 · ✗ failed (exception)" in newest.stdout
    assert "a word about exception" in newest.stdout
    assert f"pytau-hpc logs {point[:8]} gc_states --try 1" in newest.stderr
    assert "try 1 of 2 · ✗ failed (out of memory)" in first.stdout
    assert "a word about out_of_memory" in first.stdout


def test_a_try_that_there_was_not_is_a_mistake(tried_twice, pytau_hpc_cli):
    """Which says how many there were."""
    done = pytau_hpc_cli("logs", tried_twice.points[0].point_id, "--try", "3")

    assert done.returncode == 2
    assert "there are 2, counted from 1" in done.stderr


def test_the_path_alone_is_for_other_programs(tried_twice, pytau_hpc_cli):
    """As `less $(pytau-hpc logs POINT --path)`."""
    point = tried_twice.points[0].point_id

    newest = pytau_hpc_cli("logs", point, "--path", check=True)
    first = pytau_hpc_cli("logs", point, "--path", "--try", "1", check=True)

    assert "exception" in (tried_twice.dir.study / newest.stdout.strip()).read_text()
    assert "out_of_memory" in (tried_twice.dir.study / first.stdout.strip()).read_text()
    assert newest.stderr == ""


def test_a_requeue_makes_another_try_with_a_log_of_its_own(study):
    """Two runs of one task."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit()
    with sweep.run(submission) as run:
        run.is_interrupted(sweep.points[0])
    with sweep.run(submission, number=2) as run:
        run.fails(sweep.points[0])

    newest = page(sweep, sweep.points[0])
    first = page(sweep, sweep.points[0], 1)

    assert "try 2 of 2 · ✗ failed" in newest
    assert "try 1 of 2 · ‖ interrupted (preempted)" in first


# -- nothing to show --------------------------------------------------------------------------------------------------


def test_a_point_that_was_never_sent_has_no_log(study, pytau_hpc_cli):
    """An answer, and what to ask instead."""
    sweep = a_sweep(study, n=1)

    done = pytau_hpc_cli("logs", sweep.points[0].point_id)

    assert done.returncode == 2
    assert "has no log: it is planned, and was never tried" in done.stderr


def test_a_queued_point_says_that_it_waits(study, pytau_hpc_cli):
    """There is nothing wrong, and nothing to show yet."""
    sweep = a_sweep(study, n=1)
    sweep.submit()

    done = pytau_hpc_cli("logs", sweep.points[0].point_id, check=True)
    path = pytau_hpc_cli("logs", sweep.points[0].point_id, "--path")

    assert "… queued" in done.stdout
    assert "… queued since" in done.stderr
    assert "-f   as it is written" in done.stderr
    assert path.returncode == 2
    assert "there is no log of this try: the point is queued" in path.stderr


@pytest.mark.parametrize("words", [["gc_states", "{point}"], ["gc_states"]])
@pytest.mark.parametrize("command", ["logs", "explain"])
def test_the_sweep_before_the_point_is_put_right(shared, pytau_hpc_cli, command, words):
    """The message has the right order, or says what is missing."""
    point = shared.points[0].point_id[:8]

    done = pytau_hpc_cli(command, *(word.format(point=point) for word in words))

    assert done.returncode == 2
    right = point if len(words) == 2 else "POINT"
    assert f"help: pytau-hpc {command} {right} gc_states" in done.stderr


def test_a_label_names_a_point_too_and_a_sweep_may_be_named(shared, pytau_hpc_cli):
    """POINT first, then SWEEP; from anywhere when it is a folder."""
    label = "AM10_4Tastes_201006_095803/K3"

    done = pytau_hpc_cli("logs", label, shared.dir.path, check=True, cwd=shared.dir.models)

    assert "ValueError: no spikes" in done.stdout
    assert str(shared.dir.path) in done.stderr


def test_follow_goes_with_no_other_option(shared, pytau_hpc_cli):
    """Rather than one of them ignored."""
    done = pytau_hpc_cli("logs", shared.points[0].point_id, "-f", "--all")

    assert done.returncode == 2
    assert "-f follows the try that comes" in done.stderr


# -- what lines look like ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 100])
def test_headings_fit_the_terminal(shared, width):
    """Whatever the label and the path; the lines of a log are left as they are."""
    how = report.Look(shown=os.fspath, now=NOON + 90_000, width=width)
    seen = logs.look(shared.dir, shared.points[1].point_id)

    text = plain(report.header(shared.dir, seen, logs.chosen(seen), how))

    assert max(map(len, text.splitlines())) <= width
    assert "22 Nov" in text  # yesterday


def test_a_rule_has_the_path_at_its_end_or_below():
    """Never cut: a path is there to be copied."""
    [long] = report.rule("output, 3 lines", "sweeps/toy/logs/1/0.r1.log", 80)
    wide, below = report.rule("output, 3 lines", "x" * 70, 80)

    assert len(long[0].text) == len(wide[0].text) == 80
    assert below[0].text.strip() == "x" * 70
