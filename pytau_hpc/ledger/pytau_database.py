"""Reading PyTau's model_database.csv into rows of ours.

PyTau appends a line per fit (changepoint_io.DatabaseHandler.write_to_database); the models are pickles beside it, in a
folder per experiment. No pickle is opened: it would run whatever code somebody put into it.
"""

from __future__ import annotations

import ast
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pytau_hpc.errors import UserError

_NEEDED = ("exp.save_path", "model.states")
_DATA_TYPES = {
    "trial_shuffled": "shuffled",
    "spike_shuffled": "shuffled",
    "simulated": "simulated",
}
#: Columns of theirs that mean the same as one of ours, in the same units.
_SAME = {
    "exp.exp_name": "experiment_name",
    "data.basename": "session_name",
    "data.animal_name": "animal_name",
    "data.session_date": "session_date",
    "data.region_name": "region_name",
    "data.laser_type": "laser_type",
    "data.data_dir": "raw_data",
    "model.model_template_name": "model_type",
}
_WHOLE = {"model.states": "states", "model.fit": "fit_steps", "model.samples": "samples"}
#: Kept under their own names, for whoever looks for them.
_KEPT = ("exp.model_id", "preprocess.preprocessor_name", "module.theano_version")


def read_pytau_database(csv_path: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The models of a model_database.csv: where each one's pickle is, and its columns.

    Where a pickle is no longer where the file says, because the folder was moved, but lies where PyTau would put it
    beside the file, it is taken from there.

    Raises
    ------
    UserError : no such file, or not a model database of PyTau's; all rows that cannot be read at once
    """
    try:
        # As text: pandas would make 100521 of the date 100521, and NaN of the transform "None".
        table = pd.read_csv(csv_path, index_col=0, dtype=str, keep_default_na=False)
    except OSError as error:
        raise UserError(f"{csv_path} cannot be read: {error}") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{csv_path} is not a table that can be read: {error}") from error
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise UserError(f"{csv_path} is not PyTau's model database: it lacks {', '.join(missing)}")
    found, problems = [], []
    for number, row in enumerate(table.to_dict("records"), start=2):
        given = {str(name): text for name, text in row.items() if str(text).strip()}
        # PyTau drops rows without any value, too.
        if not given:
            continue
        try:
            found.append(_model(given, csv_path))
        except (ValueError, SyntaxError, KeyError, TypeError) as error:
            problems.append(f"row {number}: {error}")
    if problems:
        raise UserError(f"{csv_path} cannot be imported: {'; '.join(problems[:5])}")
    return found


def _model(given: Mapping[str, str], csv_path: Path) -> tuple[Path, dict[str, Any]]:
    row: dict[str, Any] = {ours: given[name] for name, ours in _SAME.items() if name in given}
    row |= {ours: int(float(given[name])) for name, ours in _WHOLE.items() if name in given}
    row |= {name: given[name] for name in _KEPT if name in given}
    taste = given.get("data.taste_num")
    if taste == "all":
        row["taste_name"] = "all"
    elif taste is not None:
        row["taste_num"] = int(float(taste))
    if row.get("laser_type") == "None":
        del row["laser_type"]
    transform = given.get("preprocess.data_transform", "None")
    row["data_type"] = _DATA_TYPES.get(transform, "actual")
    if transform in _DATA_TYPES:
        row["data_transform"] = transform
    if "preprocess.time_lims" in given:
        start, end = _limits(given["preprocess.time_lims"])
        row["time_lims"] = (start / 1000, end / 1000)
    if "preprocess.bin_width" in given:
        row["bin_width"] = float(given["preprocess.bin_width"]) / 1000
    if "model.inference_func_name" in given:
        row["method"] = given["model.inference_func_name"].removesuffix("_fit")
        row["engine"] = "pytau"
    if "exp.fit_date" in given:
        row["fit_date"] = _date(given["exp.fit_date"])
    if "model.model_kwargs" in given:
        row["parameters"] = {"model_options": _options(given["model.model_kwargs"])}
    version = given.get("module.pymc_version") or given.get("module.pymc3_version")
    if version:
        row["pymc_version"] = version
    return _pickle_of(Path(given["exp.save_path"]), csv_path), row


def _pickle_of(save_path: Path, csv_path: Path) -> Path:
    said = save_path.with_name(save_path.name.removesuffix(".pkl") + ".pkl")
    beside = csv_path.parent / said.parent.name / said.name
    return beside if not said.exists() and beside.exists() else said


def _limits(text: str) -> tuple[float, float]:
    start, end = ast.literal_eval(text)
    return float(start), float(end)


def _date(text: str) -> str:
    """PyTau writes month-day-year."""
    try:
        return dt.datetime.strptime(text, "%m-%d-%y").date().isoformat()
    except ValueError:
        return text


def _options(text: str) -> Any:
    """The text of a dict; PyTau's way to say "none" is ``{'None': None}``."""
    try:
        options = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return {} if options in (None, {"None": None}) else options
