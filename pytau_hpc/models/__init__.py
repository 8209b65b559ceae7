"""The models that can be fitted, by name. Importing this imports neither numpy nor PyMC.

To add a model: write one module with a `KIND`, a `build` and a `starts`, and add one line here. The contract tests
find it by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytau_hpc.models import (
    gaussian_changepoint_mean_2d,
    poisson_changepoint_1d,
    single_taste_poisson,
)
from pytau_hpc.models.kind import ModelKind
from pytau_hpc.plugins import Registry

MODELS: Mapping[str, ModelKind] = Registry(
    "MODELS",
    {
        "single_taste_poisson": single_taste_poisson.KIND,
        "gaussian_changepoint_mean_2d": gaussian_changepoint_mean_2d.KIND,
        "poisson_changepoint_1d": poisson_changepoint_1d.KIND,
    },
)

__all__ = ["MODELS", "ModelKind"]
