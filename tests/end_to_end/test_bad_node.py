"""A machine on which fits cannot even begin: it costs one point a try, and no point a failure."""

from __future__ import annotations


def test_a_fit_process_that_cannot_start_is_the_nodes_fault_and_stops_the_run(toy):
    """The profile breaks the Python of the fits; the other points of the task are given back untouched."""
    sweep = toy(sessions=1, repeat=2)
    broken = sweep.study / "broken.yaml"
    broken.write_text("executor: local\nenv: {PYTHONHOME: /nowhere/at/all}\n")

    sweep.run("submit", "-j", "1", "--points-per-task", "8", "--profile", str(broken), ok=(3,))

    assert sweep.counts() == {"planned": 7, "failed": 1}
    [(kind, failures, interruptions, message)] = sweep.rows(
        "SELECT kind, failures, interruptions, message FROM point WHERE state = 'failed'"
    )
    assert (kind, failures, interruptions) == ("node", 0, 1)
    assert "before it began" in message
    assert sweep.rows("SELECT ended FROM run") == [("node",)]

    sweep.run("resume", "-j", "1")

    assert sweep.counts() == {"succeeded": 8}
