"""Times as SLURM writes them, and who overrides whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytau_hpc.sweep.resources import Request, Resources, RetrySettings, format_time, parse_time


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("01:00:00", 60),
        ("4:00:00", 240),
        ("2-00:00:00", 2880),
        ("1-12", 36 * 60),
        ("1-12:30", 36 * 60 + 30),
        ("90", 90),
        (90, 90),
        # Minutes and seconds, as sbatch reads it: not 30 hours.
        ("30:00", 30),
        # A started minute is asked for whole.
        ("0:00:01", 1),
        ("00:59:01", 60),
    ],
)
def test_every_form_of_slurm_is_read(text: str | int, minutes: int):
    """man sbatch, --time."""
    assert parse_time(text) == minutes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "00:00:00",
        "1h",
        "-5",
        "1:2:3:4",
        "1-",
        "01:00:00\n",
        "UNLIMITED",
        True,
        1.5,
        "400-00:00:00",
        "٣",
    ],
)
def test_anything_else_is_refused(text: object):
    """Also what sbatch would take for something surprising."""
    with pytest.raises(ValueError, match="time"):
        parse_time(text)  # type: ignore[arg-type]


@given(st.integers(1, 366 * 24 * 60))
def test_a_formatted_time_is_read_back(minutes: int):
    """What we print can be typed."""
    assert parse_time(format_time(minutes)) == minutes


def test_the_stronger_request_wins_where_it_says_something():
    """Command line > spec > profile > built in."""
    line, spec = Request(mem_gb=8), Request(mem_gb=2, cpus=4)
    profile = Request(time_min=30, cpus=1, points_per_task=5)

    asked = line.over(spec).over(profile)

    assert asked.resources() == Resources(cpus=4, mem_gb=8, time_min=30)
    assert asked.per_task == 5
    assert Request().resources() == Resources()
    assert Request().per_task == "auto"


@pytest.mark.parametrize(
    ("spec", "profile", "adapts"),
    [(None, None, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_requests_follow_what_was_measured_unless_somebody_says_no(spec, profile, adapts):
    """The spec goes before the profile, also with a no."""
    asked = Request(adapt=spec).over(Request(adapt=profile))

    assert asked.adapts == adapts
    assert Request.from_json(asked.to_json()) == asked


def test_requests_and_settings_survive_json():
    """They are kept in the manifest."""
    request = Request(cpus=2, points_per_task="auto")
    assert Request.from_json(request.to_json()) == request
    assert Resources.from_json(Resources(cpus=3).to_json()) == Resources(cpus=3)
    assert RetrySettings.from_json(RetrySettings(grace_s=5).to_json()) == RetrySettings(grace_s=5)
