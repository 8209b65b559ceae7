"""``explain``: why a point waits, failed, would or would not be run."""

from __future__ import annotations

import json
import sys

from pytau_hpc.cli.one_point import Point, show, sweep_of, width
from pytau_hpc.cli.options import Json, Sweep, shown, talk
from pytau_hpc.cli.submit import Profile


def command(
    point: Point, sweep: Sweep = None, profile: Profile = None, as_json: Json = False
) -> int:
    """Tell why a point waits, failed, would or would not be run, and everything else that is known about it."""
    from pytau_hpc.explain import explain
    from pytau_hpc.reports import explain as report
    from pytau_hpc.reports.status_text import next_lines

    place = sweep_of("explain", point, sweep)
    found = explain(place, point, profile=profile)
    steps = report.next_steps(found, sweep or place.name)
    if as_json:
        print(json.dumps(report.as_json(found, steps), ensure_ascii=False))
        return 0
    show(report.as_lines(found, width=width() if sys.stdout.isatty() else None, shown=shown))
    talk()
    for line in next_lines(steps):
        talk(line)
    return 0
