"""Models, fits and model selection by the names that PyTau gives them.

A door: names and defaults only. The models are in `pytau_hpc.models`, what fits them is in `pytau_hpc.inference`. The
classes and functions are made from the registry (`model_classes`); a model that a plugin adds has its own here too:
``my_model`` and ``MyModel``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pytau_hpc.data.generated import gen_test_array
from pytau_hpc.data.quality import check_data_quality
from pytau_hpc.errors import UserError
from pytau_hpc.inference import pymc_fits
from pytau_hpc.inference.model_selection import (
    Candidate,
    CrossValidation,
    Foreign,
    best_states,
    cross_validate,
)
from pytau_hpc.inference.pymc_fits import Fit
from pytau_hpc.model_classes import (
    ChangepointModel,
    class_name,
    model_class,
    model_function,
    run_all_tests,
)
from pytau_hpc.models import MODELS, ModelKind

__all__ = [
    "ChangepointModel",
    "Fit",
    "advi_fit",
    "check_data_quality",
    "cross_validate_states",
    "dpp_fit",
    "extract_inferred_values",
    "find_best_states",
    "gen_test_array",
    "mcmc_fit",
    "run_all_tests",
    *MODELS,
    *map(class_name, MODELS),
]

PoissonChangepoint1D = model_class("poisson_changepoint_1d")
SingleTastePoisson = model_class("single_taste_poisson")
SingleTastePoissonVarsig = model_class("single_taste_poisson_varsig")
SingleTastePoissonVarsigFixed = model_class("single_taste_poisson_varsig_fixed")
SingleTastePoissonDirichlet = model_class("single_taste_poisson_dirichlet")
SingleTastePoissonTrialSwitch = model_class("single_taste_poisson_trial_switch")
AllTastePoisson = model_class("all_taste_poisson")
AllTastePoissonVarsigFixed = model_class("all_taste_poisson_varsig_fixed")
AllTastePoissonTrialSwitch = model_class("all_taste_poisson_trial_switch")
GaussianChangepointMean2D = model_class("gaussian_changepoint_mean_2d")
GaussianChangepointMeanVar2D = model_class("gaussian_changepoint_mean_var_2d")
GaussianChangepointMeanDirichlet = model_class("gaussian_changepoint_mean_dirichlet")
CategoricalChangepoint2D = model_class("categorical_changepoint_2d")

poisson_changepoint_1d = model_function("poisson_changepoint_1d")
single_taste_poisson = model_function("single_taste_poisson")
single_taste_poisson_varsig = model_function("single_taste_poisson_varsig")
single_taste_poisson_varsig_fixed = model_function("single_taste_poisson_varsig_fixed")
single_taste_poisson_dirichlet = model_function("single_taste_poisson_dirichlet")
single_taste_poisson_trial_switch = model_function("single_taste_poisson_trial_switch")
all_taste_poisson = model_function("all_taste_poisson")
all_taste_poisson_varsig_fixed = model_function("all_taste_poisson_varsig_fixed")
all_taste_poisson_trial_switch = model_function("all_taste_poisson_trial_switch")
gaussian_changepoint_mean_2d = model_function("gaussian_changepoint_mean_2d")
gaussian_changepoint_mean_var_2d = model_function("gaussian_changepoint_mean_var_2d")
gaussian_changepoint_mean_dirichlet = model_function("gaussian_changepoint_mean_dirichlet")
categorical_changepoint_2d = model_function("categorical_changepoint_2d")


def __getattr__(name: str) -> Any:
    """Models of plugins."""
    for known in MODELS:
        if name == known:
            return model_function(known)
        if name == class_name(known):
            return model_class(known)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def advi_fit(
    model: Any,
    fit: int = 10_000,
    samples: int = 5000,
    convergence_tol: float | None = None,
    *,
    approximation: str = "mean_field",
    seed: int = 0,
    progressbar: bool = False,
) -> Fit:
    """Fit a PyMC model by ADVI, as PyTau does.

    Parameters
    ----------
    fit : steps
    samples : draws of the fit's `trace`
    convergence_tol : stop when the parameters change by less, relative to themselves
    approximation : "mean_field", which is what PyTau runs (its "full-rank" lands where PyMC does not look), or
        "full_rank"
    seed : the same seed gives the same fit; PyTau has none

    Returns
    -------
    ``(model, approx)``; `approx.hist` is the loss, the negative ELBO, and ``approx.sample(draws=…)`` draws
    """
    approx = pymc_fits.advi(
        model,
        iterations=fit,
        approximation=approximation,
        tolerance=convergence_tol,
        seed=seed,
        progressbar=progressbar,
    )
    fitted = Fit((model, approx))
    fitted.samples, fitted.seed = samples, seed
    return fitted


def mcmc_fit(
    model: Any,
    samples: int = 1000,
    tune: int = 500,
    chains: int = 4,
    cores: int = 1,
    *,
    thin: int = 1,
    seed: int = 0,
    **more: Any,
) -> tuple[Any, Any, npt.NDArray[Any] | None, npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    """Draw from the posterior with NUTS.

    Parameters
    ----------
    samples, tune : draws of each chain that are kept, and that are for tuning
    cores : processes
    thin : keep every so-manieth draw; PyTau keeps every tenth
    more : further arguments of ``pymc.sample``; `initvals` and `random_seed` go before what is done here

    Returns
    -------
    model; trace; emissions, axes (neuron, draw, state); `tau`, shape (draw, …, changepoint); the data
    """
    trace = pymc_fits.nuts(
        model, draws=samples, tune=tune, chains=chains, cores=cores, seed=seed, **_sampling(more)
    )
    if thin > 1:
        trace = trace.sel(draw=slice(None, None, thin))
    return (
        model,
        trace,
        pymc_fits.emissions(trace),
        pymc_fits.stacked(trace, "tau"),
        pymc_fits.observed(model),
    )


def dpp_fit(
    model: Any,
    n_chains: int = 24,
    n_cores: int = 1,
    tune: int = 500,
    draws: int = 500,
    use_numpyro: bool = False,
    *,
    seed: int = 0,
    **more: Any,
) -> Any:
    """Draw from the posterior of a Dirichlet model.

    Parameters
    ----------
    use_numpyro : with NumPyro's sampler, which must be installed
    more : further arguments of ``pymc.sample``

    Returns
    -------
    the trace, as PyMC's `sample` returns it: ``trace.posterior["tau"]``
    """
    return pymc_fits.nuts(
        model,
        draws=draws,
        tune=tune,
        chains=n_chains,
        cores=n_cores,
        seed=seed,
        **_sampling(
            {
                "target_accept": 0.95,
                "nuts_sampler": "numpyro" if use_numpyro else "pymc",
                **more,
            }
        ),
    )


def _sampling(more: Mapping[str, Any]) -> dict[str, Any]:
    ours = ("target_accept", "nuts_sampler", "progressbar")
    named = {key: more[key] for key in ours if key in more}
    return {**named, "more": {key: value for key, value in more.items() if key not in ours}}


def extract_inferred_values(trace: Any) -> dict[str, Any]:
    """Changepoints and emissions of a trace: `tau_samples`, and `lambda_stack` or `mu_stack` and `sigma_stack`.

    Takes InferenceData, DataTree, or a trace of the old kind that is indexed by the names of variables.
    """
    if hasattr(trace, "varnames"):
        found = {name: np.asarray(trace[name]) for name in trace.varnames}
    else:
        names = ("tau", "lambda", "mu", "sigma")
        found = {n: v for n in names if (v := pymc_fits.stacked(trace, n)) is not None}
    return {
        "tau_samples": found["tau"],
        **{
            f"{name}_stack": pymc_fits.emission_first(found[name])
            for name in ("lambda", "mu", "sigma")
            if name in found
        },
    }


def find_best_states(
    data: Any,
    model_generator: str | Callable[..., Any],
    n_fit: int,
    n_samples: int,
    min_states: int = 2,
    max_states: int = 10,
    convergence_tol: float | None = None,
    *,
    engine: str | None = None,
    seed: int = 0,
) -> tuple[Any, list[Any], list[float]]:
    """Fit with each number of states, and take the one with the highest ELBO.

    PyTau takes the lowest loss of the last step, which is a single noisy draw of the ELBO; here it is estimated from
    fresh draws.

    Parameters
    ----------
    model_generator : one of the functions or classes here, the name of a model, or any function (data, number of
        states) → PyMC model
    n_fit : optimiser steps
    n_samples : draws
    convergence_tol : where given, engine `jax` stops when it has converged, after `n_fit` steps at the latest; nothing
        else can
    engine : "jax" (the default, where the model is one of ours) or "pymc", PyTau's algorithm

    Returns
    -------
    the best model, all models, and their ELBOs: in nats, **higher is better**

    Raises
    ------
    UserError : an argument that this model or engine cannot have, among them `convergence_tol`
    """
    candidate = _candidate(model_generator)
    settings: dict[str, Any] = {"draws": n_samples, "iterations": n_fit}
    if isinstance(candidate, Foreign):
        if engine not in (None, "pymc"):
            raise UserError(f"a model of one's own is fitted by engine pymc, not by {engine!r}")
        engine = "pymc"
    if engine is not None:
        settings["engine"] = engine
    if convergence_tol is not None:
        if engine == "pymc":
            raise UserError(
                "convergence_tol: engine pymc always goes all of the n_fit steps here",
                help="leave it out and choose n_fit; "
                + (
                    "advi_fit(model, convergence_tol=…) stops a single fit"
                    if isinstance(candidate, Foreign)
                    else "engine jax, the default, stops when it has converged"
                ),
            )
        settings.update(iterations="auto", max_iterations=n_fit)
    states = _states(min_states, max_states)
    found = best_states(data, candidate, states, settings, seed=seed)
    if isinstance(candidate, Foreign):
        models = [candidate.make(data, n_states) for n_states in states]
    else:
        make = model_function(candidate.kind.name)
        models = [make(data, n_states=n_states) for n_states in states]
    return models[found.best], models, list(found.elbos)


def cross_validate_states(
    data: Any,
    model_generator: str | Callable[..., Any],
    k_folds: int = 5,
    min_states: int = 2,
    max_states: int = 8,
    *,
    seed: int = 0,
    details: bool = False,
    **settings: Any,
) -> npt.NDArray[np.float64] | CrossValidation:
    """Held-out log probability of trials for each number of states.

    Parameters
    ----------
    data : with trials
    model_generator : as `find_best_states`, but one of ours
    k_folds : parts of the trials; each is predicted by a fit to the others
    details : return `CrossValidation`, with the score of every trial and standard errors of differences
    settings : of `advi`, as a spec gives them

    Returns
    -------
    shape (number of states,), nats a trial, higher is better: ``scores.argmax() + min_states``
    """
    candidate = _candidate(model_generator)
    if isinstance(candidate, Foreign):
        raise UserError("only models of this package can be scored on held-out trials")
    states = _states(min_states, max_states)
    found = cross_validate(data, candidate, states, folds=k_folds, settings=settings, seed=seed)
    return found if details else found.scores


def _states(least: int, most: int) -> range:
    if most < least:
        raise UserError(f"max_states ({most}) must not be below min_states ({least})")
    return range(least, most + 1)


def _candidate(generator: str | Callable[..., Any]) -> Candidate | Foreign:
    if isinstance(generator, str):
        return Candidate.named(generator)
    name = getattr(generator, "model_type", None)
    kind = getattr(generator, "kind", None)
    if isinstance(kind, ModelKind):
        name = kind.name
    return Foreign(generator) if name is None else Candidate.named(name)
