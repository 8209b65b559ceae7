"""The model database as pandas DataFrames: by our columns, and by PyTau's dotted ones.

The types are explicit and the same under pandas 2 and 3, empty or full. Imports pandas, so nothing that has to start
quickly may import it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pytau_hpc.files import canonical_json
from pytau_hpc.ledger.model_columns import COLUMNS

_DTYPES = {
    "whole": "Int64",
    "real": "float64",
    "truth": "boolean",
    "text": "string",
    "pair": "object",
    "json": "object",
}

#: Measures of Markov chains, which have own columns (`result_rows`): how well a fit went, not what was fitted.
_OF_CHAINS = ("chains", "rhat_max", "ess_min", "divergences")

#: Columns of PyTau's model_database.csv (changepoint_io.DatabaseHandler.aggregate_metadata).
PYTAU_COLUMNS = (
    "preprocess.time_lims",
    "preprocess.bin_width",
    "preprocess.data_transform",
    "preprocess.preprocessor_name",
    "model.states",
    "model.fit",
    "model.samples",
    "model.model_kwargs",
    "model.model_template_name",
    "model.inference_func_name",
    "data.data_dir",
    "data.basename",
    "data.animal_name",
    "data.session_date",
    "data.taste_num",
    "data.laser_type",
    "data.region_name",
    "exp.exp_name",
    "exp.model_id",
    "exp.save_path",
    "exp.fit_date",
    "module.pymc_version",
    "module.theano_version",
)


def frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per model: `model_id`, `model_path`, the known columns, then the user's own in the order of their names.

    `time_lims` holds tuples of seconds, `parameters` and `contents` dicts; what is missing is missing by pandas.
    """
    kinds = {
        "model_id": "whole",
        "model_path": "text",
        **{name: column.kind for name, column in COLUMNS.items()},
    }
    own = sorted({name for row in rows for name in row} - set(kinds))
    made = {
        name: pd.Series([row.get(name) for row in rows], dtype=_DTYPES[kind])
        for name, kind in kinds.items()
    }
    made["model_id"] = made["model_id"].astype("int64")
    for name in own:
        made[name] = pd.Series([row.get(name) for row in rows]).convert_dtypes()
    return pd.DataFrame(made)


def duplicated(models: pd.DataFrame, keep: str | bool = "first") -> pd.Series:
    """Which models are the same fit as another one: equal in everything but path, dates and how well it went.

    Parameters
    ----------
    keep : "first" or "last" does not count one of each group; False counts all
    """
    identity = [
        name
        for name in models.columns
        if name not in ("model_id", "model_path", *_OF_CHAINS)
        and (name not in COLUMNS or COLUMNS[name].identity)
    ]
    texts = pd.DataFrame(
        {name: [_hashable(value) for value in models[name]] for name in identity},
        index=models.index,
        dtype="object",
    )
    return texts.duplicated(keep=keep)  # type: ignore[arg-type]


def pytau_frame(models: pd.DataFrame) -> pd.DataFrame:
    """The models by PyTau's dotted columns, in its units: `time_lims` and `bin_width` in ms.

    `exp.save_path` of a pickle has no suffix, as PyTau writes it; that of a result of ours has. The index is
    `model_id`.
    """
    rows = [_pytau_row(row) for row in models.to_dict("records")]
    return pd.DataFrame(
        rows, columns=list(PYTAU_COLUMNS), index=pd.Index(models["model_id"], name="model_id")
    )


def _pytau_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    row = {name: None if _missing(value) else value for name, value in row.items()}
    own = row.get
    taste = own("taste_num") if own("taste_num") is not None else own("taste_name")
    path = str(row["model_path"])
    lims, width = own("time_lims"), own("bin_width")
    single = "preprocess_all_taste" if taste == "all" else "preprocess_single_taste"
    method = own("method")
    return {
        "preprocess.time_lims": None if lims is None else [_ms(lims[0]), _ms(lims[1])],
        "preprocess.bin_width": None if width is None else _ms(width),
        "preprocess.data_transform": own("data_transform"),
        "preprocess.preprocessor_name": own("preprocess.preprocessor_name") or single,
        "model.states": own("states"),
        "model.fit": own("fit_steps") if own("fit_steps") is not None else own("iterations_run"),
        "model.samples": own("samples"),
        "model.model_kwargs": str((own("parameters") or {}).get("model_options", {})),
        "model.model_template_name": own("model_type"),
        "model.inference_func_name": None if method is None else f"{method}_fit",
        "data.data_dir": own("raw_data"),
        "data.basename": own("session_name"),
        "data.animal_name": own("animal_name"),
        "data.session_date": own("session_date"),
        "data.taste_num": taste,
        "data.laser_type": own("laser_type"),
        "data.region_name": own("region_name"),
        "exp.exp_name": own("experiment_name"),
        "exp.model_id": own("exp.model_id") or own("point_id"),
        "exp.save_path": path.removesuffix(".pkl"),
        "exp.fit_date": own("fit_date"),
        "module.pymc_version": own("pymc_version"),
        "module.theano_version": own("module.theano_version"),
    }


def _ms(seconds: float) -> float | int:
    ms = round(1000 * float(seconds), 6)
    return int(ms) if ms.is_integer() else ms


def _missing(value: Any) -> bool:
    return value is None or (not isinstance(value, list | tuple | dict) and bool(pd.isna(value)))


def _hashable(value: Any) -> Any:
    if isinstance(value, list | tuple | dict):
        return canonical_json(value)
    return None if _missing(value) else value
