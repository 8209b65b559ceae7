"""What a plan will cost: the tasks that `submit` would make of it, with the profile that the spec names.

Expected CPU-hours come from what fits of the same classes took, in this sweep and in others of the study; where none
has run, nothing is said about them. The most that it can cost follows from the requests. Nothing is asked of a
scheduler and nothing is written. Called by ``plan``; `reports.plan` prints it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pytau_hpc.errors import PytauHpcError
from pytau_hpc.executors import executor
from pytau_hpc.executors.profile import Profile, find_profile
from pytau_hpc.known_use import known_use
from pytau_hpc.ledger.measured import Measurements
from pytau_hpc.measure import Measured, adapted, expected_cpu_hours, maximum_cpu_hours
from pytau_hpc.pack import pack
from pytau_hpc.plan import PlanResult
from pytau_hpc.retry import RetryLimits
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.submission import Array

#: What the controller would say is not worth asking for here: it cuts arrays, not tasks.
_ARRAY_SIZE = 1000


@dataclass(frozen=True, kw_only=True)
class ShapeNeeds:
    """What fits of one shape need, as far as it is known: the range of mean seconds, and GiB to ask for."""

    shortest_s: float
    longest_s: float
    mem_gb: float


@dataclass(frozen=True, kw_only=True)
class PlanCost:
    """What the points that are not done will cost.

    profile : the name of the profile that this is about
    arrays : the tasks that `submit` would make
    expected : CPU-hours, None where it is not known for all points; maximum : None where nobody enforces time limits
    n_known, n_fits : for how many points it is known how long they take, and from how many fits
    needs : by shape of the data, where something is known
    """

    profile: str
    arrays: tuple[Array, ...]
    expected: float | None
    maximum: float | None
    n_points: int
    n_known: int
    n_fits: int
    needs: dict[tuple[int, ...], ShapeNeeds]


def cost_of(result: PlanResult, *, profile: Profile | None = None) -> PlanCost | None:
    """What a plan will cost; None where nothing is left to do, or where the profile of the spec cannot be used here.

    Parameters
    ----------
    profile : instead of the one that the spec (or the environment) names
    """
    points = [point for point in result.points if point.point_id not in result.done]
    if not points:
        return None
    try:
        profile = profile or find_profile(in_spec=result.profile, study=result.study)
    except PytauHpcError:
        return None  # `submit` will say so, and may be given another one
    found = known_use(points, SweepDir(result.sweep_dir), executor=profile.executor)
    return _cost_of(points, result, profile, found)


def _cost_of(
    points: Sequence[Point], result: PlanResult, profile: Profile, found: Sequence[Measurements]
) -> PlanCost:
    request = result.request.over(profile.defaults)
    asked = dict.fromkeys((point.point_id for point in points), request.resources())
    limits = RetryLimits(**profile.retry_caps())
    way = executor(profile.executor)
    # Requests follow what was measured under this executor only; what a fit costs is worth knowing from anywhere.
    under_it = Measured.of(found, executor=profile.executor, cpus=request.resources().cpus)
    anywhere = Measured.of(found, cpus=request.resources().cpus)
    adapts = request.adapts
    arrays = pack(
        points,
        adapted(points, asked, under_it, max_mem_gb=limits.max_mem_gb) if adapts else asked,
        points_per_task=request.per_task,
        slots=profile.limits.max_running_tasks or way.slots(),
        scheduler=way.queues,
        max_array_size=profile.limits.max_array_size or _ARRAY_SIZE,
        seconds=under_it.seconds if adapts else None,
        start_s=under_it.start_s,
        max_time_min=limits.max_time_min,
    )
    return PlanCost(
        profile=profile.name,
        arrays=arrays,
        expected=expected_cpu_hours(arrays, anywhere),
        maximum=maximum_cpu_hours(arrays) if way.queues else None,
        n_points=len(points),
        n_known=sum(anywhere.seconds(point) is not None for point in points),
        n_fits=anywhere.n,
        needs=_needs(points, anywhere),
    )


def _needs(points: Sequence[Point], measured: Measured) -> dict[tuple[int, ...], ShapeNeeds]:
    by_shape: dict[tuple[int, ...], list[tuple[float, float]]] = defaultdict(list)
    for point in points:
        estimate, mem_gb = measured.seconds(point), measured.memory_gb(point)
        if estimate is not None and mem_gb is not None:
            by_shape[point.shape].append((estimate.expected_s, mem_gb))
    return {
        shape: ShapeNeeds(
            shortest_s=min(s for s, _ in known),
            longest_s=max(s for s, _ in known),
            mem_gb=max(gb for _, gb in known),
        )
        for shape, known in by_shape.items()
    }
