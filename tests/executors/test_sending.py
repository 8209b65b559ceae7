"""How a submission is handed to sbatch: in pieces, again, or never again, by what sbatch says. SLURM's own words."""

from __future__ import annotations

import json
import os
import time

import pytest

from pytau_hpc.collect import collect
from pytau_hpc.errors import SchedulerUnreachable, SubmitRefused
from pytau_hpc.executors import slurm
from pytau_hpc.executors.slurm import SlurmExecutor
from tests.builders import a_sweep
from tests.fake_slurm import (
    FAILED,
    TAKES,
    has_room_for,
    refuses,
    takes_and_says,
    takes_at_most,
)

LIMIT = f"sbatch: error: AssocMaxSubmitJobLimit\n{FAILED}Job violates accounting/QOS policy (job submit limit, …)"
NOT_NOW = f"{FAILED}Unable to contact slurm controller (connect failure)"
UNCLEAR = f"{FAILED}Socket timed out on send/recv operation"
NEVER = f"{FAILED}Invalid account or account/partition combination specified"


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it slept, in seconds, without sleeping; what Python's own waiting for processes takes is left out."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", lambda s: taken.append(s) if s >= 0.5 else None)
    return taken


@pytest.fixture
def sweep(study, naps):
    """Eight points, and one task of one array for each."""
    return a_sweep(study, n=8)


def send(sweep, submission):
    return SlurmExecutor().send(sweep.dir, submission, workers=None, tick=lambda: None)


def bound(sweep, submission):
    return json.loads(sweep.dir.bound_file(submission.uuid).read_text())


def sizes(fake_slurm):
    return [len(call.elements) for call in fake_slurm.calls]


# -- limits -----------------------------------------------------------------------------------------------------------


def test_an_array_above_a_limit_goes_in_ever_smaller_pieces_each_element_once(sweep, fake_slurm):
    """Half of it, half of that, and so on as often as it takes; what was taken is not halved again."""
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(later=takes_at_most(3, LIMIT))

    sent = send(sweep, submission)

    name = submission.job_name(submission.arrays[0])
    assert sizes(fake_slurm) == [8, 4, 2, 2, 2, 2]
    assert fake_slurm.taken == [(name, index) for index in range(8)]
    assert (sent.job_ids, sent.not_begun, sent.problem) == ({0: "8003 8004 8005 8006"}, (), None)
    assert bound(sweep, submission)["job_ids"] == {"0": ["8003", "8004", "8005", "8006"]}
    assert bound(sweep, submission)["done"]


def test_pieces_together_run_no_more_at_once_than_the_whole_would(sweep, fake_slurm):
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(later=takes_at_most(4, LIMIT))

    SlurmExecutor().send(sweep.dir, submission, workers=4, tick=lambda: None)

    taken = [call.options["array"] for call in fake_slurm.calls if call.taken]
    assert taken == ["0-3%2", "4-7%2"]


def test_of_what_a_limit_leaves_no_room_for_nothing_is_sent_and_the_rest_stays(sweep, fake_slurm):
    """Down to single elements: five have room, three have not."""
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(later=has_room_for(5, LIMIT))

    sent = send(sweep, submission)

    assert [index for _, index in fake_slurm.taken] == [0, 1, 2, 3, 4]
    assert sent.not_begun == (5, 6, 7)
    assert isinstance(sent.problem, SchedulerUnreachable)
    assert "no more jobs of yours" in sent.problem.message
    assert "AssocMaxSubmitJobLimit" in sent.problem.message


def test_a_limit_without_any_room_is_no_refusal_for_good(sweep, fake_slurm):
    """Its name says that there will be room."""
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(later=refuses(LIMIT))

    with pytest.raises(SchedulerUnreachable, match="no more jobs of yours"):
        send(sweep, submission)

    assert sizes(fake_slurm) == [8, 4, 2, 1]


# -- not now ----------------------------------------------------------------------------------------------------------


def test_a_controller_that_is_away_is_tried_again_after_longer_and_longer_waits(
    sweep, fake_slurm, naps
):
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(refuses(NOT_NOW), refuses(NOT_NOW), TAKES)

    sent = send(sweep, submission)

    assert sizes(fake_slurm) == [8, 8, 8]
    assert naps == [2, 4]
    assert (sent.job_ids, sent.problem) == ({0: "8003"}, None)


def test_a_controller_that_stays_away_is_tried_five_times(sweep, fake_slurm, naps):
    """Nothing was taken, nothing will be: the points are not this submission's any more."""
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(later=refuses(NOT_NOW))

    with pytest.raises(SchedulerUnreachable, match="does not take jobs now") as caught:
        send(sweep, submission)

    assert len(fake_slurm.calls) == 5
    assert naps == [2, 4, 8, 16]
    assert "nothing was sent" in (caught.value.help or "")


def test_a_controller_that_goes_away_between_pieces_leaves_what_it_took(sweep, fake_slurm):
    """The rest was certainly not taken."""
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(refuses(LIMIT), TAKES, later=refuses(NOT_NOW))

    sent = send(sweep, submission)

    assert sent.not_begun == (4, 5, 6, 7)
    assert isinstance(sent.problem, SchedulerUnreachable)
    assert "what was sent before stays" in (sent.problem.help or "")


# -- no clear answer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        takes_and_says(UNCLEAR),
        takes_and_says(""),
        "take; echo 'Welcome to the cluster'; exit 0",
    ],
    ids=["socket timed out", "no words", "words that nobody knows"],
)
def test_an_array_that_was_taken_without_a_clear_answer_is_found_by_its_name(
    sweep, fake_slurm, answer
):
    """And never sent a second time."""
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(answer)

    sent = send(sweep, submission)

    assert sizes(fake_slurm) == [8]
    assert (sent.job_ids, sent.not_begun, sent.problem) == ({0: "8001"}, (), None)


def test_an_sbatch_that_takes_too_long_is_ended_and_its_array_looked_for(
    sweep, fake_slurm, monkeypatch: pytest.MonkeyPatch
):
    """Whatever it had said before: it tries by itself, and its last try may have been accepted."""
    monkeypatch.setenv("PYTAU_HPC_SBATCH_TIMEOUT_S", "1")
    submission = sweep.submit(executor="slurm")
    words = "sbatch: Slurm temporarily unable to accept job, sleeping and retrying"
    fake_slurm.answers(f"echo '{words}' >&2; take; sleep 100")

    sent = send(sweep, submission)

    assert sizes(fake_slurm) == [8]
    assert (sent.job_ids, sent.problem) == ({0: "8001"}, None)


def test_it_is_looked_for_until_squeue_shows_it(sweep, fake_slurm, naps):
    """A squeue that fails says nothing, and one that answers may be early."""
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(takes_and_says(UNCLEAR))
    truth = (fake_slurm.folder / "squeue").read_text()
    fake_slurm.put(
        "squeue",
        f"cd {fake_slurm.folder}; echo x >> asked\n"
        'case $(wc -l < asked) in 1) echo "Socket timed out" >&2; exit 1;; 2) exit 0;; esac\n'
        f"{truth}",
    )

    sent = send(sweep, submission)

    assert naps == [1, 2, 4]
    assert sent.job_ids == {0: "8001"}


def test_an_array_that_is_not_found_is_neither_sent_again_nor_given_back(sweep, fake_slurm):
    """The controller may have it all the same, and show it later."""
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(refuses(UNCLEAR))

    sent = send(sweep, submission)

    assert sizes(fake_slurm) == [8]
    assert (sent.job_ids, sent.not_begun) == ({}, ())
    assert isinstance(sent.problem, SchedulerUnreachable)
    assert "Socket timed out" in sent.problem.message
    assert not sweep.dir.refused_file(submission.uuid).exists()
    with collect(sweep.dir, now=submission.created_at) as collected:
        states = collected.ledger.connection.execute("SELECT DISTINCT state FROM points").fetchall()
    assert [tuple(row) for row in states] == [("queued",)]


def test_the_id_of_one_piece_is_not_taken_for_that_of_another(sweep, fake_slurm):
    """They have one name; only the elements that were asked about count."""
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(refuses(LIMIT), TAKES, refuses(UNCLEAR))

    sent = send(sweep, submission)

    assert sizes(fake_slurm) == [8, 4, 4]
    assert sent.job_ids == {0: "8002"}
    assert isinstance(sent.problem, SchedulerUnreachable)
    assert sent.not_begun == ()


def test_a_piece_that_was_found_is_followed_by_the_next(sweep, fake_slurm):
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(
        takes_at_most(2, LIMIT), takes_at_most(2, LIMIT), TAKES, takes_and_says(UNCLEAR)
    )

    sent = send(sweep, submission)

    assert [index for _, index in fake_slurm.taken] == list(range(8))
    assert (sent.job_ids, sent.problem) == ({0: "8003 8004 8005 8006"}, None)


def test_what_comes_after_an_array_without_a_clear_answer_is_given_back(sweep, fake_slurm):
    """Only the elements of that one sbatch may have been taken."""
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(refuses(LIMIT), refuses(LIMIT), TAKES, refuses(UNCLEAR))

    sent = send(sweep, submission)

    assert [list(call.elements) for call in fake_slurm.calls][2:] == [[0, 1], [2, 3]]
    assert sent.not_begun == (4, 5, 6, 7)


# -- refused for good -------------------------------------------------------------------------------------------------


def test_a_refusal_at_the_first_try_is_final(sweep, fake_slurm, naps):
    """With SLURM's words, and what it was asked for."""
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(later=refuses(NEVER))

    with pytest.raises(SubmitRefused, match="Invalid account") as caught:
        send(sweep, submission)

    assert (sizes(fake_slurm), naps) == ([8], [])
    assert "mem 4 GiB" in caught.value.message


def test_a_refusal_after_some_pieces_keeps_what_was_sent(sweep, fake_slurm):
    submission = sweep.submit(executor="slurm")
    fake_slurm.answers(refuses(LIMIT), refuses(LIMIT), TAKES, later=refuses(NEVER))

    sent = send(sweep, submission)

    assert sent.job_ids == {0: "8003"}
    assert sent.not_begun == (2, 3, 4, 5, 6, 7)
    assert isinstance(sent.problem, SubmitRefused)
    assert bound(sweep, submission)["done"]


# -- what sbatch inherits ---------------------------------------------------------------------------------------------


def test_sbatch_hears_nothing_of_a_job_that_it_is_called_in_but_finds_its_cluster(
    sweep, fake_slurm, monkeypatch: pytest.MonkeyPatch
):
    """Variables of a job count as options of sbatch; those that say which cluster is meant are kept."""
    monkeypatch.setenv("SLURM_CONF", "/etc/our/slurm.conf")
    monkeypatch.setenv("SLURM_CLUSTERS", "lab")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100")
    monkeypatch.setenv("SBATCH_PARTITION", "debug")
    monkeypatch.setenv("SRUN_CPUS_PER_TASK", "8")

    send(sweep, sweep.submit(executor="slurm"))

    [call] = fake_slurm.calls
    told = {n: v for n, v in call.environment.items() if n.startswith(("SLURM", "SBATCH", "SRUN"))}
    assert told == {"SLURM_CONF": "/etc/our/slurm.conf", "SLURM_CLUSTERS": "lab"}
    assert os.environ["SLURM_JOB_ID"] == "4711"


def test_without_slurms_commands_nothing_is_tried(sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SubmitRefused, match="not on this machine's PATH"):
        send(sweep, sweep.submit(executor="slurm"))


def test_the_clusters_own_settings_are_read(fake_slurm):
    assert (slurm.cluster_name(), slurm.max_array_size()) == ("lab", 1001)
    fake_slurm.put("scontrol", "exit 1")
    assert slurm.cluster_name() is None
