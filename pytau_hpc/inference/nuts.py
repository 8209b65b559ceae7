"""`nuts`: draws from the posterior itself, by the No-U-Turn sampler of one of several engines.

``jax`` (the default) is ours, on the log density that `advi` uses too: `nuts_jax`. ``pymc`` is PyMC's own sampler:
`nuts_pymc`. Both can be interrupted after any draw. ``blackjax``, ``nutpie`` and ``numpyro`` are other people's, for
those who have them installed; the last two keep whole chains only: `nuts_by_chain`. Here only the settings are
checked and spelled out; nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from pytau_hpc.errors import did_you_mean
from pytau_hpc.inference.method import MethodKind
from pytau_hpc.inference.settings import Check, Problems, check, is_number, whole

ENGINES = {
    "jax": "pytau_hpc.inference.nuts_jax",
    "pymc": "pytau_hpc.inference.nuts_pymc",
    "blackjax": "pytau_hpc.inference.nuts_jax",
    "nutpie": "pytau_hpc.inference.nuts_by_chain",
    "numpyro": "pytau_hpc.inference.nuts_by_chain",
}

#: Engines that need a package of their own, which is not among our requirements.
OPTIONAL = ("blackjax", "nutpie", "numpyro")

# Rises whenever an engine would return another result for the same settings, so that old results are not reused.
ALGORITHM = {"jax": 1, "pymc": 1, "blackjax": 1, "nutpie": 1, "numpyro": 1}

SETTINGS: Mapping[str, Any] = {
    "engine": "jax",
    "draws": 1000,
    "tune": 1000,
    "chains": 4,
    "target_accept": 0.9,
    "max_tree_depth": 10,
}

_CHECKS: Mapping[str, Check] = {
    "draws": whole(4),  # an R-hat splits each chain, and needs a variance of either half
    "tune": whole(1),
    "chains": whole(1),
    "target_accept": check(
        lambda value: is_number(value) and 0 < value < 1, "a number between 0 and 1"
    ),
    "max_tree_depth": check(
        lambda value: whole(1)(value) is None and value <= 15, "a whole number from 1 to 15"
    ),
}


def resolve(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a fit, validated and spelled out.

    Raises
    ------
    UserError : one line for each problem; an engine whose package is not installed is one
    """
    problems = Problems("nuts")
    problems.unknown(settings, SETTINGS)
    engine = settings.get("engine", "jax")
    if not isinstance(engine, str) or engine not in ENGINES:
        problems.add(
            f"`engine` must be one of {', '.join(ENGINES)}, got {engine!r}",
            did_you_mean(str(engine), ENGINES),
        )
    elif engine in OPTIONAL and find_spec(engine) is None:
        problems.add(
            f"`engine: {engine}` needs the package {engine}, which is not installed here",
            "install pytau_hpc[samplers], or take engine jax or pymc",
        )
    for key, value in settings.items():
        if key in _CHECKS:
            problems.wrong(key, value, _CHECKS[key])
    problems.raise_any()
    given = {**SETTINGS, **settings}
    return {
        "engine": engine,
        "algorithm": ALGORITHM[engine],
        **{key: given[key] for key in ("draws", "tune", "chains", "max_tree_depth")},
        "target_accept": float(given["target_accept"]),
    }


KIND = MethodKind(
    name="nuts",
    summary="draws from the posterior by the No-U-Turn sampler",
    engines=ENGINES,
    settings=SETTINGS,
    resolve=resolve,
)
