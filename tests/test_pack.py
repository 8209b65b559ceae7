"""Tasks and arrays: every point in exactly one task, tasks of about the same cost, requests that hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pytau_hpc.measure import Estimate
from pytau_hpc.pack import pack
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.sweep.submission import Array
from tests.builders import a_point

ASKED = Resources(cpus=1, mem_gb=4.0, time_min=60)


def equal_points(n: int) -> list[Point]:
    """Of one shape and number of states."""
    return [a_point(repeat=i) for i in range(n)]


def packed(points, resources: Mapping[str, Resources] | Resources = ASKED, **how):
    each = (
        {point.point_id: resources for point in points}
        if isinstance(resources, Resources)
        else resources
    )
    usual = {"points_per_task": "auto", "slots": 10, "scheduler": True, "max_array_size": 1000}
    return pack(points, each, **{**usual, **how})


def taking(expected_s: float, upper_s: float | None = None):
    """Every fit takes as long."""
    estimate = Estimate(expected_s=expected_s, upper_s=upper_s or expected_s, n=9)
    return lambda point: estimate


def sizes(arrays: tuple[Array, ...]) -> list[int]:
    return [len(task.points) for array in arrays for task in array.tasks]


# ------------------------------------------------------------------------------------------ nothing is known about time


def test_points_share_tasks_where_starting_one_has_a_price():
    """100 points, 10 places: ten tasks; with 50 places not more than eight points make worth while."""
    points = equal_points(100)

    assert sizes(packed(points)) == [10] * 10
    assert len(sizes(packed(points, slots=50))) == 13
    assert len(sizes(packed(points, slots=50, scheduler=False))) == 50


def test_tasks_do_not_get_longer_than_two_hundred_points():
    """Nobody waits for ever for the last one."""
    assert max(sizes(packed(equal_points(1000), slots=2))) <= 200


def test_models_do_not_share_a_task():
    """Each has to be compiled."""
    points = [a_point(model=model, repeat=i) for i in range(4) for model in ("a", "b")]

    for array in packed(points, slots=1):
        for task in array.tasks:
            assert len({point.model for point in task.points}) == 1


# ------------------------------------------------------------------------------------------------- fits of known length


def test_tasks_are_half_an_hour_long_where_there_are_more_points_than_places():
    """100 fits of six minutes on four places: twenty tasks of five, not four of 25."""
    assert sizes(packed(equal_points(100), slots=4, seconds=taking(360))) == [5] * 20


def test_long_fits_need_no_company():
    """Ten fits of ten minutes on ten places all run at once."""
    assert sizes(packed(equal_points(10), seconds=taking(600), start_s=20)) == [1] * 10


def test_short_fits_share_a_task_that_is_worth_its_start():
    """A thousand fits of a second, twenty seconds to start: ten tasks of a hundred seconds."""
    arrays = packed(equal_points(1000), slots=50, seconds=taking(1), start_s=20)

    assert sizes(arrays) == [100] * 10


def test_an_array_asks_for_the_time_that_its_longest_task_needs():
    """Five bounds of 8 minutes and a start, a quarter more, in steps of five minutes: less than what was asked for."""
    how = {"slots": 4, "seconds": taking(360, 480), "start_s": 30, "max_time_min": 600}

    [array] = packed(equal_points(100), replace(ASKED, time_min=240), **how)

    assert array.resources == replace(ASKED, time_min=55)


def test_an_array_may_ask_for_more_time_than_the_spec_says():
    """A fit of three hours does not fit into one."""
    [array] = packed(equal_points(2), seconds=taking(10800), max_time_min=600)

    assert array.resources.time_min == 225


def test_the_least_that_is_asked_for_is_ten_minutes():
    """Schedulers and clocks have their own minutes."""
    [array] = packed(equal_points(2), seconds=taking(0.1))

    assert array.resources.time_min == 10


def test_no_task_is_longer_than_the_limit_unless_one_fit_is():
    """Bounds of 50 minutes, two hours allowed: one after another, only one in each; nothing asks for more."""
    points = equal_points(20)
    tight = packed(points, slots=1, seconds=taking(60, 3000), max_time_min=120)
    too_long = packed(points, slots=1, seconds=taking(60, 30000), max_time_min=120)

    assert sizes(tight) == sizes(too_long) == [1] * 20
    assert {array.resources.time_min for array in tight} == {65}
    assert {array.resources.time_min for array in too_long} == {120}


def test_a_time_that_is_fixed_stays_and_tasks_fit_into_it():
    """The command line said an hour, or a retry asks for more than before: twelve bounds of five minutes."""
    points = equal_points(100)
    fixed = frozenset(point.point_id for point in points)

    arrays = packed(points, slots=1, seconds=taking(10, 300), fixed_time=fixed, max_time_min=600)

    assert {array.resources for array in arrays} == {ASKED}
    assert max(sizes(arrays)) == 9


def test_fixed_and_free_times_do_not_mix():
    """A retry's longer limit is its own."""
    points = equal_points(8)
    long = replace(ASKED, time_min=90)
    asked = {point.point_id: long if i < 2 else ASKED for i, point in enumerate(points)}
    fixed = frozenset(point.point_id for point in points[:2])

    arrays = packed(points, asked, seconds=taking(60), fixed_time=fixed)

    times = {p.point_id: a.resources.time_min for a in arrays for t in a.tasks for p in t.points}
    assert [times[point.point_id] for point in points] == [90] * 2 + [10] * 6


def test_a_number_of_points_that_somebody_chose_is_kept():
    """Only the time follows."""
    [array] = packed(equal_points(20), points_per_task=10, seconds=taking(600), max_time_min=600)

    assert [len(task.points) for task in array.tasks] == [10, 10]
    assert array.resources.time_min == 125


def test_tasks_of_very_different_length_are_sent_apart():
    """What needs ten minutes should not wait for a node that is free for six hours."""
    long, short = (
        [a_point(model=model, repeat=i) for i in range(3)] for model in ("slow", "quick")
    )
    seconds = {"slow": taking(14400), "quick": taking(2)}

    arrays = packed(long + short, seconds=lambda p: seconds[p.model](p), max_time_min=1000)

    assert [(len(a.tasks), a.resources.time_min) for a in arrays] == [(3, 300), (1, 10)]


def test_points_of_unknown_length_are_packed_as_ever():
    """With what they ask for, apart from the others."""
    points = equal_points(40)
    known = {point.point_id for point in points[:20]}

    arrays = packed(
        points,
        slots=2,
        seconds=lambda p: taking(600)(p) if p.point_id in known else None,
        max_time_min=600,
    )

    [free] = [array for array in arrays if array.resources == ASKED]
    assert {p.point_id for task in free.tasks for p in task.points}.isdisjoint(known)
    assert [len(task.points) for task in free.tasks] == [10, 10]


# ---------------------------------------------------------------------------------------------------------- always true

POINTS = [
    replace(a_point(model=model, repeat=i), shape=(10 + i % 3, 5, 20))
    for model in ("single_taste_poisson", "poisson_changepoint_1d")
    for i in range(40)
]


@st.composite
def _a_load(draw):
    """Points with requests, some of known length, some fixed."""
    points = draw(st.lists(st.sampled_from(POINTS), unique_by=lambda p: p.point_id, min_size=1))
    requests = [replace(ASKED, mem_gb=gb, time_min=t) for gb in (1.0, 2.0) for t in (15, 240)]
    resources = {p.point_id: draw(st.sampled_from(requests)) for p in points}
    lengths = st.one_of(st.none(), st.floats(0.0, 30000.0))
    expected = {p.point_id: draw(lengths) for p in points}
    factor = draw(st.floats(1.0, 3.0))
    fixed = draw(st.sets(st.sampled_from([p.point_id for p in points])))
    return points, resources, expected, factor, frozenset(fixed)


@given(
    _a_load(),
    st.one_of(st.just("auto"), st.integers(1, 9)),
    st.integers(1, 60),
    st.booleans(),
    st.integers(1, 30),
    st.floats(0, 300),
    st.integers(1, 3000),
)
def test_whatever_is_known_every_point_is_in_one_task_that_holds_it(
    load, per_task, slots, scheduler, max_array_size, start_s, cap_min
):
    """None lost, none doubled; one request for an array; limits are respected; numbers are those of a submission."""
    points, resources, expected, factor, fixed = load

    def seconds(point: Point) -> Estimate | None:
        s = expected[point.point_id]
        return None if s is None else Estimate(expected_s=s, upper_s=factor * s, n=3)

    arrays = pack(
        points,
        resources,
        points_per_task=per_task,
        slots=slots,
        scheduler=scheduler,
        max_array_size=max_array_size,
        seconds=seconds,
        start_s=start_s,
        max_time_min=cap_min,
        fixed_time=fixed,
    )

    held = Counter(p.point_id for a in arrays for task in a.tasks for p in task.points)
    assert held == Counter(p.point_id for p in points)
    assert [a.number for a in arrays] == list(range(len(arrays)))
    numbers = [task.number for a in arrays for task in a.tasks]
    assert numbers == list(range(len(numbers)))
    for array in arrays:
        assert array.first == array.tasks[0].number
        assert 1 <= len(array.tasks) <= max_array_size
        for task in array.tasks:
            asked = [resources[p.point_id] for p in task.points]
            assert {one.mem_gb for one in asked} == {array.resources.mem_gb}
            assert per_task == "auto" or len(task.points) <= per_task
            assert len({p.model for p in task.points}) == 1
            own = {one.time_min for one in asked}
            free = [
                p
                for p in task.points
                if p.point_id not in fixed and expected[p.point_id] is not None
            ]
            if free:
                assert len(free) == len(task.points)
                assert array.resources.time_min <= max(cap_min, *own)
                _fits(task.points, seconds, array.resources.time_min, max(cap_min, *own), per_task)
            else:
                assert own == {array.resources.time_min}


def _fits(points, seconds, time_min: int, most_min: int, per_task) -> None:
    """The bounds of a task's fits fit into its time, unless a single one, or a number that was asked for, does not."""
    bound_s = sum(seconds(point).upper_s for point in points)
    alone = len(points) == 1 or per_task != "auto"
    assert bound_s <= 60 * time_min or (alone and time_min == most_min)


@given(st.lists(st.sampled_from(POINTS), unique_by=lambda p: p.point_id, min_size=1))
def test_what_is_cut_by_size_is_about_the_same_size(points):
    """Largest and smallest task differ by less than two fits and a bit."""
    same = [replace(point, shape=(10, 5, 20), model="m") for point in points]

    found = sizes(packed(same, slots=7, scheduler=False))

    assert max(found) - min(found) <= 1
    assert len(found) == min(7, len(same))
