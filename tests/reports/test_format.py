from __future__ import annotations

import time

import pytest

from pytau_hpc.reports import format as show
from pytau_hpc.reports.format import Span, line
from pytau_hpc.sweep.state import Kind, State
from tests.builders import NOON


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.4, "0:00:00"),
        (2290, "0:38:10"),
        (36000, "10:00:00"),
        (86399.6, "1-00:00:00"),
        (3 * 86400 + 3661, "3-01:01:01"),
        (-5, "0:00:00"),
    ],
)
def test_a_duration_reads_like_one_of_slurm(seconds, text):
    """Hours, minutes, seconds, and days where there are any."""
    assert show.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2, "5 s"),
        (62, "60 s"),
        (3000, "50 min"),
        (9900, "2 h 45 min"),
        (14399, "4 h"),
        (400000, "5 days"),
    ],
)
def test_an_estimate_has_no_more_digits_than_it_deserves(seconds, text):
    """Nobody knows the seconds of an hour to come."""
    assert show.roughly(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "-"),
        (2**28, "256 MiB"),
        (2**30, "1.00 GiB"),
        (3.6 * 2**30, "3.60 GiB"),
        (12 * 2**30, "12.0 GiB"),
    ],
)
def test_memory_is_shown_in_binary_units(size, text):
    """GiB is what SLURM means by G."""
    assert show.gib(size) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0, "0 %"), (0.0001, "1 %"), (0.614, "61 %"), (0.9999, "99 %"), (1, "100 %")],
)
def test_percent_says_all_and_nothing_only_when_it_is_so(fraction, text):
    """99,999 of 100,000 are not 100 %."""
    assert show.percent(fraction) == text


@pytest.mark.parametrize("fraction", [-1, 0, 0.03, 0.5, 0.99, 1, 7])
def test_a_bar_is_always_as_wide_as_it_was_asked_to_be(fraction):
    """Text behind bars stays aligned."""
    assert len(show.bar(fraction, 20)) == 20


def test_a_bar_is_full_only_at_the_end():
    """The last half character waits for the last point."""
    assert show.bar(1, 4) == "━━━━"
    assert show.bar(0.999, 4) == "━━━╸"
    assert show.bar(0, 4) == "┄┄┄┄"


def test_files_get_utc_and_people_their_own_zone(monkeypatch):
    """The same moment, twice."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert show.day_and_time(NOON) == "Sun 22 Nov 2026 07:00 EST"
        assert show.time_of_day(NOON, with_seconds=True) == "07:00:00 EST"
        assert show.iso(NOON + 0.9) == "2026-11-22T12:00:00Z"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_every_state_has_a_mark_of_its_own():
    """Colour is never the only signal."""
    assert set(show.MARKS) == set(show.STYLES) == set(State)
    assert len(set(show.MARKS.values())) == len(State)


def test_every_kind_has_words():
    """No underscores on the screen."""
    assert all("_" not in show.kind_words(kind) for kind in [*Kind, None])


def test_painted_lines_say_what_plain_ones_say():
    """Colour adds nothing but colour."""
    lines = [line(Span("✗ failed", "red"), "  8"), line(), line("[bold] is not markup")]

    assert show.painted(lines).plain == show.plain(lines)


def test_long_labels_are_squeezed_in_the_middle():
    """The end of a label tells points apart."""
    assert show.squeeze("AM10_4Tastes_201006_095803/t0/K4", 12) == "AM1…03/t0/K4"
    assert show.squeeze("short", 12) == "short"


def test_a_table_that_is_too_wide_squeezes_its_elastic_column():
    """Everything else keeps its width."""
    rows = [["1c9e04d2", "a" * 80 + "/K4", "✗ failed"]]

    [head, row] = show.columns(["point", "label", "state"], rows, elastic=1, width=60)

    assert len(row) == 60
    assert row.startswith("1c9e04d2  a")
    assert row.endswith("/K4  ✗ failed")
    assert head.index("state") == row.index("✗")


def test_tab_separated_values_have_one_line_per_row():
    """A message with tabs and line breaks cannot shift columns."""
    text = show.tsv(["id", "message", "n"], [["a", "two\nlines\tand a tab", None]])

    assert text == "id\tmessage\tn\na\ttwo lines and a tab\t"
