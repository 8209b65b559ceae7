"""What a fit may be expected to need, from what others of its class have used. Pure.

Estimates are upper quantiles with a margin: of the class itself where it has enough fits; else with the next larger
classes, whose fits need at least as much; else with classes of about its size, in proportion. Where there is nothing
to go by, nothing is said, and the request of spec and profile stands. What was measured comes from `ledger.measured`;
tasks, and with them time limits, are made by `pack`; what a retry asks for is decided in `retry`.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytau_hpc.ledger.measured import Measurements, Start
from pytau_hpc.sweep.fit_class import Classifier, FitClass
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.sweep.submission import Array

#: Fewer fits than this say nothing.
_ENOUGH = 3
#: From so many on the upper quantile leaves out what is exceptional, which `resume` answers; else the largest counts.
_MANY = 20
_QUANTILE = 0.95
#: Beyond the quantile: for other data and other nodes, and for the supervisor and files in memory.
_MEM_MARGIN, _MEM_MORE_GB = 1.3, 0.25
_TIME_MARGIN, _TIME_MARGIN_OF_FEW = 1.3, 1.5
#: Fits that are smaller than the one in question, but not by more than this, may stand for it.
_NEARLY = 0.5

_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Wall seconds of one fit: the mean, a bound that nearly all stay below, and how many fits say so."""

    expected_s: float
    upper_s: float
    n: int


@dataclass
class _Known:
    """What is known about one class.

    seconds : of fits that succeeded; cut_off_s : of fits that reached a time limit
    memory_bytes : peaks of fits that succeeded, and what was too little for others
    """

    seconds: list[float] = field(default_factory=list)
    cut_off_s: list[float] = field(default_factory=list)
    memory_bytes: list[float] = field(default_factory=list)


_Values = Callable[[_Known], list[float]]


class Measured:
    """Estimates for points. Made by `Measured.of`.

    Attributes
    ----------
    start_s : what a task pays once, before and in its first fit, for imports and compiling
    n : how many fits all this is known from
    """

    def __init__(self, known: Mapping[FitClass, _Known], *, start_s: float, n: int) -> None:
        self.start_s = start_s
        self.n = n
        self._known = known
        self._class_of = Classifier()
        self._estimates: dict[FitClass, Estimate | None] = {}
        self._memory: dict[FitClass, float | None] = {}
        self._by_size: dict[tuple[str, int], list[FitClass]] = defaultdict(list)
        for of in sorted(known, key=lambda of: (of.size, of)):
            self._by_size[of.kind, len(of.shape)].append(of)

    @classmethod
    def of(
        cls, found: Iterable[Measurements], *, executor: str | None = None, cpus: int | None = None
    ) -> Measured:
        """Estimates from what was measured in one or several sweeps.

        Parameters
        ----------
        executor : leave out the seconds of fits under other executors, whose computers are faster or slower; None for
            all. Memory is the same everywhere
        cpus : what tasks will ask for: fits that kept more of them busy will take longer
        """
        known: dict[FitClass, _Known] = defaultdict(_Known)
        seconds: dict[FitClass, list[tuple[bool, float]]] = defaultdict(list)
        starts: list[Start] = []
        for one in found:
            for (of, ran_by), fits in one.fits.items():
                peaks = [fit.max_rss_bytes for fit in fits.successes if fit.max_rss_bytes]
                known[of].memory_bytes += [*peaks, *fits.too_little_bytes]
                if executor in (None, ran_by):
                    known[of].cut_off_s += fits.unfinished_s
                    seconds[of] += [
                        (fit.warm, max(fit.elapsed_s, fit.cpu_s / cpus if cpus else 0.0))
                        for fit in fits.successes
                    ]
            starts += [start for start in one.starts if executor in (None, start.executor)]
        warm = {of: [s for is_warm, s in pairs if is_warm] for of, pairs in seconds.items()}
        for of, pairs in seconds.items():
            # The first fit of a task pays for its start, which is counted by itself where the two can be told apart.
            known[of].seconds = warm[of] if len(warm[of]) >= _ENOUGH else [s for _, s in pairs]
        n = sum(len(pairs) for pairs in seconds.values())
        return cls(dict(known), start_s=_start_s(starts, warm), n=n)

    def seconds(self, point: Point) -> Estimate | None:
        """How long the fit of a point takes, without the start of its task; None where nothing is known."""
        of = self._class_of(point)
        if of not in self._estimates:
            self._estimates[of] = self._estimate(of)
        return self._estimates[of]

    def memory_gb(self, point: Point) -> float | None:
        """What a task with this point needs, in GiB, in steps that keep requests few; None where nothing is known."""
        of = self._class_of(point)
        if of not in self._memory:
            found = self._values_for(of, lambda known: known.memory_bytes)
            self._memory[of] = None if found is None else _to_ask_gb(upper(found))
        return self._memory[of]

    def knows(self, point: Point) -> bool:
        """Whether there are enough fits of the very class of a point to know its time and its memory."""
        own = self._known.get(self._class_of(point), _Known())
        return min(len(own.seconds), len(own.memory_bytes)) >= _ENOUGH

    def resources(self, point: Point, asked: Resources, *, max_mem_gb: float) -> Resources:
        """What to ask for a point instead of `asked`: the memory that is known to be needed, up to `max_mem_gb`.

        Its time follows from the task that it comes into; see `pack`.
        """
        needed = self.memory_gb(point)
        if needed is None:
            needed = max(asked.mem_gb, min(self._at_least_gb(self._class_of(point)), max_mem_gb))
        return replace(asked, mem_gb=min(needed, max(max_mem_gb, asked.mem_gb)))

    # -- which fits stand for which ------------------------------------------------------------------------------------

    def _estimate(self, of: FitClass) -> Estimate | None:
        found = self._values_for(of, lambda known: known.seconds)
        if found is None:
            return None
        # A fit that was cut off takes longer than that, which says something where others took less.
        mean = statistics.fmean(found)
        longer = [s for s in self._known[of].cut_off_s if s > mean] if of in self._known else []
        seconds = [*found, *longer]
        margin = _TIME_MARGIN if len(seconds) >= _MANY else _TIME_MARGIN_OF_FEW
        return Estimate(
            expected_s=statistics.fmean(seconds), upper_s=margin * upper(seconds), n=len(found)
        )

    def _values_for(self, of: FitClass, values: _Values) -> list[float] | None:
        """What was measured of a class, and of the nearest that can stand for it; None where that is too little."""
        own = values(self._known[of]) if of in self._known else []
        for others in (self._larger(of), self._nearly_as_large(of)):
            found = list(own)
            for other, scale in others:
                if len(found) >= _ENOUGH:
                    break
                found += [scale * value for value in values(self._known[other])]
            if len(found) >= _ENOUGH:
                return found
        return None

    def _larger(self, of: FitClass) -> Iterator[tuple[FitClass, float]]:
        """Classes whose fits need at least as much, the smallest first."""
        alike, at = self._alike(of)
        return ((other, 1.0) for other in alike[at:] if other != of and other.covers(of))

    def _nearly_as_large(self, of: FitClass) -> Iterator[tuple[FitClass, float]]:
        """Classes of about the size, the nearest first; what is known of smaller ones counts in proportion."""
        alike, _ = self._alike(of)
        nearest = sorted(
            (abs(math.log(other.size / of.size)), other)
            for other in alike
            if other != of and _NEARLY <= other.size / of.size <= 1 / _NEARLY
        )
        return ((other, max(1.0, of.size / other.size)) for _, other in nearest)

    def _alike(self, of: FitClass) -> tuple[Sequence[FitClass], int]:
        """Known classes of the same kind of fit by size, and where those begin that are as large."""
        alike = self._by_size.get((of.kind, len(of.shape)), [])
        return alike, bisect_left(alike, of.size, key=lambda other: other.size)

    def _at_least_gb(self, of: FitClass) -> float:
        """What fits that need no more than this one needed, or had too little of."""
        alike, _ = self._alike(of)
        peaks = [
            peak for other in alike if of.covers(other) for peak in self._known[other].memory_bytes
        ]
        return _to_ask_gb(upper(peaks)) if peaks else 0.0


def adapted(
    points: Iterable[Point],
    asked: Mapping[str, Resources],
    measured: Measured,
    *,
    max_mem_gb: float,
    fixed: Collection[str] = frozenset(),
) -> dict[str, Resources]:
    """What points ask for, by id, with the memory that was measured.

    Parameters
    ----------
    asked : what they would ask for without
    fixed : ids of points whose memory stays as it is: a person said so, or it ran out of it
    """
    return {
        point.point_id: asked[point.point_id]
        if point.point_id in fixed
        else measured.resources(point, asked[point.point_id], max_mem_gb=max_mem_gb)
        for point in points
    }


def expected_cpu_hours(arrays: Iterable[Array], measured: Measured) -> float | None:
    """CPU-hours that tasks will hold, by what was measured; None where it is not known for some of their points."""
    total = 0.0
    for array in arrays:
        for task in array.tasks:
            estimates = [measured.seconds(point) for point in task.points]
            if any(one is None for one in estimates):
                return None
            fits = sum(one.expected_s for one in estimates if one is not None)
            total += array.resources.cpus * (measured.start_s + fits)
    return total / 3600


def maximum_cpu_hours(arrays: Iterable[Array]) -> float:
    """CPU-hours that tasks hold when each of them needs all of its time."""
    return sum(len(a.tasks) * a.resources.cpus * a.resources.time_min / 60 for a in arrays)


def upper(values: Sequence[float]) -> float:
    """The 0.95 quantile of many values, the largest of a few."""
    ordered = sorted(values)
    if len(ordered) < _MANY:
        return ordered[-1]
    return ordered[math.ceil(_QUANTILE * len(ordered)) - 1]


def _to_ask_gb(peak_bytes: float) -> float:
    """With the margin, rounded up to steps of a quarter GiB, from 2 GiB on to four steps for each doubling.

    Points with different requests cannot share an array, so there should not be many.
    """
    needed = _MEM_MARGIN * peak_bytes / _GIB + _MEM_MORE_GB
    step = max(0.25, 2.0 ** math.floor(math.log2(needed)) / 4)
    return step * math.ceil(needed / step)


def _start_s(starts: Iterable[Start], warm: Mapping[FitClass, Sequence[float]]) -> float:
    """The median over runs of how much longer their first fit took than others of its class."""
    usual = {of: statistics.median(s) for of, s in warm.items() if len(s) >= _ENOUGH}
    more = [
        max(0.0, start.wall_s - usual.get(start.fit_class, start.elapsed_s)) for start in starts
    ]
    return statistics.median(more) if more else 0.0
