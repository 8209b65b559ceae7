"""Simulated sessions have the truth they claim."""

from __future__ import annotations

import numpy as np
import pytest

from pytau_hpc.data import READERS
from pytau_hpc.data.load import located
from pytau_hpc.data.recording import array_digest
from pytau_hpc.data.synthetic import simulate, write_blech_session
from pytau_hpc.data.synthetic_reader import truth_of
from pytau_hpc.sweep.point import Selection

SYNTHETIC = READERS["synthetic"]
NAME = "AN01_demo_260101_101500"


def simulated(seed=0, n_tastes=1, **changes):
    asked = {"trials": 200, "neurons": 4, "n_states": 3, "duration_ms": 900}
    rngs = [np.random.default_rng([seed, taste]) for taste in range(n_tastes)]
    return simulate(rngs, **(asked | changes))


def test_spikes_come_at_the_rate_of_their_state():
    """Counted state by state between the true changepoints."""
    result = simulated()
    changepoints = result.truth.changepoints_ms[0]
    edges = np.hstack([np.zeros((200, 1), int), changepoints, np.full((200, 1), 900)])

    for state in range(3):
        spans = list(zip(edges[:, state], edges[:, state + 1], strict=True))
        counts = sum(
            result.spikes[0, trial, :, a:b].sum(axis=-1) for trial, (a, b) in enumerate(spans)
        )
        expected = result.truth.rates_hz[0, :, state] / 1000 * sum(b - a for a, b in spans)
        # Five standard deviations of a Poisson count.
        np.testing.assert_array_less(np.abs(counts - expected), 5 * np.sqrt(expected) + 1)


def test_a_changepoint_is_the_first_sample_of_the_next_state():
    """Not one sample off: over many trials the rate of that sample is the next state's."""
    result = simulated(trials=4000, neurons=6, n_states=2, duration_ms=40)
    changepoints = result.truth.changepoints_ms[0, :, 0]
    rates = result.truth.rates_hz[0]
    steepest = np.argmax(np.abs(rates[:, 1] - rates[:, 0]))
    trials = np.arange(4000)

    for offset, state in ((-1, 0), (0, 1)):
        rate = 1000 * result.spikes[0, trials, steepest, changepoints + offset].mean()
        assert abs(rate - rates[steepest, state]) < abs(rate - rates[steepest, 1 - state])


def test_changepoints_are_sorted_and_differ_between_trials():
    """And lie inside the window, with room for each state."""
    changepoints = simulated(window_ms=(200, 800)).truth.changepoints_ms[0]

    assert (np.diff(changepoints, axis=1) > 50).all()
    assert changepoints.min() > 200
    assert changepoints.max() < 800
    assert len(np.unique(changepoints[:, 0])) > 50


def test_outside_the_window_the_first_and_the_last_state_go_on():
    """As before a stimulus and after it."""
    result = simulated(trials=500, window_ms=(400, 500), n_states=2)
    rates = result.spikes[0].mean(axis=0) * 1000

    np.testing.assert_allclose(
        rates[:, :400].mean(axis=1), result.truth.rates_hz[0, :, 0], rtol=0.2, atol=0.7
    )
    np.testing.assert_allclose(
        rates[:, 500:].mean(axis=1), result.truth.rates_hz[0, :, 1], rtol=0.2, atol=0.7
    )


def test_one_state_has_no_changepoints():
    """The null model can be simulated too."""
    assert simulated(n_states=1).truth.changepoints_ms.shape == (1, 200, 0)


@pytest.mark.parametrize(
    "changes", [{"n_states": 901}, {"window_ms": (500, 1000)}, {"window_ms": (500, 500)}]
)
def test_states_must_fit_into_the_window(changes):
    """A wrong call is an error, not a strange session."""
    with pytest.raises(ValueError, match="do not fit"):
        simulated(**changes)


def test_the_simulation_is_pinned():
    """The same seed gives the same spikes under every numpy: digests of sweeps depend on it."""
    assert array_digest(simulated(trials=3, n_tastes=2).spikes) == PINNED


PINNED = "sha256:201c8ed0f76e87d8b9eeb911894dd7a17a4fa61110a83af5fac6b6bf5b8a334a"


def test_a_taste_can_be_simulated_without_the_others():
    """Its numbers are its own."""
    both = simulated(trials=3, n_tastes=2)
    second = simulate(
        [np.random.default_rng([0, 1])], trials=3, neurons=4, n_states=3, duration_ms=900
    )

    np.testing.assert_array_equal(both.spikes[1], second.spikes[0])


def test_what_is_written_is_what_was_returned(tmp_path):
    """Mean counts in the file follow the truth that the writer returned."""
    truth = write_blech_session(
        tmp_path / NAME,
        seed=1,
        tastes=["salt", "sweet"],
        trials=100,
        regions={"gc": 2, "bla": 3},
        n_states=2,
    )
    reader = READERS["blech_hdf5"]
    [session] = reader.sessions([NAME], tmp_path)
    recording = reader.read(located(session, tmp_path), Selection(taste="sweet", region="bla"))

    assert recording.array.shape == (100, 3, 4500)
    assert truth.changepoints_ms.shape == (2, 100, 1)
    np.testing.assert_allclose(
        recording.array[..., :2000].mean(axis=(0, 2)) * 1000, truth.rates_hz[1, 2:, 0], rtol=0.1
    )


def test_writing_twice_gives_the_same_spikes(tmp_path):
    """A seed is a session; another seed is another."""
    reader = READERS["blech_hdf5"]
    digests = []
    for index, seed in enumerate([1, 1, 2]):
        write_blech_session(tmp_path / f"AN{index}_x", seed=seed, tastes=1, trials=2)
    for session in reader.sessions(["*"], tmp_path):
        digests.append(array_digest(reader.read(located(session, tmp_path), Selection()).array))

    assert digests[0] == digests[1] != digests[2]


def test_a_session_is_never_overwritten(tmp_path):
    """It might be real."""
    write_blech_session(tmp_path / NAME, seed=1, tastes=1, trials=2)

    with pytest.raises(FileExistsError):
        write_blech_session(tmp_path / NAME, seed=2, tastes=1, trials=2)


def test_synthetic_sessions_belong_to_two_animals(tmp_path):
    """Day after day."""
    names = [session.name for session in SYNTHETIC.sessions([], tmp_path, {"sessions": 4})]

    assert names == [
        "SYN1_synthetic_260101_000000",
        "SYN1_synthetic_260102_000000",
        "SYN2_synthetic_260101_000000",
        "SYN2_synthetic_260102_000000",
    ]


def test_synthetic_sessions_differ_and_keep_when_more_are_asked_for(tmp_path):
    """A grown sweep reuses its results."""
    small = {"tastes": 2, "trials": 2, "neurons": 2}

    def digests(n):
        options = {"sessions": n, **small}
        return {
            (session.name, taste): array_digest(
                SYNTHETIC.read(session, Selection(taste=taste), options).array
            )
            for session in SYNTHETIC.sessions([], tmp_path, options)
            for taste in range(2)
        }

    few, many = digests(2), digests(3)

    assert len(set(many.values())) == 6
    assert few.items() <= many.items()


def test_the_truth_of_a_synthetic_session_is_known(tmp_path):
    """One changepoint less than states, for every trial of every taste."""
    options = SYNTHETIC.resolve({"tastes": 2, "trials": 5, "n_states": 4})
    [session, _] = SYNTHETIC.sessions([], tmp_path, options)

    truth = truth_of(session, options)

    assert truth.changepoints_ms.shape == (2, 5, 3)
    assert truth.rates_hz.shape == (2, 10, 4)


def test_all_neurons_of_a_synthetic_session_are_in_gc(tmp_path):
    """So that a spec for real data runs on it."""
    [session, _] = SYNTHETIC.sessions([], tmp_path, {"trials": 2})

    gc = SYNTHETIC.read(session, Selection(region="gc"), {"trials": 2})

    np.testing.assert_array_equal(
        gc.array, SYNTHETIC.read(session, Selection(), {"trials": 2}).array
    )
