"""Fits of a PyMC model by PyMC itself, with PyMC's own objects as results: what PyTau's `advi_fit` and `mcmc_fit` do.

For notebooks and scripts. No checkpoints, no result file, and a C compiler at work for a minute; sweeps and
`FitHandler` use `inference.METHODS` instead. Called by the door `changepoint_model`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

from pytau_hpc.errors import UserError, did_you_mean
from pytau_hpc.inference.advi import APPROXIMATIONS
from pytau_hpc.inference.advi_pymc import even_start
from pytau_hpc.inference.result_file import OBSERVED

ON_JAX = ("numpyro", "blackjax")  # samplers of `pm.sample` that have the model's density in JAX


def advi(
    model: Any,
    *,
    iterations: int,
    approximation: str = "mean_field",
    tolerance: float | None = None,
    seed: int = 0,
    progressbar: bool = False,
) -> Any:
    """Fit by ADVI and return PyMC's approximation, with `hist` (the loss, a draw a step) and `sample`.

    Parameters
    ----------
    approximation : "mean_field", which is what PyTau runs whatever its pages say, or "full_rank"
    tolerance : stop when the parameters change by less, relative to themselves, over 100 iterations

    Raises
    ------
    UserError : no such approximation, not a model, no steps
    """
    import pymc as pm

    if not isinstance(model, pm.Model):
        raise UserError(
            f"advi_fit takes a PyMC model, not a {type(model).__name__}",
            help="make one of the data:  single_taste_poisson(data, states=3)",
        )
    if iterations < 1:
        raise UserError(f"`fit` is the number of steps, at least 1, not {iterations!r}")

    if approximation not in APPROXIMATIONS:
        raise UserError(
            f"`approximation` must be one of {', '.join(APPROXIMATIONS)}, got {approximation!r}",
            help=did_you_mean(str(approximation), APPROXIMATIONS),
        )
    kind = {"mean_field": pm.ADVI, "full_rank": pm.FullRankADVI}[approximation]
    callbacks = None
    if tolerance is not None:
        callbacks = [pm.callbacks.CheckParametersConvergence(tolerance=tolerance)]
    with model:
        method = kind(start=even_start(model), random_seed=seed)
        approx = pm.fit(n=iterations, method=method, callbacks=callbacks, progressbar=progressbar)
    loss = np.asarray(approx.hist)
    if not np.isfinite(loss).all():
        warnings.warn(
            f"{int((~np.isfinite(loss)).sum())} of {loss.size} losses of this fit are not finite: "
            "look at the data (check_data_quality), and at the model's priors",
            stacklevel=3,
        )
    return approx


def nuts(
    model: Any,
    *,
    draws: int,
    tune: int,
    chains: int,
    cores: int,
    target_accept: float | None = None,
    nuts_sampler: str = "pymc",
    seed: int = 0,
    progressbar: bool = False,
    more: Mapping[str, Any] | None = None,
) -> Any:
    """Draw with PyMC's `sample`, from evenly spaced changepoints.

    Parameters
    ----------
    target_accept : PyMC's own, 0.8, where not given
    more : arguments of `sample` by its own names; they go before ours (`initvals`, `random_seed`, …)

    Returns
    -------
    `arviz.InferenceData` or `xarray.DataTree`, whichever PyMC makes

    Raises
    ------
    UserError : the package of `nuts_sampler` is not installed
    """
    import pymc as pm

    if nuts_sampler != "pymc" and find_spec(nuts_sampler) is None:
        raise UserError(
            f"the package {nuts_sampler} is not installed here",
            help="install pytau_hpc[samplers], or take PyMC's own sampler",
        )
    start = even_start(model)
    if nuts_sampler in ON_JAX:
        model = with_fixed_shapes(model)
    arguments = {
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "cores": cores,
        "nuts_sampler": nuts_sampler,
        "initvals": start or None,
        "random_seed": seed,
        "progressbar": progressbar,
        # Not spelled out where nobody asks for it: PyMC refuses it beside a `step` or `nuts` of the caller's.
        **({} if target_accept is None else {"target_accept": target_accept}),
        **(more or {}),
    }
    with model:
        return pm.sample(**arguments)


def with_fixed_shapes(model: Any) -> Any:
    """The same model with data and shapes as constants: JAX does not take shapes that are computed.

    Its own initial values are carried over, which PyMC refuses to do.
    """
    from pymc.model.transform.optimization import freeze_dims_and_data

    own = dict(model.rvs_to_initial_values)
    try:
        for variable in own:
            model.rvs_to_initial_values[variable] = None
        fixed = freeze_dims_and_data(model)
    finally:
        model.rvs_to_initial_values.update(own)
    for variable, value in own.items():
        fixed.set_initval(fixed[variable.name], value)
    return fixed


def stacked(trace: Any, name: str) -> np.ndarray | None:
    """The draws of a variable, all chains in a row, shape (draw, …); None where the trace does not have it."""
    posterior = trace["posterior"]
    if name not in posterior:
        return None
    values = np.asarray(posterior[name])
    return values.reshape(-1, *values.shape[2:])


def emission_first(draws: np.ndarray | None) -> np.ndarray | None:
    """PyTau's order of emissions: its first axis, then the draws (neuron, draw, state)."""
    return None if draws is None or draws.ndim < 2 else draws.swapaxes(0, 1)


def observed(model: Any) -> np.ndarray | None:
    """The data that a model was given."""
    if OBSERVED not in model.named_vars:
        return None
    values = model.rvs_to_values[model[OBSERVED]]
    return np.asarray(values.eval() if hasattr(values, "eval") else values.data)


def emissions(trace: Any) -> np.ndarray | None:
    """Draws of the emissions, whatever the model calls them; None where it has none."""
    for name in ("lambda", "mu", "p"):
        found = stacked(trace, name)
        if found is not None:
            return emission_first(found)
    return None


class Fit(tuple[Any, Any]):
    """What `advi_fit` returns: the pair (model, approx), with PyTau's other values as attributes.

    The draws are made when one of them is asked for.
    """

    samples: int
    seed: int

    @property
    def model(self) -> Any:
        return self[0]

    @property
    def approx(self) -> Any:
        """PyMC's approximation: `hist` is the loss of every step, ``sample(draws)`` makes draws."""
        return self[1]

    @cached_property
    def trace(self) -> Any:
        """`samples` draws, as PyMC returns them."""
        return self.approx.sample(draws=self.samples, random_seed=self.seed)

    @property
    def lambda_stack(self) -> np.ndarray | None:
        """Draws of the emissions (`lambda` or `mu`), axes as PyTau's: (neuron, draw, state)."""
        return emissions(self.trace)

    @property
    def tau_samples(self) -> np.ndarray | None:
        """Draws of the changepoints in bins, shape (draw, …, changepoint)."""
        return stacked(self.trace, "tau")

    @property
    def observations(self) -> np.ndarray | None:
        """The data that were fitted."""
        return observed(self.model)
