"""A result is whole or it is refused, and every tool of the field can read it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.inference.result_file import (
    ResultInvalid,
    read_attrs,
    read_result,
    verify,
    write_result,
)
from pytau_hpc.models import MODELS

h5py = pytest.importorskip("h5py")

KIND = MODELS["single_taste_poisson"]
POINT = "0123456789abcdef"
TRIALS, NEURONS, BINS, STATES, DRAWS = 3, 4, 12, 3, 30


def a_posterior(**changes: Any) -> Posterior:
    rng = np.random.default_rng(1)
    posterior = Posterior(
        draws={
            "tau": np.sort(rng.uniform(0, BINS - 1, (DRAWS, TRIALS, STATES - 1))),
            "lambda": rng.exponential(size=(DRAWS, NEURONS, STATES)),
        },
        elbo=-123.25,
        elbo_se=0.1,
        converged=True,
        iterations=3000,
        loss=rng.normal(size=12),
        loss_every=250,
        info={"engine": "jax", "start": "even"},
    )
    return replace(posterior, **changes)


def counts() -> np.ndarray:
    return np.random.default_rng(2).poisson(1.0, (TRIALS, NEURONS, BINS)).astype(np.int64)


def write(path: Path, posterior: Posterior | None = None, **attrs: Any) -> Path:
    write_result(
        path,
        posterior=posterior or a_posterior(),
        data=counts(),
        dims=KIND.dims,
        kind=KIND,
        attrs={
            "point_id": POINT,
            "point": {"session": {"name": "AM11"}, "n_states": STATES},
            "provenance": {"host": "node07", "versions": {"numpy": np.__version__}},
            **attrs,
        },
    )
    return path


def test_arviz_reads_what_was_written_bit_for_bit(tmp_path):
    """`InferenceData` or `DataTree`, whichever is installed: the same names, dims and numbers."""
    result = read_result(write(tmp_path / "model.nc"))

    posterior = result["posterior"]
    assert posterior["tau"].dims == ("chain", "draw", "trial", "changepoint")
    assert posterior["lambda"].dims == ("chain", "draw", "neuron", "state")
    assert posterior["tau"].attrs["units"] == "bins"
    for name, draws in a_posterior().draws.items():
        assert posterior[name].values[0].tobytes() == draws.tobytes()
    np.testing.assert_array_equal(posterior["draw"].values, np.arange(DRAWS))
    observed = result["observed_data"]["obs"]
    assert observed.dims == ("trial", "neuron", "bin")
    assert observed.dtype == np.int64
    np.testing.assert_array_equal(observed.values, counts())


def test_the_loss_knows_at_which_iterations_it_was_recorded(tmp_path):
    """One value every `loss_every` iterations, the last at the end of the fit."""
    stats = read_result(write(tmp_path / "model.nc"))["sample_stats"]

    assert stats["loss"].dims == ("iteration",)
    np.testing.assert_array_equal(stats["iteration"].values, 250 * np.arange(1, 13))
    assert stats["loss"].values.tobytes() == a_posterior().loss.tobytes()


def test_a_phase_that_ends_early_is_recorded_where_it_ended(tmp_path):
    """Some engines look at the loss at the end of a phase, too, which is no multiple of anything."""
    at = np.array([250, 500, 600, 850])
    posterior = a_posterior(loss=np.array([9.0, 5.0, 3.0, 2.0]), loss_iteration=at)

    stats = read_result(write(tmp_path / "model.nc", posterior))["sample_stats"]

    np.testing.assert_array_equal(stats["iteration"].values, at)


def test_arvizs_own_functions_accept_a_result(tmp_path):
    """A result is only useful where the field's tools take it."""
    arviz = pytest.importorskip("arviz")

    table = arviz.summary(
        read_result(write(tmp_path / "model.nc")), var_names=["tau"], kind="stats"
    )

    assert len(table) == TRIALS * (STATES - 1)


def test_xarray_reads_a_group_without_us(tmp_path):
    """The file is plain NetCDF-4."""
    xarray = pytest.importorskip("xarray")
    path = write(tmp_path / "model.nc")

    with xarray.open_dataset(path, group="posterior", engine="h5netcdf") as posterior:
        sizes = dict(posterior.sizes)

    assert sizes == {
        "chain": 1, "draw": DRAWS, "trial": TRIALS, "changepoint": STATES - 1, "neuron": NEURONS, "state": STATES
    }  # fmt: skip


def test_a_result_says_what_it_is_and_how_good(tmp_path):
    """The ledger reads this and not the arrays."""
    attrs = read_attrs(write(tmp_path / "model.nc", quality={"checked": True}))

    assert attrs["point_id"] == POINT
    assert attrs["format_version"] == 1
    assert attrs["model"] == "single_taste_poisson"
    assert attrs["point"] == {"session": {"name": "AM11"}, "n_states": STATES}
    assert attrs["provenance"]["host"] == "node07"
    assert attrs["quality"] == {
        "elbo": -123.25,
        "elbo_se": 0.1,
        "converged": True,
        "iterations": 3000,
        "draws": DRAWS,
        "info": {"engine": "jax", "start": "even"},
        "checked": True,
    }


def test_numbers_that_json_lacks_become_null(tmp_path):
    """An infinite standard error is no reason to lose a fit."""
    posterior = a_posterior(
        elbo_se=float("inf"), info={"start_elbo": np.float64("nan"), "n": np.int64(3)}
    )

    quality = read_attrs(write(tmp_path / "model.nc", posterior))["quality"]

    assert quality["elbo_se"] is None
    assert quality["info"] == {"start_elbo": None, "n": 3}


def test_a_variable_that_the_model_does_not_describe_gets_plain_dims(tmp_path):
    """A method may return more than the model names."""
    posterior = a_posterior()
    extra = replace(
        posterior,
        draws={**posterior.draws, "logit": np.zeros((DRAWS, 5)), "total": np.zeros(DRAWS)},
    )

    result = read_result(write(tmp_path / "model.nc", extra))

    assert result["posterior"]["logit"].dims == ("chain", "draw", "logit_dim_0")
    assert result["posterior"]["total"].dims == ("chain", "draw")


def test_a_whole_result_passes(tmp_path):
    """And `verify` gives the attributes, so that nobody opens the file again for them."""
    path = write(tmp_path / "model.nc")

    assert verify(path, POINT) == read_attrs(path)


def test_an_infinite_loss_on_the_way_is_no_fault(tmp_path):
    """Early draws may fall where the density is zero."""
    loss = a_posterior().loss.copy()
    loss[0] = np.inf

    assert verify(write(tmp_path / "model.nc", a_posterior(loss=loss)), POINT)


def test_the_result_of_another_point_is_refused(tmp_path):
    """A file under the wrong name would be counted for the wrong fit."""
    with pytest.raises(ResultInvalid, match=POINT):
        verify(write(tmp_path / "model.nc"), "f" * 16)


def a_nan_in(name: str) -> Callable[[], Posterior]:
    def broken() -> Posterior:
        draws = {key: value.copy() for key, value in a_posterior().draws.items()}
        draws[name].ravel()[-1] = np.nan
        return a_posterior(draws=draws)

    return broken


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (a_nan_in("tau"), "posterior/tau"),
        (a_nan_in("lambda"), "posterior/lambda"),
        (lambda: a_posterior(loss=np.array([1.0, np.nan])), "sample_stats/loss"),
        (lambda: a_posterior(elbo=float("nan")), "ELBO"),
        (lambda: a_posterior(draws={"lambda": np.ones((DRAWS, NEURONS, STATES))}), "tau"),
    ],
    ids=["tau", "lambda", "loss", "elbo", "without-tau"],
)
def test_values_that_are_not_finite_are_refused(tmp_path, make, what):
    """A fit that failed numerically must not look like a success."""
    path = write(tmp_path / "model.nc", make())

    with pytest.raises(ResultInvalid, match=what):
        verify(path, POINT)


@pytest.mark.parametrize(
    "name", ["posterior/lambda", "observed_data/obs", "sample_stats/loss", "posterior"]
)
def test_a_result_that_lacks_something_is_refused(tmp_path, name):
    """The file lists what it holds, so what is gone is missed."""
    path = write(tmp_path / "model.nc")
    with h5py.File(path, "r+") as file:
        del file[name]

    with pytest.raises(ResultInvalid, match=name):
        verify(path, POINT)


def test_a_variable_of_another_shape_is_refused(tmp_path):
    """As when a tool rewrote it."""
    path = write(tmp_path / "model.nc")
    with h5py.File(path, "r+") as file:
        del file["observed_data/obs"]
        file["observed_data/obs"] = counts()[:2]

    with pytest.raises(ResultInvalid, match="shape"):
        verify(path, POINT)


def test_what_is_no_result_is_refused(tmp_path):
    """Nothing there, an empty file, text, someone else's HDF5, a folder: one kind of error, which names the file."""
    foreign = tmp_path / "foreign.nc"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
    (tmp_path / "empty.nc").touch()
    (tmp_path / "text.nc").write_text("tau,lambda\n")
    (tmp_path / "folder.nc").mkdir()

    for name in ("missing.nc", "empty.nc", "text.nc", "foreign.nc", "folder.nc"):
        for read in (read_attrs, lambda path: verify(path, POINT)):
            with pytest.raises(ResultInvalid, match=name):
                read(tmp_path / name)


def test_a_result_of_a_later_format_is_refused(tmp_path):
    """Guessing at a newer file would be worse than saying so."""
    path = write(tmp_path / "model.nc")
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 2

    with pytest.raises(ResultInvalid, match="format 2"):
        read_attrs(path)


def test_a_torn_result_is_refused_at_any_length(tmp_path):
    """As a kill during the write leaves it."""
    whole = write(tmp_path / "model.nc").read_bytes()
    torn = tmp_path / "torn.nc"

    for length in range(0, len(whole) - 1, len(whole) // 200):
        torn.write_bytes(whole[:length])
        with pytest.raises(ResultInvalid):
            verify(torn, POINT)


def test_bytes_of_the_draws_that_changed_on_disk_are_noticed(tmp_path):
    """Every variable carries HDF5's checksum."""
    path = write(tmp_path / "model.nc")
    whole = path.read_bytes()
    with h5py.File(path, "r") as file:
        chunk = file["posterior/tau"].id.get_chunk_info(0)
    rng = random.Random(1)

    for _ in range(50):
        damaged = bytearray(whole)
        damaged[chunk.byte_offset + rng.randrange(chunk.size)] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(ResultInvalid):
            verify(path, POINT)


def test_one_flipped_bit_anywhere_changes_no_number_unnoticed(tmp_path):
    """The file's structures and texts have checksums too: either the damage is noticed, or it hit unused space."""
    path = write(tmp_path / "model.nc")
    whole = path.read_bytes()
    attrs = read_attrs(path)
    rng = random.Random(2)
    noticed = 0

    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            assert verify(path, POINT) == attrs
        except ResultInvalid:
            noticed += 1
            continue
        with h5py.File(path, "r") as file:
            for name, draws in a_posterior().draws.items():
                assert file[f"posterior/{name}"][0].tobytes() == draws.tobytes()

    assert noticed > 100


def test_a_result_replaces_what_an_earlier_try_left(tmp_path):
    """A staged file of the same name is started afresh."""
    path = tmp_path / "model.nc"
    path.write_bytes(b"half a result")

    assert verify(write(path), POINT)


def test_axes_that_do_not_fit_the_model_are_a_bug_that_is_said_at_once(tmp_path):
    """Not a file with the wrong dims."""
    draws = dict(a_posterior().draws)

    with pytest.raises(ValueError, match="tau"):
        write(tmp_path / "model.nc", a_posterior(draws={**draws, "tau": np.zeros((DRAWS, 2))}))
    with pytest.raises(ValueError, match="changepoint"):
        write(tmp_path / "model.nc", a_posterior(draws={**draws, "a_tau": np.zeros((DRAWS, 7))}))
