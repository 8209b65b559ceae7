"""Read a .pkl that PyTau wrote. Unpickling runs code from the file: only for files that one has made oneself.

Nothing in this package does this by itself; see `changepoint_analysis.PklHandler.from_trusted_pickle`.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pytau_hpc.analysis.fitted import Fitted, LossTrace, TimeAxis
from pytau_hpc.analysis.pytau_folder import raw_of_folder
from pytau_hpc.errors import UserError

_AXES = {1: ("bin",), 2: ("neuron", "bin"), 3: ("trial", "neuron", "bin")}
_TASTES = ("taste", "trial", "neuron", "bin")


def read_trusted_pickle(path: Path) -> tuple[Fitted, dict[str, Any]]:
    """Read one of PyTau's files, and return its contents in our form and as they are.

    Raises
    ------
    UserError : not one of PyTau's files, or one whose draws could not be saved
    """
    import pickle

    try:
        contents = pickle.loads(path.read_bytes())
    except Exception as error:  # unpickling runs what is in the file, and that may raise anything
        raise UserError(f"{path} cannot be unpickled: {error}") from error
    try:
        metadata, model_data = contents["metadata"], contents["model_data"]
        tau, observed = np.asarray(model_data["tau"]), np.asarray(model_data["data"])
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path} does not hold what PyTau saves of a fit: {error!r}") from error
    model = metadata.get("model") or {}
    is_gaussian = "gaussian" in str(model.get("model_template_name")).lower()
    if is_gaussian and len(np.atleast_1d(observed)) == model.get("samples"):
        # PyTau names what `advi_fit` returns by place, and for Gaussian models that is one array more.
        raise UserError(
            f"{path}: of a Gaussian model PyTau saves sigma under the name of tau, and tau under that of the data; "
            "the data themselves are not in it",
            help="fit them again",
        )
    if tau.ndim < 2 or not 1 <= observed.ndim <= len(_TASTES):
        raise UserError(f"{path} holds no draws of changepoints, or no data")
    return _fitted(path, metadata, model_data, tau, observed), contents


def _fitted(
    path: Path, metadata: Any, model_data: Any, tau: np.ndarray, observed: np.ndarray
) -> Fitted:
    dims = _AXES.get(observed.ndim, _TASTES)
    if observed.ndim == 2 and tau.ndim == 3:
        dims = ("trial", "bin")
    outer = tuple(dim for dim in dims if dim in ("taste", "trial"))
    sizes = observed.shape[: len(outer)]
    rates = model_data.get("lambda")
    n_draws = metadata.get("model", {}).get("samples") or (
        np.shape(rates)[1] if np.ndim(rates) == 3 and "taste" not in outer else 0
    )
    if outer and (tau.ndim == 3 or len(tau) == n_draws * math.prod(sizes)):
        # PyTau has the trials of all tastes one after the other; since PyMC 5, those of all draws, too.
        if tau.size // tau.shape[-1] % math.prod(sizes):
            raise UserError(
                f"{path}: changepoints of shape {tau.shape} are not of data of shape {observed.shape}"
            )
        tau = tau.reshape(-1, *sizes, tau.shape[-1])
    tau_dims = (*(outer if tau.ndim == 2 + len(outer) else ()), "changepoint")
    window, width = metadata["preprocess"]["time_lims"], metadata["preprocess"]["bin_width"]
    hist = getattr(model_data.get("approx"), "hist", None)
    return Fitted(
        name=str(metadata.get("data", {}).get("basename") or path.stem),
        model=str(metadata.get("model", {}).get("model_template_name") or "PyTau"),
        values="counts" if observed.dtype.kind in "biu" else "real",
        tau=tau,
        tau_dims=tau_dims,
        observed=observed,
        observed_dims=dims,
        states={"lambda": (("draw", "neuron", "state"), np.swapaxes(rates, 0, 1))}  # neurons first
        if np.shape(rates)[::2] == (observed.shape[-2:][0], tau.shape[-1] + 1)
        and outer == ("trial",)
        else {},
        time=TimeAxis(start=window[0], step=width, unit="ms"),
        loss=None
        if hist is None
        else LossTrace(hist=np.asarray(hist), iteration=np.arange(1, len(hist) + 1)),
        quality={},
        metadata=metadata,
        raw=partial(raw_of_folder, metadata.get("data", {}), sizes),
    )
