"""Write a result in the form of PyTau's own files, for programs that read those. Nothing here reads one.

Called by `fit_handler`, only where a person asks for it.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pytau_hpc.analysis.handler import ResultHandler
from pytau_hpc.analysis.pytau_folder import taste_index
from pytau_hpc.files import write_atomic


def model_data(result: ResultHandler) -> dict[str, Any]:
    """What PyTau calls the outputs of inference, with its axes: `lambda` is (neuron, draw, state), `tau` draw first.

    `model` is None, as no model is kept; `approx` has `hist` alone.
    """
    loss, rates = result.loss, result.lambda_array
    if rates is not None and rates.ndim >= 3:
        # As PyTau does it: of several tastes one after the other.
        rates = rates.reshape(-1, *rates.shape[-2:]).swapaxes(0, 1)
    return {
        "model": None,
        "approx": None if loss is None else SimpleNamespace(hist=loss.hist),
        "lambda": rates,
        "tau": result.tau_array,
        "data": result.processed_spikes,
    }


def pytau_dict(result: ResultHandler, experiment: str | None, data_dir: str) -> dict[str, Any]:
    """What PyTau's files hold of a fit (pytau/changepoint_io.py): `model_data` and `metadata`.

    Parameters
    ----------
    data_dir : folder of the session, absolute, so that PyTau finds the spikes from anywhere
    """
    metadata: dict[str, Any] = {key: dict(value) for key, value in result.metadata.items()}
    metadata["exp"]["exp_name"] = experiment
    metadata["data"]["data_dir"] = data_dir
    metadata["data"]["taste_num"] = taste_index(metadata["data"])
    return {"model_data": model_data(result), "metadata": metadata}


def write_pytau(contents: Mapping[str, Any], path: Path) -> None:
    """Write ``path`` (.pkl) and beside it the metadata (.info), as PyTau does; each whole or not at all."""
    write_atomic(path, pickle.dumps(dict(contents), protocol=4))
    info = json.dumps(contents["metadata"], indent=4, default=os.fspath)
    write_atomic(path.with_suffix(".info"), info + "\n")
