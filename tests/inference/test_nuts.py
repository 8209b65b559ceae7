"""NUTS by each engine: the same posterior, resumable, and honest about how it mixed."""

from __future__ import annotations

import csv
import dataclasses
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from pytau_hpc.errors import Interrupted, UserError
from pytau_hpc.inference import METHODS, nuts
from pytau_hpc.inference.checkpoint import Checkpoint, CheckpointLike, NullCheckpoint
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.inference.step_state import decode, encode
from pytau_hpc.models import MODELS

pytensor = pytest.importorskip("pytensor")

KIND = MODELS["poisson_changepoint_1d"]
DATA = Path(__file__).parents[2] / "../shared/data"
POINT = "00000000000000bb"
SMALL = {"chains": 2, "tune": 30, "draws": 20}


def counts() -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.poisson(np.repeat([2.0, 8.0], 10)).astype(np.int64)


def draw(
    engine: str,
    checkpoint: CheckpointLike | None = None,
    *,
    data: np.ndarray | None = None,
    kind: Any = KIND,
    n_states: int = 2,
    seed: int = 5,
    progress: Any = None,
    **settings: Any,
) -> Posterior:
    method = METHODS["nuts"]
    with pytensor.config.change_flags(mode="FAST_COMPILE"):  # no C compiler
        return method.fit(
            kind=kind,
            data=kind.prepare(counts() if data is None else data),
            n_states=n_states,
            options=kind.resolve_options({}),
            settings=method.resolve({"engine": engine, **SMALL, **settings}),
            seed=seed,
            checkpoint=checkpoint or NullCheckpoint(),
            progress=progress or (lambda phase, done, total: None),
        )


def a_checkpoint(folder: Path, run: int, engine: str, **more: Any) -> Checkpoint:
    more.setdefault("interval_s", 3600.0)
    return Checkpoint(folder, f"sub.0.r{run}", point_id=POINT, engine=engine, **more)


def skip_without(engine: str) -> None:
    if engine in nuts.OPTIONAL and find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")


def assert_same_bits(one: Posterior, other: Posterior) -> None:
    assert one.draws.keys() == other.draws.keys()
    for name in one.draws:
        assert one.draws[name].tobytes() == other.draws[name].tobytes(), name
    for name in one.statistics:
        assert one.statistics[name].tobytes() == other.statistics[name].tobytes(), name
    assert (one.rhat_max, one.ess_min, one.divergences) == (
        other.rhat_max,
        other.ess_min,
        other.divergences,
    )


@pytest.mark.parametrize(
    ("engine", "stops"),
    [
        ("jax", [12, 41, 63]),
        ("blackjax", [12, 41, 63]),
        pytest.param("pymc", [12, 63], marks=pytest.mark.slow),  # builds its gradient four times
    ],
)
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, engine, stops):
    """Stopped while tuning, while drawing, and in the second chain, each time taken up by another run."""
    skip_without(engine)
    uninterrupted = draw(engine)
    for run, stop_at in enumerate(stops, start=1):
        checkpoint = a_checkpoint(tmp_path, run, engine, interval_s=0.0)
        checkpoint._on_save = lambda done, stop_at=stop_at, checkpoint=checkpoint: (
            checkpoint.request_stop() if done == stop_at else None
        )
        with pytest.raises(Interrupted) as stopped:
            draw(engine, checkpoint)
        assert stopped.value.iteration == stop_at

    seen: list[int] = []
    resumed = draw(
        engine,
        a_checkpoint(tmp_path, 9, engine),
        progress=lambda phase, done, total: seen.append(done),
    )

    assert min(done for done in seen if done) > 50  # the first chain was not drawn again
    assert_same_bits(resumed, uninterrupted)
    assert "restarted" not in resumed.info


@pytest.mark.parametrize("engine", ["nutpie", "numpyro"])
def test_an_engine_that_keeps_its_state_to_itself_loses_one_chain_at_most(tmp_path, engine):
    """The chains that were complete are kept; the others are drawn from seeds of their own."""
    skip_without(engine)
    uninterrupted = draw(engine)
    checkpoint = a_checkpoint(tmp_path, 1, engine, on_save=lambda done: checkpoint.request_stop())
    with pytest.raises(Interrupted) as stopped:
        draw(engine, checkpoint)
    assert stopped.value.iteration == 50

    seen: list[int] = []
    resumed = draw(
        engine,
        a_checkpoint(tmp_path, 2, engine),
        progress=lambda phase, done, total: seen.append(done),
    )

    assert [done for done in seen if done] == [50]
    assert_same_bits(resumed, uninterrupted)


def test_chains_differ_the_seed_matters_and_saving_does_not(tmp_path):
    """All that is random follows from seed, chain and draw."""
    once = draw("jax")
    saved = draw("jax", a_checkpoint(tmp_path, 1, "jax", interval_s=0.0))
    other = draw("jax", seed=5 + 2**70)

    assert_same_bits(once, saved)
    assert not np.array_equal(once.draws["tau"], other.draws["tau"])
    first, second = np.split(once.draws["tau"], 2)
    assert not np.array_equal(first, second)


def test_the_posterior_says_how_it_mixed():
    """Draws of all variables, chain after chain; R-hat of what means one thing; no ELBO."""
    posterior = draw("jax", tune=200, draws=200)

    for name, dims in KIND.posterior_dims.items():
        assert posterior.draws[name].shape[0] == 400
        assert posterior.draws[name].ndim == 1 + len(dims), name
    tau = posterior.draws["tau"]
    assert ((tau >= 0) & (tau <= 19)).all()
    assert tau.mean() == pytest.approx(9.5, abs=1.5)
    assert posterior.chains == 2
    assert np.isnan(posterior.elbo)
    assert posterior.loss.size == 0
    assert 1.0 <= posterior.rhat_max < 1.2
    assert 20 < posterior.ess_min <= 800
    assert posterior.divergences == posterior.statistics["diverging"].sum()
    assert posterior.rhat_max == max(posterior.info["rhat_tau"], posterior.info["rhat_lambda"])
    assert posterior.iterations == 800


@pytest.mark.slow
def test_the_engines_agree():
    """PyMC's sampler and ours draw from the same posterior."""
    ours, theirs = (draw(engine, tune=300, draws=400) for engine in ("jax", "pymc"))

    for name in ("tau", "lambda"):
        spread = ours.draws[name].std(axis=0)
        np.testing.assert_array_less(
            np.abs(ours.draws[name].mean(axis=0) - theirs.draws[name].mean(axis=0)), 0.4 * spread
        )


def test_a_result_of_nuts_is_read_back_with_its_chains(tmp_path):
    """One file, with the statistics of every draw, that ArviZ opens."""
    from pytau_hpc.inference.result_file import read_result, verify, write_result

    posterior = draw("jax")
    path = tmp_path / "model_x.nc"
    write_result(
        path,
        posterior=posterior,
        data=counts(),
        dims=KIND.dims,
        kind=KIND,
        attrs={"point_id": POINT, "point": {}, "provenance": {}},
    )

    quality = verify(path, POINT)["quality"]
    read = read_result(path)

    assert quality["chains"] == 2
    assert quality["rhat_max"] == posterior.rhat_max
    assert read["posterior"]["tau"].dims == ("chain", "draw", "changepoint")
    assert read["posterior"]["tau"].shape == (2, 20, 1)
    np.testing.assert_array_equal(
        np.asarray(read["posterior"]["tau"]).reshape(-1, 1), posterior.draws["tau"]
    )
    diverging = read["sample_stats"]["diverging"]
    assert diverging.dtype == bool
    assert int(diverging.sum()) == posterior.divergences
    assert "loss" not in read["sample_stats"]


@pytest.mark.parametrize("chains", [1, 3])
def test_any_number_of_chains_has_an_rhat(chains):
    """A single chain is judged by its halves."""
    posterior = draw("jax", chains=chains)

    assert len(posterior.draws["tau"]) == 20 * chains
    assert np.isfinite(posterior.rhat_max)


def test_a_model_with_discrete_variables_is_refused():
    """NUTS follows gradients; the message says which variables have none."""
    import pymc as pm

    from pytau_hpc.inference.nuts_pymc import refuse_discrete

    with pm.Model() as model:
        pm.Categorical("which_switch", p=[0.5, 0.5])
        pm.Normal("x")

    with pytest.raises(UserError, match="which_switch"):
        refuse_discrete("mine", model)


@dataclasses.dataclass
class Inner:
    count: int
    mean: np.ndarray
    rate: np.float64


@dataclasses.dataclass
class Outer:
    inner: Inner
    generator: dict[str, Any]
    trace: list[np.ndarray] | None
    fixed: str = dataclasses.field(metadata={"frozen": True})


def test_a_nested_state_comes_back_from_arrays_and_json():
    """Types included; what never changes is taken from the step method itself."""
    import json

    rng = np.random.default_rng(1).bit_generator.state
    state = Outer(Inner(3, np.arange(2.0), np.float64(0.1)), rng, [np.ones(2)], "as it was")

    arrays, coded = encode(state)
    like = Outer(Inner(0, np.zeros(2), np.float64(0)), {}, None, "as it is")
    back = decode(like, arrays, json.loads(json.dumps(coded)))

    assert back.inner.count == 3
    assert back.inner.mean.tobytes() == state.inner.mean.tobytes()
    assert isinstance(back.inner.rate, np.float64)
    assert back.generator == rng
    assert back.trace[0].tolist() == [1.0, 1.0]
    assert back.fixed == "as it is"
    with pytest.raises(ValueError, match="shape"):
        decode(Outer(Inner(0, np.zeros(3), np.float64(0)), {}, None, ""), arrays, coded)
    with pytest.raises(TypeError, match="Path"):
        encode(Path())


def interrupted_and_resumed(folder: Path, engine: str, *, at: int, **settings: Any) -> Posterior:
    """Draw until a stop is asked for at that draw, and go on in another run."""
    first = a_checkpoint(folder, 1, engine)

    def stop(phase: str, done: int, total: int) -> None:
        if done >= at:
            first.request_stop()

    with pytest.raises(Interrupted) as stopped:
        draw(engine, first, progress=stop, **settings)
    assert stopped.value.iteration == at + 1
    return draw(engine, a_checkpoint(folder, 2, engine), **settings)


def exact_two_states(data: np.ndarray) -> tuple[list[float], list[float]]:
    """Posterior means and sds of `tau` and the two rates of `poisson_changepoint_1d`, on a grid."""
    last, bins = len(data) - 1, np.arange(len(data))
    prior_means = [half.mean() + 0.01 for half in np.array_split(data, 2)]
    a = 3 * np.tan(np.pi / 2 * (np.arange(200) + 0.5) / 200)  # equal shares of a HalfCauchy(3)
    tau = np.linspace(20, 62, 85)
    shares = (tau / last)[:, None, None]
    prior = stats.beta.pdf(shares, a[:, None], a).mean(axis=(1, 2))
    early, late = np.linspace(1.8, 5, 41), np.linspace(0.4, 1.6, 41)
    after = expit(bins - tau[:, None])[:, None, None]
    rates = early[:, None, None] * (1 - after) + late[:, None] * after
    logp = (data * np.log(rates) - rates).sum(axis=-1) + np.log(prior)[:, None, None]
    logp -= early[:, None] / prior_means[0] + late / prior_means[1]
    weights = np.exp(logp - logp.max())
    weights /= weights.sum()
    marginals = [weights.sum(axis=others) for others in ((1, 2), (0, 2), (0, 1))]
    grids = (tau, early, late)
    means = [float(p @ x) for p, x in zip(marginals, grids, strict=True)]
    variances = [p @ (x - m) ** 2 for p, x, m in zip(marginals, grids, means, strict=True)]
    return means, [float(variance**0.5) for variance in variances]


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.exists(), reason="the recordings are not here")
def test_the_chains_agree_on_the_coal_disasters_and_with_the_exact_posterior(tmp_path):
    """R-hat below 1.01, also where it was interrupted; the change is in 1890, as by every method before."""
    with (DATA / "classic/coal_1851_1962.csv").open() as file:
        disasters = np.array([int(row["disasters"]) for row in csv.DictReader(file)])
    settings = {"data": disasters, "chains": 4, "tune": 1000, "draws": 1000}

    posterior = draw("jax", **settings)
    resumed = interrupted_and_resumed(tmp_path, "jax", at=5500, **settings)

    assert_same_bits(resumed, posterior)
    assert posterior.rhat_max < 1.01
    assert posterior.converged
    means, sds = exact_two_states(disasters)
    assert means[0] + 0.5 == pytest.approx(1890 - 1851, abs=1.5)  # the published year
    drawn = np.concatenate([posterior.draws["tau"], posterior.draws["lambda"]], axis=1)
    np.testing.assert_array_less(np.abs(drawn.mean(axis=0) - means), 0.1 * np.array(sds))
    np.testing.assert_allclose(drawn.std(axis=0), sds, rtol=0.1)


@pytest.mark.slow
def test_the_chains_agree_on_many_trials(tmp_path):
    """30 trials, 7 neurons, 40 bins, 4 states: R-hat below 1.01, also where it was interrupted; near the truth."""
    rng = np.random.default_rng(0)
    rates = rng.gamma(2.0, 1.0, (7, 4))
    ends = np.sort(np.linspace(0, 40, 5)[1:-1] + rng.normal(0, 2, (30, 3)), axis=1)
    state = (np.arange(40) >= ends[..., None]).sum(axis=1)
    settings = {
        "kind": MODELS["single_taste_poisson"],
        "data": rng.poisson(rates.T[state].swapaxes(1, 2)),
        "n_states": 4,
        "chains": 4,
        "tune": 1000,
        "draws": 1000,
    }

    posterior = draw("jax", **settings)
    resumed = interrupted_and_resumed(tmp_path, "jax", at=3500, **settings)

    assert_same_bits(resumed, posterior)
    assert posterior.rhat_max < 1.01
    assert posterior.converged
    assert np.abs(np.median(posterior.draws["tau"], axis=0) - ends).mean() < 0.7
