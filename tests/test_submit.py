"""`submit` and `resume` with a cluster: what sbatch left is free again, what it was told follows from what happened."""

from __future__ import annotations

import time

import pytest

from pytau_hpc.choose import Command
from pytau_hpc.collect import collect
from pytau_hpc.errors import SchedulerUnreachable, SubmitRefused
from pytau_hpc.executors import slurm
from pytau_hpc.executors.profile import find_profile
from pytau_hpc.prepare import Order
from pytau_hpc.submit import submit
from pytau_hpc.sweep.resources import Request
from pytau_hpc.sweep.state import Kind
from tests.builders import a_far_process, a_sweep
from tests.fake_slurm import FAILED, TAKES, refuses

LIMIT = f"sbatch: error: AssocMaxSubmitJobLimit\n{FAILED}Job violates accounting/QOS policy"
NEVER = f"{FAILED}Invalid account or account/partition combination specified"
UNCLEAR = f"{FAILED}Socket timed out on send/recv operation"


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "_LOOK_AFTER_S", (0.0,))
    monkeypatch.setattr(slurm, "_FIRST_WAIT_S", 0.0)


@pytest.fixture
def order(tmp_path):
    """What a person asks for with a profile of some lines of YAML."""

    def made(text: str = "", command: Command = Command.SUBMIT, **asked) -> Order:
        path = tmp_path / "cluster.yaml"
        path.write_text(f"executor: slurm\n{text}")
        return Order(
            command=command,
            profile=find_profile(str(path)),
            request=Request(points_per_task=1),
            **asked,
        )

    return made


def states(sweep) -> list[str]:
    with collect(sweep.dir, fresh=True) as collected:
        return [row[0] for row in collected.ledger.connection.execute("SELECT state FROM points")]


# -- what was not taken -----------------------------------------------------------------------------------------------


def test_what_sbatch_did_not_take_is_free_again_and_goes_with_the_next_command(
    study, fake_slurm, order
):
    """Without waiting for any grace period, and without a second copy of what it did take."""
    sweep = a_sweep(study, n=4)
    fake_slurm.answers(refuses(LIMIT), TAKES, refuses(NEVER))

    done = submit(sweep.dir, order())

    assert done.sent is not None
    assert isinstance(done.sent.problem, SubmitRefused)
    assert states(sweep) == ["queued", "queued", "planned", "planned"]
    again = submit(sweep.dir, order())
    assert again.prepared.submission is not None
    points = [point for task in again.prepared.submission.tasks for point in task.points]
    assert points == list(sweep.points[2:])
    assert len(fake_slurm.taken) == 4


def test_a_submission_that_was_refused_whole_costs_its_points_nothing(study, fake_slurm, order):
    """A file says so; a deleted ledger learns it from there."""
    sweep = a_sweep(study, n=2)
    fake_slurm.answers(later=refuses(NEVER))

    with pytest.raises(SubmitRefused):
        submit(sweep.dir, order())

    assert states(sweep) == ["planned", "planned"]
    sweep.dir.ledger.unlink()
    assert states(sweep) == ["planned", "planned"]


def test_what_sbatch_may_have_taken_is_not_sent_again(study, fake_slurm, order):
    sweep = a_sweep(study, n=2)
    fake_slurm.answers(refuses(UNCLEAR))

    done = submit(sweep.dir, order())

    assert done.sent is not None
    assert isinstance(done.sent.problem, SchedulerUnreachable)
    assert submit(sweep.dir, order(command=Command.RESUME)).prepared.submission is None
    assert states(sweep) == ["queued", "queued"]
    assert len(fake_slurm.calls) == 1


def test_the_command_line_ends_with_5_where_a_part_was_taken(
    study, fake_slurm, order, pytau_hpc_cli
):
    """What stays, what was not taken and why; `resume` sends the rest."""
    sweep = a_sweep(study, n=4)
    order()  # the profile
    words = (sweep.dir.name, "--profile", study.parent / "cluster.yaml", "--yes")
    # Which tasks there are is for `pack` to say: the answers do not depend on it.
    fake_slurm.answers(refuses(LIMIT), TAKES, later=refuses(NEVER))

    partly = pytau_hpc_cli("submit", *words, "--points-per-task", "1")

    assert partly.returncode == 5
    assert "Invalid account" in partly.stderr
    assert "what was sent before stays" in partly.stderr
    assert states(sweep) == ["queued", "queued", "planned", "planned"]
    fake_slurm.answers()
    rest = pytau_hpc_cli("resume", *words, "--points-per-task", "1", check=True)
    assert "8004" in rest.stdout
    assert states(sweep) == ["queued"] * 4
    assert len(fake_slurm.taken) == 4


# -- where it may run -------------------------------------------------------------------------------------------------


def fails_at_once_on(sweep, submission, tasks, host):
    for task in tasks:
        with sweep.run(submission, task.number, host=host, at=time.time() - 600) as run:
            run.fails(task.points[0])


def test_nodes_that_only_fail_are_left_out_of_the_next_submission_besides_those_of_the_profile(
    study, fake_slurm, order
):
    sweep = a_sweep(study, n=4)
    submission = sweep.submit(executor="slurm", driver=a_far_process(), at=time.time() - 900)
    good, *others = submission.tasks
    with sweep.run(submission, good.number, host="n3", at=time.time() - 900) as run:
        run.succeeds(good.points[0])
    fails_at_once_on(sweep, submission, others, "n417")

    done = submit(sweep.dir, order('slurm: {extra: ["--exclude=n2"]}\n', command=Command.RESUME))

    [call] = fake_slurm.calls
    assert call.options["exclude"] == "n2,n417"
    assert any("n417" in note for note in done.prepared.notes)


def test_a_node_where_something_succeeded_since_is_not_left_out(study, fake_slurm, order):
    sweep = a_sweep(study, n=5)
    submission = sweep.submit(executor="slurm", driver=a_far_process(), at=time.time() - 900)
    good, late, *others = submission.tasks
    with sweep.run(submission, good.number, host="n3", at=time.time() - 900) as run:
        run.succeeds(good.points[0])
    fails_at_once_on(sweep, submission, others, "n417")
    with sweep.run(submission, late.number, host="n417", at=time.time() - 300) as run:
        run.succeeds(late.points[0])

    submit(sweep.dir, order(command=Command.RESUME))

    [call] = fake_slurm.calls
    assert "exclude" not in call.options


# -- what it asks for -------------------------------------------------------------------------------------------------


def test_what_failures_taught_is_in_the_batch_file(study, fake_slurm, order):
    """Half as much memory again after too little of it, half as much time again after too little of that."""
    sweep = a_sweep(study, n=2)
    submission = sweep.submit(executor="slurm", driver=a_far_process())
    short, small = submission.tasks
    with sweep.run(submission, short.number) as run:
        run.fails(short.points[0], kind=Kind.TIMEOUT, elapsed_s=3590.0)
    with sweep.run(submission, small.number) as run:
        run.fails(small.points[0], kind=Kind.OUT_OF_MEMORY)

    submit(sweep.dir, order(command=Command.RESUME))

    asked = {(call.options["mem"], call.options["time"]) for call in fake_slurm.calls}
    assert asked == {("6144M", "60"), ("4096M", "90")}
