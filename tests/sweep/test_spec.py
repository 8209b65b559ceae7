"""A spec is checked as a whole: every mistake at once, each with its place and a way out."""

from __future__ import annotations

import contextlib
import copy
import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytau_hpc.errors import Problem, SpecInvalid
from pytau_hpc.models import MODELS
from pytau_hpc.plan import KNOWN
from pytau_hpc.sweep.include import rows_of
from pytau_hpc.sweep.resources import Request, RetrySettings
from pytau_hpc.sweep.spec import Spec, checked_spec, read_spec
from pytau_hpc.yaml_strict import parse

MINIMAL = """\
name: minimal
data: {format: synthetic}
grid:
  window_ms: [[0, 2000]]
  bin_ms: [50]
  model: [single_taste_poisson]
  n_states: [2, 3]
"""


def spec_of(text: str, base: Path = Path()) -> Spec:
    return checked_spec(parse(text, file="spec.yaml"), KNOWN, base=base)


def problems_of(text: str, base: Path = Path()) -> list[Problem]:
    with pytest.raises(SpecInvalid) as caught:
        spec_of(text, base)
    return list(caught.value.problems)


def only_problem(text: str) -> Problem:
    [problem] = problems_of(text)
    return problem


def changed(old: str, new: str) -> str:
    assert old in MINIMAL
    return MINIMAL.replace(old, new)


def test_a_minimal_spec_has_the_defaults_of_everything_else():
    """Only name, data and grid are required."""
    spec = spec_of(MINIMAL)

    assert dict(spec.axes) == {
        "taste": (0,),
        "region": ("all",),
        "laser": ("none",),
        "transform": ("none",),
        "window_ms": ([0, 2000],),
        "bin_ms": (50,),
        "model": ("single_taste_poisson",),
        "n_states": (2, 3),
        "repeat": (0,),
    }
    assert (spec.method, spec.checkpoint_s, spec.request) == ("advi", 60, Request())
    assert spec.retry == RetrySettings()


def test_a_full_spec_is_read():
    """Every part of it."""
    spec = spec_of(
        """\
name: gc_states
data:
  format: blech_hdf5
  sessions: ["data/*", {path: other/s1, animal: AM35, date: "201006"}]
grid:
  taste: [0, suc, all]
  region: [gc]
  laser: [on, off]
  transform: [none, trial_shuffled]
  window_ms: [[2000, 4000], [0, 1000]]
  bin_ms: 50
  model: [single_taste_poisson]
  n_states: [2, 3]
  iterations: [500, auto]
  repeat: 3
zip: [[window_ms, laser]]
exclude: [{n_states: 3, taste: [0, all]}, {session: s1}]
include: [{taste: 1, region: bla, laser: none, transform: none, window_ms: [0, 500], model: single_taste_poisson,
           n_states: 2, iterations: 100, repeat: 0}]
fit: {method: advi, engine: jax, draws: 200, restarts: auto, checkpoint_s: 30, model_options: {}}
resources: {cpus: 2, mem_gb: 4.5, time: "2-00:00:00", points_per_task: 10, adapt: false}
retry: {failures: 0, interruptions: 3, grace_s: 1.5}
profile: brandeis
"""
    )

    assert spec.axes["laser"] == ("on", "off")
    assert spec.axes["taste"] == (0, "suc", "all")
    assert spec.axes["iterations"] == (500, "auto")
    assert spec.axes["repeat"] == (0, 1, 2)
    assert "bin_ms" not in spec.listed
    assert spec.settings == {"engine": "jax", "draws": 200, "restarts": "auto"}
    assert spec.request == Request(
        cpus=2, mem_gb=4.5, time_min=2880, points_per_task=10, adapt=False
    )
    assert spec.sessions[1].animal == "AM35"
    assert spec.retry.grace_s == 1.5
    assert spec.profile == "brandeis"
    assert len(spec.include) == 1


def test_six_mistakes_are_six_messages_each_with_place_and_hint():
    """YAML's own and the schema's together, in the order of the file."""
    text = """\
name: six
data: {format: synthetic, trails: 5}
grid:
  window_ms: [2000, 4000]
  bin_ms: [0, 50]
  model: [single_taste_poison]
  n_states: [1, 4]
fit: {draw: 10}
name: again
"""
    found = problems_of(text)

    assert [(p.line, p.column) for p in found] == [
        (2, 27),
        (4, 14),
        (5, 12),
        (6, 11),
        (7, 14),
        (8, 7),
        (9, 1),
    ]
    helps = [p.help or "" for p in found]
    assert "did you mean `trials`?" in helps[0]
    assert "window_ms: [[2000, 4000]]" in helps[1]
    assert "did you mean `single_taste_poisson`?" in helps[3]
    assert "did you mean `draws`?" in helps[5]
    shown = str(SpecInvalid("spec.yaml", found))
    assert shown.startswith("spec.yaml has 7 problems")
    assert "    5 |   bin_ms: [0, 50]\n      |            ^" in shown


@pytest.mark.parametrize(
    ("old", "new", "path", "words"),
    [
        ("name: minimal", "name: ../up", "name", "plain name"),
        ("name: minimal", "name: a b", "name", "plain name"),
        ("name: minimal", "name: 'x;rm'", "name", "plain name"),
        ("name: minimal", "name: $(touch x)", "name", "plain name"),
        ("name: minimal", "name: .hidden", "name", "plain name"),
        ("name: minimal", "name: a..b", "name", "plain name"),
        ("name: minimal", 'name: "a\\nb"', "name", "plain name"),
        ("name: minimal", "name: " + "x" * 65, "name", "plain name"),
        ("name: minimal", "name: ''", "name", "plain name"),
        ("name: minimal", "name: 5", "name", "must be text"),
        ("name: minimal\n", "", "", "`name` is missing"),
        ("data: {format: synthetic}\n", "", "", "`data` is missing"),
        ("format: synthetic", "format: syntetic", "data.format", "names no data format"),
        ("format: synthetic", "format: csv", "data", "`sessions` is missing"),
        ("format: synthetic", "format: synthetic, trials: 0", "data.trials", "at least 1"),
        ("format: synthetic", "format: synthetic, sessions: [a]", "data.sessions", "is a number"),
        ("format: synthetic", "format: csv, sessions: 3", "data.sessions", "globs or paths"),
        ("format: synthetic", "format: hdf5, sessions: [x]", "data", "dataset"),
        ("bin_ms: [50]", "bin_ms: [-1]", "grid.bin_ms[0]", "at least 1"),
        ("bin_ms: [50]", "bin_ms: [2.5]", "grid.bin_ms[0]", "whole number"),
        ("bin_ms: [50]", "bin_ms: ['50']", "grid.bin_ms[0]", "whole number"),
        ("bin_ms: [50]", "bin_ms: [true]", "grid.bin_ms[0]", "whole number"),
        ("bin_ms: [50]", "bin_ms: []", "grid.bin_ms", "must not be empty"),
        ("bin_ms: [50]", "bin_ms: [50, 50]", "grid.bin_ms[1]", "again"),
        ("[[0, 2000]]", "[[2000, 2000]]", "grid.window_ms[0]", "must end after it starts"),
        ("[[0, 2000]]", "[[4000, 2000]]", "grid.window_ms[0]", "must end after it starts"),
        ("[[0, 2000]]", "[[-5, 2000]]", "grid.window_ms[0][0]", "at least 0"),
        ("[[0, 2000]]", "[[0, 1, 2]]", "grid.window_ms[0]", "[start, end]"),
        ("[[0, 2000]]", "[0, 2000]", "grid.window_ms", "flat window"),
        ("[[0, 2000]]", "2000", "grid.window_ms", "[start, end]"),
        ("n_states: [2, 3]", "n_states: [1, 3]", "grid.n_states[0]", "at least 2"),
        ("n_states: [2, 3]", "n_states: four", "grid.n_states", "whole number"),
        ("n_states: [2, 3]", "n_states: [4.0]", "grid.n_states[0]", "whole number"),
        ("n_states: [2, 3]", "n_states: 1e3", "grid.n_states", "whole number"),
        ("bin_ms: [50]", "bin_ms: [50]\n  laser: [true]", "grid.laser[0]", "in words"),
        ("bin_ms: [50]", "bin_ms: [50]\n  region: [3]", "grid.region[0]", "name of a region"),
        ("bin_ms: [50]", "bin_ms: [50]\n  taste: [-1]", "grid.taste[0]", "at least 0"),
        (
            "bin_ms: [50]",
            "bin_ms: [50]\n  transform: [shuffled]",
            "grid.transform[0]",
            "no transform",
        ),
        ("bin_ms: [50]", "bin_ms: [50]\n  repeat: 0", "grid.repeat", "at least 1"),
        ("bin_ms: [50]", "bin_ms: [50]\n  repeat: 1000000000", "grid.repeat", "at most"),
        ("bin_ms: [50]", "bin_ms: [50]\n  session: [a]", "grid.session", "under `data`"),
        (
            "bin_ms: [50]",
            "bin_ms: [50]\n  checkpoint_s: [1, 2]",
            "grid.checkpoint_s",
            "under `fit`",
        ),
        (
            "bin_ms: [50]",
            "bin_ms: [50]\n  iterations: [-5, 100]",
            "grid.iterations[0]",
            "iterations",
        ),
        ("bin_ms: [50]", "bin_ms: [50]\n  engine: [jax, numpy]", "grid.engine[1]", "engine"),
        ("bin_ms: [50]", "bin_ms: [50]\n  states: [4]", "grid.states", "unknown key `states`"),
        ("  model: [single_taste_poisson]\n", "", "grid", "`model` is missing"),
        ("  n_states: [2, 3]\n", "", "grid", "`n_states` is missing"),
    ],
)
def test_a_mistake_is_named_at_its_address(old: str, new: str, path: str, words: str):
    """One mistake, one message."""
    problem = only_problem(changed(old, new))

    assert problem.path == path
    assert words in problem.message


@pytest.mark.parametrize(
    ("part", "path", "words"),
    [
        ("fit: {method: nuts_}", "fit.method", "names no inference method"),
        ("fit: {engine: jaxx}", "fit.engine", "jaxx"),
        ("fit: {iterations: 0}", "fit.iterations", "iterations"),
        ("fit: {checkpoint_s: 0}", "fit.checkpoint_s", "greater than 0"),
        ("fit: {checkpoint_s: soon}", "fit.checkpoint_s", "must be a number"),
        ("fit: {model_options: {prior: 3}}", "fit.model_options.prior", "has no option `prior`"),
        ("fit: []", "fit", "must be a mapping"),
        ("resources: {cpus: 0}", "resources.cpus", "at least 1"),
        ("resources: {cpus: 1.5}", "resources.cpus", "whole number"),
        ("resources: {mem_gb: 8G}", "resources.mem_gb", "must be a number"),
        ("resources: {mem_gb: -1}", "resources.mem_gb", "greater than 0"),
        ("resources: {time: 25h}", "resources.time", "not a time"),
        ("resources: {points_per_task: many}", "resources.points_per_task", "auto"),
        ("resources: {adapt: sometimes}", "resources.adapt", "true or false"),
        ("resources: {memory: 4}", "resources.memory", "unknown key"),
        ("retry: {failures: -1}", "retry.failures", "at least 0"),
        ("retry: {failure: 1}", "retry.failure", "unknown key"),
        ('profile: "a\\nb"', "profile", "plain name"),
        ("zip: [taste, n_states]", "zip", "list of groups"),
        ("zip: [[bin_ms, n_states]]", "zip[0]", "equally many"),
        ("zip: [[session, n_states]]", "zip[0]", "cannot be zipped"),
        ("exclude: [{n_states: 9}]", "exclude[0].n_states", "no row of the grid has it"),
        ("exclude: [{n_states: [2, 9]}]", "exclude[0].n_states[1]", "no row of the grid has it"),
        ("exclude: [{n_state: 2}]", "exclude[0].n_state", "not an axis"),
        ("exclude: [{n_states: two}]", "exclude[0].n_states", "whole number"),
        ("exclude: [{}]", "exclude[0]", "everything"),
        ("exclude: {n_states: 2}", "exclude", "must be a list"),
        ("include: [{n_states: 5}]", "include[0]", "must give `window_ms`, `bin_ms`, `model` too"),
        ("include: [5]", "include[0]", "mapping of axes"),
        ("include: rows.csv", "include", "there is no file"),
        ("grids: {}", "grids", "unknown key"),
    ],
)
def test_a_mistake_in_another_part_is_named_at_its_address(part: str, path: str, words: str):
    """The same for what stands beside data and grid."""
    found = problems_of(MINIMAL + part + "\n")

    assert [p.path for p in found] in ([path], [path, path])
    assert words in found[0].message


def test_a_word_of_pytau_is_translated():
    """People bring `states`, `bin_width` and `time_lims` from there."""
    [problem] = problems_of(MINIMAL + "fit: {samples: 5}\n")

    assert problem.help == "did you mean `draws`?"
    assert (
        only_problem(changed("n_states: [2, 3]", "n_states: 2\n  time_lims: [[0, 5]]")).help
        == "did you mean `window_ms`?"
    )


def test_problems_before_a_syntax_error_are_reported_with_it():
    """And nothing is called missing that may stand behind it."""
    found = problems_of("name: ../x\ndata: {format: syntetic}\ngrid:\n  model: [a, b\n")

    assert [p.path for p in found][:2] == ["name", "data.format"]
    assert "not closed" in found[2].message or "ends inside" in found[2].message
    assert len(found) == 3


def test_a_value_of_a_scalar_axis_is_its_only_value():
    """No list needed for one."""
    assert spec_of(changed("bin_ms: [50]", "bin_ms: 25")).axes["bin_ms"] == (25,)


def test_repeats_count_from_zero_and_may_be_named():
    """3 means 0, 1, 2."""
    assert spec_of(changed("bin_ms: [50]", "bin_ms: 50\n  repeat: 3")).axes["repeat"] == (0, 1, 2)
    assert spec_of(changed("bin_ms: [50]", "bin_ms: 50\n  repeat: [4, 7]")).axes["repeat"] == (4, 7)


def test_a_setting_stands_in_one_place_only():
    """Grid or fit, else it would be unclear which one counts."""
    text = changed("bin_ms: [50]", "bin_ms: 50\n  draws: [10, 20]") + "fit: {draws: 5}\n"

    assert "in `grid` and in `fit`" in only_problem(text).message


def test_rows_of_a_csv_file_are_included(tmp_path: Path):
    """Cells are read as words of the spec are."""
    (tmp_path / "extra.csv").write_text(
        'n_states,bin_ms,window_ms,model,laser\n5,100,"[0, 1000]",single_taste_poisson,on\n\n'
        '6,100,"[0, 1000]",single_taste_poisson,\n'
    )

    spec = spec_of(MINIMAL + "include: extra.csv\n", tmp_path)

    assert [dict(one.values) for one in spec.include] == [
        {
            "n_states": 5,
            "bin_ms": 100,
            "window_ms": [0, 1000],
            "model": "single_taste_poisson",
            "laser": "on",
        },
        {"n_states": 6, "bin_ms": 100, "window_ms": [0, 1000], "model": "single_taste_poisson"},
    ]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("4", 4),
        ('"4"', "4"),
        ("'it''s'", "it's"),
        ("null", None),
        ("[0, 1000]", [0, 1000]),
        ("{a: [1]}", {"a": [1]}),
        ("sweet water", "sweet water"),
        ("NaCl #2", "NaCl #2"),
        ('"NaCl" #2', '"NaCl" #2'),
        ("[0, 1000] # ms", "[0, 1000] # ms"),
        ("# 2", "# 2"),
        ("a: 1", "a: 1"),
        ("- a", "- a"),
        ("? a", "? a"),
        ("---", "---"),
        ("--- 4", "--- 4"),
        ("4\n---", "4\n---"),
        ("...", "..."),
        ("|", "|"),
        (">-", ">-"),
        ("two\nlines", "two\nlines"),
        ("*a", "*a"),
        ("!!int 4", "!!int 4"),
        ("%a", "%a"),
        ("[a", "[a"),
    ],
)
def test_a_cell_that_is_not_one_value_from_end_to_end_is_text(
    tmp_path: Path, cell: str, value: object
):
    """Else another taste than the one that is written would be fitted."""
    with (tmp_path / "extra.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["taste"], [cell]])

    [row], problems = rows_of("extra.csv", tmp_path, parse("", file="spec.yaml"))

    assert (row.values, problems) == ({"taste": value}, [])


def test_mistakes_in_a_csv_file_are_named_with_their_line(tmp_path: Path):
    """The spec's line says which file, the message which line of it."""
    (tmp_path / "extra.csv").write_text(
        'n_states,bin_ms,window_ms,model\n1,100,"[0, 1000]",single_taste_poisson\n'
        '2,50,"[0, 2000]",single_taste_poisson\n3,100\n'
    )

    found = [p.message for p in problems_of(MINIMAL + "include: extra.csv\n", tmp_path)]

    assert any("extra.csv line 2: `n_states` must be at least 2" in message for message in found)
    assert any("extra.csv line 3: this row is in the grid already" in message for message in found)
    assert any("extra.csv line 4: 2 cells" in message for message in found)


def test_methods_options_and_settings_of_included_rows_are_checked_too(tmp_path: Path):
    """Written out or in a file: all at once, with the words and the place that they have in the grid."""
    (tmp_path / "extra.csv").write_text("n_states,method,model_options,draws\n7,advy,b,x\n")
    text = """\
name: included
data: {format: synthetic}
grid: {model: single_taste_poisson, n_states: [2], method: [advi], model_options: [{}], draws: [10]}
include:
  - {n_states: 4, method: nutz, model_options: abc, draws: 10}
  - {n_states: 5, method: [nuts], model_options: {nope: 1}, draws: 10}
  - {n_states: 6, method: advi, model_options: {}, draws: many}
  - extra.csv
"""

    found = problems_of(text, tmp_path)

    told = [(one.path, one.message.split(";")[0]) for one in found]
    assert told[:4] == [
        ("include[0].method", "`include[0].method` names no inference method: `nutz`"),
        ("include[0].model_options", "`include[0].model_options` must be a mapping, got `abc`"),
        ("include[1].method", '`include[1].method` names no inference method: `["nuts"]`'),
        ("include[1].model_options.nope", "model single_taste_poisson has no option `nope`"),
    ]
    assert told[4][0] == "include[2].draws"
    assert sorted(message for path, message in told[5:] if path == "include[3]") == [
        "extra.csv line 2: `method` names no inference method: `advy`",
        "extra.csv line 2: `model_options` must be a mapping, got `b`",
    ]
    assert len(told) == 7


def test_options_belong_to_every_model_of_the_grid():
    """Under fit, or as an axis; with the type of their default."""
    kind = dataclasses.replace(MODELS["single_taste_poisson"], options={"width": 1.0, "kind": "a"})
    known = dataclasses.replace(KNOWN, models={**MODELS, "single_taste_poisson": kind})

    def checked(text: str) -> Spec:
        return checked_spec(parse(text, file="spec.yaml"), known, base=Path())

    assert checked(changed("bin_ms: [50]", "bin_ms: 50\n  width: [1, 2.5]")).axes["width"] == (
        1,
        2.5,
    )
    assert checked(MINIMAL + "fit: {model_options: {kind: b}}\n").model_options == {"kind": "b"}
    with pytest.raises(SpecInvalid, match="must be like its default"):
        checked(MINIMAL + "fit: {model_options: {kind: 3}}\n")
    switching = changed("[single_taste_poisson]", "[single_taste_poisson_trial_switch]")
    with pytest.raises(SpecInvalid, match="must be at least 2, got 1"):
        checked(switching + "fit: {model_options: {switch_components: 1}}\n")
    other = "model: [single_taste_poisson, poisson_changepoint_1d]"
    with pytest.raises(SpecInvalid, match="poisson_changepoint_1d has no option `width`"):
        checked(changed("model: [single_taste_poisson]", other + "\n  width: [1]"))


def test_the_example_specs_are_valid():
    """What people copy works."""
    folder = Path(__file__).parents[2] / "manifests"
    examples = sorted(folder.glob("*.yaml"))

    assert len(examples) >= 3
    for path in examples:
        assert read_spec(path, KNOWN).name == path.stem


def test_a_file_that_is_no_mapping_is_refused_in_words():
    """Empty files and lists."""
    for text in ("", "- 1\n", "just text\n"):
        assert "must be a mapping" in only_problem(text).message


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-2, 2)
    | st.sampled_from(["a", "", "auto", "all"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "n_states", "path"]), inner, max_size=2)
    ),
    max_leaves=5,
)

WHOLE: dict[str, Any] = {
    "name": "x",
    "data": {"format": "synthetic", "sessions": 2},
    "grid": {
        "taste": [0, 1],
        "laser": ["none"],
        "window_ms": [[0, 2000]],
        "bin_ms": [50],
        "model": ["single_taste_poisson"],
        "n_states": [2, 3],
        "draws": [10],
        "repeat": 1,
    },
    "zip": [["taste", "n_states"]],
    "exclude": [{"n_states": 3}],
    "include": [],
    "fit": {"method": "advi", "iterations": 100, "model_options": {}},
    "resources": {"time": "1:00:00"},
    "retry": {"failures": 1},
    "profile": "local",
}


def addresses(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [prefix] if prefix else []
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, one in items:
        found += addresses(one, (*prefix, key))
    return found


@given(st.sampled_from(addresses(WHOLE)), VALUES)
def test_whatever_stands_anywhere_the_answer_is_a_spec_or_its_problems(
    where: tuple[Any, ...], value: Any
):
    """No value of any type at any place makes the check itself fail."""
    document = copy.deepcopy(WHOLE)
    place: Any = document
    for part in where[:-1]:
        place = place[part]
    place[where[-1]] = value

    # SpecInvalid is the only error that is let through; anything else fails the test.
    with contextlib.suppress(SpecInvalid):
        spec_of(json.dumps(document))
