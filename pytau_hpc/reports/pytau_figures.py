"""The pictures of PyTau's `utils/plotting`, by its names and arguments: arrays in, (figure, axes) out.

Source of names, arguments and what is shown: `pytau/utils/plotting.py` (github.com/abuzarmahmood/pytau, MIT). Axes
come in arrays of the same length, also where there is only one. `bin_ms` is ours: with it times are in ms and rates in
Hz; without it they are in samples, since an array does not say how long a sample is. Arrays of other shapes than those
named are a ValueError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytau_hpc.analysis.activity import check_dims, get_state_firing, get_transition_snips
from pytau_hpc.analysis.significance import (
    calc_significant_neurons_firing,
    calc_significant_neurons_snippets,
)
from pytau_hpc.reports import fit_axes, neuron_axes
from pytau_hpc.reports.figures import state_colours
from pytau_hpc.reports.fit_figures import aligned_figure, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


#: Widths of bars, in samples.
_BARS = [factor * 10**power for power in range(9) for factor in (1, 2, 5)]


def plot_elbo_history(fit_model: Any, final_window: float = 0.05) -> tuple[Figure, np.ndarray]:
    """ELBO over the iterations, and over their last part with a running mean.

    Parameters
    ----------
    fit_model : anything with `hist`, the loss of each iteration (and `iteration`, where not each was recorded)
    final_window : how much of the way is the last part
    """
    hist = np.asarray(fit_model.hist, dtype=float)
    given = getattr(fit_model, "iteration", None)
    iteration = np.arange(1, len(hist) + 1) if given is None else np.asarray(given)
    # A few points say nothing of whether the line is flat.
    first = max(0, min(int(len(hist) * (1 - final_window)), len(hist) - 10))
    figure, [axes] = subplots(1, 2, figsize=(10, 3.4))
    neuron_axes.elbo(axes[0], iteration, hist)
    neuron_axes.elbo(axes[1], iteration[first:], hist[first:])
    last = hist[first:]
    n = min(100, len(last) // 3)
    if n > 3:
        whole = len(last) // n * n
        axes[1].plot(
            iteration[first : first + whole].reshape(-1, n).mean(axis=-1),
            -last[:whole].reshape(-1, n).mean(axis=-1),
            color="black",
            linewidth=1.4,
            label=f"mean of {n}",
        )
        axes[1].legend(frameon=False, fontsize=8)
    axes[1].set_title(f"from iteration {iteration[first]:,} on", loc="left", fontsize=9)
    return figure, axes


def raster(
    spike_array: np.ndarray, ax: Axes | None = None, color: Any = "k", alpha: float = 0.5
) -> tuple[Figure | None, Axes]:
    """A tick for each spike of one trial.

    Parameters
    ----------
    spike_array : shape (neuron, sample)
    ax : where to draw; a new figure where not given (else the figure that is returned is None)
    """
    check_dims("spike_array", spike_array, "neuron", "sample")
    figure = None
    if ax is None:
        figure, [[ax]] = subplots(1, 1, figsize=(10, 3.4))
        ax.set(xlabel="time (samples)", ylabel="neuron")
    n_neurons, n_samples = spike_array.shape
    fit_axes.spikes(ax, spike_array, np.arange(n_samples), color=color, alpha=alpha)
    ax.set_xlim(0, n_samples)
    fit_axes.whole_numbers(ax, "y", n_neurons)
    return figure, ax


def plot_changepoint_raster(
    spike_array: np.ndarray,
    tau: np.ndarray,
    plot_lims: Any = None,
    *,
    bin_ms: float | None = None,
) -> tuple[Figure, np.ndarray]:
    """One raster per trial, states coloured, changepoints as lines.

    Parameters
    ----------
    spike_array : shape (trial, neuron, sample)
    tau : shape (trial, changepoint), in samples
    plot_lims : from and to, in samples
    """
    check_dims("spike_array", spike_array, "trial", "neuron", "sample")
    check_dims("tau", tau, "trial", "changepoint")
    n_trials, n_neurons, n_samples = spike_array.shape
    step, label = _times(bin_ms)
    lims = (0, n_samples) if plot_lims is None else tuple(plot_lims)
    figure, axes = subplots(
        n_trials,
        1,
        figsize=(10, 0.8 + n_trials * min(2.0, 0.35 + 0.02 * n_neurons)),
        sharex=True,
        sharey=True,
    )
    axes = axes[:, 0]
    colours = state_colours(tau.shape[1] + 1)
    for trial, each in enumerate(axes):
        edges = [0, *tau[trial], n_samples]
        for state, colour in enumerate(colours):
            each.axvspan(
                step * edges[state], step * edges[state + 1], color=colour, alpha=0.3, linewidth=0
            )
        for changepoint in tau[trial]:
            each.axvline(step * changepoint, color="black", linewidth=1.2, linestyle="--")
        fit_axes.spikes(each, spike_array[trial], step * np.arange(n_samples))
        each.set_xlim(step * lims[0], step * lims[1])
        each.text(1.005, 0.5, f"trial {trial}", va="center", fontsize=8, transform=each.transAxes)
        each.tick_params(labelsize=7)
        fit_axes.bare(each)
    axes[-1].set_xlabel(label)
    axes[-1].set_ylabel("neuron", fontsize=8)
    axes[-1].set_yticks([0, n_neurons - 1] if n_neurons > 1 else [0])
    fit_axes.state_legend(axes[0], tau.shape[1] + 1)
    return figure, axes


def plot_changepoint_overview(
    tau: np.ndarray, plot_lims: Any, *, bin_ms: float | None = None
) -> tuple[Figure, np.ndarray]:
    """States of every trial, and histograms of the changepoints.

    Parameters
    ----------
    tau : shape (trial, changepoint), in samples
    plot_lims : from and to, in samples
    """
    check_dims("tau", tau, "trial", "changepoint")
    n_trials, n_changepoints = tau.shape
    step, label = _times(bin_ms)
    first, end = (int(limit) for limit in plot_lims)
    figure, axes = subplots(
        2,
        1,
        figsize=(9, min(12, 4.4 + 0.12 * n_trials)),
        sharex=True,
        height_ratios=[max(1.0, min(2.5, n_trials / 12)), 1],
    )
    axes = axes[:, 0]
    state = (np.arange(first, end) >= tau[..., np.newaxis]).sum(axis=1)  # (trial, sample)
    probability = (state[:, np.newaxis] == np.arange(n_changepoints + 1)[:, np.newaxis]).astype(
        float
    )
    fit_axes.states_by_trial(axes[0], probability, step * np.arange(first, end + 1))
    fit_axes.state_legend(axes[0], n_changepoints + 1)
    wide = next(bar for bar in _BARS if (end - first) / bar <= 50)
    bars = step * np.arange(first, end + wide, wide)
    unit = "ms" if bin_ms else "samples"
    fit_axes.changepoint_histograms(axes[1], step * tau[np.newaxis], bars, unit=unit)
    axes[1].set_xlabel(label)
    return figure, axes


def plot_aligned_state_firing(
    spike_array: np.ndarray,
    tau: np.ndarray,
    window_radius: int = 300,
    *,
    bin_ms: float | None = None,
) -> tuple[Figure, np.ndarray]:
    """What every neuron does around each changepoint; a dot where before and after differ.

    Parameters
    ----------
    spike_array : shape (trial, neuron, sample)
    tau : int array, shape (trial, changepoint), in samples
    window_radius : samples before and after

    Raises
    ------
    ValueError : a window leaves the data
    """
    snips = get_transition_snips(spike_array, tau, window_radius)
    _, significant = calc_significant_neurons_snippets(snips)
    figure, axes = aligned_figure(
        snips,
        significant,
        step=bin_ms or 1.0,
        unit="ms" if bin_ms else "samples",
        rows="neuron",
    )
    for changepoint, each in enumerate(axes):
        each.set_title(f"state {changepoint} → {changepoint + 1}", fontsize=9)
    figure.suptitle(
        "dots: before and after differ (paired t-test, p < 0.05, not corrected)",
        fontsize=9,
        x=0.01,
        ha="left",
    )
    return figure, axes


def plot_state_firing_rates(
    spike_array: np.ndarray, tau: np.ndarray, *, bin_ms: float | None = None
) -> tuple[Figure, np.ndarray]:
    """Mean and standard deviation over trials of each neuron, one row of bars per state; stars where states differ.

    Parameters
    ----------
    spike_array : shape (trial, neuron, sample)
    tau : shape (trial, changepoint), in samples
    """
    firing = get_state_firing(spike_array, tau)
    _, significant = calc_significant_neurons_firing(firing)
    factor = 1000 / bin_ms if bin_ms else 1.0
    mean, sd = factor * firing.mean(axis=0), factor * firing.std(axis=0)
    _, n_states, n_neurons = firing.shape
    figure, axes = subplots(
        n_states,
        1,
        figsize=(min(14, max(5, 2 + 0.3 * n_neurons)), 0.8 + 1.6 * n_states),
        sharex=True,
        sharey=True,
    )
    axes = axes[:, 0]
    for state, (each, colour) in enumerate(zip(axes, state_colours(n_states), strict=True)):
        each.bar(
            np.arange(n_neurons),
            mean[state],
            # A rate is not negative, and neither is its error bar.
            yerr=[np.minimum(sd[state], mean[state]), sd[state]],
            color=colour,
            capsize=2,
            error_kw={"linewidth": 0.8},
        )
        for neuron in significant:
            each.annotate(
                "*",
                (neuron, mean[state, neuron] + sd[state, neuron]),
                ha="center",
                va="bottom",
                fontsize=9,
            )
        each.text(1.01, 0.5, f"state {state}", rotation=270, va="center", transform=each.transAxes)
        fit_axes.bare(each)
    axes[-1].set(xlabel="neuron", xlim=(-0.7, n_neurons - 0.3))
    axes[0].margins(y=0.15)
    fit_axes.whole_numbers(axes[-1], "x", n_neurons)
    figure.supylabel("rate (Hz)" if bin_ms else "count per sample", fontsize=9)
    figure.suptitle(
        "mean and SD over trials\n* differs between states (ANOVA, p < 0.05, Bonferroni)",
        fontsize=9,
        x=0.01,
        ha="left",
    )
    return figure, axes


def _times(bin_ms: float | None) -> tuple[float, str]:
    return (1.0, "time (samples)") if bin_ms is None else (float(bin_ms), "time (ms)")
