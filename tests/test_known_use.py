"""Where measurements come from: the own sweep first, others only for what it leaves open."""

from __future__ import annotations

import pytest

from pytau_hpc.collect import collect
from pytau_hpc.known_use import known_use
from pytau_hpc.measure import Measured
from pytau_hpc.sweep.manifest import read_manifest
from tests.builders import BuiltSweep, a_point, a_sweep

OWN = [a_point(repeat=i) for i in range(4)]
OTHER = [a_point(repeat=i, n_states=7) for i in range(4)]


def ran(sweep: BuiltSweep, **fit) -> BuiltSweep:
    sweep.succeed(sweep.submit(per_task=4), file=False, **{"cpu_s": 1.0, **fit})
    collect(sweep.dir, ask=False).ledger.close()
    return sweep


@pytest.fixture
def sweep(study) -> BuiltSweep:
    return ran(a_sweep(study, OWN, name="own"), elapsed_s=30.0)


def seconds(found, point) -> float | None:
    estimate = Measured.of(found).seconds(point)
    return None if estimate is None else estimate.expected_s


def test_a_sweep_that_knows_all_its_fits_asks_no_other(study, sweep):
    """Its own fits are the best witnesses."""
    ran(a_sweep(study, OWN, name="other"), elapsed_s=900.0)

    found = known_use(OWN, sweep.dir)

    assert len(found) == 1
    assert seconds(found, OWN[0]) == 30


def test_what_it_does_not_know_others_may(study, sweep):
    """A class that was fitted in another sweep; one of quite another kind is not read."""
    ran(a_sweep(study, OTHER, name="other"), elapsed_s=900.0)
    ran(a_sweep(study, [a_point(model="m", repeat=i) for i in range(4)], name="third"))

    found = known_use([*OWN, *OTHER], sweep.dir)

    assert len(found) == 2
    assert seconds(found, OWN[0]) == 30
    assert seconds(found, OTHER[0]) == 900


def test_a_sweep_that_is_only_being_planned_goes_by_the_others(study, sweep):
    """There is no ledger yet, nor even a folder."""
    planned = a_sweep(study, n=1, name="planned").dir

    found = known_use(OWN, type(planned)(planned.path.with_name("not_yet")))

    assert seconds(found, OWN[0]) == 30


def test_time_under_another_executor_leaves_the_question_open(study, sweep):
    """The own fits ran here; how long they take on the cluster another sweep may know."""
    other = a_sweep(study, OWN, name="other")
    other.succeed(other.submit(per_task=4, executor="slurm"), file=False, elapsed_s=50.0)
    collect(other.dir, ask=False).ledger.close()

    found = known_use(OWN, sweep.dir, executor="slurm")

    assert len(found) == 2
    estimate = Measured.of(found, executor="slurm").seconds(OWN[0])
    assert estimate is not None
    assert estimate.expected_s == 50


def test_an_open_ledger_is_used_as_it_is(sweep):
    """Newer than the file that others see, perhaps in memory."""
    again = sweep.plan_again([*OWN, *OTHER])
    again.succeed(again.submit(OTHER, per_task=4), file=False, elapsed_s=77.0)

    with collect(again.dir, ask=False) as collected:
        manifest = read_manifest(again.dir.path)
        found = known_use(again.points, again.dir, ledger=collected.ledger, manifest=manifest)

    assert seconds(found, OTHER[0]) == 77
