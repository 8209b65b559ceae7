"""Results on disk without a fit: published as a worker publishes them, with numbers that mean nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pytau_hpc.files import publish_no_replace, staged
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.inference.result_file import write_result
from pytau_hpc.models import MODELS
from pytau_hpc.sweep.point import Point


def publish(study: Path, point: Point, *, elbo: float = -123.0, **provenance: Any) -> Path:
    """The result of a point (3 trials x 2 neurons x 10 bins), and where it is."""
    kind = MODELS[point.model]
    rng = np.random.default_rng(1)
    posterior = Posterior(
        draws={
            "tau": np.sort(rng.uniform(0, 9, (5, 3, point.n_states - 1))),
            "lambda": rng.exponential(size=(5, 2, point.n_states)),
        },
        elbo=elbo,
        elbo_se=0.5,
        converged=True,
        iterations=700,
        loss=rng.normal(size=4),
        loss_every=250,
        info={"engine": "jax"},
    )
    attrs = {
        "point_id": point.point_id,
        "point": point.to_json(),
        "provenance": {
            "created_at": "2026-11-22T12:00:00+00:00",
            "host": "node07",
            "versions": {"pymc": "5.28"},
            **provenance,
        },
        "quality": {"iterations_run": 700, "r_hat_max": 1.003},
    }
    final = study / point.result_path
    final.parent.mkdir(parents=True, exist_ok=True)
    with staged(final) as temporary:
        write_result(
            temporary,
            posterior=posterior,
            data=np.ones((3, 2, 10), dtype=np.int64),
            dims=kind.dims,
            kind=kind,
            attrs=attrs,
        )
        publish_no_replace(temporary, final)
    return final
