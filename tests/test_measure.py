"""Estimates from what was measured: of the class, of larger ones, of nearly as large ones, or none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytau_hpc.ledger.measured import Fits, Measurements, Start, Success
from pytau_hpc.measure import (
    Estimate,
    Measured,
    adapted,
    expected_cpu_hours,
    maximum_cpu_hours,
)
from pytau_hpc.sweep.fit_class import Classifier
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.resources import Resources
from pytau_hpc.sweep.submission import Array, Task
from tests.builders import a_point

GIB = 2**30
ASKED = Resources(cpus=1, mem_gb=4.0, time_min=60)
CLASS_OF = Classifier()


def a_fit_of(shape: tuple[int, ...] = (30, 10, 40), n_states: int = 4, **more) -> Point:
    return replace(a_point(n_states=n_states, **more), shape=shape)


def fits(
    seconds: Iterable[float] = (), peaks_gb: Iterable[float] = (), *, warm: bool = True, **more
) -> Fits:
    """Fits that took so long with one CPU busy, or that had such peaks."""
    made = [Success(s, s, None, warm) for s in seconds]
    made += [Success(1.0, 1.0, int(gb * GIB), warm) for gb in peaks_gb]
    return Fits(successes=made, **more)


def measured(*known: tuple[Point, Fits], executor: str = "slurm", **how) -> Measured:
    found = Measurements()
    for point, these in known:
        found.fits[CLASS_OF(point), executor] = these
    return Measured.of([found], **how)


# ---------------------------------------------------------------------------------------------------------------- time


def test_nothing_is_said_about_what_nobody_has_measured():
    """No estimate is better than an invented one."""
    nothing = measured()

    assert nothing.seconds(a_fit_of()) is None
    assert nothing.memory_gb(a_fit_of()) is None
    assert nothing.start_s == 0
    assert nothing.resources(a_fit_of(), ASKED, max_mem_gb=128) == ASKED


def test_two_fits_are_too_few():
    """Three begin to say something: the mean, and half as much again as the longest."""
    point = a_fit_of()

    assert measured((point, fits([10, 20]))).seconds(point) is None
    found = measured((point, fits([10, 20, 30]))).seconds(point)
    assert found == Estimate(expected_s=20, upper_s=45, n=3)


def test_of_many_fits_the_exceptional_ones_do_not_count():
    """One in a hundred took an hour; the bound stays where nineteen of twenty are."""
    point = a_fit_of()

    found = measured((point, fits([10.0] * 99 + [3600.0]))).seconds(point)

    assert found is not None
    assert found.upper_s == pytest.approx(13)
    assert found.expected_s == pytest.approx(45.9)


def test_first_fits_of_tasks_count_only_where_there_are_no_others():
    """They hold the start, which is counted by itself where it can be told apart."""
    point = a_fit_of()
    cold = [Success(90, 90, None, False)] * 3
    warm = [Success(30, 30, None, True)] * 3

    both = measured((point, Fits(successes=cold + warm))).seconds(point)
    only_cold = measured((point, Fits(successes=cold))).seconds(point)

    assert both == Estimate(expected_s=30, upper_s=45, n=3)
    assert only_cold == Estimate(expected_s=90, upper_s=135, n=3)


def test_the_start_of_a_task_is_what_its_first_fit_took_longer_than_others():
    """The median, so that one slow file system does not count."""
    of = CLASS_OF(a_fit_of())
    found = Measurements(starts=[Start("slurm", of, wall, 60.0) for wall in (50, 52, 400)])
    found.fits[of, "slurm"] = fits([30, 30, 30])

    assert Measured.of([found]).start_s == 22


def test_the_start_goes_by_the_fits_own_clock_where_all_were_first():
    """What lies outside the first fit is certainly the start."""
    of = CLASS_OF(a_fit_of())
    found = Measurements(starts=[Start("slurm", of, 70.0, 60.0)] * 3)
    found.fits[of, "slurm"] = fits([60, 60, 60], warm=False)

    assert Measured.of([found]).start_s == 10


def test_seconds_of_another_executor_are_left_out_and_memory_is_not():
    """A laptop says nothing about how fast a cluster's nodes are."""
    point = a_fit_of()
    here = fits([10, 10, 10], [1, 1, 1])

    elsewhere = measured((point, here), executor="local")
    on_cluster = Measured.of([_found(point, here, "local")], executor="slurm")

    assert elsewhere.seconds(point) is not None
    assert on_cluster.seconds(point) is None
    assert on_cluster.memory_gb(point) == elsewhere.memory_gb(point) == 1.75


def _found(point: Point, these: Fits, executor: str) -> Measurements:
    found = Measurements()
    found.fits[CLASS_OF(point), executor] = these
    return found


def test_fits_that_kept_more_cpus_busy_will_take_longer_on_fewer():
    """Four CPUs for a minute are one CPU for four."""
    point = a_fit_of()
    known = (point, Fits(successes=[Success(60, 240, None, True)] * 3))

    one, eight = (measured(known, cpus=n).seconds(point) for n in (1, 8))

    assert one == Estimate(expected_s=240, upper_s=360, n=3)
    assert eight == Estimate(expected_s=60, upper_s=90, n=3)


def test_fits_that_were_cut_off_raise_the_bound():
    """Those that ended are the short ones."""
    point = a_fit_of()

    found = measured((point, fits([10, 10, 10], unfinished_s=[100, 2]))).seconds(point)

    assert found is not None
    assert found.upper_s == 150


def test_larger_fits_stand_for_one_that_nobody_has_measured():
    """The smallest of them that are enough; others of another shape or kind do not."""
    point = a_fit_of((30, 10, 40))
    known = measured(
        (a_fit_of((30, 10, 80)), fits([80] * 5)),
        (a_fit_of((30, 12, 40)), fits([20, 20, 20])),
        (a_fit_of((30, 10, 40), settings={"draws": 5}), fits([1, 1, 1])),
        (a_fit_of((400, 40)), fits([2, 2, 2])),
    )

    found = known.seconds(point)

    assert found == Estimate(expected_s=20, upper_s=30, n=3)


def test_the_own_fits_are_completed_by_larger_ones():
    """In a real sweep hardly two sessions have one shape."""
    known = measured(
        (a_fit_of((30, 10, 40)), fits([10])),
        (a_fit_of((30, 11, 40)), fits([20])),
        (a_fit_of((30, 12, 40)), fits([30])),
        (a_fit_of((30, 13, 40)), fits([100])),
    )

    found = known.seconds(a_fit_of((30, 10, 40)))

    assert found is not None
    assert found.expected_s == 20


def test_the_largest_fit_is_known_by_those_that_are_nearly_as_large_in_proportion():
    """A quarter more cells take a quarter more time; what is less than half as large says nothing."""
    known = measured((a_fit_of((40, 10, 40)), fits([40, 40, 40])))

    larger = known.seconds(a_fit_of((50, 10, 40)))
    much_larger = known.seconds(a_fit_of((90, 10, 40)))

    assert larger == Estimate(expected_s=50, upper_s=75, n=3)
    assert much_larger is None


@given(st.lists(st.floats(0.01, 1e5), min_size=3, max_size=60))
def test_a_bound_is_never_below_what_nearly_all_fits_took(seconds):
    """And the expectation lies between the extremes."""
    point = a_fit_of()

    found = measured((point, fits(seconds))).seconds(point)

    assert found is not None
    assert sum(s <= found.upper_s for s in seconds) >= 0.95 * len(seconds)
    assert min(seconds) * 0.999 <= found.expected_s <= max(seconds) * 1.001


# -------------------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("peak_gb", "asked_gb"),
    [(0.05, 0.5), (0.7, 1.25), (1.0, 1.75), (1.5, 2.5), (2.5, 3.5), (3.0, 5.0), (20.0, 28.0)],
)
def test_memory_is_the_peak_with_a_margin_in_a_few_steps(peak_gb, asked_gb):
    """Points with different requests cannot share an array."""
    point = a_fit_of()
    known = measured((point, fits(peaks_gb=[peak_gb] * 3)))

    assert known.resources(point, ASKED, max_mem_gb=128) == replace(ASKED, mem_gb=asked_gb)


def test_memory_stops_at_what_the_profile_allows():
    """Unless spec or command line ask for more themselves."""
    point = a_fit_of()
    known = measured((point, fits(peaks_gb=[20, 20, 20])))

    assert known.resources(point, ASKED, max_mem_gb=16).mem_gb == 16
    assert known.resources(point, replace(ASKED, mem_gb=24.0), max_mem_gb=16).mem_gb == 24


def test_what_was_too_little_is_not_asked_for_again():
    """Ten fits were content with one GiB, one ran out of four."""
    point = a_fit_of()
    known = measured((point, fits(peaks_gb=[1.0] * 10, too_little_bytes=[4 * GIB])))

    assert known.resources(point, ASKED, max_mem_gb=128).mem_gb == 6


def test_one_exception_among_many_is_left_to_resume():
    """One of a hundred ran out of 64 GiB: the others need not wait for such a node."""
    point = a_fit_of()
    known = measured((point, fits(peaks_gb=[1.0] * 99, too_little_bytes=[64 * GIB])))

    assert known.resources(point, ASKED, max_mem_gb=128).mem_gb == 1.75


def test_what_was_too_little_for_one_fit_is_too_little_for_its_class_and_for_larger_ones():
    """Though there is no success yet to make an estimate of."""
    small, large = a_fit_of((30, 10, 40)), a_fit_of((90, 30, 40))
    known = measured((small, Fits(too_little_bytes=[4 * GIB])))

    for point in (small, large):
        assert known.resources(point, ASKED, max_mem_gb=128).mem_gb == 6
        assert known.resources(point, ASKED, max_mem_gb=5).mem_gb == 5
    assert known.resources(a_fit_of((3, 1, 40)), ASKED, max_mem_gb=128) == ASKED


@given(
    st.lists(st.floats(0.01, 60.0), min_size=3, max_size=60),
    st.floats(1.0, 256.0),
    st.floats(0.25, 128.0),
)
def test_memory_holds_nearly_all_fits_or_is_all_that_is_allowed(peaks_gb, cap_gb, asked_gb):
    """Never more than the larger of the profile's limit and what was asked for."""
    point = a_fit_of()
    asked = replace(ASKED, mem_gb=asked_gb)

    found = measured((point, fits(peaks_gb=peaks_gb))).resources(point, asked, max_mem_gb=cap_gb)

    assert found.mem_gb <= max(cap_gb, asked_gb)
    enough = sum(peak <= found.mem_gb for peak in peaks_gb) >= 0.95 * len(peaks_gb)
    assert enough or found.mem_gb == max(cap_gb, asked_gb)
    assert (found.cpus, found.time_min) == (asked.cpus, asked.time_min)


def test_points_whose_memory_is_fixed_keep_what_they_ask_for():
    """A person said so, or they ran out of memory before."""
    points = [a_fit_of(repeat=i) for i in range(2)]
    known = measured((points[0], fits(peaks_gb=[1, 1, 1])))
    asked = dict.fromkeys((point.point_id for point in points), ASKED)

    found = adapted(points, asked, known, max_mem_gb=128, fixed={points[1].point_id})

    assert [found[point.point_id].mem_gb for point in points] == [1.75, 4.0]


# ---------------------------------------------------------------------------------------------------------------- cost


def an_array(*tasks: tuple[Point, ...], **asked) -> Array:
    numbered = tuple(Task(number=i, points=points) for i, points in enumerate(tasks))
    return Array(number=0, first=0, tasks=numbered, resources=replace(ASKED, **asked))


def test_cost_is_cpus_times_the_time_of_tasks_with_their_starts():
    """Two tasks of 4 CPUs: 3 fits of 20 minutes and 2 starts of 15 minutes are six CPU-hours."""
    a, b, c = (a_fit_of(repeat=i) for i in range(3))
    found = Measurements(starts=[Start("slurm", CLASS_OF(a), 2100, 1200)])
    found.fits[CLASS_OF(a), "slurm"] = fits([1200, 1200, 1200])
    arrays = [an_array((a, b), (c,), cpus=4, time_min=90)]

    assert expected_cpu_hours(arrays, Measured.of([found])) == pytest.approx(6)
    assert maximum_cpu_hours(arrays) == 12


def test_no_cost_is_expected_where_one_fit_is_unknown():
    """A part of the truth would be taken for all of it."""
    a, b = a_fit_of(), a_fit_of((90, 30, 40))
    known = measured((a, fits([10, 10, 10])))

    assert expected_cpu_hours([an_array((a, b))], known) is None
    assert expected_cpu_hours([an_array((a,))], known) is not None
    assert maximum_cpu_hours([]) == 0
