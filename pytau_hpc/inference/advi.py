"""`advi`: mean-field variational inference, by one of two engines.

``jax`` (the default) is ours and fast: `advi_jax`. ``pymc`` is PyTau's own algorithm, for reference: `advi_pymc`. Here
only their settings are checked and spelled out; nothing heavy is imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from pytau_hpc.errors import UserError, did_you_mean
from pytau_hpc.inference.method import MethodKind

ENGINES = {
    "jax": "pytau_hpc.inference.advi_jax",
    "pymc": "pytau_hpc.inference.advi_pymc",
}

COMMON = {"engine": "jax", "iterations": "auto", "draws": 1000, "restarts": "auto"}

OF_JAX = {
    "learning_rate": 0.05,
    "explore_iterations": 500,
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
    problems: list[str] = []
    hints: list[str | None] = []
    for key in settings:
        if key not in SETTINGS:
            hint = did_you_mean(key, SETTINGS)
            problems.append(f"advi has no setting `{key}`" + (f"; {hint}" if hint else ""))
    engine = settings.get("engine", "jax")
    if not isinstance(engine, str) or engine not in ENGINES:
        hints.append(did_you_mean(str(engine), ENGINES))
        problems.append(f"`engine` must be one of {', '.join(ENGINES)}, got {engine!r}")
    for key, value in settings.items():
        wrong = _CHECKS[key](value) if key in _CHECKS else None
        if wrong:
            problems.append(f"`{key}` must be {wrong}, got {value!r}")
        elif key in OF_JAX and engine == "pymc":
            problems.append(f"`{key}` is a setting of engine jax; engine pymc does not have it")
    if engine == "pymc" and settings.get("restarts", "auto") not in ("auto", 1):
        problems.append(
            "`restarts` must be auto or 1 with engine pymc, which starts once, as PyTau does"
        )
    if problems:
        raise UserError("\n".join(problems), help=next(filter(None, hints), None))
    given = {**SETTINGS, **settings}
    return _resolved_pymc(given) if engine == "pymc" else _resolved_jax(given)


def _resolved_pymc(given: Mapping[str, Any]) -> dict[str, Any]:
    auto = given["iterations"] == "auto"
    return {
        "engine": "pymc",
        "algorithm": ALGORITHM["pymc"],
        "iterations": PYTAU_ITERATIONS if auto else given["iterations"],
        "draws": given["draws"],
    }


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
        "anneal_iterations": anneal,
        "learning_rate": float(given["learning_rate"]),
        "tolerance": float(given["tolerance"]),
        "restarts": given["restarts"],
        "draws": given["draws"],
        "elbo_draws": given["elbo_draws"],
    }


def _whole(value: Any, at_least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= at_least


def _positive(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0


def _is(test: Callable[[Any], bool], what: str) -> Callable[[Any], str | None]:
    return lambda value: None if test(value) else what


_WHOLE = _is(lambda value: _whole(value, 1), "a whole number from 1")
_AUTO_OR_WHOLE = _is(
    lambda value: value == "auto" or _whole(value, 1), "auto or a whole number from 1"
)
_POSITIVE = _is(_positive, "a positive number")

_CHECKS: Mapping[str, Callable[[Any], str | None]] = {
    "iterations": _AUTO_OR_WHOLE,
    "restarts": _AUTO_OR_WHOLE,
    "draws": _WHOLE,
    "elbo_draws": _is(lambda value: _whole(value, 2), "a whole number from 2"),
    "learning_rate": _POSITIVE,
    "tolerance": _POSITIVE,
    "explore_iterations": _WHOLE,
    "anneal_iterations": _is(lambda value: _whole(value, 0), "a whole number from 0"),
    "max_iterations": _WHOLE,
}

SETTINGS: Mapping[str, Any] = {**COMMON, **OF_JAX}

KIND = MethodKind(
    name="advi",
    summary="mean-field variational inference",
    engines=ENGINES,
    settings=SETTINGS,
    resolve=resolve,
)
