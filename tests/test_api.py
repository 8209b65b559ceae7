from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import pytau_hpc
from pytau_hpc.errors import NotASweep, UserError
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.inference.result_file import write_result
from pytau_hpc.models import MODELS
from pytau_hpc.sweep.state import State
from tests.builders import BuiltSweep, a_point, a_session, a_sweep

N_DRAWS, N_TRIALS, N_NEURONS, N_BINS, N_STATES = 7, 5, 3, 40, 4


@pytest.fixture
def built(study) -> BuiltSweep:
    sweep = a_sweep(study, n=3)
    sweep.succeed(sweep.submit(sweep.points[:2]))
    return sweep


def test_importing_the_package_imports_nothing():
    """The command line and every worker import it."""
    code = "import sys, pytau_hpc; print([m for m in sys.modules if m.startswith('pytau_hpc.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_name_that_is_not_there_is_an_attribute_error():
    """As in any module."""
    with pytest.raises(AttributeError, match="no_such_name"):
        pytau_hpc.no_such_name  # noqa: B018


def test_a_sweep_opens_by_folder_by_name_and_alone(built, monkeypatch):
    """As on the command line."""
    monkeypatch.chdir(built.dir.study)

    for sweep in (
        pytau_hpc.open_sweep(built.dir.path),
        pytau_hpc.open_sweep("gc_states"),
        pytau_hpc.open_sweep(),
    ):
        assert sweep.path == built.dir.path
        assert sweep.name == "gc_states"


def test_no_sweep_is_said(study, monkeypatch):
    """With where it was looked for."""
    monkeypatch.chdir(study)

    with pytest.raises(NotASweep, match="no sweep `nothing`"):
        pytau_hpc.open_sweep("nothing")


def test_points_attempts_and_submissions_are_up_to_date_at_every_question(built):
    """A notebook never shows yesterday's sweep."""
    sweep = pytau_hpc.open_sweep(built.dir.path)
    assert sweep.points()["state"].tolist() == ["succeeded", "succeeded", "planned"]

    built.succeed(built.submit(built.points[2:]))

    assert sweep.points()["state"].tolist() == ["succeeded"] * 3
    assert len(sweep.attempts()) == 3
    assert len(sweep.submissions()) == 2
    assert sweep.status().counts[State.SUCCEEDED] == 3
    assert sweep.axes == list(built.points[0].axes)


def test_the_ledger_is_for_other_tools(built):
    """Its path is that of an up-to-date SQLite file."""
    path = pytau_hpc.open_sweep(built.dir.path).ledger_path

    with closing(sqlite3.connect(path)) as connection:
        table = pd.read_sql("SELECT state, count(*) AS n FROM points GROUP BY state", connection)

    assert dict(zip(table["state"], table["n"], strict=True)) == {"planned": 1, "succeeded": 2}


def test_a_notebook_shows_the_status(built):
    """As text that no label can turn into markup."""
    sweep = pytau_hpc.open_sweep(built.dir.path)

    html = sweep._repr_html_()

    assert html.startswith("<pre")
    assert "✓ succeeded" in html
    assert repr(sweep) == f"Sweep({str(built.dir.path)!r})"


def write_a_result(sweep: BuiltSweep, point) -> None:
    """A true result file of a fit that nobody ran."""
    rng = np.random.default_rng(1)
    posterior = Posterior(
        draws={
            "tau": np.sort(rng.uniform(0, N_BINS, (N_DRAWS, N_TRIALS, N_STATES - 1))),
            "lambda": rng.gamma(1, 1, (N_DRAWS, N_NEURONS, N_STATES)),
        },
        elbo=-1234.5,
        elbo_se=0.5,
        converged=True,
        iterations=1000,
        loss=np.linspace(2000, 1234, 10),
        loss_every=100,
        info={"engine": "jax"},
    )
    kind = MODELS["single_taste_poisson"]
    path = sweep.dir.study / point.result_path
    path.unlink(missing_ok=True)
    write_result(
        path,
        posterior=posterior,
        data=rng.poisson(1, (N_TRIALS, N_NEURONS, N_BINS)),
        dims=kind.dims,
        kind=kind,
        attrs={"point_id": point.point_id, "point": point.to_json(), "provenance": {}},
    )


def test_a_result_is_found_by_id_by_its_beginning_and_by_label(built):
    """Changepoints have their dims."""
    point = built.points[0]
    write_a_result(built, point)
    sweep = pytau_hpc.open_sweep(built.dir.path)

    for name in (point.point_id, point.point_id[:6], point.point_id.upper(), _label(sweep, point)):
        tau = sweep.result(name).posterior["tau"]
        assert tau.dims == ("chain", "draw", "trial", "changepoint")
        assert tau.shape == (1, N_DRAWS, N_TRIALS, N_STATES - 1)


def _label(sweep, point) -> str:
    points = sweep.points()
    return points.loc[points["point_id"] == point.point_id, "label"].item()


def test_a_beginning_that_is_not_unique_lists_the_points_it_could_be(study):
    """Use one more character."""
    points = [a_point(session=a_session(i), repeat=i) for i in range(40)]
    first = sorted(points, key=lambda point: point.point_id)
    letter = next(p.point_id[0] for p, q in pairwise(first) if p.point_id[0] == q.point_id[0])
    sweep = pytau_hpc.open_sweep(a_sweep(study, points).dir.path)

    with pytest.raises(UserError, match=f"`{letter}` matches") as caught:
        sweep.result(letter)
    assert caught.value.help == "use more characters of the id"


@pytest.mark.parametrize("name", ["zzzz", "", "no label"])
def test_a_point_that_is_not_there_is_said(built, name):
    """With how to find those that are."""
    with pytest.raises(UserError, match="no point"):
        pytau_hpc.open_sweep(built.dir.path).result(name)


def test_a_point_without_a_result_says_its_state(built):
    """Instead of a missing file."""
    with pytest.raises(UserError, match="has no result: it is planned"):
        pytau_hpc.open_sweep(built.dir.path).result(built.points[2].point_id)
