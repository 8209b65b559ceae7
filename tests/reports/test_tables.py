from __future__ import annotations

import pytest

from pytau_hpc.collect import collect
from pytau_hpc.errors import UserError
from pytau_hpc.ledger import summary
from pytau_hpc.ledger.summary import Which
from pytau_hpc.reports import tables
from pytau_hpc.reports.format import plain
from pytau_hpc.sweep.state import Kind, State
from tests.builders import NOON, BuiltSweep, a_point, a_sweep, some_points


@pytest.fixture
def sweep(study) -> BuiltSweep:
    made = a_sweep(study, some_points(8))
    submission = made.submit(made.points[:6], per_task=3)
    made.succeed(submission, [0])
    with made.run(submission, 1) as run:
        run.succeeds(made.points[3], converged=0).fails(made.points[4], Kind.OUT_OF_MEMORY)
        run.fails(made.points[5], message="a\tb\nc")
    return made


def rows(sweep: BuiltSweep, **which):
    with collect(sweep.dir, now=NOON + 1000) as collected:
        return summary.point_rows(collected.ledger, Which(**which))


def test_piped_points_are_whole_tab_separated_rows(sweep):
    """One line per point, full ids, times in UTC, no tab or line break inside a cell."""
    header, *lines = tables.points_tsv(rows(sweep)).splitlines()
    names = header.split("\t")
    cells = [dict(zip(names, text.split("\t"), strict=True)) for text in lines]

    assert [cell["point_id"] for cell in cells] == [point.point_id for point in sweep.points]
    assert cells[0]["started_at"] == "2026-11-22T12:00:00Z"
    assert cells[0]["window_ms"] == "[2000, 4000]"
    assert cells[5]["message"] == "a b c"
    assert cells[7]["state"] == "planned"
    assert cells[7]["started_at"] == ""


def test_the_table_of_points_is_aligned_and_marked(sweep):
    """Cause behind the state, and a mark at a fit that did not converge."""
    lines = plain(tables.points_table(rows(sweep), 100)).splitlines()

    assert len(lines) == 9
    assert max(map(len, lines)) <= 100
    column = lines[0].index("state")
    assert [text[column:].split("  ")[0].strip() for text in lines[4:7]] == [
        "✓ succeeded",
        "✗ failed (out of memory)",
        "✗ failed (exception)",
    ]
    assert "-1234.5 !" in lines[4]
    assert "-1234.5 !" not in lines[3]


def test_points_as_json_keep_the_types_of_their_axes(sweep):
    """A window is a list again, a number a number, a time text in UTC."""
    [first, *_] = tables.points_json(rows(sweep), ["session", "window_ms", "n_states"])

    assert first["axes"] == {
        "session": sweep.points[0].session.name,
        "window_ms": [2000, 4000],
        "n_states": 2,
    }
    assert first["started_at"] == "2026-11-22T12:00:00Z"
    assert first["max_rss_bytes"] == 2**30


def test_a_selection_of_states_takes_only_those(sweep):
    """In the order of the manifest."""
    failed = rows(sweep, states=summary.UNSUCCESSFUL)

    assert [row["point_id"] for row in failed] == [point.point_id for point in sweep.points[4:6]]
    assert [
        row["kind"] for row in rows(sweep, states=summary.UNSUCCESSFUL, where="n_states = 2")
    ] == ["out_of_memory"]


def test_counts_by_an_axis_keep_the_order_of_the_manifest(study):
    """Not the alphabet's."""
    points = [a_point(region=region, repeat=r) for region in ("gc", "bla", "ca1") for r in range(2)]
    sweep = a_sweep(study, points)
    sweep.succeed(sweep.submit(points[:3], per_task=3))

    with collect(sweep.dir, now=NOON) as collected:
        groups = tables.group(summary.counts_by(collected.ledger, "region", Which()))
        planned = Which(states=(State.PLANNED,))
        left = tables.group(summary.counts_by(collected.ledger, "region", planned))

    assert [(g.value, g.points, g.counts[State.SUCCEEDED]) for g in groups] == [
        ("gc", 2, 2),
        ("bla", 2, 1),
        ("ca1", 2, 0),
    ]
    assert [(g.value, g.points) for g in left] == [("bla", 1), ("ca1", 2)]


def test_a_value_stands_where_it_comes_first(study):
    """However often it comes again."""
    points = [a_point(region=region, repeat=i) for i, region in enumerate(["gc", "bla", "gc"])]

    with collect(a_sweep(study, points).dir, now=NOON) as collected:
        groups = tables.group(summary.counts_by(collected.ledger, "region", Which()))

    assert [group.value for group in groups] == ["gc", "bla"]


def test_the_table_by_axis_shows_states_that_occur(sweep):
    """With a bar, and a legend in words."""
    with collect(sweep.dir, now=NOON + 1000) as collected:
        groups = tables.group(summary.counts_by(collected.ledger, "n_states", Which()))

    text = plain(tables.by_table("n_states", groups, 100)).splitlines()

    assert text[0].split() == ["n_states", "points", "✓", "+", "✗", "progress"]
    assert text[1].split()[:5] == ["2", "2", "1", "0", "1"]
    assert text[-1] == "✓ succeeded   + planned   ✗ failed"
    assert tables.by_tsv("n_states", groups).splitlines()[1] == "2\t2\t1\t0\t0\t0\t0\t1\t0\t0"


def test_an_axis_that_is_none_gets_the_list_of_axes(sweep):
    """The spelling is somebody's memory."""
    with (
        collect(sweep.dir, now=NOON) as collected,
        pytest.raises(UserError, match="no axis `n_state`") as caught,
    ):
        summary.counts_by(collected.ledger, "n_state", Which())

    assert "n_states" in caught.value.help


def test_an_axis_with_a_strange_name_is_only_a_name(study):
    """Quotes in a column's name stay in it."""
    sweep = a_sweep(study, [a_point(more_axes={'learning "rate"': rate}) for rate in (0.1, 0.2)])

    with collect(sweep.dir, now=NOON) as collected:
        found = summary.counts_by(collected.ledger, 'learning "rate"', Which())

    assert [(value, n) for value, _, n in found] == [(0.1, 1), (0.2, 1)]
