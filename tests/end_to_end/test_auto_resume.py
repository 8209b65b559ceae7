"""``--wait --auto-resume``: what may be tried again is, until all is done or final, without anybody there."""

from __future__ import annotations

import os
import signal

import pytest

from tests.toy_sweep import kill_everything


@pytest.fixture
def trace(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Where toy fits count their own failures, so that they fail a given number of times."""
    folder = tmp_path / "trace"
    folder.mkdir()
    monkeypatch.setenv("PYTAU_TOY_TRACE", str(folder))
    return folder


def test_what_fails_once_is_resumed_without_being_asked_for(toy, trace):
    """The first try of every point fails; the second succeeds."""
    sweep = toy(sessions=1, more="  fail: [exception]\n  fail_times: [1]")

    done = sweep.run("submit", "--wait", "--auto-resume", "-j", "2")

    assert sweep.counts() == {"succeeded": 4}
    assert "sent 4 points again" in done.stderr
    assert max(sweep.successes().values()) == 1


def test_what_is_final_ends_the_wait_and_is_said(toy, trace):
    """An error that comes twice is final: nothing goes on for ever."""
    sweep = toy(sessions=1, more="  fail: [never, exception]")

    sweep.run("submit", "--wait", "--auto-resume", "-j", "2", ok=(3,))

    assert sweep.counts() == {"succeeded": 4, "failed": 4}
    assert sweep.rows("SELECT DISTINCT attempts FROM point WHERE state = 'failed'") == [(2,)]


def test_a_wait_that_is_killed_is_taken_up_by_the_same_command(toy, trace, eventually):
    """kill -9 of it and of everything that it had started: it kept nothing in its head."""
    sweep = toy(
        sessions=1, iterations=10, sleep_s=0.1, more="  fail: [exception]\n  fail_times: [1]"
    )
    words = ("resume", "--wait", "--auto-resume", "-j", "2")
    waiting = sweep.start(*words)
    eventually(lambda: sweep.counts().get("failed"), "a failure")
    os.killpg(waiting.pid, signal.SIGKILL)
    kill_everything(str(sweep.path))
    waiting.wait()

    sweep.run(*words)

    assert sweep.counts() == {"succeeded": 4}
    assert max(sweep.successes().values()) == 1


def test_auto_resume_needs_somebody_who_waits(toy):
    refused = toy(sessions=1).run("submit", "--auto-resume", ok=(2,))

    assert "--wait" in refused.stderr
