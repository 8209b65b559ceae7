"""Which points go into one task, and which tasks into one array. Pure.

A task pays once for importing and for compiling each shape of data, so points of one model and shape stay together;
tasks are cut so that they cost about the same.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.resources import PointsPerTask, Resources
from pytau_hpc.sweep.submission import Array, Task

#: A task of fewer points than this mostly waits for imports.
_FEWEST_FOR_A_SCHEDULER = 8
#: A task that dies hard loses one run's start-up, and nobody waits long for the last one: a bound on its length.
_MOST_FOR_AUTO = 200


def pack(
    points: Sequence[Point],
    resources: Mapping[str, Resources],
    *,
    points_per_task: PointsPerTask,
    slots: int,
    scheduler: bool,
    max_array_size: int,
) -> tuple[Array, ...]:
    """Cut points into arrays of tasks.

    Parameters
    ----------
    resources : what each point asks for, by id
    slots : how many tasks can run at once
    scheduler : whether starting a task costs a place in a queue
    max_array_size : most tasks of one array
    """
    by_request: dict[Resources, list[Point]] = defaultdict(list)
    for point in points:
        by_request[resources[point.point_id]].append(point)
    arrays: list[Array] = []
    first = 0
    for request, group in by_request.items():
        tasks = _tasks(group, points_per_task, slots, scheduler)
        for start in range(0, len(tasks), max_array_size):
            part = tasks[start : start + max_array_size]
            arrays.append(
                Array(
                    number=len(arrays),
                    first=first,
                    tasks=tuple(
                        Task(number=first + i, points=tuple(held)) for i, held in enumerate(part)
                    ),
                    resources=request,
                )
            )
            first += len(part)
    return tuple(arrays)


def _tasks(
    points: Sequence[Point], per_task: PointsPerTask, slots: int, scheduler: bool
) -> list[list[Point]]:
    """Tasks of points of one model each, cut from the points in the order of their shape classes."""
    by_model: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in points:
        by_model[point.model, str(point.settings.get("engine"))].append(point)
    tasks: list[list[Point]] = []
    for group in by_model.values():
        ordered = sorted(group, key=lambda point: (point.shape, point.n_states))
        if per_task == "auto":
            tasks.extend(_cut(ordered, _n_tasks(len(ordered), slots, scheduler)))
        else:
            tasks.extend(ordered[i : i + per_task] for i in range(0, len(ordered), per_task))
    return tasks


def _n_tasks(n_points: int, slots: int, scheduler: bool) -> int:
    most = math.ceil(n_points / _FEWEST_FOR_A_SCHEDULER) if scheduler else n_points
    return max(math.ceil(n_points / _MOST_FOR_AUTO), min(slots, most))


def _cut(points: Sequence[Point], n_tasks: int) -> list[list[Point]]:
    """`n_tasks` pieces in order, each about equally expensive and none empty."""
    costs = [cost(point) for point in points]
    total, spent = sum(costs), 0.0
    tasks: list[list[Point]] = [[]]
    for index, (point, this) in enumerate(zip(points, costs, strict=True)):
        left_points, left_tasks = len(points) - index, n_tasks - len(tasks)
        full = spent + this / 2 > total * len(tasks) / n_tasks
        if tasks[-1] and left_tasks > 0 and (full or left_points <= left_tasks):
            tasks.append([])
        tasks[-1].append(point)
        spent += this
    return tasks


def cost(point: Point) -> float:
    """How expensive a fit is compared with others: a constant part, and one for the cells of its data."""
    return 1.0 + math.prod(point.shape) * point.n_states / 50_000
