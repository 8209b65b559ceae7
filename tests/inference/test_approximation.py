"""The fitted distributions of PyMC's ADVI: read as PyMC means them, with the ELBO and the draws that they have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pytau_hpc.inference.approximation import (
    FullRank,
    MeanField,
    approximation_of,
    draws_of,
    elbo_of,
)

pytensor = pytest.importorskip("pytensor")
pm = pytest.importorskip("pymc")


def test_a_full_rank_normal_has_its_own_covariance_and_its_exact_elbo():
    """Where the posterior is a correlated normal, the ELBO of that normal is the evidence, without noise."""
    factor = np.array([[1.0, 0.0], [0.8, 0.6]])
    with pm.Model() as model:
        pm.MvNormal("x", mu=np.zeros(2), cov=factor @ factor.T)
    exact = FullRank(mean=np.zeros(2), factor=factor, parts={"x": (slice(0, 2), (2,))})

    elbo, elbo_se = elbo_of(model, exact, np.random.default_rng(1), 200)
    draws = draws_of(model, ["x"], exact, 4000, np.random.default_rng(2))["x"]

    assert elbo == pytest.approx(0.0, abs=1e-10)
    assert elbo_se < 1e-10
    np.testing.assert_allclose(np.cov(draws.T), factor @ factor.T, atol=0.08)


@pytest.mark.parametrize("method", ["ADVI", "FullRankADVI"])
def test_what_is_read_from_pymc_is_the_distribution_that_pymc_fitted(method):
    """Mean and covariance are those of PyMC's own approximation, whatever its parameters are."""
    with pytensor.config.change_flags(mode="FAST_COMPILE"), pm.Model():
        x = pm.Normal("x", 0.0, 2.0, shape=2)
        pm.Normal("obs", x[0] + x[1], 0.5, observed=1.0)
        inference = getattr(pm, method)(random_seed=1)
        inference.fit(30, progressbar=False)
        theirs = inference.approx.groups[0]
        mean, covariance = theirs.mean.eval(), theirs.cov.eval()

    fitted = approximation_of(inference)

    factor = fitted.factor if isinstance(fitted, FullRank) else np.diag(fitted.sd)
    np.testing.assert_allclose(fitted.mean, mean)
    np.testing.assert_allclose(factor @ factor.T, covariance, rtol=1e-10, atol=1e-14)
    assert fitted.log_volume == pytest.approx(0.5 * np.linalg.slogdet(covariance)[1])


def test_the_elbo_of_the_exact_posterior_is_the_evidence():
    """Where q is the posterior, every draw gives the log evidence and the standard error is nil."""
    y = np.array([0.3, -1.1, 2.0])
    with pm.Model() as model:
        x = pm.Normal("x", 0.0, 1.0)
        pm.Normal("obs", x, 1.0, observed=y)
    n = y.size
    exact = MeanField(
        mean=np.array([y.sum() / (n + 1)]),
        sd=np.array([(n + 1) ** -0.5]),
        parts={"x": (slice(0, 1), ())},
    )
    covariance = np.eye(n) + 1.0
    evidence = -0.5 * (
        y @ np.linalg.solve(covariance, y)
        + np.linalg.slogdet(covariance)[1]
        + n * np.log(2 * np.pi)
    )

    elbo, elbo_se = elbo_of(model, exact, np.random.default_rng(1))
    too_wide, its_se = elbo_of(model, replace(exact, sd=2 * exact.sd), np.random.default_rng(1))

    assert elbo == pytest.approx(evidence, abs=1e-10)
    assert elbo_se < 1e-10
    # KL of a normal from one of half its width: (4 - 1)/2 - log 2 nats.
    assert too_wide == pytest.approx(evidence - 1.5 + np.log(2), abs=4 * its_se)
    assert 0 < its_se < 0.1
