"""``--wait --auto-resume``: what may be tried again is, until all is done or final, without anybody there."""

from __future__ import annotations

import json
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


def test_ctrl_c_ends_the_wait_also_while_it_runs_what_failed_again(toy, trace, eventually):
    """Nothing is sent after that."""
    sweep = toy(
        sessions=1,
        iterations=400,
        sleep_s=0.05,
        checkpoint_s=0.2,
        more="  fail: [exception]\n  fail_times: [1]",
    )
    waiting = sweep.start("submit", "--wait", "--auto-resume", "-j", "1")
    eventually(lambda: list((sweep.path / "checkpoints").rglob("*.npz")), "a checkpoint")
    sent = len(list((sweep.path / "submissions").iterdir()))

    waiting.send_signal(signal.SIGINT)

    assert waiting.wait(60) == 130, waiting.stderr.read()
    assert sent == 2
    assert len(list((sweep.path / "submissions").iterdir())) == 2
    assert sweep.counts() == {"planned": 3, "interrupted": 1}


def test_a_wait_answers_the_same_whichever_way_it_came_to_its_end(toy, trace):
    """Also where there was nothing left to send."""
    sweep = toy(sessions=1, more="  fail: [never, exception]")
    submit = sweep.run("submit", "--wait", "--json", "-j", "2", ok=(3,))
    sweep.run("resume", "--wait", "--auto-resume", "-j", "2", ok=(3,))
    fine = sweep.rows("SELECT point_id FROM point WHERE state = 'succeeded' LIMIT 1")[0][0]

    assert json.loads(submit.stdout)["counts"]["succeeded"] == 4
    sweep.run("resume", "--wait", ok=(3,))
    sweep.run("resume", "--wait", "--point", fine)


def test_auto_resume_needs_somebody_who_waits(toy):
    refused = toy(sessions=1).run("submit", "--auto-resume", ok=(2,))

    assert "--wait" in refused.stderr
