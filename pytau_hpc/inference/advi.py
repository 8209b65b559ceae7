"""`advi`: variational inference with normal distributions, by one of two engines.

``jax`` (the default) is ours and fast: `advi_jax`. ``pymc`` is PyTau's own algorithm, for reference: `advi_pymc`. Here
only their settings are checked and spelled out; nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytau_hpc.errors import did_you_mean
from pytau_hpc.inference.method import MethodKind
from pytau_hpc.inference.settings import AUTO_OR_WHOLE, POSITIVE, Check, Problems, one_of, whole

ENGINES = {
    "jax": "pytau_hpc.inference.advi_jax",
    "pymc": "pytau_hpc.inference.advi_pymc",
}

APPROXIMATIONS = ("mean_field", "full_rank")

COMMON = {
    "engine": "jax",
    "approximation": "mean_field",
    "iterations": "auto",
    "draws": 1000,
    "restarts": "auto",
}

OF_JAX = {
    "learning_rate": 0.05,
    "explore_iterations": 500,
    "finalists": 2,
    "anneal_iterations": 1500,
    "max_iterations": 30_000,
    "tolerance": 0.5,
    "elbo_draws": 2048,
}

# Rises whenever an engine would return another result for the same settings, so that old results are not reused.
ALGORITHM = {"jax": 1, "pymc": 1}

PYTAU_ITERATIONS = 80_000  # what PyTau's users run


def resolve(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a fit, validated and spelled out; "auto" stays where it is a rule rather than a number.

    Raises
    ------
    UserError : one line for each problem
    """
    problems = Problems("advi")
    problems.unknown(settings, SETTINGS)
    engine = settings.get("engine", "jax")
    if not isinstance(engine, str) or engine not in ENGINES:
        problems.add(
            f"`engine` must be one of {', '.join(ENGINES)}, got {engine!r}",
            did_you_mean(str(engine), ENGINES),
        )
    for key, value in settings.items():
        if key in _CHECKS and problems.wrong(key, value, _CHECKS[key]):
            continue
        if key in OF_JAX and engine == "pymc":
            problems.add(f"`{key}` is a setting of engine jax; engine pymc does not have it")
        if key == "approximation" and value == "full_rank" and engine == "jax":
            problems.add(
                "`approximation: full_rank` needs `engine: pymc`; engine jax is mean-field only"
            )
    problems.raise_any()
    given = {**SETTINGS, **settings}
    return _resolved_pymc(given) if engine == "pymc" else _resolved_jax(given)


def _resolved_pymc(given: Mapping[str, Any]) -> dict[str, Any]:
    auto = given["iterations"] == "auto"
    resolved = {
        "engine": "pymc",
        "algorithm": ALGORITHM["pymc"],
        "iterations": PYTAU_ITERATIONS if auto else given["iterations"],
        "draws": given["draws"],
    }
    # Only where they say something: a fit that was possible before them keeps its id.
    if given["restarts"] not in ("auto", 1):
        resolved["restarts"] = given["restarts"]
    if given["approximation"] != "mean_field":
        resolved["approximation"] = given["approximation"]
    return resolved


def _resolved_jax(given: Mapping[str, Any]) -> dict[str, Any]:
    iterations = given["iterations"]
    most = given["max_iterations"] if iterations == "auto" else iterations
    # A short budget is divided in halves: one to get there, one to come to rest.
    anneal = min(given["anneal_iterations"], most // 2)
    return {
        "engine": "jax",
        "algorithm": ALGORITHM["jax"],
        "iterations": iterations,
        "max_iterations": most,
        "explore_iterations": min(given["explore_iterations"], most - anneal),
        "finalists": given["finalists"],
        "anneal_iterations": anneal,
        "learning_rate": float(given["learning_rate"]),
        "tolerance": float(given["tolerance"]),
        "restarts": given["restarts"],
        "draws": given["draws"],
        "elbo_draws": given["elbo_draws"],
    }


_CHECKS: Mapping[str, Check] = {
    "approximation": one_of(APPROXIMATIONS),
    "iterations": AUTO_OR_WHOLE,
    "restarts": AUTO_OR_WHOLE,
    "draws": whole(1),
    "elbo_draws": whole(2),
    "learning_rate": POSITIVE,
    "tolerance": POSITIVE,
    "explore_iterations": whole(1),
    "finalists": whole(1),
    "anneal_iterations": whole(0),
    "max_iterations": whole(1),
}

SETTINGS: Mapping[str, Any] = {**COMMON, **OF_JAX}

KIND = MethodKind(
    name="advi",
    summary="variational inference: the nearest normal distribution, mean-field or full-rank",
    engines=ENGINES,
    settings=SETTINGS,
    resolve=resolve,
)
