"""Everything that the page about PyTau's pipeline shows, done with this package on a synthetic study.

What is around the fits is tested with a method that needs no compiler (`tests.toy`), and once more, marked slow, with
the real one. Where PyTensor compiles, it does so without a C compiler, which would take minutes.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from joblib import Parallel, delayed
from tqdm import tqdm

from pytau_hpc.changepoint_analysis import PklHandler
from pytau_hpc.changepoint_io import DatabaseHandler, FitHandler
from pytau_hpc.changepoint_model import single_taste_poisson as single_taste_poisson_of_ours
from pytau_hpc.changepoint_preprocess import (
    preprocess_single_taste as preprocess_single_taste_of_ours,
)
from pytau_hpc.changepoint_preprocess import preprocess_spike_data
from pytau_hpc.data.synthetic import write_blech_session
from pytau_hpc.errors import BadData, FitFailed, NonFinite, UserError
from pytau_hpc.fit_here import SavedFit
from pytau_hpc.inference import METHODS
from pytau_hpc.inference.result_file import read_attrs
from pytau_hpc.plan import plan
from pytau_hpc.utils.batch_utils import (
    ProgressTracker,
    batch_fit_models,
    robust_fit,
)

DAYS = ("2024-01-15", "2024-01-16")


def record(folder: Path, seed: int = 1) -> Path:
    """A session of two tastes: 4 trials, 3 neurons of GC and 2 of BLA."""
    write_blech_session(
        folder,
        seed=seed,
        tastes=("sucrose", "nacl"),
        trials=4,
        regions={"GC": 3, "BLA": 2},
        n_states=3,
        duration_ms=4000,
        window_ms=(2000, 4000),
    )
    return folder


@pytest.fixture
def here(study, monkeypatch) -> Path:
    """A study folder to work in, with two sessions of each of two mice: ``data/<animal>/<day>``."""
    monkeypatch.chdir(study)
    for seed, (animal, day) in enumerate(itertools.product(("mouse1", "mouse2"), DAYS)):
        record(study / "data" / animal / day, seed)
    return study


def _forget_plugins() -> None:
    vars(METHODS).pop("_all", None)


@pytest.fixture
def toy(monkeypatch) -> dict[str, Any]:
    """Arguments for a fit that needs no compiler; processes that are started know it, too."""
    monkeypatch.setenv("PYTAU_HPC_PLUGINS", "tests.toy")
    _forget_plugins()
    yield {"method": "toy", "fit_steps": 3}
    _forget_plugins()


@pytest.fixture(params=["toy", pytest.param("real", marks=pytest.mark.slow)])
def fit(request) -> dict[str, Any]:
    """Arguments for a fit by `toy`, and by ADVI."""
    return request.getfixturevalue("toy") if request.param == "toy" else {"fit_steps": 200}


def point_of(saved: SavedFit) -> dict[str, Any]:
    """What a result says that it is."""
    return read_attrs(saved.path)["point"]


def handler_of(here: Path, animal: str = "mouse1", day: str = DAYS[0], **more: Any) -> FitHandler:
    return FitHandler(
        data_dir=here / "data",
        save_dir=here / "models",
        animal_name=animal,
        session_date=day,
        **more,
    )


# -------------------------------------------------------------------------------------------------- the four components


def test_model_generation():
    """A model of an array, and a fit of it."""
    import pytensor

    from pytau_hpc.changepoint_model import advi_fit, single_taste_poisson

    data = np.random.default_rng(1).poisson(1.0, (4, 3, 20))

    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        model = single_taste_poisson(data, states=3)
        model, approx = advi_fit(model, fit=50, samples=10)

    assert len(approx.hist) == 50
    assert np.isfinite(approx.hist).all()


def test_preprocessing():
    """Spikes to counts, in seconds."""
    raw_spikes = np.random.default_rng(1).integers(0, 2, (4, 3, 2000))

    counts = preprocess_spike_data(raw_spikes, bin_width=0.05, time_lims=(0, 2.0), shuffle=False)

    assert counts.shape == (4, 3, 40)
    assert counts.sum() == raw_spikes.sum()


def test_a_handler_fits_and_saves(here, fit):
    """The file lies where the page has it, and the database knows it by every name of the page."""
    handler = FitHandler(
        data_dir=here / "data",
        save_dir=here / "models",
        animal_name="mouse1",
        session_date="2024-01-15",
        taste_name="sucrose",
        region_name="GC",
    )

    saved = handler.fit_and_save(model_type="single_taste_poisson", states=3, **fit)

    assert saved.path.parent == here / "models" / "mouse1" / "mouse1_2024-01-15"
    db = DatabaseHandler(database_path="models/database.db")
    [row] = db.query(animal_name="mouse1", region_name="GC", states=3).to_dict("records")
    assert Path(row["model_path"]).samefile(saved.path)
    assert (row["session_date"], row["taste_name"], row["taste_num"]) == (DAYS[0], "sucrose", 0)
    assert (row["fit_steps"], row["bin_width"], row["time_lims"]) == (
        fit["fit_steps"],
        0.05,
        (2.0, 4.0),
    )
    assert row["model_id"] == saved.model_id
    assert handler.result.processed_spikes.shape == (4, 3, 40)


def test_what_is_fitted_where_nobody_says_how_is_found_by_a_batch(here):
    """ADVI by the engine `jax`: λ and τ of every draw; the sweep that asks for the same has nothing to do."""
    handler = handler_of(here, region_name="GC", bin_width=0.1)

    saved = handler.fit_and_save(model_type="single_taste_poisson", states=3, fit_steps=200)
    grid = {"states": 3, "fit_steps": 200, "bin_width": 0.1, "region_name": "GC", "taste_num": 0}
    batch = batch_fit_models("data/mouse1/2024-01-15", grid, progress=False)

    assert handler.inference_outs["lambda"].shape == (3, 1000, 3)
    assert handler.inference_outs["tau"].shape == (1000, 4, 2)
    assert handler.result.quality["iterations"] == 200
    assert batch["point_id"].to_list() == [saved.point_id]
    assert batch["state"].to_list() == ["succeeded"]
    [row] = handler.database_handler.query().to_dict("records")
    assert (row["method"], row["engine"], row["elbo"]) == ("advi", "jax", batch["elbo"][0])


def test_a_batch_is_a_table_and_goes_on_where_it_was(here, fit, caplog):
    """Each combination for each session; the second call fits nothing."""
    param_grid = {
        "states": [2, 3],
        "bin_width": [0.05, 0.1],
        "model_type": ["single_taste_poisson"],
        **fit,
    }

    results = batch_fit_models(data_dir="data/mouse1", param_grid=param_grid, n_jobs=2)
    again = batch_fit_models(data_dir="data/mouse1", param_grid=param_grid, n_jobs=2)

    assert len(results) == 2 * 2 * 2
    assert set(results["state"]) == {"succeeded"}
    assert all((here / path).exists() for path in results["result_path"])
    assert set(results["n_states"]) == {2, 3}
    assert set(results["bin_ms"]) == {50, 100}
    assert again["attempts"].to_list() == [1] * 8
    assert again.attrs == results.attrs
    assert caplog.text == ""


# --------------------------------------------------------------------------------------------------------- the database


def test_database_operations(here, toy):
    """Query, add, update, delete."""
    handler_of(here, region_name="GC").fit_and_save("single_taste_poisson", 3, **toy)
    db = DatabaseHandler(database_path="models/database.db")

    models = db.query(animal_name="mouse1", region_name="GC", states=3)
    model_id = db.add_model(
        model_path="models/animal1/session1/model_001.pkl",
        metadata={"animal_name": "mouse1", "session_date": "2024-01-15", "states": 3},
    )
    db.update_model(model_id=1, fit_date="2024-01-20")

    assert len(models) == 1
    assert db.query(model_id=1)["fit_date"].to_list() == ["2024-01-20"]
    assert len(db.query(animal_name="mouse1", states=3)) == 2
    db.delete_model(model_id=model_id)
    assert db.query()["model_id"].to_list() == [1]


def test_fits_of_a_sweep_and_of_a_handler_are_the_same(here, toy):
    """A handler finds what a batch fitted, by index or name of the taste; a sweep finds what a handler fitted."""
    grid = {"states": [2, 3], "taste_num": 0, "region_name": "gc", **toy}
    batch = batch_fit_models("data", grid, n_jobs=2, animal_name="mouse1", session_date=DAYS[0])
    ids = dict(zip(batch["n_states"], batch["point_id"], strict=True))

    by_index = handler_of(here, taste_num=0, region_name="GC")
    by_name = handler_of(here, taste_name="sucrose", region_name="GC")
    for states in (2, 3):
        for handler in (by_index, by_name):
            saved = handler.fit_and_save(states=states, **toy)
            assert (saved.point_id, saved.retrieved) == (ids[states], True)
    assert by_index.fit_and_save(states=4, **toy).retrieved is False
    (here / "more.yaml").write_text(
        textwrap.dedent(
            """\
            name: more
            data:
              format: blech_hdf5
              sessions: [{path: data/mouse1/2024-01-15, session: mouse1_2024-01-15, animal: mouse1}]
            grid: {region: GC, window_ms: [[2000, 4000]], bin_ms: [50], model: single_taste_poisson, n_states: [3, 4]}
            fit: {method: toy, iterations: 3}
            """
        )
    )
    planned = plan(here / "more.yaml", here)
    assert planned.done == {point.point_id for point in planned.points}
    assert len(planned.points) == 2


def test_an_equal_fit_is_not_made_again(here, toy, monkeypatch):
    """Another handler, a database that was deleted, a row that was deleted: the file is what counts."""
    trace = here / "trace"
    trace.mkdir()
    monkeypatch.setenv("PYTAU_TOY_TRACE", str(trace))
    first = handler_of(here).fit_and_save(states=3, **toy)
    db = DatabaseHandler("models/database.db")

    again = [handler_of(here).fit_and_save(states=3, **toy)]
    db.delete_model(model_id=first.model_id)
    again.append(handler_of(here).fit_and_save(states=3, **toy))
    db.database_path.unlink()
    again.append(handler_of(here).fit_and_save(states=3, **toy))

    assert [one.path for one in again] == [first.path] * 3
    assert all(one.retrieved for one in again)
    assert len(db.query(point_id=first.point_id)) == 1
    [run] = trace.iterdir()
    assert len(run.read_text().splitlines()) == toy["fit_steps"]


def test_a_fit_that_was_killed_goes_on_from_its_checkpoint(here, toy, monkeypatch):
    """In whatever process it is called again; no iteration is done twice, and no checkpoint stays behind."""
    trace = here / "trace"
    trace.mkdir()
    monkeypatch.setenv("PYTAU_TOY_TRACE", str(trace))
    call = """
        from pytau_hpc.changepoint_io import FitHandler
        handler = FitHandler(data_dir="data/mouse1/2024-01-15", checkpoint_s=0)
        handler.fit_and_save(states=3, method="toy", fit_steps=5, fail="killed", fail_times=1)
        """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(call)], cwd=here, timeout=500)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((here / "models/.checkpoints").rglob("*.npz"))) == 1

    run(call, here)

    [noted] = [path for path in trace.iterdir() if not path.suffix]
    assert [line.split()[1] for line in noted.read_text().splitlines()] == list("01234")
    assert len(DatabaseHandler("models/database.db").query()) == 1
    assert not (here / "models/.checkpoints").exists()


def test_a_database_that_cannot_be_used_costs_no_fit(here, toy, caplog):
    """Results say themselves what they are; the trouble is told, and the file of the database stays as it is."""
    (here / "models").mkdir()
    (here / "models/database.db").write_text("no database")

    first = handler_of(here).fit_and_save(states=3, **toy)
    again = handler_of(here, taste_name="sucrose").fit_and_save(states=3, **toy)

    assert (first.retrieved, again.retrieved) == (False, True)
    assert again.path == first.path
    assert first.model_id is None
    assert "is not a sound database" in caplog.text
    assert (here / "models/database.db").read_text() == "no database"


def test_a_damaged_result_is_made_again(here, toy):
    """And its remains are kept."""
    first = handler_of(here).fit_and_save(states=3, **toy)
    before = first.path.read_bytes()
    first.path.write_bytes(before[:1000])

    again = handler_of(here).fit_and_save(states=3, **toy)

    assert (again.path, again.retrieved) == (first.path, False)
    assert len(first.path.read_bytes()) > 1000
    assert [path.name for path in first.path.parent.glob(".damaged*")] == [
        f".damaged.{first.path.name}"
    ]


# ------------------------------------------------------------------------------------------------------------ workflows


def test_a_sweep_over_states(here, fit):
    """One handler, many fits."""
    handler = handler_of(here)

    for n_states in range(2, 5):
        handler.fit_and_save(model_type="single_taste_poisson", states=n_states, **fit)

    assert sorted(DatabaseHandler("models/database.db").query()["states"]) == [2, 3, 4]


def test_a_grid_of_combinations(here, toy):
    """Bin widths in seconds; a single session needs no name. The first taste and all neurons are fitted."""
    for states, bin_width in itertools.product([2, 3], [0.025, 0.05, 0.1]):
        handler = FitHandler(
            data_dir="data/mouse1/2024-01-15", save_dir="models", bin_width=bin_width
        )
        handler.fit_and_save(model_type="single_taste_poisson", states=states, **toy)

    models = DatabaseHandler("models/database.db").query()
    assert sorted(models["bin_width"]) == sorted([0.025, 0.05, 0.1] * 2)
    assert set(models["region_name"]) == {"all"}
    assert set(models["taste_num"]) == {0}


@pytest.mark.slow
def test_a_grid_of_models(here):
    """The two models of the page."""
    for model_type in ("single_taste_poisson", "single_taste_poisson_varsig"):
        handler_of(here, bin_width=0.1).fit_and_save(model_type, states=2, fit_steps=100)

    assert len(DatabaseHandler("models/database.db").query()) == 2


def meet(place: Path) -> None:
    """Go on when another process is here, too: both fit at once, and write the same database."""
    (place / str(os.getpid())).touch()
    for _ in range(1000):
        if len(list(place.iterdir())) > 1:
            return
        time.sleep(0.05)
    raise TimeoutError("no other process came")


def fit_session(session_info: dict[str, Any]) -> str:
    meet(session_info["meeting"])
    handler = FitHandler(
        data_dir=session_info["data_dir"],
        save_dir=session_info["save_dir"],
        animal_name=session_info["animal"],
        session_date=session_info["session"],
    )
    saved = handler.fit_and_save(model_type="single_taste_poisson", states=3, **session_info["fit"])
    return str(saved.path)


def test_sessions_in_parallel(here, fit):
    """Processes that fit, and write one database, at once; two of them the same session."""
    (here / "meeting").mkdir()
    shared = {"data_dir": "data", "save_dir": "models", "fit": fit, "meeting": here / "meeting"}
    sessions = [
        {"animal": animal, "session": day, **shared}
        for animal, day in itertools.product(("mouse1", "mouse2"), DAYS)
    ]

    paths = Parallel(n_jobs=2)(delayed(fit_session)(one) for one in [*sessions, sessions[-1]])

    models = DatabaseHandler("models/database.db").query()
    assert sorted(os.path.abspath(path) for path in models["model_path"]) == sorted(set(paths))
    assert len(set(paths)) == 4


def test_a_process_that_dies_before_its_fit_is_registered(here, toy):
    """The next question finds the result all the same, once."""
    call = """
        import os, signal
        from pytau_hpc import fit_here
        from pytau_hpc.changepoint_io import FitHandler
        fit_here.register_result = lambda study, path: os.kill(os.getpid(), signal.SIGKILL)
        FitHandler(data_dir="data/mouse1/2024-01-15").fit_and_save(states=3, method="toy", fit_steps=3)
        """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(call)], cwd=here, timeout=500)
    assert killed.returncode == -signal.SIGKILL

    found = handler_of(here).fit_and_save(states=3, **toy)

    assert found.retrieved
    assert DatabaseHandler("models/database.db").query()["model_id"].to_list() == [found.model_id]


BATCH = """
    from pytau_hpc.utils.batch_utils import batch_fit_models
    grid = {"states": [2, 3, 4], "method": "toy", "fit_steps": 3, "sleep_s": 0.2}
    found = batch_fit_models("data/mouse1/2024-01-15", grid, n_jobs=1, progress=False)
    assert set(found["state"]) <= {"succeeded", "running", "queued", "to_do"}, found["state"]
    """


def test_the_same_batch_from_two_processes(here, toy):
    """One of them fits, the other leaves it to that one; nothing is fitted twice."""
    words = [sys.executable, "-c", textwrap.dedent(BATCH)]
    both = [subprocess.Popen(words, cwd=here) for _ in range(2)]

    assert [one.wait(timeout=500) for one in both] == [0, 0]

    models = DatabaseHandler("models/database.db").query()
    assert sorted(models["states"]) == [2, 3, 4]
    [sweep] = (here / "sweeps").glob("*/journal")
    begun = [
        json.loads(line)["point"]
        for journal in sweep.rglob("*.jsonl")
        for line in journal.read_text().splitlines()
        if '"point_started"' in line
    ]
    assert sorted(begun) == sorted(models["point_id"])


FIT_MODEL = """\
import argparse

from pytau_hpc.changepoint_io import FitHandler

words = argparse.ArgumentParser()
words.add_argument("--animal")
words.add_argument("--session")
words.add_argument("--states", type=int, default=3)
words = words.parse_args()
handler = FitHandler(
    data_dir="data", save_dir="models", animal_name=words.animal, session_date=words.session
)
handler.fit_and_save(model_type="single_taste_poisson", states=words.states, **{fit})
"""


@pytest.fixture
def script(here, fit) -> Path:
    """The user's own program, that fits one session."""
    path = here / "fit_model.py"
    path.write_text(FIT_MODEL.replace("{fit}", repr(fit)))
    return path


@pytest.mark.skipif(shutil.which("parallel") is None, reason="GNU Parallel is not installed")
def test_gnu_parallel(here, script):
    """A list of commands, four at a time."""
    jobs = [
        f"{sys.executable} {script.name} --animal {animal} --session {day}"
        for animal, day in (("mouse1", DAYS[0]), ("mouse1", DAYS[1]), ("mouse2", DAYS[0]))
    ]
    (here / "jobs.txt").write_text("\n".join(jobs) + "\n")

    with (here / "jobs.txt").open() as listed:
        subprocess.run(["parallel", "-j", "4"], stdin=listed, cwd=here, check=True, timeout=500)

    assert len(DatabaseHandler("models/database.db").query(states=3)) == 3


def test_a_script_for_one_process(here, script):
    """A compile directory of its own for each job, removed at its end."""
    (here / "single_process.sh").write_text(
        textwrap.dedent(
            f"""\
            #!/bin/bash
            compiled=compiled_${{SLURM_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}
            export PYTENSOR_FLAGS="base_compiledir=$PWD/$compiled"
            {sys.executable} fit_model.py --animal $1 --session $2 --states $3
            code=$?
            rm -rf $compiled
            exit $code
            """
        )
    )

    subprocess.run(
        ["bash", "single_process.sh", "mouse2", DAYS[1], "4"],
        cwd=here,
        check=True,
        timeout=500,
        env={**os.environ, "SLURM_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"},
    )

    [row] = DatabaseHandler("models/database.db").query(animal_name="mouse2").to_dict("records")
    assert (row["states"], row["session_date"]) == (4, DAYS[1])
    assert list(here.glob("compiled_*")) == []


def test_a_compile_directory_of_its_own(tmp_path):
    """Set before PyMC is imported; what was compiled lies there, and can be removed."""
    program = textwrap.dedent(
        """\
        import os, shutil, sys, tempfile
        compiled = tempfile.mkdtemp(prefix="compiled_", dir=sys.argv[1])
        os.environ["PYTENSOR_FLAGS"] = f"base_compiledir={compiled},mode=FAST_COMPILE"
        import numpy as np
        import pymc as pm
        from pytau_hpc.changepoint_model import advi_fit, single_taste_poisson
        model = single_taste_poisson(np.ones((3, 2, 8), dtype=int), states=2)
        model, approx = advi_fit(model, fit=5, samples=5)
        assert len(approx.hist) == 5 and os.listdir(compiled)
        shutil.rmtree(compiled)
        """
    )

    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=900)

    # PyTensor makes its folder again at its end, without anything in it.
    assert [path for path in tmp_path.rglob("*") if path.suffix in (".so", ".cpp")] == []


# --------------------------------------------------------------------------------------------------- errors and logging


def run(program: str, folder: Path) -> str:
    """Run a program of the user, and return what it wrote to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_logging_as_the_page_sets_it_up(here, toy):
    """What happens to fits stands in the file, with time, name and level."""
    program = """
        import logging
        from pytau_hpc.changepoint_io import FitHandler
        logging.basicConfig(
            level=logging.INFO,
            format="%(asctime)s - %(name)s - %(levelname)s - %(message)s",
            handlers=[logging.FileHandler("pytau.log"), logging.StreamHandler()],
        )
        logger = logging.getLogger("pytau_hpc")
        logger.info("Starting model fit")
        handler = FitHandler(data_dir="data/mouse1/2024-01-15")
        handler.fit_and_save(states=3, method="toy")
        try:
            handler.fit_and_save(states=1, method="toy")
        except Exception as error:
            logger.error(f"Model fit failed: {error}")
        """

    talk = run(program, here)

    text = (here / "pytau.log").read_text()
    assert text == talk
    told = [line.split(" - ")[1:] for line in text.splitlines() if " - pytau_hpc" in line]
    assert told[0] == ["pytau_hpc", "INFO", "Starting model fit"]
    assert told[-1][:2] == ["pytau_hpc", "ERROR"]
    assert "n_states" in told[-1][2]
    assert any(line[0] == "pytau_hpc.fit_here" and "fitted" in line[2] for line in told)


def test_logging_in_one_call(here, toy):
    """To a file, and to standard error; libraries talk only of what is wrong."""
    program = """
        import logging
        from pytau_hpc.utils.batch_utils import robust_fit, setup_logging
        from pytau_hpc.changepoint_io import FitHandler
        logger = setup_logging("fits.log")
        logger.info("Starting")
        logging.getLogger("jax").info("gossip")
        assert robust_fit(FitHandler(data_dir="data/mouse1/2024-01-15"), "single_taste_poisson", 3, method="toy")
        """

    talk = run(program, here)

    text = (here / "fits.log").read_text()
    assert text == talk
    assert text.splitlines()[0].split(" - ")[1:] == ["pytau_hpc", "INFO", "Starting"]
    assert "fit successful on attempt 1" in text
    assert "gossip" not in text


class Fails:
    """A handler that fails so many times, and counts."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.times, self.calls = error, times, 0

    def fit_and_save(self, model_type: str, states: int, fit_steps: int | None) -> None:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error


def test_a_fit_is_tried_again(caplog):
    """As often as it is told to, and never a mistake that would come again."""
    for handler, succeeded, calls in (
        (Fails(OSError("disk"), 2), True, 3),
        (Fails(OSError("disk"), 3), False, 3),
        (Fails(BadData("no such taste"), 3), False, 1),
        (Fails(NonFinite("NaN"), 3), False, 1),
    ):
        assert robust_fit(handler, "single_taste_poisson", 3, max_retries=3) is succeeded
        assert handler.calls == calls
    assert "attempt 2 of 3 failed: disk" in caplog.text


def test_robust_fit_with_a_handler(here, toy):
    """By the arguments of the page."""
    good, bad = handler_of(here), handler_of(here, taste_name="sugar")

    assert robust_fit(good, "single_taste_poisson", 3, max_retries=3, **toy) is True
    assert robust_fit(bad, "single_taste_poisson", 3, max_retries=3, **toy) is False


def test_a_fit_that_fails_raises_and_leaves_nothing(here, toy):
    """With the traceback as a note; the next call starts anew."""
    handler = handler_of(here)

    with pytest.raises(FitFailed, match="RuntimeError") as failed:
        handler.fit_and_save(states=3, **toy, fail="exception")
    with pytest.raises(NonFinite):
        handler.fit_and_save(states=3, **toy, fail="non_finite")

    assert "Traceback" in failed.value.__notes__[0]
    assert DatabaseHandler("models/database.db").query().empty
    assert handler.saved is None


def test_a_handler_never_shows_a_fit_of_other_parameters(here, toy):
    """Whatever is set, and whatever fails, the last fit is no longer the last."""
    handler = handler_of(here)
    handler.set_inference_params("toy")
    for change in (
        lambda: handler.set_model_params(states=4, fit=3),
        lambda: handler.set_preprocess_params([2000, 4000], 100),
        lambda: handler.set_inference_params("toy"),
        lambda: handler.set_inference("advi"),
    ):
        handler.fit_and_save(states=3, **toy)
        assert handler.result.tau.raw_mode_tau.shape == (4, 2)
        change()
        with pytest.raises(UserError, match="nothing was fitted yet"):
            _ = handler.result
    handler.fit_and_save(states=3, **toy)
    with pytest.raises(UserError):
        handler.fit_and_save(states=1, **toy)
    assert handler.saved is None


# ------------------------------------------------------------------------------------------------------------- progress


def test_a_progress_bar_over_a_grid(here, toy, capsys):
    """The user's own loop with tqdm."""
    for states in tqdm(range(2, 4), desc="States"):
        for bin_width in tqdm([0.05, 0.1], desc="Bin width", leave=False):
            handler_of(here, bin_width=bin_width).fit_and_save(
                model_type="single_taste_poisson", states=states, **toy
            )

    assert len(DatabaseHandler("models/database.db").query()) == 4
    assert "States: 100%" in capsys.readouterr().err


def test_a_batch_shows_its_progress(here, toy, capsys):
    """On standard error; nothing where that is not wanted."""
    grid = {"states": [2], **toy}

    batch_fit_models("data/mouse1", grid, n_jobs=2)
    assert "2/2 succeeded" in capsys.readouterr().err
    batch_fit_models("data/mouse2", grid, n_jobs=2, progress=False)
    assert capsys.readouterr().err == ""


def test_a_tracker_counts(tmp_path, monkeypatch, capsys):
    """Jobs, failures, and the time that the rest will take."""
    monkeypatch.chdir(tmp_path)
    now = iter([0.0, 10.0, 20.0, 20.0, 30.0]).__next__
    before = time.time()
    tracker = ProgressTracker(total_jobs=4, clock=now)

    tracker.update(True)
    assert capsys.readouterr().out.startswith("Progress: 1/4 (0 failed) [")
    tracker.show = None
    tracker.update(False).save()

    saved = json.loads(Path("progress.json").read_text())
    assert saved.pop("elapsed_time") > 0
    assert saved == {"total_jobs": 4, "completed_jobs": 1, "failed_jobs": 1}
    assert before <= tracker.start_time <= time.time()


def test_the_time_that_is_left(tmp_path):
    """A job that failed is over, too."""
    seconds = [0.0]
    tracker = ProgressTracker(4, show=None, clock=lambda: seconds[0])
    assert tracker.remaining_time is None

    seconds[0] = 10.0
    tracker.update().update(success=False)

    assert tracker.remaining_time == 10.0
    assert str(tracker) == "Progress: 1/4 (1 failed) [10.0s elapsed, 10.0s remaining]"


# --------------------------------------------------------------------------------------------------- the whole pipeline


def test_the_complete_pipeline(here, fit):
    """Animals × sessions × states; what fails is told, and the rest goes on."""
    logger = logging.getLogger("pytau_pipeline")
    db = DatabaseHandler("models/database.db")
    animals, states_list = ["mouse1", "mouse2", "mouse3"], [2, 3]
    failed = []

    with tqdm(total=len(animals) * len(DAYS) * len(states_list), desc="Processing") as pbar:
        for animal, session, states in itertools.product(animals, DAYS, states_list):
            try:
                handler = FitHandler(
                    data_dir=f"data/{animal}/{session}",
                    save_dir="models",
                    animal_name=animal,
                    session_date=session,
                )
                handler.fit_and_save(model_type="single_taste_poisson", states=states, **fit)
                logger.info(f"Completed: {animal}/{session}/states={states}")
            except Exception as error:
                failed.append(str(error))
            finally:
                pbar.update(1)

    models = db.query()
    assert len(models) == 2 * 2 * 2
    assert set(zip(models["animal_name"], models["session_date"], strict=True)) == set(
        itertools.product(("mouse1", "mouse2"), DAYS)
    )
    assert len(failed) == 4
    assert all("there is no folder" in one for one in failed)


# ----------------------------------------------------------------------------------------------- PyTau's own FitHandler


def test_pytaus_own_calls(here, toy):
    """Parameters, steps and outputs by PyTau's names, in ms; the result is ours."""
    handler = FitHandler(
        data_dir="data/mouse1/2024-01-15",
        taste_num=1,
        region_name="bla",
        laser_type=None,
        experiment_name="pytau_test",
    )
    handler.set_preprocess_params(time_lims=[2000, 4000], bin_width=100, data_transform="None")
    handler.set_model_params(states=3, fit=3, samples=20, model_kwargs={"None": None})
    handler.set_inference_params(method="toy")

    handler.load_spike_trains()
    handler.preprocess_data()
    handler.run_inference()
    path = handler.save_fit_output()

    assert handler.data.shape == (4, 2, 4000)
    assert handler.preprocessed_data.shape == (4, 2, 20)
    outs = handler.inference_outs
    assert outs["tau"].shape == (20, 4, 2)
    assert outs["lambda"].shape == (2, 20, 3)
    np.testing.assert_array_equal(outs["data"], handler.preprocessed_data)
    assert not path.with_suffix(".pkl").exists()
    database = handler.database_handler.fit_database
    assert database["exp.exp_name"].to_list() == ["pytau_test"]
    assert database["preprocess.bin_width"].to_list() == [100]
    assert handler.return_fit_output()["metadata"]["data"]["taste_num"] == 1


def test_a_model_to_look_at(here):
    """`create_model` builds it, as PyTau does."""
    handler = FitHandler("data/mouse1/2024-01-15", 0, "GC", None, "pytau_test")
    handler.set_preprocess_params([2000, 4000], 100, None)
    handler.set_model_params(3, 10, 10, {})

    handler.create_model()

    assert "tau" in handler.model.named_vars


def test_a_shuffle_is_fitted_as_in_a_sweep(here, toy):
    """What `preprocess_data` shows is what the fit saw."""
    handler = handler_of(here, data_type="shuffled")
    handler.set_model_params(3, 3, 10)
    handler.set_inference_params("toy")

    handler.run_inference()
    handler.preprocess_data()

    np.testing.assert_array_equal(handler.result.processed_spikes, handler.preprocessed_data)
    assert DatabaseHandler("models/database.db").query()["data_type"].to_list() == ["shuffled"]


def test_a_pickle_is_written_only_when_it_is_asked_for(here, toy):
    """In PyTau's shape, without anything of ours in it."""
    handler = handler_of(here, experiment_name="mine")
    handler.fit_and_save(states=3, **toy)
    assert list(here.rglob("*.pkl")) == []

    path = handler.save(format="pytau")
    with pytest.raises(UserError, match="no name for a pickle"):
        handler.save(format="pytau", path=handler.result.path)

    class OnlyNumpy(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            assert module.split(".")[0] in ("numpy", "types")
            return super().find_class(module, name)

    with path.open("rb") as file:
        contents = OnlyNumpy(file).load()
    assert contents["model_data"]["lambda"].shape == (5, 8, 3)  # neuron, draw, state
    opened = PklHandler.from_trusted_pickle(path)
    np.testing.assert_array_equal(opened.fitted.states["lambda"][1], handler.result.lambda_array)
    np.testing.assert_array_equal(opened.firing.raw_spikes, handler.result.firing.raw_spikes)
    assert list(contents) == ["model_data", "metadata"]
    assert list(contents["model_data"]) == ["model", "approx", "lambda", "tau", "data"]
    assert len(contents["model_data"]["approx"].hist) == 3
    metadata = json.loads(path.with_suffix(".info").read_text())
    assert metadata["exp"]["exp_name"] == "mine"
    assert Path(metadata["data"]["data_dir"]) == here / "data/mouse1/2024-01-15"
    assert metadata["preprocess"]["time_lims"] == [2000, 4000]


def test_parameters_from_files(here, toy):
    """Which PyTau takes, but does not read."""
    (here / "model.json").write_text('{"states": 4, "fit": 3, "samples": 10}')
    (here / "pre.json").write_text('{"time_lims": [1000, 2000], "bin_width": 50}')

    handler = handler_of(here, model_params_path="model.json", preprocess_params_path="pre.json")
    handler.set_inference_params("toy")
    handler.run_inference()

    [row] = DatabaseHandler("models/database.db").query().to_dict("records")
    assert (row["states"], row["time_lims"]) == (4, (1.0, 2.0))


def test_what_was_set_is_used_where_a_call_says_nothing(here, toy):
    """Model, method, settings and parameters; what a call says itself wins, in whichever word."""
    (here / "model.json").write_text('{"states": 4, "fit": 3, "samples": 10}')
    handler = handler_of(here, model_params_path="model.json")
    handler.set_inference_params("toy", need_mb=1)

    def fitted(*arguments: Any, **named: Any) -> dict[str, Any]:
        said = point_of(handler.fit_and_save(*arguments, **named))
        return {key: said[key] for key in ("model", "n_states", "method")} | {
            key: said["settings"][key] for key in ("iterations", "draws", "need_mb")
        }

    before = {
        "model": "single_taste_poisson",
        "n_states": 4,
        "method": "toy",
        "iterations": 3,
        "draws": 10,
        "need_mb": 1,
    }
    assert fitted() == before
    assert fitted(states=2, fit_steps=5) == before | {"n_states": 2, "iterations": 5}
    assert fitted(iterations=5, draws=9, need_mb=2) == before | {
        "iterations": 5,
        "draws": 9,
        "need_mb": 2,
    }
    handler.set_model_template("single_taste_poisson_varsig_fixed")
    handler.set_model_params(3, 4, 10, {"inds_span": 3})
    assert fitted()["model"] == "single_taste_poisson_varsig_fixed"
    assert point_of(handler.saved)["model_options"] == {"inds_span": 3}
    fitted(model_kwargs={"inds_span": 2})
    assert point_of(handler.saved)["model_options"] == {"inds_span": 2}


@pytest.mark.parametrize(
    "change",
    [
        lambda handler: handler.inference_func_selector(),
        lambda handler: handler.set_inference("nuts"),
    ],
)
def test_settings_of_one_method_are_not_left_to_another(here, toy, change):
    """Not even where both have a setting of that name."""
    handler = handler_of(here)
    handler.set_model_params(3)
    handler.set_inference_params("toy", draws=9)

    change(handler)
    handler.set_inference("toy")
    handler.run_inference()

    assert point_of(handler.saved)["settings"]["draws"] == 8  # the toy's own
    handler.set_inference_params("advi", restarts=3)
    assert point_of(handler.fit_and_save(method="toy", fit_steps=4))["method"] == "toy"


def test_what_another_method_has_is_refused_with_its_name(here):
    """In the words that were written: `fit` is a number of steps, `chains` is a setting of NUTS."""
    handler = handler_of(here)
    handler.set_inference("nuts")
    handler.set_model_params(3, 1000, 100)
    with pytest.raises(UserError, match=r"`fit` of .* optimiser steps, which nuts has not") as told:
        handler.run_inference()
    assert told.value.help == "leave it out; what nuts has is draws and tune"

    with pytest.raises(UserError, match="`chains` is a setting of nuts, not of advi"):
        handler.fit_and_save(method="advi", chains=2)
    with pytest.raises(UserError, match="has no option"):
        handler.fit_and_save("single_taste_poisson", method="advi", inds_span=2)


# ------------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"taste_num": "sucrose"}, "taste_num"),
        ({"taste_num": 0, "taste_name": "sucrose"}, "not both"),
        ({"laser_type": "blue"}, "laser_type"),
        ({"bin_width": "50"}, "bin_width"),
        ({"bin_width": 0.0333}, "whole number of milliseconds"),
        ({"time_lims": 2.0}, "time_lims"),
        ({"taste_num": True}, "taste_num"),
        ({"taste_num": 1.0}, "taste_num"),
        ({"data_transform": "trial_shufled"}, "not 'trial_shufled'"),
        ({"data_type": "shufled"}, "not 'shufled'"),
    ],
)
def test_an_argument_that_cannot_be_right(here, arguments, message):
    """Is refused at once."""
    with pytest.raises(UserError, match=message):
        FitHandler(data_dir="data", **arguments)


@pytest.mark.parametrize(
    ("where", "what", "message"),
    [
        ({"data_dir": "nowhere"}, {}, "there is no folder"),
        ({"data_dir": "data"}, {}, "holds 4 sessions: mouse1_2024-01-15, "),
        ({"animal_name": "mouse1"}, {}, "holds 2 sessions"),
        ({"animal_name": "mouse9"}, {}, "no session of mouse9"),
        ({"data_dir": "data/mouse1/2024-01-15", "session_date": "2024-01-16"}, {}, "is from"),
        ({"session_date": "240116", "animal_name": "mouse1", "taste_name": "sugar"}, {}, "sugar"),
        ({"session_date": 20240116, "animal_name": "mouse1", "region_name": "PFC"}, {}, "PFC"),
        ({"data_dir": "data/mouse1/2024-01-15", "taste_num": 2}, {}, "taste 2"),
        ({"data_dir": "data/mouse1/2024-01-15", "taste_num": -1}, {}, "-1"),
        ({"data_dir": "unnamed", "animal_name": "../mouse1"}, {}, "results would lie under it"),
        ({"data_dir": "data/mouse1/2024-01-15"}, {"model_type": max}, "a name, or a function"),
        ({"data_dir": "data/mouse1/2024-01-15"}, {"states": "3"}, "`n_states` must be a whole"),
        ({"data_dir": "data/mouse1/2024-01-15"}, {"bin_width": 0.1}, "given to FitHandler"),
        ({}, {"fit_steps": 3, "iterations": 4}, "they are the same"),
        ({"data_dir": "data/mouse1/2024-01-15"}, {"states": 1}, "states"),
        ({"data_dir": "data/mouse1/2024-01-15"}, {"model_type": "single_taste"}, "single_taste"),
        ({"data_dir": "data/mouse1/2024-01-15"}, {"restart": 3}, "restart"),
        ({"data_dir": "data/mouse1/2024-01-15", "time_lims": (3, 9)}, {}, "4000 ms"),
        ({"data_dir": "data/mouse1/2024-01-15", "bin_width": 0.03}, {}, "bins of 30 ms"),
    ],
)
def test_a_fit_that_cannot_be_made(here, where, what, message):
    """Says why, and fits nothing."""
    (here / "unnamed").symlink_to("data/mouse1/2024-01-15")
    handler = FitHandler(**{"data_dir": "data", **where})

    with pytest.raises(UserError, match=message):
        handler.fit_and_save(**what)

    assert list(here.rglob("*.nc")) == []


def test_a_session_has_one_name_however_it_is_reached(here, toy):
    """A folder that is called after a date alone lies in its animal's folder."""
    ways = (
        {"data_dir": "data", "animal_name": "mouse1", "session_date": 240115},
        {"data_dir": "data/mouse1", "session_date": "2024-01-15"},
        {"data_dir": "data/mouse1", "animal_name": "mouse1", "session_date": "2024-01-15"},
        {"data_dir": "data/mouse1/2024-01-15", "animal_name": "mouse1"},
        {"data_dir": "data/mouse1/2024-01-15"},
    )

    paths = {FitHandler(**way).fit_and_save(states=2, **toy).path for way in ways}
    batch = batch_fit_models("data/mouse1/2024-01-15", {"states": 2, **toy}, progress=False)

    assert {here / path for path in batch["result_path"]} == paths
    assert len(DatabaseHandler("models/database.db").query(animal_name="mouse1")) == 1


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"states": [3], "n_states": [4]}, "given twice"),
        ({"states": [1]}, "at least 2"),
        ({"stats": [3]}, "stats"),
        (
            {"model_type": ["single_taste_poisson", "all_taste_poisson"]},
            "takes all tastes together",
        ),
        ({"bin_width": [50]}, "50000"),
        ([("states", [3])], "must be a dict"),
        ({"model_type": [max]}, "a name, or a function"),
    ],
)
def test_a_grid_that_cannot_be_fitted(here, grid, message):
    """Is refused before anything is fitted."""
    with pytest.raises(UserError, match=message):
        batch_fit_models("data/mouse1", grid)

    assert not (here / "models").exists()


def test_a_batch_writes_over_nobodys_spec_and_nowhere_else(here, toy):
    """Its name becomes the name of a file."""
    (here / "sweeps").mkdir()
    (here / "sweeps/mine.yaml").write_text("name: mine\n")

    for name, message in (("../mine", "plain name"), ("mine", "stays as it is")):
        with pytest.raises(UserError, match=message):
            batch_fit_models("data/mouse1/2024-01-15", {"states": 2, **toy}, name=name)

    assert [path.name for path in (here / "sweeps").iterdir()] == ["mine.yaml"]
    assert (here / "sweeps/mine.yaml").read_text() == "name: mine\n"
    assert not (here / "mine.yaml").exists()


def test_a_function_of_ones_own_is_not_taken_for_ours(here):
    """What it does could not be in the id of the fit, whatever it is called."""

    def preprocess_single_taste(spike_array: Any) -> Any:
        return spike_array

    def single_taste_poisson(data: Any, states: int) -> Any:
        return data

    handler = handler_of(here, taste_num=0)
    handler.set_preprocessor(preprocess_single_taste_of_ours)
    handler.set_model_template(single_taste_poisson_of_ours)
    with pytest.raises(UserError, match="preprocessor"):
        handler.set_preprocessor(preprocess_single_taste)
    with pytest.raises(UserError, match="a name, or a function"):
        handler.set_model_template(single_taste_poisson)


@pytest.mark.parametrize(
    ("limits", "width"),
    [(2000, 50), ([2000, 3000, 4000], 50), ("24", 50), ([2000, 4000.5], 50), ([2000, 4000], "50")],
)
def test_times_in_ms_that_are_none(here, limits, width):
    """Are refused where they are set."""
    handler = handler_of(here)

    with pytest.raises(UserError, match=r"must be (start and end in|a whole number of) ms"):
        handler.set_preprocess_params(limits, width, None)


def test_a_transform_that_is_none(here):
    """Is refused where it is set, and nothing changes."""
    handler = handler_of(here)
    before = dict(handler.preprocess_params)

    with pytest.raises(UserError, match="not 'trial_shufled'") as refused:
        handler.set_preprocess_params([2000, 4000], 50, "trial_shufled")

    assert refused.value.help == "did you mean `trial_shuffled`?"
    assert handler.preprocess_params == before


def test_a_file_of_parameters_with_a_name_that_is_none(here):
    """Is refused, with the names that there are."""
    (here / "model.json").write_text('{"states": 4, "steps": 3}')

    with pytest.raises(UserError, match="no parameter steps; it may have states, fit"):
        handler_of(here, model_params_path="model.json")


def test_a_batch_of_sessions_that_the_reader_names(study, monkeypatch, toy):
    """Folders as blech_clust makes them keep their names; values of numpy, ranges and repetitions are fine."""
    monkeypatch.chdir(study)
    record(study / "AM35_4Tastes_201228_124547")
    record(study / "AM36_4Tastes_201229_124547", 2)

    grid = {"states": np.array([2, 2, 3]), "repeat": range(2), **toy}
    found = batch_fit_models(study, grid, np.int64(2), save_dir=study / "out")
    one = FitHandler(study, animal_name="AM36", session_date="2020-12-29", save_dir=study / "out")

    assert len(found) == 2 * 2 * 2
    assert set(found["session"]) == {"AM35_4Tastes_201228_124547", "AM36_4Tastes_201229_124547"}
    assert (study / "out" / found["result_path"][0]).exists()
    assert one.fit_and_save(states=np.int64(3), repeat=1, **toy).retrieved


def test_a_batch_spells_a_region_as_each_session_does(here, toy):
    """Upper and lower case are one region, as they are to a handler of each session."""
    [info] = (here / "data/mouse1" / DAYS[1]).glob("*.info")
    text = info.read_text()
    assert text.count('"GC"') >= 2
    info.write_text(text.replace('"GC"', '"gc"'))
    grid = {"states": 2, "region_name": ["Gc", "bla"], "taste_num": 0, **toy}

    found = batch_fit_models("data/mouse1", grid, n_jobs=1)
    again = batch_fit_models("data/mouse1", grid, n_jobs=1)

    assert sorted(zip(found["session"], found["region"], strict=True)) == [
        ("mouse1_2024-01-15", "BLA"),
        ("mouse1_2024-01-15", "GC"),
        ("mouse1_2024-01-16", "BLA"),
        ("mouse1_2024-01-16", "gc"),
    ]
    assert set(found["state"]) == {"succeeded"}
    assert again.attrs["sweep"] == found.attrs["sweep"]
    for day in DAYS:
        handler = handler_of(here, day=day, region_name="GC", taste_num=0)
        assert handler.fit_and_save(states=2, **toy).retrieved


def test_a_set_of_names_is_the_same_batch_in_every_process():
    """Though Python lists it in another order each time."""
    program = (
        "from pytau_hpc.pytau_words import values_in_spec_words as w\n"
        "print(w('model_type', {'single_taste_poisson', 'all_taste_poisson', 'poisson_changepoint_1d'}))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(3)
    }

    assert said == {
        "('model', ['all_taste_poisson', 'poisson_changepoint_1d', 'single_taste_poisson'])\n"
    }


def test_a_batch_with_failures_is_told_and_tried_again(here, toy, caplog):
    """Once, as its retry rules say; the others are in the table all the same."""
    grid = {"states": [2], "fail": ["never", "exception"], **toy}

    first = batch_fit_models("data/mouse1/2024-01-15", grid, n_jobs=1)
    again = batch_fit_models("data/mouse1/2024-01-15", grid, n_jobs=1)

    assert sorted(first["state"].astype(str)) == ["failed", "succeeded"]
    assert "1 of 2 fits failed" in caplog.text
    assert sorted(again["attempts"]) == [1, 2]
