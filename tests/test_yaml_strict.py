"""YAML is read as people mean it, and everything odd is named with its place."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytau_hpc.errors import UserError
from pytau_hpc.yaml_strict import MAX_BYTES, load, parse


def value_of(text: str) -> object:
    document = parse(f"a: {text}\n", file="spec.yaml")
    assert document.problems == ()
    return document.value["a"]


def messages(text: str) -> list[str]:
    return [problem.message for problem in parse(text, file="spec.yaml").problems]


@pytest.mark.parametrize(
    "word",
    [
        "on",
        "off",
        "yes",
        "no",
        "y",
        "4:00:00",
        "12:30",
        "2-00:00:00",
        "201006_095803",
        "1_000",
        "0123",
        "0x1F",
        "0o17",
        "2024-01-15",
        "2024-01-15T10:00:00Z",
        "~",
        "True",
        "NULL",
        ".inf",
        ".nan",
        "1e",
        "--1",
        "1.2.3",
        "=",
    ],
)
def test_what_is_not_plainly_a_number_or_a_truth_value_stays_text(word: str):
    """Laser conditions, times, session stamps and dates arrive as they were typed."""
    assert value_of(word) == word


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-3", 0.001),
        ("1.5e3", 1500.0),
        ("1E5", 100000.0),
        (".5", 0.5),
        ("2.", 2.0),
        ("0.0", 0.0),
        ("-2", -2),
        ("+3", 3),
        ("0", 0),
        ("true", True),
        ("false", False),
        ("null", None),
        ("", None),
    ],
)
def test_numbers_and_the_three_words_are_values(word: str, value: object):
    """Also the scientific notation that YAML 1.1 takes for text."""
    found = value_of(word)

    assert found == value
    assert type(found) is type(value)


def test_quoted_words_are_text():
    """Quotes say so."""
    assert value_of("['1', \"true\", 'null', '']") == ["1", "true", "null", ""]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_prints_is_read_back(number: float):
    """Whatever was written by a program."""
    found = value_of(repr(number))

    assert found == number
    assert math.copysign(1, found) == math.copysign(1, number)


@given(st.integers(-(10**30), 10**30))
def test_every_integer_is_read_back(number: int):
    """Whole numbers stay whole."""
    assert value_of(str(number)) == number


def test_duplicate_keys_name_the_first_line():
    """The last one would win silently."""
    document = parse("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n", file="spec.yaml")

    assert [(p.line, p.column) for p in document.problems] == [(4, 3), (5, 1)]
    assert "stands on line 1 already" in document.problems[1].message
    assert document.value == {"a": 1, "b": {"c": 1}}


def test_anchors_aliases_tags_and_merge_keys_are_refused_one_by_one():
    """Nothing in a spec may mean something that does not stand there."""
    text = "a: &x {b: 1}\nc: *x\nd: !!python/object:os.system x\ne: {<<: {}, f: 1}\ng: [1, *x, 2]\n"

    found = parse(text, file="spec.yaml")

    assert [p.line for p in found.problems] == [1, 2, 3, 4, 5]
    assert found.value == {"a": {"b": 1}, "d": "x", "e": {"f": 1}, "g": [1, 2]}


def test_a_bomb_of_aliases_costs_nothing():
    """A billion laughs stay unexpanded."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]

    found = parse("\n".join(lines), file="spec.yaml")

    assert found.value["a59"] == []


def test_a_second_document_is_refused():
    """What stands in it would be ignored."""
    found = parse("---\na: 1\n---\nb: 2\n", file="spec.yaml")

    assert [(p.line, p.message) for p in found.problems] == [(3, "a second document starts here")]


def test_every_tab_in_the_indentation_is_named():
    """PyYAML names the first, in its own words."""
    found = parse("a:\n\tb: 1\nc:\n  - 1\n \t- 2\n", file="spec.yaml")

    assert [(p.line, p.column) for p in found.problems] == [(2, 1), (5, 2)]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "the list that begins on line 2"),
        ("a: {b: 1\n", 2, "mapping"),
        ("a: 'x\n", 2, "ends inside"),
        ("a: b: c\n", 1, "a colon where none may stand"),
        ("a: 1\nb\nc: 3\n", 2, "a key without a colon"),
        ("a:\n  b: 1\n c: 2\n", 3, "the indentation does not fit"),
        ("a: @x\n", 1, "cannot start"),
        ("a: b\x07\n", 1, "is not allowed in YAML"),
        ("? [a, b]\n: 1\n", 1, "a key must be a single word"),
        ("a: 1e999\n", 1, "too large"),
        ("a: " + "9" * 50, 1, "more than 40 characters"),
        ("a: " + "[" * 30, 1, "deep"),
    ],
)
def test_what_is_not_yaml_is_said_in_plain_words_at_its_line(text: str, line: int, words: str):
    """One message a person can act on."""
    [problem] = parse(text, file="spec.yaml").problems

    assert problem.line == line
    assert words in problem.message


def test_entries_before_a_syntax_error_are_still_there():
    """So that their mistakes are reported in the same go."""
    found = parse("a: 1\nb:\n  c: 2\nd: [1, 2\n", file="spec.yaml")

    assert not found.complete
    assert found.value == {"a": 1, "b": {"c": 2}}


def test_bytes_that_are_no_text_and_files_too_large_are_refused(tmp_path):
    """Somebody named the wrong file."""
    assert "not UTF-8" in parse(b"a: 1\nb: \xff\n", file="x").problems[0].message
    assert parse(b"a: 1\nb: \xff\n", file="x").problems[0].line == 2
    assert "MiB" in parse(b"#" * (MAX_BYTES + 1), file="x").problems[0].message
    with pytest.raises(UserError, match="there is no file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot read"):
        load(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_first_key():
    """Windows editors write one."""
    assert parse(b"\xef\xbb\xbfname: x\n", file="x").value == {"name": "x"}


def test_places_are_those_of_the_file():
    """Every key and value, by address, with what to underline."""
    found = parse("grid:\n  n_states: [2, 30]\n", file="spec.yaml")

    key = found.keys[("grid", "n_states")]
    value = found.values[("grid", "n_states", 1)]
    assert (key.line, key.column, key.width) == (2, 3, 8)
    assert (value.line, value.column, value.width) == (2, 17, 2)
    problem = found.problem(("grid", "n_states", 1), "is too many")
    assert problem.path == "grid.n_states[1]"
    assert problem.render().splitlines()[1:] == [
        "    2 |   n_states: [2, 30]",
        "      |                 ^^",
    ]


def test_a_problem_of_something_absent_is_placed_at_what_should_hold_it():
    """The nearest value around it."""
    found = parse("grid:\n  n_states: 2\n", file="spec.yaml")

    assert found.problem(("grid", "model", 3), "x").line == 2
    assert found.problem(("fit", "draws"), "x").line == 1


@given(st.text(alphabet="ab:-[]{},#&*!|>'\"% \n\t?<~01", max_size=60))
def test_no_text_makes_the_reader_fail(text: str):
    """Whatever a file holds, the answer is a document."""
    found = parse(text, file="x")

    assert found.complete or found.problems
    for problem in found.problems:
        assert problem.render()


def test_carriage_returns_do_not_move_the_caret():
    """Files from Windows have the same columns."""
    [problem] = parse("a: 1\r\nb: *x\r\n", file="x").problems

    assert (problem.line, problem.column, problem.snippet) == (2, 4, "b: *x")
