"""PyTau's algorithm as we run it: seeded, resumable to the last bit, and honest about its ELBO.

The fast tests run in PyTensor's interpreter; the same promise under the compiled default mode is marked slow.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pytau_hpc.errors import Interrupted, NonFinite
from pytau_hpc.inference import advi_pymc
from pytau_hpc.inference.advi_pymc import even_start, fit, has_settled
from pytau_hpc.inference.checkpoint import Checkpoint, CheckpointLike, NullCheckpoint
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.models import MODELS

pytensor = pytest.importorskip("pytensor")
pm = pytest.importorskip("pymc")

REAL = MODELS["poisson_changepoint_1d"]
POINT = "00000000000000aa"
CHUNK = 20
ITERATIONS = 2 * CHUNK + 7


class Tiny:
    """The smallest model with a changepoint, since building a real one's gradient takes seconds."""

    posterior_dims: ClassVar = {"rate": ("state",), "tau": ("changepoint",)}

    def build(self, data: np.ndarray, n_states: int, options: object) -> Any:
        with pm.Model() as model:
            counts = pm.Data("counts", data)
            rate = pm.Exponential("rate", 0.2, shape=(n_states,))
            tau = pm.Deterministic(
                "tau", (data.size - 1) * pm.Beta("tau_latent", 2.0, 2.0, shape=(1,))
            )
            later = pm.math.sigmoid(np.arange(data.size) - tau)
            pm.Poisson("obs", rate[0] * (1 - later) + rate[1] * later, observed=counts)
        return model


class Broken:
    """A model whose density is NaN everywhere."""

    posterior_dims: ClassVar = {"x": ()}

    def build(self, data: np.ndarray, n_states: int, options: object) -> Any:
        with pm.Model() as model:
            pm.Potential("broken", pm.Normal("x") * float("nan"))
        return model


class Cliff(Tiny):
    """One whose density is NaN where hardly any draw falls: some fits of it diverge, and others never get there."""

    def build(self, data: np.ndarray, n_states: int, options: object) -> Any:
        model = super().build(data, n_states, options)
        with model:
            pm.Potential("cliff", pm.math.switch(model["rate"][0] > 30.0, np.nan, 0.0))
        return model


@contextmanager
def short_and_interpreted() -> Iterator[None]:
    """No C compiler (a cold one costs a minute and a half), short chunks, few draws for the ELBO."""
    with pytest.MonkeyPatch.context() as patch, pytensor.config.change_flags(mode="FAST_COMPILE"):
        patch.setattr(advi_pymc, "CHUNK", CHUNK)
        patch.setattr(advi_pymc, "ELBO_DRAWS", 50)
        yield


@pytest.fixture
def interpreted() -> Iterator[None]:
    with short_and_interpreted():
        yield


@pytest.fixture(scope="module")
def uninterrupted() -> Posterior:
    """The fit in one go, without checkpoints."""
    with short_and_interpreted():
        return fit_counts()


def counts() -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.poisson(np.repeat([2.0, 8.0], 10)).astype(np.int64)


def fit_counts(
    checkpoint: CheckpointLike | None = None, *, seed: int = 5, **more: Any
) -> Posterior:
    settings = {"engine": "pymc", "iterations": ITERATIONS, "draws": 20}
    return fit(
        more.pop("kind", Tiny()),
        counts(),
        2,
        {},
        {**settings, **more.pop("settings", {})},
        seed,
        checkpoint or NullCheckpoint(),
        more.pop("progress", lambda phase, done, total: None),
    )


def a_checkpoint(folder: Path, run: int, **more: Any) -> Checkpoint:
    more.setdefault("interval_s", 3600.0)
    return Checkpoint(folder, f"sub.0.r{run}", point_id=POINT, engine="pymc", **more)


def assert_same_bits(one: Posterior, other: Posterior) -> None:
    assert one.loss.tobytes() == other.loss.tobytes()
    assert one.draws.keys() == other.draws.keys()
    for name in one.draws:
        assert one.draws[name].tobytes() == other.draws[name].tobytes(), name
    assert (one.elbo, one.elbo_se, one.converged) == (other.elbo, other.elbo_se, other.converged)


@pytest.mark.usefixtures("interpreted")
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, uninterrupted):
    """Stopped twice, each time taken up by another run: loss, draws and ELBO are those of one go."""
    first = a_checkpoint(tmp_path, 1)
    first.request_stop("preempted")
    with pytest.raises(Interrupted) as stopped:
        fit_counts(first)
    assert stopped.value.iteration == CHUNK

    second = a_checkpoint(tmp_path, 2, interval_s=0.0)
    second._on_save = lambda iteration: second.request_stop() if iteration == 2 * CHUNK else None
    with pytest.raises(Interrupted) as stopped:
        fit_counts(second)
    assert stopped.value.iteration == 2 * CHUNK

    seen: list[tuple[str, int]] = []
    resumed = fit_counts(
        a_checkpoint(tmp_path, 3), progress=lambda phase, done, total: seen.append((phase, done))
    )

    assert next(done for phase, done in seen if phase == "fit") == 2 * CHUNK
    assert_same_bits(resumed, uninterrupted)
    assert "restarted" not in resumed.info


@pytest.mark.usefixtures("interpreted")
def test_saving_changes_nothing_and_the_seed_changes_everything(tmp_path, uninterrupted):
    """Checkpoints only look; all that is random follows from the seed, beyond the 32 bits that PyMC takes."""
    with_checkpoints = fit_counts(a_checkpoint(tmp_path, 1, interval_s=0.0))
    other_seed = fit_counts(seed=5 + 2**70)

    assert_same_bits(with_checkpoints, uninterrupted)
    assert not np.array_equal(other_seed.loss, uninterrupted.loss)
    assert not np.array_equal(other_seed.draws["tau"], uninterrupted.draws["tau"])


@pytest.mark.usefixtures("interpreted")
def test_a_checkpoint_of_another_set_up_starts_the_fit_over_and_says_so(tmp_path, uninterrupted):
    """Same numbers as without it, and the reason stands in the result."""
    first = a_checkpoint(tmp_path, 1, fingerprint=lambda: {"cpu": "another"})
    first.request_stop()
    with pytest.raises(Interrupted):
        fit_counts(first)

    posterior = fit_counts(a_checkpoint(tmp_path, 2))

    assert "cpu was another" in str(posterior.info["restarted"])
    assert_same_bits(posterior, uninterrupted)


@pytest.mark.usefixtures("interpreted")
def test_a_state_that_is_not_this_models_starts_the_fit_over(tmp_path):
    """A sound file whose arrays do not fit the optimiser is not forced into it."""
    stray = a_checkpoint(tmp_path, 1)
    stray.save(
        {"loss": np.zeros(CHUNK), "0": np.zeros(3)}, {"names": ["mu"], "generators": {}}, CHUNK
    )

    another = a_checkpoint(tmp_path, 2)
    posterior = fit_counts(another)

    assert "does not fit" in str(posterior.info["restarted"])
    assert another.resumed_from is None
    assert posterior.loss.size == ITERATIONS


@pytest.mark.usefixtures("interpreted")
def test_of_several_restarts_the_best_is_kept_and_their_spread_is_told(tmp_path, uninterrupted):
    """The first is the fit without restarts; interrupted in the second, they go on from there, bit for bit."""
    settings = {"restarts": 3}
    whole = fit_counts(settings=settings)
    first = a_checkpoint(tmp_path, 1, interval_s=0.0)
    first._on_save = lambda done: first.request_stop() if done == ITERATIONS + CHUNK else None
    with pytest.raises(Interrupted) as stopped:
        fit_counts(first, settings=settings)
    assert stopped.value.iteration == ITERATIONS + CHUNK
    resumed = fit_counts(a_checkpoint(tmp_path, 2), settings=settings)

    assert_same_bits(resumed, whole)
    elbos = [whole.info[f"elbo_{number}"] for number in range(3)]
    assert elbos[0] == uninterrupted.elbo
    assert len(set(elbos)) == 3
    assert whole.elbo == max(elbos)
    assert whole.info["restart"] == elbos.index(max(elbos))
    assert whole.info["elbo_spread"] == pytest.approx(max(elbos) - min(elbos))
    assert whole.iterations == whole.loss.size == ITERATIONS
    assert "restarts" not in uninterrupted.info


@pytest.mark.usefixtures("interpreted")
def test_a_restart_that_diverges_does_not_take_the_others_along(tmp_path):
    """It is counted, and the best of the others is kept; also where the fit is stopped once it is over."""
    settings = {"restarts": 3}
    whole = fit_counts(kind=Cliff(), settings=settings)
    first = a_checkpoint(tmp_path, 1, interval_s=0.0)
    first._on_save = lambda done: first.request_stop() if done == ITERATIONS + CHUNK else None
    with pytest.raises(Interrupted):
        fit_counts(first, kind=Cliff(), settings=settings)
    resumed = fit_counts(a_checkpoint(tmp_path, 2), kind=Cliff(), settings=settings)

    assert whole.info["restarts_diverged"] == 1
    assert "elbo_0" not in whole.info
    assert whole.elbo == max(whole.info["elbo_1"], whole.info["elbo_2"])
    assert whole.elbo == whole.info[f"elbo_{whole.info['restart']}"]
    assert np.isfinite(whole.loss).all()
    assert_same_bits(resumed, whole)
    assert resumed.info == whole.info


@pytest.mark.usefixtures("interpreted")
def test_restarts_of_which_every_one_diverges_are_no_result():
    with pytest.raises(NonFinite, match="all 3 restarts diverged; the last: the loss became NaN"):
        fit_counts(kind=Broken(), settings={"restarts": 3})


@pytest.mark.usefixtures("interpreted")
def test_a_full_rank_fit_resumes_and_gives_other_draws_than_a_mean_field_one(
    tmp_path, uninterrupted
):
    """PyTau's own string asks for it and does not get it; here it is one setting."""
    settings = {"approximation": "full_rank"}
    whole = fit_counts(settings=settings)
    first = a_checkpoint(tmp_path, 1)
    first.request_stop()
    with pytest.raises(Interrupted):
        fit_counts(first, settings=settings)
    resumed = fit_counts(a_checkpoint(tmp_path, 2), settings=settings)

    assert_same_bits(resumed, whole)
    assert "full-rank" in whole.info["algorithm"]
    assert not np.array_equal(whole.draws["tau"], uninterrupted.draws["tau"])


@pytest.mark.usefixtures("interpreted")
def test_the_posterior_has_every_variable_of_the_model_in_its_shape():
    """`tau` is in bins, between the first and the last; the loss has one value an iteration."""
    seen: list[tuple[str, int, int]] = []

    posterior = fit_counts(
        kind=REAL, progress=lambda phase, done, total: seen.append((phase, done, total))
    )

    assert posterior.draws.keys() == REAL.posterior_dims.keys()
    for name, dims in REAL.posterior_dims.items():
        assert posterior.draws[name].shape[0] == 20
        assert posterior.draws[name].ndim == 1 + len(dims), name
    tau = posterior.draws["tau"]
    assert (tau >= 0).all()
    assert (tau <= counts().size - 1).all()
    assert posterior.loss.shape == (ITERATIONS,)
    assert posterior.iterations == ITERATIONS
    assert posterior.info["final_loss"] == posterior.loss.mean()  # fewer than 1000: all of them
    assert not posterior.converged
    assert [phase for phase, done, _ in seen if done == 0] == ["compile", "fit", "draws"]
    assert ("fit", CHUNK, ITERATIONS) in seen
    assert tau.mean() == pytest.approx(
        (counts().size - 1) / 2, abs=2
    )  # so few steps leave it near its start
    assert seen[-1] == ("draws", 20, 20)


@pytest.mark.usefixtures("interpreted")
def test_a_loss_that_becomes_nan_ends_the_fit():
    """No result is better than one made of NaN."""
    with pytest.raises(NonFinite, match="NaN"):
        fit_counts(kind=Broken())


@pytest.mark.usefixtures("interpreted")
def test_what_the_data_alone_decide_is_not_computed_in_every_iteration():
    from pytensor.scalar.math import GammaLn

    model = Tiny().build(counts(), 2, {})
    step = advi_pymc._Optimiser.compiled(model, np.random.SeedSequence(0))._inference.state.step

    scalar_ops = [getattr(node.op, "scalar_op", None) for node in step.maker.fgraph.apply_nodes]
    assert not [op for op in scalar_ops if isinstance(op, GammaLn)], "log-factorials of the counts"
    assert "counts" not in {each.name for each in step.get_shared()}


def test_changepoints_start_evenly_spaced_as_in_pytaus_published_fits():
    """Also where the model itself leaves its start to PyMC, which would put them all in the middle."""
    kind = MODELS["single_taste_poisson"]
    model = kind.build(np.ones((5, 2, 12), dtype=np.int64), 4, {})
    with pm.Model() as other:
        pm.Normal("x")

    start = even_start(model)

    assert start.keys() == {"tau_latent"}
    np.testing.assert_allclose(start["tau_latent"], np.tile([0.25, 0.5, 0.75], (5, 1)))
    assert even_start(other) == {}


def a_trace(*, slope: float, n: int = 20_000, noise: float = 30.0) -> np.ndarray:
    return 1000.0 + slope * np.arange(n)[::-1] + noise * np.random.default_rng(1).standard_normal(n)


@pytest.mark.parametrize(
    ("trace", "settled"),
    [
        (a_trace(slope=0.0), True),
        (a_trace(slope=0.01), False),  # 20 nats from one tenth to the next
        (a_trace(slope=0.0002), True),  # 0.4 nats: below the tolerance
        (a_trace(slope=0.0, n=900), False),  # too short to say
        (np.full(20_000, np.inf), False),
    ],
    ids=["flat", "falling", "creeping", "short", "infinite"],
)
def test_a_fit_has_settled_when_the_loss_stopped_falling(trace, settled):
    """Judged by the last two tenths of the trace against their noise."""
    assert has_settled(trace) is settled


IN_A_PROCESS = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_advi_pymc as here
here.advi_pymc.CHUNK = here.CHUNK
folder, run, die_at, out = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]

def die(iteration):
    if iteration == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

posterior = here.fit_counts(kind=here.REAL, checkpoint=here.a_checkpoint(folder, run, interval_s=0.0, on_save=die))
here.np.savez(out, loss=posterior.loss, elbo=posterior.elbo, **posterior.draws)
"""


def fit_in_a_process(folder: Path, run: int, *, die_at: int, hash_seed: int, out: Path) -> int:
    arguments = [str(Path(__file__).parent), str(folder), str(run), str(die_at), str(out)]
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    return subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS, *arguments], env=environment
    ).returncode


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted_under_the_compiler(tmp_path):
    """The default mode (C, or numba), SIGKILL at a checkpoint, each process with another hash seed."""
    resumed, apart = tmp_path / "resumed", tmp_path / "apart"

    assert fit_in_a_process(apart, 1, die_at=-1, hash_seed=1, out=tmp_path / "one.npz") == 0
    died = fit_in_a_process(resumed, 1, die_at=2 * CHUNK, hash_seed=2, out=tmp_path / "none.npz")
    assert died == -signal.SIGKILL
    assert {path.name for path in resumed.iterdir()} == {"sub.0.r1.20.npz", "sub.0.r1.40.npz"}
    assert fit_in_a_process(resumed, 2, die_at=-1, hash_seed=3, out=tmp_path / "two.npz") == 0
    # One checkpoint, after the iterations that were left: the second process did go on from the first one's.
    assert [path.name for path in resumed.glob("sub.0.r2.*")] == [f"sub.0.r2.{ITERATIONS}.npz"]

    assert not (tmp_path / "none.npz").exists()
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        assert one.files == two.files
        for name in one.files:
            assert one[name].tobytes() == two[name].tobytes(), name
