"""Every model under the engine that runs PyTau's own algorithm: finite from the first step to the last draw."""

from __future__ import annotations

import numpy as np
import pytest

from pytau_hpc.inference import METHODS
from pytau_hpc.inference.checkpoint import NullCheckpoint
from pytau_hpc.models import MODELS
from tests.models.simulated import simulated

pytensor = pytest.importorskip("pytensor")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_short_fit_is_finite(name):
    """Loss, ELBO and draws; in PyTensor's interpreter, since a compiler would take a minute for each."""
    kind, method = MODELS[name], METHODS["advi"]
    made = simulated(kind)

    with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""):
        posterior = method.fit(
            kind=kind,
            data=kind.prepare(made.data),
            n_states=made.n_states,
            options=kind.resolve_options({}),
            settings=method.resolve({"engine": "pymc", "iterations": 100, "draws": 20}),
            seed=1,
            checkpoint=NullCheckpoint(),
            progress=lambda phase, done, total: None,
        )

    assert np.isfinite(posterior.loss).all()
    assert np.isfinite(posterior.elbo)
    assert all(np.isfinite(draws).all() for draws in posterior.draws.values())
    assert set(posterior.draws) == set(kind.posterior_dims)
