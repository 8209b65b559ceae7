"""What a plan will cost: nothing invented, and what was measured in any sweep of the study is used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytau_hpc.collect import collect
from pytau_hpc.executors.profile import Profile, find_profile, read_profile
from pytau_hpc.plan import PlanResult, plan
from pytau_hpc.plan_cost import PlanCost, cost_of
from pytau_hpc.reports import plan as report
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.sweep.run_dir import SweepDir
from tests.builders import BuiltSweep

SPEC = """\
name: {name}
data: {{format: synthetic, sessions: 2, tastes: 2, trials: 5, neurons: 3, n_states: 2, seed: 1}}
grid:
  taste: [0, 1]
  window_ms: [[0, 2000]]
  bin_ms: [50]
  model: [single_taste_poisson]
  n_states: [2, 3]
  repeat: {repeat}
resources: {{time: "02:00:00", mem_gb: 8{more}}}
"""

CLUSTER = """\
executor: slurm
limits: {max_running_tasks: 4, mem_gb: 32, time: "12:00:00"}
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Profile:
    path = tmp_path / "cluster.yaml"
    path.write_text(CLUSTER)
    return read_profile(path)


def planned(study: Path, *, name: str = "toy", repeat: int = 4, more: str = "") -> PlanResult:
    spec = study / f"{name}.yaml"
    spec.write_text(SPEC.format(name=name, repeat=repeat, more=more))
    return plan(spec, study)


def run_all(result: PlanResult, executor: str = "slurm", **fit) -> None:
    """Have every point of a plan succeed; its result is not there, as if somebody had moved it away."""
    sweep = BuiltSweep(SweepDir(result.sweep_dir), result.points)
    submission = sweep.submit(per_task=8, executor=executor, resources=Resources(time_min=120))
    for task in submission.tasks:
        with sweep.run(submission, task.number) as run:
            for point in task.points:
                run.succeeds(point, file=False, **{"cpu_s": 1.0, **fit})
    collect(sweep.dir, ask=False).ledger.close()


def known_cost(result: PlanResult, profile: Profile) -> PlanCost:
    cost = cost_of(result, profile=profile)
    assert cost is not None
    return cost


def test_before_the_first_results_only_the_most_is_known(study, cluster):
    """32 points on four places: four tasks of two hours."""
    result = planned(study)

    cost = known_cost(result, cluster)

    assert (cost.expected, cost.maximum, cost.n_known) == (None, 8, 0)
    text = report.as_text(result, cost)
    assert "Tasks   4 tasks of 1 CPU, 8 GiB, 02:00:00" in text
    assert "Cost    at most 8.0 CPU-hours; what to expect is not known before the first" in text


def test_another_sweep_of_the_study_says_what_to_expect(study, cluster):
    """Of the same kind and shape, on the same cluster: requests follow, too."""
    run_all(planned(study, name="pilot", repeat=2), elapsed_s=90.0, max_rss_bytes=2**30)
    result = planned(study, repeat=4)

    cost = known_cost(result, cluster)

    assert cost.expected == pytest.approx(32 * 90 / 3600)
    assert cost.n_fits == 16
    [array] = cost.arrays
    assert array.resources == Resources(cpus=1, mem_gb=1.75, time_min=25)
    text = report.as_text(result, cost)
    assert "each fit" in text
    assert "2 min, 1.75 GiB" in text
    assert "Cost    expected 0.80 CPU-hours, at most 1.7   (from 16 fits of this study)" in text


def test_what_ran_elsewhere_says_what_to_expect_and_changes_no_time(study, cluster):
    """A laptop knows about the memory, and roughly about the work, but not how fast the cluster is."""
    run_all(planned(study, name="pilot", repeat=2), "local", elapsed_s=90.0, max_rss_bytes=2**30)
    result = planned(study, repeat=4)

    cost = known_cost(result, cluster)

    assert cost.expected == pytest.approx(0.8)
    assert {array.resources for array in cost.arrays} == {Resources(mem_gb=1.75, time_min=120)}


def test_adapt_false_leaves_requests_as_they_are_written(study, cluster):
    """What to expect is said all the same."""
    run_all(planned(study, name="pilot", repeat=2), elapsed_s=90.0, max_rss_bytes=2**30)
    result = planned(study, repeat=4, more=", adapt: false")

    cost = known_cost(result, cluster)

    assert {array.resources for array in cost.arrays} == {Resources(mem_gb=8, time_min=120)}
    assert cost.expected == pytest.approx(0.8)


def test_no_maximum_is_told_where_nobody_ends_a_task_for_its_time(study):
    """On this computer a time limit is a note."""
    result = planned(study)

    cost = known_cost(result, find_profile("local"))

    assert cost.maximum is None
    assert "Cost    not known before the first results" in report.as_text(result, cost)


def test_a_plan_that_is_done_costs_nothing_more(study, cluster):
    """There is nothing to say about it."""
    result = planned(study)
    for point in result.points:
        path = study / point.result_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    assert cost_of(planned(study), profile=cluster) is None


def test_a_profile_that_is_not_here_does_not_stop_a_plan(study, monkeypatch):
    """It may be on the cluster only."""
    monkeypatch.setenv("PYTAU_HPC_PROFILE", "no_such_profile")

    assert cost_of(planned(study)) is None


def test_the_json_has_numbers(study, cluster):
    """CPU-hours, seconds, GiB, and how much they are worth."""
    run_all(planned(study, name="pilot", repeat=2), elapsed_s=90.0, max_rss_bytes=2**30)
    result = planned(study, repeat=4)

    document = json.loads(report.as_json(result, known_cost(result, cluster)))

    assert document["cost"] == {
        "profile": "cluster",
        "cpu_hours_expected": 0.8,
        "cpu_hours_max": pytest.approx(1.6667, abs=1e-3),
        "points": 32,
        "points_known": 32,
        "fits_measured": 16,
        "tasks": [{"tasks": 4, "cpus": 1, "mem_gb": 1.75, "time_min": 25}],
    }
    [shape] = document["classes"]
    assert (shape["fit_s_min"], shape["fit_s_max"], shape["req_mem_gb"]) == (90, 90, 1.75)
    assert json.loads(report.as_json(result))["cost"] is None


def test_the_command_shows_the_cost(study, pytau_hpc_cli):
    """With whatever profile the environment names."""
    spec = study / "toy.yaml"
    spec.write_text(SPEC.format(name="toy", repeat=1, more=""))

    done = pytau_hpc_cli("plan", "toy.yaml", check=True)

    assert "Cost    " in done.stdout
