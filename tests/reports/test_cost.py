from __future__ import annotations

import pytest

from pytau_hpc.reports.cost import cost_line, request_lines
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.sweep.submission import Array, Task


@pytest.mark.parametrize(
    ("expected", "maximum", "words"),
    [
        (12.3, 355.7, "expected 12 CPU-hours, at most 356"),
        (1.26, 9.96, "expected 1.3 CPU-hours, at most 10.0"),
        (0.25, 0.75, "expected 0.25 CPU-hours, at most 0.75"),
        (0.0001, 2.0, "expected 0.01 CPU-hours, at most 2.0"),
        (None, 356, "at most 356 CPU-hours"),
        (12, None, "expected 12 CPU-hours"),
        (None, None, "not known before the first results"),
    ],
)
def test_a_cost_says_what_is_known_and_no_more(expected, maximum, words):
    """Nothing is made up where nobody has measured, or where nobody ends a task for its time."""
    assert cost_line(expected, maximum) == words


def test_requests_are_told_once_each():
    """Arrays that were split for their size ask for the same."""
    arrays = [
        Array(
            number=i,
            first=2 * i,
            tasks=(Task(number=2 * i, points=()), Task(number=2 * i + 1, points=())),
            resources=Resources(cpus=cpus, mem_gb=2.5, time_min=90),
        )
        for i, cpus in enumerate((1, 1, 4))
    ]

    assert request_lines(arrays) == [
        "4 tasks of 1 CPU, 2.5 GiB, 01:30:00",
        "2 tasks of 4 CPUs, 2.5 GiB, 01:30:00",
    ]
