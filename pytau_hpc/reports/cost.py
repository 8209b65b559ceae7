"""CPU-hours and requests in words. Called by what `plan` and `submit` print."""

from __future__ import annotations

from collections.abc import Iterable

from pytau_hpc.reports.format import plural
from pytau_hpc.sweep.resources import format_time
from pytau_hpc.sweep.submission import Array


def cost_line(expected: float | None, maximum: float | None) -> str:
    """``expected 12 CPU-hours, at most 356``, with what is known of the two; both are CPU-hours."""
    if expected is None and maximum is None:
        return "not known before the first results"
    if expected is None:
        return f"at most {_about(maximum)} CPU-hours"
    more = "" if maximum is None else f", at most {_about(maximum)}"
    return f"expected {_about(expected)} CPU-hours{more}"


def _about(cpu_hours: float | None) -> str:
    """An estimate deserves no more than two digits; what is not nothing is not shown as nothing."""
    value = cpu_hours or 0.0
    if 0 < value < 0.01:
        return "0.01"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def request_lines(arrays: Iterable[Array]) -> list[str]:
    """``12 tasks of 1 CPU, 3 GiB, 02:00:00``, one line for each request."""
    lines = []
    for cpus, mem_gb, time_min, n in requests(arrays):
        asked = f"{plural(cpus, 'CPU')}, {mem_gb:g} GiB, {format_time(time_min)}"
        lines.append(f"{plural(n, 'task')} of {asked}")
    return lines


def requests(arrays: Iterable[Array]) -> list[tuple[int, float, int, int]]:
    """CPUs, GiB, minutes, and how many tasks ask for these."""
    found: dict[tuple[int, float, int], int] = {}
    for array in arrays:
        key = (array.resources.cpus, array.resources.mem_gb, array.resources.time_min)
        found[key] = found.get(key, 0) + len(array.tasks)
    return [(*key, n) for key, n in found.items()]
