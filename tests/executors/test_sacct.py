"""What accounting adds to a guess. The text is an answer of a real SLURM 22.05."""

from __future__ import annotations

import pytest

from pytau_hpc.executors import sacct
from pytau_hpc.executors.base import Gone, OpenTask
from pytau_hpc.sweep.process import ProcessIdentity
from pytau_hpc.sweep.state import Kind

NAME = "gc.0123456789ab.0"
#: Element 3 was preempted, requeued, and then lost its node; 4 was cancelled by a person; 5 still runs.
ANSWER = f"""\
{NAME}|8123_3|NODE_FAIL|2026-11-22T12:20:00
{NAME}|8123_3|PREEMPTED|2026-11-22T12:10:00
{NAME}|8123_4|CANCELLED by 1000|2026-11-22T12:12:00
{NAME}|8123_5|RUNNING|Unknown
{NAME}|8123_[6-9%4]|PENDING|Unknown
"""


def a_task(element: int, **known) -> OpenTask:
    return OpenTask(
        submission="0123456789ab",
        task=element,
        array=0,
        element=element,
        job_name=NAME,
        driver=ProcessIdentity(host="login", boot_id="b", pid=1, started=1.0),
        grace_s=60.0,
        time_limit_s=3600.0,
        run=1,
        **known,
    )


def a_guess(element: int, kind: Kind = Kind.KILLED, *, guessed: bool = True) -> Gone:
    return Gone(submission="0123456789ab", task=element, run=1, kind=kind, guessed=guessed)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Recorded words in place of a sacct; returns what was asked."""
    asked: list[list[str]] = []

    def ask(names, *, since):
        asked.append(list(names))
        return sacct.parse(ANSWER)

    monkeypatch.setattr(sacct, "ask", ask)
    return asked


def test_the_executions_of_an_element_are_read_in_their_order():
    assert sacct.parse(ANSWER) == {(NAME, 3): ["PREEMPTED", "NODE_FAIL"], (NAME, 4): ["CANCELLED"]}


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        (a_task(3), Kind.PREEMPTED),
        (a_task(3, run_restart=1), Kind.NODE),
        (a_task(3, run_restart=2), Kind.KILLED),  # accounting has not heard of that one yet
        (a_task(4), Kind.KILLED),
        (a_task(5), Kind.KILLED),
    ],
)
def test_a_guess_becomes_what_accounting_says_about_that_execution(answers, task, kind):
    [verdict] = sacct.improved([a_guess(task.task)], [task])

    assert verdict.kind is kind


def test_nobody_asks_when_nothing_is_guessed(answers):
    """Accounting is slow, and shared by everybody."""
    certain = a_guess(3, Kind.TIMEOUT, guessed=False)

    assert sacct.improved([certain], [a_task(3)]) == (certain,)
    assert not answers


def test_without_sacct_a_guess_stays_a_guess(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")

    assert sacct.improved([a_guess(3)], [a_task(3)]) == (a_guess(3),)
