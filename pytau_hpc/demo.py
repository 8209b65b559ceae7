"""A small study with a known answer: made, planned, run on this computer, and checked against the truth.

Everything goes through the same doors that a real study uses: a folder of blech_clust sessions, a spec, plan, submit.
Run again, it goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytau_hpc.errors import UserError
from pytau_hpc.plan import PlanResult, plan
from pytau_hpc.sweep.run_dir import SweepDir

NAME = "demo"
WINDOW_MS, BIN_MS = (2000, 4000), 50
TRUE_STATES = 4
SESSIONS = {
    "AN01_demo_260101_101500": 1,
    "AN01_demo_260102_094500": 2,
    "AN02_demo_260105_110000": 3,
    "AN02_demo_260106_103000": 4,
}

SPEC = f"""\
# Two animals, two sessions each, four tastes: how many states does each response have?
name: {NAME}
data:
  format: blech_hdf5
  sessions: ["data/*"]
grid:
  taste: [0, 1, 2, 3]
  region: [gc]
  window_ms: [[{WINDOW_MS[0]}, {WINDOW_MS[1]}]]
  bin_ms: [{BIN_MS}]
  model: [single_taste_poisson]
  n_states: [{TRUE_STATES - 1}, {TRUE_STATES}, {TRUE_STATES + 1}]
profile: local
"""


@dataclass(frozen=True, kw_only=True)
class Study:
    """The demo's folder and what is true of its data: changepoints in ms by session, as (taste, trial, changepoint)."""

    folder: Path
    truth: Mapping[str, list[list[list[float]]]]

    @property
    def spec(self) -> Path:
        return self.folder / "demo.yaml"

    @property
    def sweep(self) -> SweepDir:
        return SweepDir(self.folder / "sweeps" / NAME)


def make_study(folder: Path) -> Study:
    """Write the sessions, the truth and the spec; what is there already stays."""
    from pytau_hpc.data.synthetic import write_blech_session
    from pytau_hpc.files import write_atomic

    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file", help="name a folder for the demo:  --into FOLDER")
    folder.mkdir(parents=True, exist_ok=True)
    truth: dict[str, Any] = {}
    for name, seed in SESSIONS.items():
        known = folder / "truth" / f"{name}.json"
        if not known.exists():
            known.parent.mkdir(exist_ok=True)
            _remove_half_written(folder / "data" / name)
            true = write_blech_session(
                folder / "data" / name,
                seed=seed,
                n_states=TRUE_STATES,
                window_ms=WINDOW_MS,
                duration_ms=4500,
            )
            write_atomic(
                known, json.dumps({"changepoints_ms": true.changepoints_ms.tolist()}) + "\n"
            )
        truth[name] = json.loads(known.read_text())["changepoints_ms"]
    study = Study(folder=folder, truth=truth)
    if not study.spec.exists():
        write_atomic(study.spec, SPEC)
    return study


def _remove_half_written(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def plan_study(study: Study) -> PlanResult:
    return plan(study.spec, study.folder)


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """How well the fits found what is true.

    errors_ms : mean absolute error of the changepoints for each session and taste, with the true number of states
    best_states : the number of states with the highest ELBO, for each session and taste
    elbo : (session, taste) → number of states → ELBO
    """

    errors_ms: Mapping[tuple[str, int], float]
    best_states: Mapping[tuple[str, int], int]
    elbo: Mapping[tuple[str, int], Mapping[int, float]]


def compare_with_truth(
    study: Study, rows: list[Mapping[str, Any]], draws: Callable[[str], Any]
) -> Recovered:
    """Compare finished fits with the truth.

    Parameters
    ----------
    rows : the ledger's points
    draws : point id → posterior draws of tau in bins, shape (…, trial, changepoint)
    """
    import numpy as np

    from pytau_hpc.data.times import changepoint_ms

    errors: dict[tuple[str, int], float] = {}
    elbo: dict[tuple[str, int], dict[int, float]] = {}
    for row in rows:
        if row["state"] != "succeeded":
            continue
        key = (row["session"], row["taste"])
        elbo.setdefault(key, {})[row["n_states"]] = row["elbo"]
        if row["n_states"] == TRUE_STATES:
            tau = np.asarray(draws(row["point_id"]))
            middle = np.median(tau.reshape(-1, *tau.shape[-2:]), axis=0)
            found = changepoint_ms(middle, start_ms=WINDOW_MS[0], bin_ms=BIN_MS)
            errors[key] = float(np.abs(found - np.asarray(study.truth[key[0]][key[1]])).mean())
    best = {key: max(values, key=lambda n: values[n]) for key, values in elbo.items()}
    return Recovered(errors_ms=errors, best_states=best, elbo=elbo)
