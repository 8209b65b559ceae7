"""The door for PyTau's `pytau.changepoint_analysis`: the same names, reading our results.

``PklHandler(path)`` opens ``model_<point id>.nc``. What differs from PyTau, and our own names beside PyTau's, is in
docs/python.md. No logic here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pytau_hpc.analysis.activity import get_state_firing, get_state_snippets, get_transition_snips
from pytau_hpc.analysis.changepoints import Tau
from pytau_hpc.analysis.firing import Firing
from pytau_hpc.analysis.handler import ResultHandler
from pytau_hpc.analysis.pickles import read_trusted_pickle
from pytau_hpc.analysis.pytau_folder import raw_of_folder
from pytau_hpc.analysis.significance import (
    calc_significant_neurons_firing,
    calc_significant_neurons_snippets,
)

__all__ = [
    "PklHandler",
    "ResultHandler",
    "calc_significant_neurons_firing",
    "calc_significant_neurons_snippets",
    "get_state_firing",
    "get_state_snippets",
    "get_transition_snips",
]


class PklHandler(ResultHandler):
    """PyTau's name for `ResultHandler`. A path that ends in .pkl means the .nc file beside it."""

    def __init__(self, file_path: str | os.PathLike[str]) -> None:
        super().__init__(file_path)

    @classmethod
    def from_trusted_pickle(cls, file_path: str | os.PathLike[str]) -> PklHandler:
        """Open a .pkl that PyTau wrote.

        Unpickling runs whatever code is in the file: only for files that you made yourself, never for one from a
        folder that others can write to.

        Raises
        ------
        UserError : not one of PyTau's files
        """
        path = Path(file_path)
        fitted, contents = read_trusted_pickle(path)
        handler = cls.__new__(cls)
        handler._open(fitted, path)
        handler.data = contents
        return handler


class _tau(Tau):
    def __init__(
        self, tau_array: np.ndarray, metadata: Mapping[str, Any], n_trials: int | None = None
    ) -> None:
        preprocess = metadata["preprocess"]
        super().__init__(
            tau_array,
            start=preprocess["time_lims"][0],
            step=preprocess["bin_width"],
            n_trials=n_trials,
        )


class _firing(Firing):
    def __init__(
        self, tau_instance: Tau, processed_spikes: np.ndarray, metadata: Mapping[str, Any]
    ) -> None:
        trials = processed_spikes.shape[:-2]
        super().__init__(
            tau_instance, processed_spikes, partial(raw_of_folder, metadata["data"], trials)
        )
        self.metadata = metadata
