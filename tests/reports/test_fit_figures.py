"""Pictures of every kind of result: drawn without a warning, with units on their axes."""

from __future__ import annotations

import re
import warnings
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest

from pytau_hpc import plotting
from pytau_hpc.analysis.handler import ResultHandler
from pytau_hpc.errors import UserError
from pytau_hpc.utils import plotting as pytaus
from tests.analysis.made import NEURONS, STATES, TRIALS, a_binned_result, a_result


@pytest.fixture(autouse=True)
def _strict():
    """No window; a warning (a layout that collapses, a mean of nothing) is an error."""
    before = mpl.get_backend()
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with warnings.catch_warnings():
        warnings.simplefilter("error", category=UserWarning)
        warnings.simplefilter("error", category=RuntimeWarning)
        yield
    plt.close("all")
    mpl.use(before)


@pytest.fixture
def result(study):
    return ResultHandler(a_result(study).path)


@pytest.fixture
def series(study, rng):
    data = np.concatenate([rng.poisson(2, 30), rng.poisson(8, 20)])
    draws = {"tau": rng.normal(29.5, 0.5, (40, 1)), "lambda": np.tile([2.0, 8.0], (40, 1))}
    return ResultHandler(a_binned_result(study, "poisson_changepoint_1d", data, draws))


def drawn(figure):
    """With the layout done, which is where pictures that do not fit complain."""
    figure.draw_without_rendering()
    return figure


def labels(axes):
    return axes.get_xlabel(), axes.get_ylabel()


def test_a_fit_of_all_tastes_of_which_there_is_one_is_drawn_like_any_other(study):
    """Nobody has to choose the only one."""
    result = ResultHandler(a_result(study, taste="all", tastes=1).path)

    for draw in (plotting.plot_overview, plotting.plot_state_rates, plotting.plot_aligned):
        figure, _ = draw(result)
        drawn(figure)


def test_an_overview_shows_states_changepoints_rates_and_elbo(result):
    figure, axes = plotting.plot_overview(result)

    drawn(figure)
    assert axes[0, 0].get_ylabel() == "trial"
    assert labels(axes[1, 0]) == ("time in the trial (ms)", "trials per 50 ms")
    assert labels(axes[0, 1]) == ("state", "neuron")
    assert labels(axes[1, 1]) == ("iteration", "ELBO (nats)")


def test_a_raster_has_every_spike_of_the_recording_in_its_trial(result):
    figure, axes = plotting.plot_raster(result, truth=result.changepoints()["mean"].to_numpy())

    drawn(figure)
    assert labels(axes) == ("time in the trial (ms)", f"trial ({NEURONS} neurons each)")
    ticks = [len(lines.get_segments()) for lines in axes.collections]
    assert ticks[0] == result.firing.raw_spikes.sum()
    assert ticks[1:] == [STATES - 1] * TRIALS


def test_a_raster_without_the_recording_shows_what_the_model_saw(result, study):
    (study / "data").rename(study / "moved")

    figure, axes = plotting.plot_raster(result)

    drawn(figure)
    assert len(axes.images) == 2


def test_rates_and_alignment_have_units(result):
    figure, axes = plotting.plot_state_rates(result)
    assert labels(drawn(figure).axes[0]) == ("neuron", "rate (Hz)")
    figure, axes = plotting.plot_aligned(result, 100)
    drawn(figure)
    assert axes.shape == (STATES - 1,)
    assert axes[0].get_xlabel() == "from the changepoint (ms)"
    assert figure.axes[-1].get_ylabel() == "rate − its mean (Hz)"


def test_a_series_is_drawn_as_a_line_over_its_states(series):
    figure, axes = plotting.plot_raster(series)
    drawn(figure)
    assert labels(axes) == ("bin", "count per bin")
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), series.processed_spikes)
    for plot in (plotting.plot_overview, plotting.plot_state_rates, plotting.plot_aligned):
        drawn(plot(series)[0])
    figure, axes = plotting.plot_changepoints(series)
    assert labels(drawn(figure).axes[0]) == ("bin", "probability per bin")


def test_many_dimensions_of_one_trial_are_a_picture_and_not_lines(study, rng):
    """Ten series that change together; their changepoints are drawn once."""
    data = np.concatenate([rng.normal(0, 1, (10, 30)), rng.normal(5, 1, (10, 30))], axis=1)
    draws = {
        "tau": rng.normal(29.5, 0.5, (40, 1)),
        "mu": np.tile([0.0, 5.0], (40, 10, 1)),
    }
    result = ResultHandler(a_binned_result(study, "gaussian_changepoint_mean_2d", data, draws))

    figure, axes = plotting.plot_overview(result)
    drawn(figure)
    assert len(axes[0, 0].collections[1].get_offsets()) == 1
    assert labels(axes[0, 1]) == ("state", "dimension")
    figure, axes = plotting.plot_raster(result)
    assert drawn(figure).axes[0].get_ylabel() == "trial (10 dimensions each)"


def test_categories_are_rows_of_their_trials(study, rng):
    """Category 7 is the third that occurs."""
    data = rng.choice([0, 1, 7], (4, 30))
    draws = {"tau": rng.normal(14.5, 1, (40, 4, 1)), "p": rng.dirichlet([2, 2, 2], (40, 2))}
    result = ResultHandler(a_binned_result(study, "categorical_changepoint_2d", data, draws))

    figure, axes = plotting.plot_raster(result)
    assert labels(drawn(figure).axes[0]) == ("bin", "trial (3 categories each)")
    figure, axes = plotting.plot_overview(result)
    drawn(figure)
    assert labels(axes[0, 1]) == ("category", "probability")


def test_a_changepoint_past_the_last_bin_is_counted_in_it(study, rng):
    """A state that a Dirichlet model does not need begins there."""
    draws = {"tau": np.full((40, 3, 1), 19.9), "lambda": np.ones((40, 2, 2))}
    data = rng.poisson(1, (3, 2, 20))
    result = ResultHandler(a_binned_result(study, "single_taste_poisson_dirichlet", data, draws))

    _, axes = plotting.plot_changepoints(result)

    values, edges, _ = axes.patches[0].get_data()
    assert edges[-1] == 20
    assert values[-1] == 3


def test_a_fit_without_draws_of_its_states_and_that_did_not_converge_says_so(series):
    import dataclasses

    quality = {**series.quality, "converged": False}
    series.fitted = dataclasses.replace(series.fitted, states={}, quality=quality)

    figure, axes = plotting.plot_overview(series)

    drawn(figure)
    assert "kept no draws" in axes[0, 1].texts[0].get_text()
    assert figure.get_suptitle().endswith("not converged")


def test_of_several_tastes_the_chosen_one_is_drawn(study):
    result = ResultHandler(a_result(study, taste="all").path)

    with pytest.raises(UserError, match="several tastes"):
        plotting.plot_overview(result)
    for plot in (plotting.plot_overview, plotting.plot_raster, plotting.plot_state_rates):
        figure, _ = plot(result.taste(1))
        drawn(figure)


def test_a_sampler_without_a_loss_still_has_an_overview(result):
    import dataclasses

    result.fitted = dataclasses.replace(result.fitted, loss=None, quality={"elbo": None})

    drawn(plotting.plot_overview(result)[0])
    with pytest.raises(UserError, match="no loss"):
        plotting.plot_elbo(result)


def test_ten_states_have_ten_colours():
    from pytau_hpc.reports.figures import state_colours

    assert len({str(colour) for colour in state_colours(10)}) == 10


def test_pytaus_plots_take_arrays_and_return_as_many_axes_as_pytaus(result):
    """With `bin_ms` in ms and Hz, without in samples."""
    spikes, tau = result.firing.raw_spikes, result.tau.scaled_mode_tau

    figure, axes = pytaus.plot_changepoint_raster(spikes, tau, [400, 1600], bin_ms=1)
    drawn(figure)
    assert axes.shape == (TRIALS,)
    assert axes[-1].get_xlabel() == "time (ms)"
    figure, axes = pytaus.plot_changepoint_overview(tau, [400, 1600])
    drawn(figure)
    assert axes.shape == (2,)
    assert labels(axes[1]) == ("time (samples)", "trials per 50 samples")
    figure, axes = pytaus.plot_aligned_state_firing(spikes, tau, 300, bin_ms=1)
    drawn(figure)
    assert axes.shape == (STATES - 1,)
    figure, axes = pytaus.plot_state_firing_rates(spikes, tau)
    drawn(figure)
    assert axes.shape == (STATES,)


def test_pytaus_plots_take_one_trial_and_one_changepoint(rng):
    """PyTau's fail where there is only one of them."""
    spikes = rng.poisson(0.1, (1, 3, 200))
    tau = np.array([[90]])

    for plot in (pytaus.plot_changepoint_raster, pytaus.plot_state_firing_rates):
        drawn(plot(spikes, tau)[0])
    drawn(pytaus.plot_aligned_state_firing(spikes, tau, 50)[0])


@pytest.mark.parametrize("n", [3, 250, 5003])
def test_an_elbo_history_of_any_length_is_drawn(n, rng):
    """PyTau's needs a last part that is a multiple of 100."""
    figure, axes = pytaus.plot_elbo_history(SimpleNamespace(hist=1000 / np.arange(1, n + 1)))

    drawn(figure)
    np.testing.assert_allclose(axes[0].lines[0].get_ydata()[[0, -1]], [-1000, -1000 / n])


def test_an_elbo_is_shown_whole_and_at_its_end(result):
    figure, (whole, last) = plotting.plot_elbo(result, final_window=0.25)

    drawn(figure)
    assert whole.lines[0].get_xdata().tolist() == (250 * np.arange(1, 13)).tolist()
    assert last.lines[0].get_xdata().tolist() == [2500, 2750, 3000]


def test_a_raster_of_one_trial_is_a_figure_of_its_own(result):
    figure, axes = pytaus.raster(result.firing.raw_spikes[0])

    assert labels(drawn(figure).axes[0]) == ("time (samples)", "neuron")
    assert len(axes.collections[0].get_segments()) == result.firing.raw_spikes[0].sum()


def test_a_raster_can_be_drawn_on_axes_that_are_given(result):
    from matplotlib import pyplot as plt

    _, axes = plt.subplots()

    figure, same = pytaus.raster(result.firing.raw_spikes[0], ax=axes, color="red")

    assert figure is None
    assert same is axes


@pytest.mark.parametrize(
    ("plot", "shape", "message"),
    [
        (pytaus.raster, (2, 3, 50), "must have shape (neuron, sample), not (2, 3, 50): choose a"),
        (pytaus.plot_changepoint_raster, (2, 2, 3, 50), "not (2, 2, 3, 50): choose a taste"),
        (pytaus.plot_aligned_state_firing, (2, 2, 3, 50), "not (2, 2, 3, 50): choose a taste"),
        (pytaus.plot_state_firing_rates, (3, 50), "shape (trial, neuron, bin), not (3, 50)"),
    ],
)
def test_spikes_of_another_shape_are_refused_with_the_shape_they_should_have(plot, shape, message):
    tau = [np.full((2, 1), 20)] if plot is not pytaus.raster else []

    with pytest.raises(ValueError, match=re.escape(message)):
        plot(np.ones(shape), *tau)
