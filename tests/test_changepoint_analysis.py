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


def test_a_pickle_is_never_opened_unasked(tmp_path):
    """Opening it is running it."""
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Exploit()))

    for path in (tmp_path / "model.pkl", tmp_path / "model"):
        with pytest.raises(UserError, match="is a pickle") as error:
            PklHandler(path)
        assert "from_trusted_pickle" in (error.value.help or "")


def test_a_pickle_of_ones_own_is_opened_on_request(study):
    """What PyTau saves, with the spikes where its metadata say."""
    made = a_result(study)
    file = study / "pytau.pkl"
    contents = {
        "model_data": {
            "model": None,
            "approx": None,
            "lambda": made.posterior.draws["lambda"],
            "tau": made.posterior.draws["tau"],
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
