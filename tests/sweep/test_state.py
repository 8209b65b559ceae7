"""`state_of`: one state for every history, and unknown changes nothing."""

from __future__ import annotations

import itertools

import pytest

from pytau_hpc.sweep.state import (
    AttemptFacts,
    Kind,
    Outcome,
    PointState,
    RunFacts,
    State,
    TaskFacts,
    kind_of_end,
    state_of,
)

OPEN = AttemptFacts(run=1)
FAILED = AttemptFacts(run=1, outcome=Outcome.FAILED, kind=Kind.EXCEPTION)
STOPPED = AttemptFacts(run=1, outcome=Outcome.INTERRUPTED, kind=Kind.PREEMPTED)
DONE = AttemptFacts(run=1, outcome=Outcome.SUCCEEDED)

RUNNING_RUN = RunFacts(number=1)
ENDED_RUN = RunFacts(number=1, ended=True)
GONE_RUN = RunFacts(number=1, gone=Kind.NODE)
SECOND_RUN = RunFacts(number=2)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("never submitted", (State.PLANNED, None)),
        ("submitted, nothing heard", (State.QUEUED, None)),
        ("its task was found gone before it ran", (State.LOST, Kind.NEVER_STARTED)),
        ("its task runs and has not come to it", (State.QUEUED, None)),
        ("its task ended in good order before it", (State.PLANNED, None)),
        ("its task vanished before it", (State.LOST, Kind.NEVER_STARTED)),
        ("started", (State.RUNNING, None)),
        ("started, and its run vanished", (State.LOST, Kind.NODE)),
        ("started, its run vanished, and SLURM requeued the task", (State.QUEUED, None)),
        ("started in a run that a newer one followed", (State.QUEUED, None)),
        ("failed", (State.FAILED, Kind.EXCEPTION)),
        ("failed, and the task runs on", (State.FAILED, Kind.EXCEPTION)),
        ("stopped in good order", (State.INTERRUPTED, Kind.PREEMPTED)),
        ("stopped, and SLURM holds the task", (State.QUEUED, None)),
        ("stopped, and a newer run is there", (State.QUEUED, None)),
        ("succeeded, but the result was removed", (State.PLANNED, None)),
    ],
)
def test_every_history_has_its_state(told, expected):
    histories = {
        "never submitted": {},
        "submitted, nothing heard": {"task": TaskFacts()},
        "its task was found gone before it ran": {"task": TaskFacts(gone=Kind.NEVER_STARTED)},
        "its task runs and has not come to it": {"task": TaskFacts(runs=[RUNNING_RUN])},
        "its task ended in good order before it": {"task": TaskFacts(runs=[ENDED_RUN])},
        "its task vanished before it": {"task": TaskFacts(runs=[GONE_RUN])},
        "started": {"task": TaskFacts(runs=[RUNNING_RUN]), "attempts": [OPEN]},
        "started, and its run vanished": {"task": TaskFacts(runs=[GONE_RUN]), "attempts": [OPEN]},
        "started, its run vanished, and SLURM requeued the task": {
            "task": TaskFacts(runs=[GONE_RUN], waiting=True),
            "attempts": [OPEN],
        },
        "started in a run that a newer one followed": {
            "task": TaskFacts(runs=[RUNNING_RUN, SECOND_RUN]),
            "attempts": [OPEN],
        },
        "failed": {"task": TaskFacts(runs=[ENDED_RUN]), "attempts": [FAILED]},
        "failed, and the task runs on": {
            "task": TaskFacts(runs=[RUNNING_RUN]),
            "attempts": [FAILED],
        },
        "stopped in good order": {"task": TaskFacts(runs=[ENDED_RUN]), "attempts": [STOPPED]},
        "stopped, and SLURM holds the task": {
            "task": TaskFacts(runs=[ENDED_RUN], waiting=True),
            "attempts": [STOPPED],
        },
        "stopped, and a newer run is there": {
            "task": TaskFacts(runs=[ENDED_RUN, SECOND_RUN]),
            "attempts": [STOPPED],
        },
        "succeeded, but the result was removed": {
            "task": TaskFacts(runs=[ENDED_RUN]),
            "attempts": [DONE],
        },
    }
    assert state_of(**histories[told]) == PointState(state=expected[0], kind=expected[1])


_TASKS = [
    None,
    TaskFacts(),
    TaskFacts(gone=Kind.NEVER_STARTED),
    *(
        TaskFacts(runs=runs, waiting=waiting)
        for runs in ([RUNNING_RUN], [ENDED_RUN], [GONE_RUN], [GONE_RUN, SECOND_RUN])
        for waiting in (False, True)
    ),
]
_ATTEMPTS = [[], [OPEN], [FAILED], [STOPPED], [DONE], [OPEN, AttemptFacts(run=2)]]


@pytest.mark.parametrize(("task", "attempts"), list(itertools.product(_TASKS, _ATTEMPTS)))
def test_a_valid_result_wins_over_everything(task, attempts):
    if task is None or (attempts and not task.runs):
        attempts = []
    assert state_of(has_result=True, task=task, attempts=attempts).state is State.SUCCEEDED


@pytest.mark.parametrize("attempts", _ATTEMPTS)
def test_nothing_is_lost_without_a_verdict(attempts):
    """Only "ended" and "gone" end a run; silence does not."""
    task = TaskFacts(runs=[RUNNING_RUN, SECOND_RUN] if len(attempts) > 1 else [RUNNING_RUN])
    assert state_of(task=task, attempts=attempts).state is not State.LOST


@pytest.mark.parametrize(
    ("said", "signalled", "gone", "requeued", "kind"),
    [
        # What the fit itself said stays.
        (Kind.EXCEPTION, None, Kind.NODE, True, Kind.EXCEPTION),
        (Kind.OUT_OF_MEMORY, None, Kind.KILLED, False, Kind.OUT_OF_MEMORY),
        # A signal: the scheduler knows better.
        (Kind.KILLED, None, None, False, Kind.KILLED),
        (Kind.KILLED, None, Kind.KILLED, False, Kind.KILLED),
        (Kind.KILLED, None, Kind.PREEMPTED, False, Kind.PREEMPTED),
        (Kind.KILLED, None, None, True, Kind.PREEMPTED),
        (Kind.TIMEOUT, None, None, False, Kind.TIMEOUT),
        (Kind.TIMEOUT, None, Kind.PREEMPTED, False, Kind.PREEMPTED),
        (Kind.TIMEOUT, None, None, True, Kind.PREEMPTED),
        (Kind.PREEMPTED, None, None, True, Kind.PREEMPTED),
        # No last word: the run's own one, what the scheduler did, what it said.
        (None, Kind.TIMEOUT, Kind.KILLED, False, Kind.TIMEOUT),
        (None, Kind.KILLED, None, True, Kind.PREEMPTED),
        (None, None, None, True, Kind.NODE),
        (None, None, Kind.OUT_OF_MEMORY, True, Kind.OUT_OF_MEMORY),
        (None, None, Kind.KILLED, False, Kind.KILLED),
        (None, None, None, False, Kind.KILLED),
    ],
)
def test_the_reason_of_an_end_is_the_best_that_anybody_knows(said, signalled, gone, requeued, kind):
    """A worker sees only a signal; a requeue, or the scheduler's own word, tells whose it was."""
    runs = [RunFacts(number=1, ended=said is not None, signalled=signalled, gone=gone)]
    if requeued:
        runs.append(RunFacts(number=2, restart=1))
    outcome = None if said is None else Outcome.INTERRUPTED

    assert (
        kind_of_end(TaskFacts(runs=runs), AttemptFacts(run=1, outcome=outcome, kind=said)) is kind
    )


def test_the_verdict_on_a_task_is_about_its_newest_run():
    """SLURM says TIMEOUT of the job as it is now; the run before was requeued."""
    task = TaskFacts(
        runs=[RunFacts(number=1, ended=True), RunFacts(number=2, ended=True, restart=1)],
        gone=Kind.TIMEOUT,
    )
    first, second = (
        AttemptFacts(run=run, outcome=Outcome.INTERRUPTED, kind=Kind.KILLED) for run in (1, 2)
    )

    assert (kind_of_end(task, first), kind_of_end(task, second)) == (Kind.PREEMPTED, Kind.TIMEOUT)


def test_a_second_run_that_nobody_requeued_says_nothing_about_the_first():
    """A job list of GNU Parallel that is run again: no scheduler, no restart count."""
    task = TaskFacts(runs=[RunFacts(number=1, ended=True), RunFacts(number=2)])

    stopped = AttemptFacts(run=1, outcome=Outcome.INTERRUPTED, kind=Kind.KILLED)

    assert kind_of_end(task, stopped) is Kind.KILLED
