"""The models that can be fitted, by name. Importing this imports neither numpy nor PyMC.

To add a model: write one module with a `KIND`, an `inputs`, a `build` and a `starts`, and add one line here. The
contract tests find it by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytau_hpc.models import (
    all_taste_poisson,
    all_taste_poisson_trial_switch,
    all_taste_poisson_varsig_fixed,
    categorical_changepoint_2d,
    gaussian_changepoint_mean_2d,
    gaussian_changepoint_mean_dirichlet,
    gaussian_changepoint_mean_var_2d,
    poisson_changepoint_1d,
    single_taste_poisson,
    single_taste_poisson_dirichlet,
    single_taste_poisson_trial_switch,
    single_taste_poisson_varsig,
    single_taste_poisson_varsig_fixed,
)
from pytau_hpc.models.kind import ModelKind
from pytau_hpc.plugins import Registry

MODELS: Mapping[str, ModelKind] = Registry(
    "MODELS",
    {
        "single_taste_poisson": single_taste_poisson.KIND,
        "single_taste_poisson_varsig": single_taste_poisson_varsig.KIND,
        "single_taste_poisson_varsig_fixed": single_taste_poisson_varsig_fixed.KIND,
        "single_taste_poisson_dirichlet": single_taste_poisson_dirichlet.KIND,
        "single_taste_poisson_trial_switch": single_taste_poisson_trial_switch.KIND,
        "all_taste_poisson": all_taste_poisson.KIND,
        "all_taste_poisson_varsig_fixed": all_taste_poisson_varsig_fixed.KIND,
        "all_taste_poisson_trial_switch": all_taste_poisson_trial_switch.KIND,
        "gaussian_changepoint_mean_2d": gaussian_changepoint_mean_2d.KIND,
        "gaussian_changepoint_mean_var_2d": gaussian_changepoint_mean_var_2d.KIND,
        "gaussian_changepoint_mean_dirichlet": gaussian_changepoint_mean_dirichlet.KIND,
        "poisson_changepoint_1d": poisson_changepoint_1d.KIND,
        "categorical_changepoint_2d": categorical_changepoint_2d.KIND,
    },
)

__all__ = ["MODELS", "ModelKind"]
