"""The door for PyTau's users: names and arguments that they know, results of ours behind them."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest

from pytau_hpc import changepoint_analysis as door
from pytau_hpc.changepoint_analysis import PklHandler
from pytau_hpc.errors import UserError
from tests.analysis.made import BIN_MS, NEURONS, STATES, TRIALS, WINDOW, a_result


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
