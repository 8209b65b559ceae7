from __future__ import annotations

import io
import json

import pytest
from filelock import FileLock

from pytau_hpc import pace
from pytau_hpc.choose import Choices
from pytau_hpc.ledger.summary import Which
from pytau_hpc.prepare import Prepared
from pytau_hpc.reports import live
from pytau_hpc.reports.format import plain
from pytau_hpc.reports.live import LiveBar
from pytau_hpc.sweep.state import Kind, State
from tests.builders import BuiltSweep, a_sweep


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Shown:
    """A sweep with one submission of 4 points in one task, its bar, and what the bar wrote."""

    def __init__(self, sweep: BuiltSweep, stream: io.StringIO, **how) -> None:
        self.sweep, self.stream, self.clock = sweep, stream, Clock()
        submission = sweep.submit(per_task=4)
        self.run = sweep.run(submission)
        self.bar = LiveBar(sweep.dir, stream=stream, clock=self.clock, **how)
        self.prepared = Prepared(choices=Choices(()), submission=submission)

    def after(self, seconds: float) -> str:
        """What a tick writes after some time."""
        self.clock.now += seconds
        before = len(self.stream.getvalue())
        self.bar.tick()
        return self.stream.getvalue()[before:]


@pytest.fixture
def log(study) -> Shown:
    shown = Shown(a_sweep(study, n=4), io.StringIO())
    shown.bar.start(shown.prepared)
    return shown


def test_a_log_gets_a_line_when_something_has_changed(log):
    """And none when nothing has."""
    assert log.after(1) == "0/4 succeeded  0:00:01 elapsed\n"
    assert log.after(60) == ""
    log.run.succeeds(log.sweep.points[0])
    assert log.after(1) == "1/4 succeeded  0:01:02 elapsed\n"
    assert log.after(60) == ""


def test_a_log_gets_at_most_a_line_in_ten_seconds(log):
    """A thousand short fits do not fill a disk."""
    log.after(1)
    for point in log.sweep.points[:3]:
        log.run.succeeds(point)
        assert log.after(2) == ""
    assert log.after(10).startswith("3/4 succeeded")


def test_failures_are_counted_by_cause(log):
    """While the rest goes on."""
    log.run.fails(log.sweep.points[0], Kind.OUT_OF_MEMORY).fails(log.sweep.points[1])

    assert log.after(100).endswith("✗ 1 exception · ✗ 1 out of memory\n")


def test_a_fit_that_a_person_stopped_is_no_failure(log):
    """Ctrl-C: it has its checkpoint, and `resume` takes it up."""
    log.run.is_interrupted(log.sweep.points[0], kind=Kind.KILLED)
    log.run.ends("killed")

    assert "‖ 1 interrupted" in log.after(11)


def test_the_journals_are_read_once_a_second_at_most(log):
    """Ticks come ten times as often."""
    log.after(1)
    log.run.succeeds(log.sweep.points[0])

    assert log.after(0.5) == ""
    assert log.bar._snapshot.succeeded == 0
    log.after(0.6)
    assert log.bar._snapshot.succeeded == 1


def test_the_end_leaves_one_line(log):
    """How it went, and how long it took."""
    for point in log.sweep.points:
        log.run.succeeds(point)
    log.clock.now += 125
    log.bar.finish()

    assert log.stream.getvalue() == "4/4 succeeded  0:02:05 elapsed\n"


def test_a_terminal_gets_a_bar_with_what_runs(study):
    """Redrawn in place, and gone in the end but for one line."""
    shown = Shown(a_sweep(study, n=4), Terminal())
    shown.bar.start(shown.prepared)
    shown.run.succeeds(shown.sweep.points[0]).starts(shown.sweep.points[1])
    shown.run.progresses(shown.sweep.points[1], 1400, 2000)

    text = shown.after(30)

    assert "1/4  25 %  0:00:30 elapsed" in text
    assert f"{shown.sweep.points[1].point_id[:8]} " in text
    assert "fitting 1400/2000" in text
    shown.bar.finish()
    assert shown.stream.getvalue().rstrip().endswith("1/4 succeeded  0:00:30 elapsed")


def test_a_bar_that_was_not_started_or_is_quiet_says_nothing(study):
    """Nothing was sent, or the answer is JSON."""
    shown = Shown(a_sweep(study, n=4), io.StringIO(), quiet=True)
    shown.bar.tick()
    shown.bar.start(shown.prepared)
    shown.after(100)
    shown.bar.finish()

    assert shown.stream.getvalue() == ""


def test_nothing_to_send_shows_nothing(study):
    """There is no submission then."""
    stream = io.StringIO()
    bar = LiveBar(a_sweep(study).dir, stream=stream)

    bar.start(Prepared(choices=Choices(()), submission=None))
    bar.tick()
    bar.finish()

    assert stream.getvalue() == ""


def test_the_driver_never_hears_of_trouble(log):
    """A ledger that is being written, a folder that is gone, a closed terminal: the fits go on."""
    log.run.succeeds(log.sweep.points[0])
    with FileLock(log.sweep.dir.ledger_lock):
        log.after(100)
    assert log.bar._snapshot.succeeded == 0
    log.after(100)
    assert log.bar._snapshot.succeeded == 1

    log.sweep.dir.path.rename(log.sweep.dir.path.with_name("elsewhere"))
    log.after(100)
    log.stream.close()
    log.clock.now += 100
    log.bar.tick()
    log.bar.finish()


def test_the_bar_fits_into_the_terminal():
    """Long labels, many points."""
    running = live.Running(
        point_id="1c9e04d2aaaaaaaa", label="x" * 200, phase="fitting", done=1, total=2, started_at=0.0,
        host=None, job_id=None, max_rss_bytes=None, req_mem_bytes=None,
    )  # fmt: skip
    counts = {**dict.fromkeys(State, 0), State.SUCCEEDED: 5, State.RUNNING: 20, State.QUEUED: 5}
    snapshot = live.Snapshot(total=30, counts=counts, causes={}, running=(running,) * 20)

    text = plain(live.snapshot_lines(snapshot, 100.0, wall=60.0, width=80)).splitlines()

    assert max(map(len, text)) <= 80
    assert "about 8 min left" in text[0]
    assert text[-1] == "  … 12 more"


def watch(sweep: BuiltSweep, *happens, stream: io.StringIO, **how):
    """Watch until it ends by itself; before each look after the first, one of `happens` is called."""
    todo = list(happens)
    given = {"which": Which(), "json_lines": False, "sleep": lambda seconds: todo.pop(0)()}
    return live.watch(sweep.dir, called=None, stream=stream, **{**given, **how})


@pytest.mark.parametrize("json_lines", [False, True])
def test_watching_prints_one_line_per_change_and_ends_by_itself(study, json_lines):
    """Without a terminal."""
    sweep = a_sweep(study, n=2)
    run = sweep.run(sweep.submit(per_task=2))
    stream = io.StringIO()

    last = watch(
        sweep,
        lambda: run.succeeds(sweep.points[0]),
        lambda: None,
        lambda: run.succeeds(sweep.points[1]).ends(),
        stream=stream,
        json_lines=json_lines,
    )

    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert last.counts[State.SUCCEEDED] == 2
    if json_lines:
        assert [json.loads(text)["counts"]["succeeded"] for text in lines] == [0, 1, 2]
    else:
        assert [text.split("  ")[1].split(" ")[0] for text in lines] == ["0/2", "1/2", "2/2"]


def test_watching_on_a_terminal_leaves_the_last_picture(study):
    """Whole, below what was there before."""
    sweep = a_sweep(study, n=1)
    run = sweep.run(sweep.submit())
    stream = Terminal()

    watch(sweep, lambda: run.succeeds(sweep.points[0]).ends(), stream=stream)

    assert "100 % done" in stream.getvalue().split("\x1b[?25h")[-1]


def test_watching_what_was_never_sent_ends_at_once(study):
    """Nothing is going to happen."""
    stream = io.StringIO()

    watch(a_sweep(study, n=2), stream=stream)

    assert "0/2 succeeded · 2 planned" in stream.getvalue()


def test_a_decision_that_takes_an_hour_is_no_look_that_took_an_hour(study):
    """Of local tasks, to send again is to run them: what follows is not put off by as long as that took."""
    sweep = a_sweep(study, n=1)
    clock, slept, decisions = Clock(), [], iter([False, True])

    def decide(status, tick) -> bool:
        clock.now += 3600
        return next(decisions)

    watch(sweep, stream=io.StringIO(), every_s=1.0, until=decide, sleep=slept.append, clock=clock)

    assert slept == [1.0]


def test_what_somebody_else_does_for_long_is_no_reason_to_sleep_for_longer():
    """The next look comes within a minute, whatever the last one waited for."""
    assert pace.pause_s(0.01, 1.0) == 1.0
    assert pace.pause_s(0.5, 1.0) == 10.0
    assert pace.pause_s(85.0, 1.0) == 60.0
    assert pace.pause_s(85.0, 300.0) == 300.0


def test_only_what_was_asked_for_is_watched(study):
    """Other points may be queued for days."""
    sweep = a_sweep(study, n=2)
    submission = sweep.submit()
    run = sweep.run(submission)
    mine = frozenset({sweep.points[0].point_id})
    stream = io.StringIO()

    last = watch(
        sweep,
        lambda: run.succeeds(sweep.points[0]).ends(),
        stream=stream,
        which=Which(ids=mine),
    )

    assert last.counts[State.SUCCEEDED] == 1
    assert last.counts[State.QUEUED] == 0
    assert "1/1" in stream.getvalue().splitlines()[-1]


def test_what_takes_long_to_decide_is_shown_meanwhile(study):
    """Of local tasks, to send again is to run them."""
    sweep = a_sweep(study, n=2)
    run = sweep.run(sweep.submit(per_task=2))
    stream, clock = io.StringIO(), Clock()
    shown: list[int] = []

    def decide(status, tick) -> bool:
        for point in sweep.points:
            run.succeeds(point)
            for _ in range(3):
                clock.now += 1
                tick()
            shown.append(len(stream.getvalue().splitlines()))
        return True

    watch(sweep, stream=stream, every_s=1.0, until=decide, clock=clock)

    assert shown == [2, 3]
