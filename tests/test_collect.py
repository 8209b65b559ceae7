"""`collect`: what histories mean, when the scheduler answers, when it does not, and when files are missing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from pytau_hpc.collect import collect, give_back
from pytau_hpc.executors import squeue
from pytau_hpc.ledger import queries
from pytau_hpc.sweep.state import Kind
from tests.builders import NOON, a_far_process, a_gone_process, a_sweep

POINTS = "SELECT state, kind, failures, interruptions FROM point ORDER BY position"


@pytest.fixture
def slurm(monkeypatch):
    """What squeue answers: (job name, element) → state; None: it does not answer."""

    queue = SimpleNamespace(shows={})

    def ask(names, *, timeout_s=20.0):
        if queue.shows is None:
            raise squeue.NoAnswer("down")
        return {key: squeue.Seen(state=state, reason="") for key, state in queue.shows.items()}

    monkeypatch.setattr(squeue, "ask", ask)
    return queue


def rows(sweep, *, now=None, sql=POINTS, **options):
    with collect(sweep.dir, now=now, **options) as collected:
        return [tuple(row) for row in collected.ledger.connection.execute(sql)]


def rebuilt(sweep, **options):
    sweep.dir.ledger.unlink()
    return rows(sweep, **options)


def a_requeued_sweep(study):
    """One point whose run was preempted in good order; SLURM may run the task again."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    run = sweep.run(submission)
    point = submission.tasks[0].points[0]
    run.is_interrupted(point, kind=Kind.PREEMPTED)
    run.ends("preempted")
    return sweep, (submission.job_name(submission.arrays[0]), 0)


def test_a_requeued_task_stays_queued_when_squeue_fails(study, slurm):
    """Unknown changes nothing: what was known to wait still waits."""
    sweep, element = a_requeued_sweep(study)
    slurm.shows = {element: "PENDING"}
    assert rows(sweep, fresh=True)[0][0] == "queued"

    slurm.shows = None

    assert rows(sweep, fresh=True)[0][0] == "queued"
    assert rows(sweep, ask=False)[0][0] == "queued"


def test_a_preempted_task_that_slurm_has_finished_is_interrupted_also_after_a_rebuild(study, slurm):
    """That it will not come again is written down, so a new ledger knows it at once."""
    sweep, element = a_requeued_sweep(study)
    slurm.shows = {element: "CANCELLED"}
    before = rows(sweep, fresh=True)

    slurm.shows = {}

    assert before == [("interrupted", "preempted", 0, 1)]
    assert rebuilt(sweep, fresh=True) == before


def test_a_run_that_slurm_forgot_overnight_did_not_reach_its_time_limit(study, slurm):
    """Its own last word says how long it lived, not the hour at which somebody looks."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    run = sweep.run(submission)
    run.starts(submission.tasks[0].points[0])
    slurm.shows = {}
    morning = submission.created_at + 20 * 3600
    rows(sweep, now=morning, fresh=True)

    assert rows(sweep, now=morning + 61, fresh=True) == [("lost", "killed", 0, 1)]


def test_a_damaged_first_record_costs_nothing_but_itself(study):
    """The journal is the proof of the run."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit()
    run = sweep.run(submission)
    run.starts(submission.tasks[0].points[0])
    path = next(sweep.dir.journals.rglob("*.jsonl"))
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(bytes(data))

    assert rows(sweep)[0][0] == "running"


def test_a_refused_submission_that_somebody_saw_leaves_its_points_planned(study, slurm):
    """`status` in another terminal collected while sbatch ran; then SLURM refused."""
    sweep = a_sweep(study, n=2)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    assert {row[0] for row in rows(sweep)} == {"queued"}

    sweep.dir.refused_file(submission.uuid).write_text("{}")

    assert {row[0] for row in rows(sweep, fresh=True)} == {"planned"}
    assert rebuilt(sweep) == [("planned", None, 0, 0)] * 2


def test_a_run_that_starts_after_its_task_was_given_up_is_watched_again(study):
    """A worker that was still importing when its sender was killed: the run is seen, and seen to die."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(driver=a_gone_process())
    assert rows(sweep) == [("lost", "never_started", 0, 1)]

    sweep.run(submission, process=a_gone_process()).starts(submission.tasks[0].points[0])

    assert rows(sweep) == [("lost", "killed", 0, 1)]
    assert rebuilt(sweep) == [("lost", "killed", 0, 1)]


def test_budgets_do_not_depend_on_how_often_somebody_looked(study):
    """A requeue after a lost run: charged as what became of the run, also after a rebuild."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(driver=a_gone_process())
    point = submission.tasks[0].points[0]
    sweep.run(submission, process=a_gone_process()).starts(point)
    rows(sweep)
    sweep.run(submission, number=2, process=a_gone_process()).fails(point).ends()

    often = rows(sweep)

    assert often == [("failed", "exception", 1, 1)]
    assert rebuilt(sweep) == often


def test_a_session_that_was_renamed_is_looked_for_under_its_new_name(study):
    """A point's id does not hold the session's name; where its result lies does."""
    sweep = a_sweep(study, n=2)
    with_new_names = [
        replace(point, session=replace(point.session, animal="Bert")) for point in sweep.points
    ]
    rows(sweep)
    sweep = sweep.plan_again(with_new_names)
    sweep.succeed(sweep.submit())

    assert [row[0] for row in rows(sweep)] == ["succeeded", "succeeded"]
    assert rebuilt(sweep) == rows(sweep)


KINDS = "SELECT run, outcome, kind FROM attempt ORDER BY number, run"


def test_a_sigterm_before_a_requeue_was_a_preemption(study, slurm):
    """The worker could only say that it was killed; that SLURM started it again says who it was."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    point = submission.tasks[0].points[0]
    first = sweep.run(submission)
    first.is_interrupted(point, kind=Kind.KILLED)
    first.ends("killed")
    assert rows(sweep, ask=False, sql=KINDS) == [(1, "interrupted", "killed")]

    sweep.run(submission, number=2, restart=1).starts(point)

    assert rows(sweep, ask=False, sql=KINDS)[0] == (1, "interrupted", "preempted")
    assert rebuilt(sweep, ask=False, sql=KINDS)[0] == (1, "interrupted", "preempted")


def test_a_silent_run_before_a_requeue_lost_its_node(study, slurm):
    """Charged to the interruptions, not to the fit."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    point = submission.tasks[0].points[0]
    sweep.run(submission).starts(point)

    sweep.run(submission, number=2, restart=1).starts(point)

    assert rows(sweep, ask=False, sql=KINDS)[0] == (1, None, "node")
    assert rows(sweep, ask=False) == [("running", None, 0, 1)]


def test_a_task_that_slurm_did_not_take_is_planned_again(study, slurm):
    """Its sender knows; nobody has to wait for the grace period."""
    sweep = a_sweep(study, n=4)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    slurm.shows = {(submission.job_name(submission.arrays[0]), i): "PENDING" for i in (0, 1)}

    give_back(sweep.dir, submission.uuid, [2, 3])

    states = [row[0] for row in rows(sweep, fresh=True)]
    assert states == ["queued", "queued", "planned", "planned"]
    assert [row[0] for row in rebuilt(sweep, fresh=True)] == states


def test_why_tasks_wait_is_known_also_between_two_questions(study, slurm):
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    element = (submission.job_name(submission.arrays[0]), 0)
    slurm.shows = {element: "PENDING"}
    with collect(sweep.dir, fresh=True) as first, collect(sweep.dir) as second:
        key = (submission.uuid, 0)
        assert first.reasons == second.reasons == {key: "PENDING"}
        assert (first.alive, second.alive) == ({key}, frozenset())


def test_a_scheduler_that_is_down_is_asked_once_in_a_while_not_at_every_look(study, slurm):
    """It takes long to find out that nobody answers."""
    sweep = a_sweep(study, n=1)
    sweep.submit(executor="slurm", driver=a_far_process())
    slurm.shows = None
    with collect(sweep.dir, now=1000.0):
        pass

    slurm.shows = {}
    with collect(sweep.dir, now=1010.0) as soon, collect(sweep.dir, now=1040.0) as later:
        assert (soon.reachable, later.reachable) == (False, True)
        assert "did not answer" in soon.notes[0]


def a_bad_node(study, *, n_bad: int, elsewhere: bool, kind: Kind = Kind.EXCEPTION):
    """Tasks of one point: `n_bad` of them fail at once on n417, and one succeeds elsewhere or does not."""
    sweep = a_sweep(study, n=n_bad + 1)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    for task in submission.tasks[:n_bad]:
        with sweep.run(submission, task.number, host="n417") as run:
            run.fails(task.points[0], kind=kind)
    if elsewhere:
        last = submission.tasks[-1]
        with sweep.run(submission, last.number, host="n418") as run:
            run.succeeds(last.points[0])
    with collect(sweep.dir, ask=False) as collected:
        return queries.bad_nodes(collected.ledger, now=NOON + 3600)


@pytest.mark.parametrize(
    ("n_bad", "elsewhere", "kind", "bad"),
    [
        (3, True, Kind.EXCEPTION, ["n417"]),
        (2, True, Kind.EXCEPTION, []),
        (3, False, Kind.EXCEPTION, []),  # perhaps the model's fault, everywhere
        (3, True, Kind.NON_FINITE, []),  # certainly the fit's
    ],
)
def test_a_node_where_fits_only_fail_while_others_succeed_is_bad(
    study, n_bad, elsewhere, kind, bad
):
    assert a_bad_node(study, n_bad=n_bad, elsewhere=elsewhere, kind=kind) == bad


@pytest.mark.parametrize(("elsewhere", "bad"), [(True, ["n417"]), (False, [])])
def test_a_node_where_fits_cannot_begin_is_bad_unless_they_can_nowhere(study, elsewhere, bad):
    """An environment that is broken everywhere is nobody's node's fault."""
    sweep = a_sweep(study, n=4)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    first, *others = submission.tasks
    if elsewhere:
        with sweep.run(submission, first.number, host="n418") as run:
            run.succeeds(first.points[0])
    for task in others:
        run = sweep.run(submission, task.number, host="n417")
        run.fails(task.points[0], kind=Kind.NODE)
        run.ends("node")

    with collect(sweep.dir, ask=False) as collected:
        assert queries.bad_nodes(collected.ledger, now=NOON + 3600) == bad
        assert queries.bad_nodes(collected.ledger, now=NOON + 3 * 86400) == []


def test_what_is_broken_on_every_node_by_now_is_no_nodes_fault(study):
    """That both worked in the morning does not speak for either of them; without both nothing would ever run."""
    sweep = a_sweep(study, n=8)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    for host, tasks in (("n417", submission.tasks[:4]), ("n418", submission.tasks[4:])):
        first, *others = tasks
        with sweep.run(submission, first.number, host=host, at=NOON - 3600) as run:
            run.succeeds(first.points[0])
        for task in others:
            with sweep.run(submission, task.number, host=host) as run:
                run.fails(task.points[0], kind=Kind.EXCEPTION)

    with collect(sweep.dir, ask=False) as collected:
        assert queries.bad_nodes(collected.ledger, now=NOON + 3600) == []


def test_what_works_on_the_login_node_does_not_have_to_on_a_node(study):
    """A try of some points here, before the rest is sent to the cluster."""
    sweep = a_sweep(study, n=4)
    here = sweep.submit(sweep.points[:1])
    with sweep.run(here, host="login") as run:
        run.succeeds(sweep.points[0])
    submission = sweep.submit(sweep.points[1:], executor="slurm", driver=a_far_process())
    for task in submission.tasks:
        with sweep.run(submission, task.number, host="n417") as run:
            run.fails(task.points[0], kind=Kind.EXCEPTION)

    with collect(sweep.dir, ask=False) as collected:
        assert queries.bad_nodes(collected.ledger, now=NOON + 3600) == []


def test_a_run_that_ends_while_squeue_is_asked_has_had_its_last_word(study, monkeypatch):
    """The journals were read just before; a verdict would say that it vanished."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    run = sweep.run(submission)
    point = submission.tasks[0].points[0]
    run.starts(point)
    element = (submission.job_name(submission.arrays[0]), 0)

    def it_ends_meanwhile(names, *, timeout_s=20.0):
        run.fails(point, kind=Kind.EXCEPTION)
        run.ends()
        return {element: squeue.Seen(state="FAILED")}

    monkeypatch.setattr(squeue, "ask", it_ends_meanwhile)

    assert rows(sweep, fresh=True)[0][:2] == ("failed", "exception")
    assert not list(sweep.dir.submissions.rglob("gone/*"))


@pytest.mark.parametrize("said", ["preempted", "killed"])
def test_a_task_that_was_stopped_is_queued_until_slurm_says_that_it_will_not_come_again(
    study, slurm, said
):
    """It may have been requeued, and squeue does not answer: unknown changes nothing, and nothing is sent twice."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    run = sweep.run(submission)
    run.is_interrupted(submission.tasks[0].points[0], kind=Kind(said))
    run.ends(said)
    element = (submission.job_name(submission.arrays[0]), 0)
    slurm.shows = None
    assert rows(sweep, fresh=True)[0][:2] == ("queued", None)
    assert rebuilt(sweep, fresh=True)[0][:2] == ("queued", None)

    slurm.shows = {element: "CANCELLED"}

    assert rows(sweep, fresh=True)[0][:2] == ("interrupted", said)
    assert rebuilt(sweep, fresh=True)[0][:2] == ("interrupted", said)


@pytest.mark.parametrize(("minutes", "failures"), [(5, 0), (50, 1)])
def test_a_fit_that_was_begun_late_in_its_task_is_not_charged_for_the_time_limit(
    study, slurm, minutes, failures
):
    """It never had the time that was asked for."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    point = submission.tasks[0].points[0]
    run = sweep.run(submission)
    run.is_interrupted(point, kind=Kind.TIMEOUT, after_s=60.0 * minutes)
    run.ends("timeout")

    assert rows(sweep, ask=False) == [("interrupted", "timeout", failures, 1 - failures)]


def test_a_sender_that_stays_is_not_waited_for_once_everything_is_sent(study, slurm):
    """`submit --wait` lives on; the controller has forgotten the array."""
    sweep = a_sweep(study, n=1)
    submission = sweep.submit(executor="slurm", grace_s=60)
    slurm.shows = {}
    now = submission.created_at
    rows(sweep, now=now, fresh=True)
    assert rows(sweep, now=now + 100, fresh=True)[0][0] == "queued"

    sweep.dir.bound_file(submission.uuid).write_text('{"format": 1, "done": true}')
    rows(sweep, now=now + 200, fresh=True)

    assert rows(sweep, now=now + 300, fresh=True)[0][:2] == ("lost", "never_started")


def test_a_node_that_worked_in_the_morning_is_bad_when_it_fails_since_noon(study):
    """What it did before says nothing about what it does now."""
    sweep = a_sweep(study, n=5)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    first, second, *others = submission.tasks
    with sweep.run(submission, first.number, host="n417", at=NOON - 3600) as run:
        run.succeeds(first.points[0])
    with sweep.run(submission, second.number, host="n418") as run:
        run.succeeds(second.points[0])
    for task in others:
        run = sweep.run(submission, task.number, host="n417")
        run.fails(task.points[0], kind=Kind.NODE)
        run.ends("node")

    with collect(sweep.dir, ask=False) as collected:
        assert queries.bad_nodes(collected.ledger, now=NOON + 3600) == ["n417"]


@pytest.mark.parametrize(("n_bad", "bad"), [(3, ["n417"]), (2, [])])
def test_a_node_where_not_even_workers_start_is_bad(study, monkeypatch, n_bad, bad):
    """Nothing writes a journal there; squeue alone shows that tasks fail, and where. Kept in a file."""
    sweep = a_sweep(study, n=n_bad + 1)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    good, *others = submission.tasks
    with sweep.run(submission, good.number, host="n418") as run:
        run.succeeds(good.points[0])
    name = submission.job_name(submission.arrays[0])
    shown = {
        (name, task.number): squeue.Seen(state="FAILED", reason="NonZeroExitCode", node="n417")
        for task in others
    }
    monkeypatch.setattr(squeue, "ask", lambda names, *, timeout_s=20.0: shown)

    def bad_nodes(now):
        with collect(sweep.dir, now=now, fresh=True) as collected:
            return queries.bad_nodes(collected.ledger, now=now)

    assert bad_nodes(NOON + 100) == bad
    sweep.dir.ledger.unlink()
    assert bad_nodes(NOON + 200) == bad
    assert bad_nodes(NOON + 3 * 86400) == []
