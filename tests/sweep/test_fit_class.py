"""Which fits are of one class."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytau_hpc.sweep.fit_class import Classifier, FitClass, classes_of
from pytau_hpc.sweep.manifest import read_manifest
from tests.builders import a_point, a_session, a_sweep


def test_the_data_of_a_point_do_not_make_its_class():
    """Another session, taste or repeat of the same shape costs the same."""
    class_of = Classifier()

    classes = {
        class_of(a_point()),
        class_of(a_point(session=a_session(3), taste=2)),
        class_of(a_point(repeat=7, transform="trial_shuffled")),
    }

    assert len(classes) == 1


@pytest.mark.parametrize(
    "other",
    [
        a_point(n_states=5),
        a_point(model="poisson_changepoint_1d"),
        a_point(settings={"engine": "pymc"}),
        a_point(settings={"draws": 50}),
        replace(a_point(), shape=(30, 10, 80)),
        replace(a_point(), model_options={"prior": "wide"}),
        replace(a_point(), model_version=2),
    ],
    ids=["states", "model", "engine", "settings", "shape", "options", "version"],
)
def test_everything_that_the_work_depends_on_makes_a_class(other):
    """A fit of 500 iterations says nothing about one of 80,000."""
    class_of = Classifier()

    assert class_of(other) != class_of(a_point())


def test_a_manifest_gives_the_classes_of_its_points(study):
    """Without making the points, and also where an axis is called like one of the last columns."""
    points = [
        a_point(n_states=k, more_axes={"draws": draws, "variant": "a"})
        for k in (2, 3)
        for draws in (500, 1000)
    ]
    sweep = a_sweep(study, points)

    found = classes_of(read_manifest(sweep.dir.path))

    class_of = Classifier()
    assert found == {point.point_id: class_of(point) for point in points}
    assert len(set(found.values())) == 4


@pytest.mark.parametrize(
    ("shape", "n_states", "covers"),
    [
        ((30, 10, 40), 4, True),
        ((31, 10, 40), 4, True),
        ((30, 10, 40), 5, True),
        ((60, 9, 40), 4, False),
        ((30, 10, 40), 3, False),
        ((30, 10, 40, 2), 4, False),
    ],
)
def test_a_class_covers_another_when_it_is_at_least_as_large_in_everything(shape, n_states, covers):
    """More cells in all are not enough: what grows with the neurons does not shrink with the trials."""
    assert FitClass("m", shape, n_states).covers(FitClass("m", (30, 10, 40), 4)) == covers
    assert not FitClass("another", shape, n_states).covers(FitClass("m", (30, 10, 40), 4))
