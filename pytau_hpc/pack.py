"""Which points go into one task, and which tasks into one array. Pure.

A task pays once for importing and for compiling each shape of data, so points of one model and shape stay together;
tasks are cut so that they cost about the same. Where it is known how long fits take, tasks are cut to be about half an
hour long, and arrays ask for the time that their tasks need; where it is not, cuts go by the size of the data, and the
time that was asked for stands. Called by `submit` and `plan_cost`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytau_hpc.measure import Estimate
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.resources import PointsPerTask, Resources
from pytau_hpc.sweep.submission import Array, Task

#: A task of fewer points than this mostly waits for imports.
_FEWEST_FOR_A_SCHEDULER = 8
#: A task that dies hard loses one run's start-up, and nobody waits long for the last one: a bound on its length.
_MOST_FOR_AUTO = 200
#: The same where it is known how long fits take: how long a task should be, in seconds, and how many times its start.
_LENGTH_S = 1800.0
_STARTS = 5.0
#: A start takes at least this, in seconds: what a scheduler does for a job is not measured.
_START_OF_A_JOB_S = 5.0
#: What a task asks for beyond the upper bounds of its fits, in which steps, and at least, in minutes.
_MARGIN = 1.25
_STEP_MIN, _LEAST_MIN = 5, 10
#: Tasks that need less than this part of the longest one's time are sent apart: short requests start sooner.
_SHORTER = 0.5


def pack(
    points: Sequence[Point],
    resources: Mapping[str, Resources],
    *,
    points_per_task: PointsPerTask,
    slots: int,
    scheduler: bool,
    max_array_size: int,
    seconds: Callable[[Point], Estimate | None] | None = None,
    start_s: float = 0.0,
    max_time_min: int | None = None,
    fixed_time: Collection[str] = frozenset(),
) -> tuple[Array, ...]:
    """Cut points into arrays of tasks.

    Parameters
    ----------
    resources : what each point asks for, by id
    slots : how many tasks can run at once
    scheduler : whether starting a task costs a place in a queue
    max_array_size : most tasks of one array
    seconds : how long the fit of a point takes, as far as that is known; None where nothing is
    start_s : what a task pays once, beside its fits
    max_time_min : the longest time limit that may be asked for (or what a point asks for, where that is more); None
        for no more than points ask for
    fixed_time : ids of points whose time limit stays as it is: a person said so, or it was too short
    """
    rules = _Rules(
        per_task=points_per_task,
        slots=slots,
        scheduler=scheduler,
        seconds=seconds or (lambda point: None),
        start_s=start_s,
    )
    groups: dict[tuple[Resources, bool, bool], list[Point]] = defaultdict(list)
    for point in points:
        known = rules.seconds(point) is not None
        fixed = point.point_id in fixed_time
        groups[resources[point.point_id], known, fixed].append(point)
    by_request: dict[Resources, list[Sequence[Point]]] = defaultdict(list)
    for (request, known, fixed), group in groups.items():
        if not known:
            by_request[request] += rules.tasks_by_size(group)
        elif fixed:
            by_request[request] += rules.tasks_by_time(group, request.time_min)
        else:
            most = max(max_time_min or 0, request.time_min)
            tasks = rules.tasks_by_time(group, most)
            for minutes, alike in _by_length(
                (min(rules.minutes(task), most), task) for task in tasks
            ):
                by_request[replace(request, time_min=minutes)] += alike
    return _arrays(by_request, max_array_size)


@dataclass(frozen=True, kw_only=True)
class _Rules:
    """How points of one request are cut into tasks; the attributes are arguments of `pack`."""

    per_task: PointsPerTask
    slots: int
    scheduler: bool
    seconds: Callable[[Point], Estimate | None]
    start_s: float

    def tasks_by_size(self, points: Sequence[Point]) -> list[Sequence[Point]]:
        """Tasks of points about which nothing is known but the size of their data."""
        tasks: list[Sequence[Point]] = []
        for group in _alike(points):
            if self.per_task == "auto":
                tasks += _cut(group, [cost(point) for point in group], self._n_by_size(len(group)))
            else:
                tasks += _every(group, self.per_task)
        return tasks

    def tasks_by_time(self, points: Sequence[Point], most_min: int) -> list[Sequence[Point]]:
        """Tasks of points whose seconds are known; none needs more than `most_min`, unless a single point does."""
        tasks: list[Sequence[Point]] = []
        for group in _alike(points):
            if self.per_task == "auto":
                costs = [max(1e-3, self._estimate(point).expected_s) for point in group]
                for task in _cut(group, costs, self._n_by_time(costs)):
                    tasks += self._short_enough(task, most_min)
            else:
                tasks += _every(group, self.per_task)
        return tasks

    def minutes(self, points: Sequence[Point]) -> int:
        """The time limit that a task of points whose seconds are known should have."""
        needed_s = self.start_s + sum(self._estimate(point).upper_s for point in points)
        return max(_LEAST_MIN, _STEP_MIN * math.ceil(_MARGIN * needed_s / 60 / _STEP_MIN))

    def _n_by_size(self, n_points: int) -> int:
        most = math.ceil(n_points / _FEWEST_FOR_A_SCHEDULER) if self.scheduler else n_points
        return max(math.ceil(n_points / _MOST_FOR_AUTO), min(self.slots, most))

    def _n_by_time(self, costs: Sequence[float]) -> int:
        """As many as can run at once, but not so short that they mostly start, nor longer than they should be."""
        total = sum(costs)
        most = len(costs)
        if self.scheduler:
            shortest_s = _STARTS * max(self.start_s, _START_OF_A_JOB_S)
            most = min(most, max(1, int(total / shortest_s)))
        return min(len(costs), max(math.ceil(total / _LENGTH_S), min(self.slots, most)))

    def _short_enough(self, points: Sequence[Point], most_min: int) -> list[Sequence[Point]]:
        """The points as one task, or as several where that would need more than `most_min`."""
        room_s = most_min * 60 / _MARGIN - self.start_s
        tasks: list[list[Point]] = []
        left_s = 0.0
        for point in points:
            upper_s = self._estimate(point).upper_s
            if not tasks or upper_s > left_s:
                tasks.append([])
                left_s = room_s
            tasks[-1].append(point)
            left_s -= upper_s
        return list(tasks)

    def _estimate(self, point: Point) -> Estimate:
        estimate = self.seconds(point)
        assert estimate is not None, f"nothing is known about {point.point_id}"
        return estimate


def _alike(points: Sequence[Point]) -> Iterable[list[Point]]:
    """Points of one model and engine each, in the order of their shape classes."""
    by_model: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in points:
        by_model[point.model, str(point.settings.get("engine"))].append(point)
    for group in by_model.values():
        yield sorted(group, key=lambda point: (point.shape, point.n_states))


def _every(points: Sequence[Point], n: int) -> list[Sequence[Point]]:
    return [points[i : i + n] for i in range(0, len(points), n)]


def _cut(points: Sequence[Point], costs: Sequence[float], n_tasks: int) -> list[Sequence[Point]]:
    """`n_tasks` pieces in order, each about equally expensive and none empty."""
    total, spent = sum(costs), 0.0
    tasks: list[list[Point]] = [[]]
    for index, (point, this) in enumerate(zip(points, costs, strict=True)):
        left_points, left_tasks = len(points) - index, n_tasks - len(tasks)
        full = spent + this / 2 > total * len(tasks) / n_tasks
        if tasks[-1] and left_tasks > 0 and (full or left_points <= left_tasks):
            tasks.append([])
        tasks[-1].append(point)
        spent += this
    return list(tasks)


def _by_length(
    tasks: Iterable[tuple[int, Sequence[Point]]],
) -> list[tuple[int, list[Sequence[Point]]]]:
    """Tasks whose time limits are not too different, with the longest of these; the longest tasks first."""
    found: list[tuple[int, list[Sequence[Point]]]] = []
    for minutes, task in sorted(tasks, key=lambda pair: -pair[0]):
        if not found or minutes < _SHORTER * found[-1][0]:
            found.append((minutes, []))
        found[-1][1].append(task)
    return found


def _arrays(
    by_request: Mapping[Resources, Sequence[Sequence[Point]]], max_array_size: int
) -> tuple[Array, ...]:
    """Number tasks and arrays; no array is larger than `max_array_size`."""
    arrays: list[Array] = []
    first = 0
    for request, tasks in by_request.items():
        for start in range(0, len(tasks), max_array_size):
            part = tasks[start : start + max_array_size]
            numbered = tuple(Task(number=first + i, points=tuple(t)) for i, t in enumerate(part))
            arrays.append(Array(number=len(arrays), first=first, tasks=numbered, resources=request))
            first += len(part)
    return tuple(arrays)


def cost(point: Point) -> float:
    """How expensive a fit is compared with others: a constant part, and one for the cells of its data."""
    return 1.0 + math.prod(point.shape) * point.n_states / 50_000
