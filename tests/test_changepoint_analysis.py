"""The door for PyTau's users: names and arguments that they know, results of ours behind them."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest

from pytau_hpc import changepoint_analysis as door
from pytau_hpc.analysis.pytau_pickle import pytau_dict, write_pytau
from pytau_hpc.changepoint_analysis import PklHandler
from pytau_hpc.errors import BadData, UserError
from tests.analysis.made import (
    BIN_MS,
    NAME,
    NEURONS,
    STATES,
    TRIALS,
    WINDOW,
    a_result,
    a_session,
)


class Exploit:
    """A pickle of this runs code; see `test_a_pickle_is_never_opened_unasked`."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def test_functions_take_pytaus_arguments():
    """By position and by name."""
    wanted = {
        "get_transition_snips": ["spike_array", "tau_array", "window_radius"],
        "get_state_snippets": ["spike_array", "tau_array"],
        "get_state_firing": ["spike_array", "tau_array"],
        "calc_significant_neurons_firing": ["state_firing", "p_val"],
        "calc_significant_neurons_snippets": ["transition_snips", "p_val"],
        "_tau": ["tau_array", "metadata", "n_trials"],
        "_firing": ["tau_instance", "processed_spikes", "metadata"],
        "PklHandler": ["file_path"],
    }

    found = {name: list(inspect.signature(getattr(door, name)).parameters) for name in wanted}

    assert found == wanted


def test_pkl_handler_opens_a_result(study):
    """The loop that PyTau's users have: path in, modes in ms and firing out."""
    made = a_result(study)

    handler = PklHandler(made.path)

    assert handler.dir_name == str(made.path.parent)
    assert handler.file_name_base == made.path.stem
    true = made.truth.changepoints_ms[1]
    # PyTau's convention: half a bin early.
    np.testing.assert_allclose(handler.tau.scaled_mode_tau, true - BIN_MS / 2, atol=60)
    assert handler.firing.state_firing.shape == (TRIALS, STATES, NEURONS)


def test_pytaus_own_classes_take_its_metadata(study):
    """Spikes are read from where the metadata say, and cut around the modes."""
    made = a_result(study)
    metadata = {
        "preprocess": {"time_lims": list(WINDOW), "bin_width": BIN_MS},
        "data": {
            "data_dir": str(study / made.point.session.path),
            "taste_num": 1,
            "region_name": "gc",
        },
    }

    tau = door._tau(made.posterior.draws["tau"], metadata)
    firing = door._firing(tau, made.data, metadata)

    handler = PklHandler(made.path)
    np.testing.assert_array_equal(tau.scaled_mode_tau, handler.tau.scaled_mode_tau)
    np.testing.assert_array_equal(firing.transition_snips, handler.firing.transition_snips)


def test_a_pickle_is_never_opened_unasked(tmp_path):
    """Opening it is running it."""
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Exploit()))

    for path in (tmp_path / "model.pkl", tmp_path / "model"):
        with pytest.raises(UserError, match="is a pickle") as error:
            PklHandler(path)
        assert "from_trusted_pickle" in (error.value.help or "")


@pytest.mark.parametrize("flat", [False, True])
def test_a_pickle_of_ones_own_is_opened_on_request(study, flat):
    """What PyTau saves, with the spikes where its metadata say; since PyMC 5 without an axis of trials."""
    made = a_result(study)
    file = study / "pytau.pkl"
    tau = made.posterior.draws["tau"]
    contents = {
        "model_data": {
            "model": None,
            "approx": None,
            "lambda": made.posterior.draws["lambda"].swapaxes(0, 1),
            "tau": tau.reshape(-1, tau.shape[-1]) if flat else tau,
            "data": made.data,
        },
        "metadata": {
            "preprocess": {"time_lims": list(WINDOW), "bin_width": BIN_MS},
            "data": {
                "data_dir": str(study / made.point.session.path),
                "taste_num": 1,
                "region_name": "gc",
            },
        },
    }
    file.write_bytes(pickle.dumps(contents))

    theirs, ours = PklHandler.from_trusted_pickle(file), PklHandler(made.path)

    np.testing.assert_array_equal(theirs.tau.scaled_mode_tau, ours.tau.scaled_mode_tau)
    np.testing.assert_array_equal(theirs.firing.transition_snips, ours.firing.transition_snips)
    np.testing.assert_array_equal(theirs.firing.state_firing, ours.firing.state_firing)
    np.testing.assert_allclose(theirs.rates()["mean"], ours.rates()["mean"])
    assert theirs.data["metadata"] == contents["metadata"]


def metadata_of(study, **data):
    return {
        "preprocess": {"time_lims": list(WINDOW), "bin_width": BIN_MS},
        "data": {
            "data_dir": str(study / "data" / NAME),
            "taste_num": 1,
            "region_name": "gc",
            "laser_type": None,
            **data,
        },
    }


@pytest.mark.parametrize(("laser", "trials"), [("on", [1, 3, 5]), ("off", [0, 2, 4]), (None, ...)])
def test_the_spikes_behind_a_pickle_are_those_of_its_laser(study, laser, trials):
    """Three of six trials are with laser; a fit of them is aligned to the spikes of the same three."""
    a_session(study, laser_trials=3)
    every = door.raw_of_folder(metadata_of(study)["data"]).activity
    metadata = metadata_of(study, laser_type=laser)
    n_trials = len(every[trials])
    tau = np.full((4, n_trials, 2), [6.2, 13.1])
    counts = np.ones((n_trials, NEURONS, 20))
    (study / "lit.pkl").write_bytes(
        pickle.dumps({"model_data": {"tau": tau, "data": counts}, "metadata": metadata})
    )

    of_pickle = PklHandler.from_trusted_pickle(study / "lit.pkl").firing
    of_door = door._firing(door._tau(tau, metadata), counts, metadata)

    np.testing.assert_array_equal(of_pickle.raw_spikes, every[trials])
    np.testing.assert_array_equal(of_door.raw_spikes, every[trials])
    assert of_pickle.transition_snips.shape == (n_trials, NEURONS, 600, 2)


def test_spikes_of_more_trials_than_were_fitted_are_refused(study):
    """They would be aligned to changepoints of other trials."""
    a_session(study)
    metadata = metadata_of(study)
    firing = door._firing(door._tau(np.ones((4, 3, 2)), metadata), np.ones((3, 5, 20)), metadata)

    with pytest.raises(BadData, match="6 trials of taste 1, laser None; the fit has 3 trials"):
        _ = firing.transition_snips


@pytest.mark.parametrize("taste", [1, np.int64(1), "1", "nacl"])
@pytest.mark.parametrize("region", ["GC", "gc", "Gc"])
def test_a_taste_and_a_region_may_be_written_in_any_way_that_has_one_meaning(study, taste, region):
    """PyTau does not mind upper and lower case; results of ours may have been selected by a taste's name."""
    made = a_result(study, region="GC")

    raw = door.raw_of_folder(metadata_of(study, taste_num=taste, region_name=region)["data"])

    np.testing.assert_array_equal(raw.activity, PklHandler(made.path).firing.raw_spikes)


def test_a_pickle_of_ours_can_be_analysed(study):
    """Selected by the taste's name and in a region in capitals; PyTau reads the index."""
    ours = PklHandler(a_result(study, taste="nacl", region="GC").path)
    contents = pytau_dict(ours, None, str(study / "data" / NAME))
    write_pytau(contents, study / "ours.pkl")

    theirs = PklHandler.from_trusted_pickle(study / "ours.pkl")

    assert contents["metadata"]["data"]["taste_num"] == 1
    np.testing.assert_array_equal(theirs.firing.transition_snips, ours.firing.transition_snips)


@pytest.mark.parametrize("contents", [{}, {"metadata": {}, "model_data": {"tau": 1}}, [1]])
def test_a_pickle_of_something_else_is_said_to_be_that(tmp_path, contents):
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(contents))

    with pytest.raises(UserError, match="does not hold what PyTau saves"):
        PklHandler.from_trusted_pickle(file)


@pytest.mark.parametrize("flat", [False, True])
def test_a_pickle_of_several_tastes_has_their_trials_one_after_the_other(study, flat):
    """PyTau's changepoints of all tastes have one axis for both; here each taste has its own."""
    tau = np.random.default_rng(5).uniform(0, 19, (7, 2 * 6, 2))
    contents = {
        "model_data": {"tau": tau.reshape(-1, 2) if flat else tau, "data": np.ones((2, 6, 3, 20))},
        "metadata": {
            "preprocess": {"time_lims": [500, 1500], "bin_width": 50},
            "model": {"samples": 7},
        },
    }
    (study / "all.pkl").write_bytes(pickle.dumps(contents))

    handler = PklHandler.from_trusted_pickle(study / "all.pkl")

    np.testing.assert_array_equal(handler.tau_array, tau.reshape(7, 2, 6, 2))
    assert handler.taste(1).tau.raw_mode_tau.shape == (6, 2)


def test_a_pickle_whose_changepoints_are_of_other_data_is_refused(study):
    """13 rows of changepoints are not those of 2 tastes with 6 trials each."""
    contents = {
        "model_data": {"tau": np.zeros((7, 13, 2)), "data": np.ones((2, 6, 3, 20))},
        "metadata": {"preprocess": {"time_lims": [500, 1500], "bin_width": 50}},
    }
    (study / "odd.pkl").write_bytes(pickle.dumps(contents))

    with pytest.raises(UserError, match="are not of data of shape"):
        PklHandler.from_trusted_pickle(study / "odd.pkl")


def test_what_pytau_saves_of_a_gaussian_model_is_not_taken_for_changepoints(study):
    """Its five names are given to six things: `lambda` is mu, `tau` is sigma, `data` is tau."""
    n_draws, n_dims, n_states = 7, 4, 3
    contents = {
        "model_data": {
            "lambda": np.zeros((n_dims, n_draws, n_states)),
            "tau": np.ones((n_dims, n_draws, n_states)),
            "data": np.zeros((n_draws, n_states - 1)),
        },
        "metadata": {
            "preprocess": {"time_lims": [500, 1500], "bin_width": 50},
            "model": {
                "samples": n_draws,
                "model_template_name": "gaussian_changepoint_mean_var_2d",
            },
        },
    }
    (study / "gaussian.pkl").write_bytes(pickle.dumps(contents))

    with pytest.raises(UserError, match="PyTau saves sigma under the name of tau"):
        PklHandler.from_trusted_pickle(study / "gaussian.pkl")


def test_a_file_that_is_no_pickle_is_said_to_be_none(tmp_path):
    (tmp_path / "model.pkl").write_bytes(b"not a pickle")

    with pytest.raises(UserError, match="cannot be unpickled"):
        PklHandler.from_trusted_pickle(tmp_path / "model.pkl")
