"""The default engine: it finds what was simulated, stops in good order, and goes on as if nothing had happened."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import all_models
from pytau_hpc.errors import Interrupted, NonFinite
from pytau_hpc.inference import METHODS
from pytau_hpc.inference.checkpoint import Checkpoint, CheckpointLike, NullCheckpoint
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.models import MODELS
from tests.models.simulated import simulated

jax_programs = pytest.importorskip("pytau_hpc.inference.jax_programs")

SMALL = "poisson_changepoint_1d"  # five microseconds a step
POINT_ID = "00000000000000aa"
SETTINGS = {"iterations": 1100, "explore_iterations": 500, "draws": 20, "elbo_draws": 64}


@dataclass
class Heard:
    """Remembers what a fit said about its progress."""

    said: list[tuple[str, int, int]] = field(default_factory=list)

    def __call__(self, phase: str, done: int, total: int) -> None:
        self.said.append((phase, done, total))

    @property
    def phases(self) -> list[str]:
        return list(dict.fromkeys(phase for phase, _, _ in self.said))


def fitted(
    name: str = SMALL,
    *,
    data: np.ndarray | None = None,
    n_states: int = 3,
    seed: int = 1,
    checkpoint: CheckpointLike | None = None,
    progress: Any = lambda *said: None,
    **settings: Any,
) -> Posterior:
    kind, method = MODELS[name], METHODS["advi"]
    return method.fit(
        kind=kind,
        data=kind.prepare(simulated(kind).data if data is None else data),
        n_states=n_states,
        options=kind.resolve_options({}),
        settings=method.resolve(settings or SETTINGS),
        seed=seed,
        checkpoint=checkpoint or NullCheckpoint(),
        progress=progress,
    )


def checkpoint_of(folder: Path, run: str, stop_after: int | None = None, **more: Any) -> Checkpoint:
    """A real checkpoint that is due at every chunk, and asks to stop after some of them."""
    made = Checkpoint(
        folder, f"submission.0.{run}", point_id=POINT_ID, engine="jax", interval_s=0.0, **more
    )
    if stop_after is not None:
        saves = iter(range(1, 10**6))

        def due() -> bool:
            if next(saves) >= stop_after:
                made.request_stop()
            return True

        made.due = due  # type: ignore[method-assign]
    return made


def assert_same_bits(one: Posterior, other: Posterior) -> None:
    assert one.draws.keys() == other.draws.keys()
    for name in one.draws:
        assert one.draws[name].tobytes() == other.draws[name].tobytes()
    assert one.loss.tobytes() == other.loss.tobytes()
    assert (one.elbo, one.elbo_se) == (other.elbo, other.elbo_se)
    assert (one.iterations, one.converged) == (other.iterations, other.converged)
    assert one.info == other.info


# ------------------------------------------------------------------------------------------------------------- results


# More than three seconds of compiling each.
LARGE = {
    "all_taste_poisson",
    "all_taste_poisson_varsig_fixed",
    "all_taste_poisson_trial_switch",
    "categorical_changepoint_2d",
    "single_taste_poisson_trial_switch",
    "single_taste_poisson_varsig",
    "gaussian_changepoint_mean_dirichlet",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else [])
        for name in sorted(MODELS)
    ],
)
def test_changepoints_that_were_simulated_are_found(name):
    """With the defaults; the fit says of itself that it converged, and describes every variable."""
    kind = MODELS[name]
    made = simulated(kind)

    posterior = fitted(name, data=made.data, n_states=made.n_states, draws=300)

    tau = np.median(posterior.draws["tau"], axis=0)
    assert np.abs(tau - made.tau).mean() < 0.6
    assert posterior.converged
    assert set(posterior.draws) == set(kind.posterior_dims)
    assert all(len(draws) == 300 for draws in posterior.draws.values())
    assert posterior.elbo_se < 0.5
    if len(made.switches):
        found = np.median(posterior.draws["tau_trial"], axis=0)
        assert np.abs(found - made.switches).max() < 0.6
    # The trace's last entry is another estimate of the same number, from fewer draws.
    few = posterior.elbo_se * np.sqrt(2048 / jax_programs.BATCH)
    assert posterior.elbo == pytest.approx(-posterior.loss[-1], abs=4 * few)


def two_levels() -> np.ndarray:
    """A series whose changepoint nobody could miss."""
    return np.random.default_rng(0).poisson(np.repeat([5.0, 60.0], 30))


def test_a_fit_of_two_states_is_the_exact_posterior():
    """The rates' means and sds, and an ELBO just below the evidence, by importance sampling without engine or model."""
    data = two_levels()
    evidence, means, sds = exact_two_states(data)

    posterior = fitted(data=data, n_states=2, draws=4000)

    rates = posterior.draws["lambda"]
    np.testing.assert_allclose(rates.mean(axis=0), means, atol=0.15 * sds.max(), rtol=0.01)
    np.testing.assert_allclose(rates.std(axis=0), sds, rtol=0.1)
    assert evidence - 1.0 < posterior.elbo < evidence


def exact_two_states(data: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Log evidence of `poisson_changepoint_1d` with two states, and mean and sd of its two rates.

    The Beta's parameters are drawn from their priors, the changepoint from a mixture of its prior and the middle, the
    two rates from Gammas near their posteriors.
    """
    from scipy import stats
    from scipy.special import expit, logsumexp

    rng = np.random.default_rng(1)
    n, bins = 100_000, np.arange(len(data))
    means = np.array([half.mean() for half in np.array_split(data, 2)]) + 0.01
    a, b = np.abs(3 * rng.standard_cauchy((2, n)))
    near = stats.beta(1000, 1000)
    latent = np.where(rng.random(n) < 0.5, rng.beta(a, b), near.rvs(n, random_state=rng))
    latent = np.clip(latent, 1e-9, 1 - 1e-9)
    prior = stats.beta.logpdf(latent, a, b)
    proposal = np.logaddexp(prior, near.logpdf(latent)) - np.log(2)
    sums = [half.sum() for half in np.array_split(data, 2)]
    rates, log_weight = np.empty((2, n)), prior - proposal
    for state in range(2):
        gamma = stats.gamma(sums[state] + 1, scale=1 / (len(data) / 2 + 1 / means[state]))
        rates[state] = gamma.rvs(n, random_state=rng)
        log_weight += stats.expon.logpdf(rates[state], scale=means[state]) - gamma.logpdf(
            rates[state]
        )
    for begin in range(0, n, 20_000):
        part = slice(begin, begin + 20_000)
        after = expit(bins - latent[part, None] * (len(data) - 1))
        expected = rates[0, part, None] * (1 - after) + rates[1, part, None] * after
        log_weight[part] += stats.poisson.logpmf(data, expected).sum(axis=1)
    weight = np.exp(log_weight - logsumexp(log_weight))
    assert 1 / (weight**2).sum() > 1000  # else the numbers below would be noise
    means = rates @ weight
    sds = np.sqrt((rates - means[:, None]) ** 2 @ weight)
    return float(logsumexp(log_weight) - np.log(n)), means, sds


@pytest.mark.parametrize("finalists", [1, 2])
def test_the_best_starts_go_on_to_the_end_and_the_best_of_them_is_the_fit(finalists):
    """The others are told apart in the result's attributes."""
    posterior = fitted("single_taste_poisson", finalists=finalists)

    def told(prefix: str) -> dict[str, Any]:
        return {k.removeprefix(prefix): v for k, v in posterior.info.items() if prefix in k}

    explored, final = told("explored_loss_"), told("final_elbo_")
    assert {"segmented", "even", "prior"} <= set(explored)
    assert set(final) == set(sorted(explored, key=lambda name: explored[name])[:finalists])
    assert posterior.info["start"] == max(final, key=lambda name: final[name])
    assert posterior.elbo == max(final.values())


@pytest.mark.slow
def test_two_finalists_have_the_best_start_where_one_has_not():
    """After exploring, the one that ends 15 nats lower was half a nat ahead."""
    name = "single_taste_poisson_varsig_fixed"
    made = all_models.simulated(MODELS[name], all_models.SIZES["medium"], seed=1)

    two, one = (
        fitted(name, data=made.data, n_states=4, seed=1, draws=10, finalists=finalists)
        for finalists in (2, 1)
    )

    assert two.elbo > one.elbo + 5


@pytest.mark.parametrize("restarts", [1, 2, 9])
def test_as_many_starts_are_tried_as_were_asked_for(restarts):
    """More than the model has are displaced copies of its first one."""
    posterior = fitted(restarts=restarts, **SETTINGS)

    assert sum(key.startswith("explored_loss_") for key in posterior.info) == restarts


@pytest.mark.parametrize("iterations", [1, 250, 333, 1750])
def test_a_budget_in_numbers_is_kept_to_the_step(iterations):
    """Also where it is no multiple of a chunk."""
    posterior = fitted(**{**SETTINGS, "iterations": iterations})

    assert posterior.iterations == iterations
    assert len(posterior.loss) >= math.ceil(iterations / posterior.loss_every)
    assert np.isfinite(posterior.loss).all()


@pytest.mark.parametrize(
    ("iterations", "recorded"),
    [
        (200, [100, 200]),
        (1100, [250, 500, 550, 800, 1050, 1100]),
    ],
)
def test_every_loss_knows_how_many_steps_were_behind_it(tmp_path, iterations, recorded):
    """A chunk ends where its phase ends; what was stopped on the way knows it as well."""
    settings = {**SETTINGS, "iterations": iterations}

    posterior = fitted(**settings)
    with pytest.raises(Interrupted):
        fitted(checkpoint=checkpoint_of(tmp_path, "r1", 4), **settings)
    resumed = fitted(checkpoint=checkpoint_of(tmp_path, "r2"), **settings)

    assert posterior.loss_iteration.tolist() == recorded
    assert resumed.loss_iteration.tolist() == recorded


def test_a_fit_that_still_gains_goes_on_and_one_that_may_not_says_so():
    """A slow optimiser is given more iterations; where the budget ends first, the fit is not called converged."""
    slow = {"learning_rate": 0.002, "restarts": 1, "draws": 10, "elbo_draws": 64}

    patient = fitted("single_taste_poisson", **slow)
    hurried = fitted("single_taste_poisson", **slow, max_iterations=2000)

    assert patient.converged
    assert patient.iterations > 2500
    assert not hurried.converged
    assert hurried.iterations == 2000
    assert hurried.elbo < patient.elbo


def test_the_seed_decides_everything():
    """The same seed gives the same bits, another seed other draws."""
    once, again, other = fitted(seed=3), fitted(seed=3), fitted(seed=2**127 + 4)

    assert_same_bits(once, again)
    assert not np.array_equal(once.draws["tau"], other.draws["tau"])


# ------------------------------------------------------------------------------------------------- stopping, resuming


@pytest.mark.parametrize("stop_after", [1, 3, 6, 9])
def test_a_fit_that_was_stopped_goes_on_bit_for_bit(tmp_path, stop_after):
    """Wherever it was stopped: while exploring, settling or annealing."""
    uninterrupted = fitted()

    with pytest.raises(Interrupted) as stopped:
        fitted(checkpoint=checkpoint_of(tmp_path, "r1", stop_after))
    resumed = fitted(checkpoint=checkpoint_of(tmp_path, "r2"))

    assert stopped.value.iteration > 0
    assert_same_bits(resumed, uninterrupted)


def test_a_fit_that_is_stopped_at_every_chunk_gets_there_all_the_same(tmp_path):
    """Preempted again and again, each time with one chunk of progress; every phase is stopped in."""
    uninterrupted = fitted()
    heard, stops = Heard(), []

    for run in range(1, 100):
        try:
            resumed = fitted(checkpoint=checkpoint_of(tmp_path, f"r{run}", 1), progress=heard)
        except Interrupted as interrupted:
            stops.append(interrupted.iteration)
        else:
            break

    assert stops == sorted(set(stops))
    assert {"explore", "settle", "anneal"} <= set(heard.phases)
    assert_same_bits(resumed, uninterrupted)


IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
import numpy as np
from tests.inference.test_advi_jax import checkpoint_of, fitted

posterior = fitted(checkpoint=checkpoint_of(Path(sys.argv[1]), "r2"))
np.savez(sys.argv[2], loss=posterior.loss, elbo=posterior.elbo, **posterior.draws)
"""


def test_a_fit_goes_on_in_another_process_bit_for_bit(tmp_path):
    """Nothing that the result depends on lives in the process alone."""
    uninterrupted = fitted()
    with pytest.raises(Interrupted):
        fitted(checkpoint=checkpoint_of(tmp_path / "checkpoints", "r1", 4))

    subprocess.run(
        [
            sys.executable,
            "-c",
            IN_ANOTHER_PROCESS,
            tmp_path / "checkpoints",
            tmp_path / "resumed.npz",
        ],
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )

    with np.load(tmp_path / "resumed.npz") as resumed:
        assert resumed["loss"].tobytes() == uninterrupted.loss.tobytes()
        assert float(resumed["elbo"]) == uninterrupted.elbo
        for name, draws in uninterrupted.draws.items():
            assert resumed[name].tobytes() == draws.tobytes()


def test_a_checkpoint_of_another_machine_starts_the_fit_over_and_says_so(tmp_path):
    """The bits would not be those of an uninterrupted fit."""
    with pytest.raises(Interrupted):
        fitted(checkpoint=checkpoint_of(tmp_path, "r1", 4, fingerprint=lambda: {"cpu": "old"}))

    resumed = fitted(checkpoint=checkpoint_of(tmp_path, "r2", fingerprint=lambda: {"cpu": "new"}))

    assert "cpu was old, is new" in str(resumed.info["restarted"])
    np.testing.assert_array_equal(resumed.loss, fitted().loss)


def test_a_checkpoint_of_an_earlier_version_starts_the_fit_over_and_says_so(tmp_path):
    """It did not keep at which step a loss was recorded."""
    with pytest.raises(Interrupted):
        fitted(checkpoint=checkpoint_of(tmp_path, "r1", 4))
    state = checkpoint_of(tmp_path, "r2").load()
    for path in tmp_path.iterdir():
        path.unlink()
    old = {name: array for name, array in state.arrays.items() if not name.endswith(".recorded")}
    checkpoint_of(tmp_path, "r1").save(old, state.meta, state.iteration)

    resumed = fitted(checkpoint=checkpoint_of(tmp_path, "r3"))

    assert "does not fit" in str(resumed.info["restarted"])
    np.testing.assert_array_equal(resumed.loss, fitted().loss)


def test_a_stop_is_answered_at_the_next_chunk_without_checkpoints_too():
    """A worker that must go does not wait for the end of the fit."""
    checkpoint = NullCheckpoint()
    checkpoint.request_stop()

    with pytest.raises(Interrupted) as stopped:
        fitted(checkpoint=checkpoint)

    assert stopped.value.iteration <= jax_programs.CHUNK


def test_progress_only_grows_and_ends_complete():
    """The heartbeat that a person watches: iterations of all starts together, out of those expected."""
    heard = Heard()

    fitted(progress=heard)

    assert heard.phases == ["compile", "explore", "settle", "anneal", "draws"]
    done = [done for _, done, _ in heard.said]
    assert done == sorted(done)
    assert all(done <= total for _, done, total in heard.said)
    assert heard.said[-1][1] == heard.said[-1][2]


# -------------------------------------------------------------------------------------------------------------- trouble


def test_data_that_overflow_are_an_error_with_a_name():
    """Every start diverges: `non_finite`, not a result full of NaN."""
    data = np.where(np.arange(30) < 15, -1e200, 1e200)[None].repeat(4, axis=0)

    with pytest.raises(NonFinite):
        fitted("gaussian_changepoint_mean_2d", data=data)


@pytest.mark.parametrize("at_chunk", [0, 6], ids=["exploring", "as a finalist"])
def test_a_start_that_diverges_does_not_take_the_others_along(monkeypatch, at_chunk):
    """It is out of the race; the rest go on. Three starts explore for two chunks each."""
    kind = MODELS[SMALL]
    chunk = jax_programs.Programs.chunk

    def diverges(self: Any, z: np.ndarray, *rest: Any) -> Any:
        result = chunk(self, z, *rest)
        if diverges.calls == at_chunk:  # type: ignore[attr-defined]
            result = type(result)(result.z * np.nan, result.m, result.v, result.mean * np.nan, 0)
        diverges.calls += 1  # type: ignore[attr-defined]
        return result

    diverges.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(jax_programs.Programs, "chunk", diverges)

    posterior = fitted(data=simulated(kind).data, restarts=3, **SETTINGS)

    ended = [key for key in posterior.info if key.startswith("final_elbo_")]
    assert len(ended) == (2 if at_chunk == 0 else 1)
    assert np.isfinite(posterior.elbo)
