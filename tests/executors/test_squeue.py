"""What squeue's answers mean. The texts are answers of a real SLURM 22.05."""

from __future__ import annotations

import pytest

from pytau_hpc.executors.base import OpenTask
from pytau_hpc.executors.squeue import (
    KIND_OF_TERMINAL_STATE,
    REST,
    expand,
    judge,
    overdue,
    parse,
)
from pytau_hpc.sweep.process import ProcessIdentity
from pytau_hpc.sweep.state import Kind, Liveness

NAME = "gc.0123456789ab.0"
DRIVER = ProcessIdentity(host="login", boot_id="b", pid=1, started=1.0)


def a_task(**known) -> OpenTask:
    return OpenTask(
        **{
            "submission": "0123456789ab",
            "task": 3,
            "array": 0,
            "element": 3,
            "job_name": NAME,
            "driver": DRIVER,
            "grace_s": 60.0,
            "time_limit_s": 3600.0,
            **known,
        }
    )


def judged(task: OpenTask, text: str, *, absent=None, now=1000.0, sender=Liveness.GONE):
    return judge([task], parse(text), absent=absent or {}, now=now, sender=lambda driver: sender)


@pytest.mark.parametrize(
    ("text", "indexes"),
    [("7", [7]), ("[4-6%2]", [4, 5, 6]), ("1,3-5", [1, 3, 4, 5]), ("[0]", [0]), ("N/A", [REST])],
)
def test_array_indexes_are_read_as_squeue_writes_them(text, indexes):
    assert expand(text) == indexes


def test_a_pending_task_is_neither_gone_nor_over():
    sighting = judged(a_task(), f"{NAME}|3|PENDING|8123||Priority\n")

    assert not sighting.gone
    assert sighting.reachable


def test_a_requeued_task_waits():
    """Its run ended in good order, and SLURM holds the task again."""
    sighting = judged(
        a_task(run=1, run_over=True, run_ended="preempted"), f"{NAME}|3|PENDING|8123||BeginTime\n"
    )

    assert sighting.waiting == {("0123456789ab", 3)}


def test_a_task_whose_run_said_that_it_is_done_does_not_wait():
    sighting = judged(
        a_task(run=1, run_over=True, run_ended="done"), f"{NAME}|3|COMPLETING|8123||None\n"
    )

    assert not sighting.waiting


@pytest.mark.parametrize(
    ("state", "kind"),
    [(state, kind) for state, kind in KIND_OF_TERMINAL_STATE.items() if state != "COMPLETED"],
)
def test_a_terminal_state_ends_a_silent_run_at_once(state, kind):
    gone, _ = judged(a_task(run=1), f"{NAME}|3|{state}|8123||None\n").gone

    assert (gone.run, gone.kind) == (1, kind)


def test_a_task_that_ended_before_any_run_never_started():
    [gone] = judged(a_task(), f"{NAME}|3|CANCELLED|8123||None\n").gone

    assert (gone.run, gone.kind) == (None, Kind.NEVER_STARTED)


@pytest.mark.parametrize("state", ["SOMETHING_NEW", "SUSPENDED", "STOPPED"])
def test_a_state_that_we_do_not_know_is_alive(state):
    assert not judged(a_task(run=1), f"{NAME}|3|{state}|8123||None\n").gone


def test_absence_counts_only_after_the_grace_period():
    first = judged(a_task(run=1), "", now=1000.0)
    later = judged(a_task(run=1), "", absent=first.absent, now=1059.0)
    last = judged(a_task(run=1), "", absent=later.absent, now=1061.0)

    assert not first.gone
    assert not later.gone
    assert {gone.kind for gone in last.gone} == {Kind.KILLED}


def test_a_task_that_shows_up_again_starts_its_absence_anew():
    first = judged(a_task(run=1), "", now=1000.0)
    back = judged(a_task(run=1), f"{NAME}|3|RUNNING|8123||None\n", absent=first.absent, now=1030.0)
    away = judged(a_task(run=1), "", absent=back.absent, now=1070.0)

    assert not away.gone


def test_elements_that_were_pending_when_the_array_was_cancelled_share_one_line():
    """SLURM shows them as N/A; those that ran have lines of their own."""
    text = f"{NAME}|N/A|CANCELLED|8123||Resources\n{NAME}|0|RUNNING|8123||None\n"

    assert [gone.kind for gone in judged(a_task(), text).gone] == [Kind.NEVER_STARTED]
    assert not judged(a_task(task=0, element=0), text).gone


def test_of_a_requeued_element_the_living_line_counts():
    text = f"{NAME}|3|PREEMPTED|8123||None\n{NAME}|3|PENDING|8123||BeginTime\n"

    assert not judged(a_task(run=1, run_over=True, run_ended="preempted"), text).gone
    assert judged(a_task(run=1, run_over=True, run_ended="preempted"), text).waiting


def test_a_task_whose_sender_is_still_sending_is_not_missed():
    """With many arrays the last ones are sent minutes after the first."""
    first = judged(a_task(), "", sender=Liveness.ALIVE)
    later = judged(a_task(), "", absent=first.absent, now=2000.0, sender=Liveness.ALIVE)

    assert not later.gone


def test_a_run_that_has_written_something_since_was_there():
    """squeue may show nothing because it is another cluster's; a heartbeat says more."""
    first = judged(a_task(run=1, run_last_seen_at=990.0), "", now=1000.0)
    later = judged(a_task(run=1, run_last_seen_at=1055.0), "", absent=first.absent, now=1061.0)

    assert not later.gone


def test_what_was_written_in_the_future_says_nothing():
    """The clock of its node is ahead of ours, and its run would be missed by nobody for as long as that."""
    first = judged(a_task(run=1, run_last_seen_at=4600.0), "", now=1000.0)
    later = judged(a_task(run=1, run_last_seen_at=4600.0), "", absent=first.absent, now=2800.0)

    assert later.gone


def test_another_users_task_is_never_missed():
    """Their jobs may be hidden from us."""
    first = judged(a_task(run=1, ours=False), "", now=1000.0)

    assert not judged(a_task(run=1, ours=False), "", absent=first.absent, now=5000.0).gone


def test_an_interrupted_task_that_slurm_ended_will_not_come_again():
    sighting = judged(
        a_task(run=1, run_over=True, run_ended="preempted"), f"{NAME}|3|PREEMPTED|8123||None\n"
    )

    assert [(gone.run, gone.kind) for gone in sighting.gone] == [(None, Kind.PREEMPTED)]
    assert not sighting.waiting


def test_a_silent_run_whose_task_waits_again_lost_its_node():
    """It had begun before squeue was asked; SLURM requeues what ran on a node that died."""
    sighting = judged(a_task(run=1), f"{NAME}|3|PENDING|8123||BeginTime\n")

    assert [(gone.run, gone.kind) for gone in sighting.gone] == [(1, Kind.NODE)]
    assert sighting.waiting == sighting.alive == {("0123456789ab", 3)}
    assert dict(sighting.reasons) == {("0123456789ab", 3): "PENDING (BeginTime)"}


def test_a_run_that_was_near_its_memory_when_it_fell_silent_died_of_it():
    """SLURM's state says only FAILED, or nothing any more; its last record says why."""
    known = {"run": 1, "mem_bytes": 2**30, "run_rss_bytes": int(0.95 * 2**30)}

    failed = judged(a_task(**known), f"{NAME}|3|FAILED|8123||NonZeroExitCode\n")
    forgotten = judged(a_task(**known), "", absent={"0123456789ab/3": 900.0})

    assert {gone.kind for gone in failed.gone} == {Kind.OUT_OF_MEMORY}
    assert {gone.kind for gone in forgotten.gone} == {Kind.OUT_OF_MEMORY}


def test_run_and_task_are_given_up_in_one_verdict():
    """Else what is known would depend on how often somebody looked."""
    sighting = judged(a_task(run=2), f"{NAME}|3|TIMEOUT|8123||TimeLimit\n")

    assert [(gone.run, gone.kind) for gone in sighting.gone] == [
        (2, Kind.TIMEOUT),
        (None, Kind.TIMEOUT),
    ]


def test_a_running_task_is_alive_and_does_not_wait():
    sighting = judged(a_task(run=1), f"{NAME}|3|RUNNING|8123||None\n")

    assert sighting.alive
    assert not sighting.waiting
    assert not sighting.gone


@pytest.mark.parametrize(
    ("silent_for_s", "gone"), [(3600.0, False), (3600.0 + 60 + 1800 + 1, True)]
)
def test_without_any_answer_only_what_is_long_past_its_time_limit_is_gone(silent_for_s, gone):
    """Even a scheduler that never answers again does not keep a point for ever."""
    task = a_task(run=1, run_started_at=1000.0, run_last_seen_at=1000.0)

    assert bool(overdue([task], now=1000.0 + silent_for_s)) is gone


def test_a_run_that_still_writes_is_not_overdue():
    """Its limit may have been raised by hand."""
    task = a_task(run=1, run_started_at=1000.0, run_last_seen_at=9000.0)

    assert not overdue([task], now=9060.0)


@pytest.mark.parametrize("run", [None, 1])
def test_a_task_that_ended_in_good_order_without_a_word_gets_its_grace(run):
    """A worker that ends in good order has written: the file system may show it later than SLURM."""
    text = f"{NAME}|3|COMPLETED|8123||None\n"
    first = judged(a_task(run=run), text, now=1000.0)
    last = judged(a_task(run=run), text, absent=first.absent, now=1061.0)

    assert not first.gone
    assert last.gone


def test_tasks_of_another_cluster_are_never_missed_here():
    """Two clusters may share a file system; this one's squeue knows nothing of the other's jobs."""
    task = a_task(run=1, cluster="north")

    def gone_at(here):
        absent = {"0123456789ab/3": 900.0}
        return judge([task], {}, absent=absent, now=1000.0, here=lambda: here).gone

    assert gone_at("north")
    assert not gone_at("south")


def test_a_task_that_failed_before_its_worker_spoke_tells_of_its_node():
    text = f"{NAME}|3|FAILED|8123|n417|NonZeroExitCode\n"

    [gone] = judged(a_task(), text).gone
    assert (gone.kind, gone.node) == (Kind.NEVER_STARTED, "n417")
    # What its worker wrote says more.
    assert {verdict.node for verdict in judged(a_task(run=1), text).gone} == {None}


def test_tasks_of_another_cluster_are_left_alone_and_said():
    """A file system may be shared by clusters; the SLURM that answers knows nothing of the other's jobs."""
    task = a_task(run=1, cluster="discovery")

    sighting = judge([task], {}, absent={"0123456789ab/3": 0.0}, now=9e9, here=lambda: "bouchet")

    assert not sighting.gone
    assert "sent to the cluster discovery" in sighting.note
    assert not judge([task], {}, absent={}, now=0.0, here=lambda: "discovery").note
