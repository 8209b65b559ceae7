"""From axes to rows: zip, product, exclude, include, and what cannot be."""

from __future__ import annotations

import itertools
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytau_hpc.sweep.grid import MAX_ROWS, Expansion, Grid, Include, Mistake, expand


def expanded(**grid: Any) -> Expansion:
    expansion, mistakes = expand(Grid(**grid))
    assert mistakes == []
    return expansion


def mistakes_of(**grid: Any) -> list[Mistake]:
    return expand(Grid(**grid))[1]


def row(**values: Any) -> Include:
    return Include(values=values, address=("include", 0))


def test_rows_are_the_product_in_the_order_of_nested_loops():
    """The last axis turns fastest."""
    found = expanded(axes={"a": [1, 2], "b": ["x", "y"]})

    assert found.axes == ("a", "b")
    assert found.rows == ((1, "x"), (1, "y"), (2, "x"), (2, "y"))


def test_zipped_axes_move_together_and_keep_their_columns():
    """A window and its bins, say."""
    found = expanded(axes={"a": [1, 2], "b": ["x", "y"], "c": [10, 20]}, zip=[["c", "a"]])

    assert found.rows == ((1, "x", 10), (1, "y", 10), (2, "x", 20), (2, "y", 20))


def test_a_zip_group_may_repeat_a_value():
    """Only whole rows must differ."""
    found = expanded(axes={"a": [1, 1, 2], "b": [5, 6, 5]}, zip=[["a", "b"]])

    assert found.rows == ((1, 5), (1, 6), (2, 5))


def test_zip_mistakes_are_named():
    """Unknown axes, unequal lengths, an axis in two groups, groups of one."""
    axes = {"a": [1, 2], "b": [1, 2, 3], "c": [1, 2]}

    found = mistakes_of(axes=axes, zip=[["a", "b"], ["a", "c"], ["aa", "c"], ["b"]])

    told = [(one.address, one.message) for one in found]
    assert (
        ("zip", 0),
        "axes that move together need equally many values: `a` has 2, `b` has 3",
    ) in told
    assert (("zip", 1), "`a` is in another zip group already") in told
    assert (("zip", 2), "`aa` is not an axis of the grid") in told
    assert (("zip", 3), "a zip group names two or more different axes") in told


def test_a_rule_excludes_rows_that_match_all_of_its_pairs():
    """One pair that differs keeps the row."""
    found = expanded(
        axes={"a": [1, 2, 3], "b": [1, 2]}, exclude=[{"a": 1, "b": 2}, {"a": 3}, {"a": 3, "b": 1}]
    )

    assert found.rows == ((1, 1), (2, 1), (2, 2))
    # A row counts for the first rule that it matches; the third rule matched one, so it is no mistake.
    assert found.excluded == (1, 2, 0)


def test_a_list_in_a_rule_means_any_of_its_values():
    """Except that a window is one value."""
    axes = {"a": [1, 2, 3], "w": [[0, 5], [5, 9]]}

    assert expanded(axes=axes, exclude=[{"a": [1, 2], "w": [0, 5]}]).excluded == (2,)
    assert expanded(axes=axes, exclude=[{"w": [[0, 5], [5, 9]], "a": 1}]).excluded == (2,)


def test_a_rule_that_matches_nothing_is_a_mistake():
    """It was meant to match something."""
    found = mistakes_of(
        axes={"a": [1, 2], "b": [1, 2]},
        zip=[["a", "b"]],
        exclude=[{"a": 1}, {"a": [], "b": 1}, {"a": 1, "b": 2}, {"c": 1}],
    )

    assert [one.address for one in found] == [("exclude", 3, "c"), ("exclude", 1), ("exclude", 2)]


def test_each_value_of_a_rule_that_its_axis_does_not_have_is_a_mistake():
    """Else what it was meant to leave out would be fitted, beside values that do match."""
    axes = {"session": ["AN1_x_260101", "AN2_x_260102"], "n": [2, 3], "w": [[0, 5], [5, 9]]}

    found = mistakes_of(
        axes=axes,
        exclude=[
            {"session": ["AN1_x_260101", "AN2_x_260120"]},
            {"n": [2, 9, True]},
            {"session": "AN2_x_260102", "w": [0, 9]},
            {"w": [[5, 9], [5, 8]]},
        ],
    )

    assert [(one.address, one.help) for one in found] == [
        (("exclude", 0, "session", 1), "did you mean `AN2_x_260102`?"),
        (("exclude", 1, "n", 1), "values of `n`: 2, 3"),
        (("exclude", 1, "n", 2), "values of `n`: 2, 3"),
        (("exclude", 2, "w"), "values of `w`: [0,5], [5,9]"),
        (("exclude", 3, "w", 1), "values of `w`: [0,5], [5,9]"),
    ]
    assert (
        found[0].message
        == "this rule cannot exclude session AN2_x_260120: no row of the grid has it"
    )


def test_a_rule_with_a_slip_still_excludes_the_rest():
    """So that an included row is not called a duplicate as well."""
    found = mistakes_of(axes={"a": [1, 2]}, exclude=[{"a": [1, 7]}], include=[row(a=1)])

    assert [one.address for one in found] == [("exclude", 0, "a", 1)]


def test_included_rows_come_last_and_must_give_every_axis():
    """They may leave out what is fixed, and stand for all of what is spread."""
    axes = {"session": ["s1", "s2"], "a": [1, 2], "b": [0]}
    kinds = {"spread": frozenset({"session"}), "fixed": frozenset({"b"})}

    found = expanded(axes=axes, include=[row(a=9)], **kinds)
    assert found.rows[-2:] == (("s1", 9, 0), ("s2", 9, 0))
    assert found.n_included == 2

    [missing] = mistakes_of(axes=axes, include=[row(b=1)], **kinds)
    assert "must give `a` too" in missing.message
    [unknown] = mistakes_of(axes=axes, include=[row(a=1, bb=1)], **kinds)
    assert unknown.help == "did you mean `b`?"


def test_a_row_that_is_there_already_is_a_mistake():
    """In the grid, or included twice."""
    axes = {"a": [1, 2], "b": [0]}

    [one] = mistakes_of(axes=axes, include=[row(a=2, b=0)])
    assert "in the grid already: a 2, b 0" in one.message
    [two] = mistakes_of(axes=axes, include=[row(a=3, b=0), row(a=3, b=0)])
    assert "included already" in two.message
    [three] = mistakes_of(axes={"a": [1, 1], "b": [2, 2]}, zip=[["a", "b"]])
    assert "this row twice" in three.message


def test_an_excluded_row_can_be_included_again():
    """The order is product, exclude, include."""
    found = expanded(axes={"a": [1, 2]}, exclude=[{"a": 1}], include=[row(a=1)])

    assert found.rows == ((2,), (1,))


def test_one_and_true_are_different_values():
    """And so are 1 and 1.0."""
    found = expanded(axes={"a": [1, True, 1.0]}, exclude=[{"a": True}])

    assert [type(value) for (value,) in found.rows] == [int, float]


def test_a_grid_that_cannot_be_held_is_refused_before_it_is_made():
    """A slip in an axis must not fill the memory of a login node."""
    [one] = mistakes_of(axes={name: range(1000) for name in "abcd"})

    assert one.address == ("grid",)
    assert f"{MAX_ROWS:,}" in one.message


lengths = st.lists(st.integers(1, 4), min_size=1, max_size=5)


@given(lengths, st.data())
def test_the_number_of_rows_is_the_product_less_what_is_excluded(
    sizes: list[int], data: st.DataObject
):
    """Counted another way."""
    axes = {f"axis{index}": list(range(size)) for index, size in enumerate(sizes)}
    names = data.draw(st.lists(st.sampled_from(sorted(axes)), unique=True, min_size=1))
    rule = {name: data.draw(st.sampled_from(axes[name])) for name in names}

    found = expanded(axes=axes, exclude=[rule])

    product = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    left = [tuple(one.values()) for one in product if any(one[name] != rule[name] for name in rule)]
    assert list(found.rows) == left
    assert found.excluded == (math.prod(sizes) - len(left),)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
def test_a_zip_group_counts_once(zipped: int, other: int, third: int):
    """As many rows as if it were one axis."""
    axes = {"a": range(zipped), "b": range(other), "c": range(zipped), "d": range(third)}

    found = expanded(axes=axes, zip=[["a", "c"]])

    assert len(found.rows) == zipped * other * third
    assert all(values[0] == values[2] for values in found.rows)
