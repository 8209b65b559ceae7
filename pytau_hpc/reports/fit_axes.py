"""Parts of pictures of a fit along the trial: spikes, states, changepoints. Each is drawn onto axes that are given.

Plain arrays in. Colours of states are those of `figures.state_colours`; called by `fit_figures` and `pytau_figures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytau_hpc.reports.figures import state_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Spikes and changepoints stay readable on a tint this strong.
_TINT = 0.4
#: So many states have room for words beside their colours.
_FEW = 5


def bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def spikes(
    axes: Axes, activity: np.ndarray, times: np.ndarray, *, color: Any = "black", alpha: float = 1.0
) -> None:
    """A tick for each sample with a spike, one row a neuron, the first at the bottom.

    Parameters
    ----------
    activity : shape (neuron, sample)
    times : of the samples
    """
    neurons, samples = np.nonzero(activity)
    axes.vlines(
        times[samples],
        neurons - 0.42,
        neurons + 0.42,
        color=color,
        alpha=alpha,
        linewidth=0.7,
        zorder=2,
    )
    axes.set_ylim(-0.5, len(activity) - 0.5)


def trial_spikes(axes: Axes, activity: np.ndarray, times: np.ndarray) -> None:
    """A tick for each spike of all trials, trial under trial, each one unit high.

    Parameters
    ----------
    activity : shape (trial, neuron, sample)
    """
    trials, neurons, samples = np.nonzero(activity)
    height = 1 / activity.shape[1]
    top = trials - 0.5 + neurons * height
    axes.vlines(
        times[samples],
        top + 0.1 * height,
        top + 0.9 * height,
        color="black",
        linewidth=0.8,
        zorder=3,
        rasterized=True,
        # Ticks are about a pixel high: snapped to whole pixels, some rows would look twice as bold as others.
        snap=False,
    )


def trial_values(axes: Axes, activity: np.ndarray, edges: np.ndarray) -> None:
    """The higher the value, the darker the bin; trial under trial, each one unit high.

    Parameters
    ----------
    activity : shape (trial, neuron, bin)
    """
    low, high = float(activity.min()), float(activity.max())
    n_trials, n_neurons, n_bins = activity.shape
    picture = np.zeros((n_trials * n_neurons, n_bins, 4))
    picture[..., 3] = 0.75 * (activity.reshape(-1, n_bins) - low) / ((high - low) or 1.0)
    axes.imshow(
        picture,
        aspect="auto",
        interpolation="nearest",
        extent=(edges[0], edges[-1], n_trials - 0.5, -0.5),
        zorder=2,
    )


def series(
    axes: Axes,
    values: np.ndarray,
    probability: np.ndarray,
    edges: np.ndarray,
    level: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
) -> None:
    """One row of data as a line, its states behind it, and what the model says of each state.

    Parameters
    ----------
    values : shape (bin,)
    probability : shape (state, bin)
    level : mean, lower and upper of each state, shape (state,) each
    """
    shown = [values, *(() if level is None else level[1:])]
    low, high = min(map(np.min, shown)), max(map(np.max, shown))
    margin = 0.06 * ((high - low) or 1.0)
    colours = state_colours(len(probability))
    axes.imshow(
        _mixed(probability[np.newaxis]),
        aspect="auto",
        interpolation="nearest",
        extent=(edges[0], edges[-1], low - margin, high + margin),
        origin="lower",
        zorder=0,
    )
    middle = (edges[:-1] + edges[1:]) / 2
    axes.plot(middle, values, color="0.25", linewidth=0.9, marker=".", markersize=3, zorder=2)
    if level is not None:
        for state, colour in enumerate(colours):
            there = np.flatnonzero(probability[state] > 0.5)
            if not len(there):
                continue
            span = [edges[there[0]], edges[there[-1] + 1]]
            axes.fill_between(
                span, level[1][state], level[2][state], color=colour, alpha=0.45, zorder=1, lw=0
            )
            axes.hlines(level[0][state], *span, color=colour, linewidth=2, zorder=3)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(low - margin, high + margin))
    bare(axes)


def states_by_trial(axes: Axes, probability: np.ndarray, edges: np.ndarray) -> None:
    """One row per trial; the colour of a bin is its states' colours mixed as they are probable.

    Parameters
    ----------
    probability : shape (trial, state, bin)
    edges : of the bins
    """
    picture = _mixed(probability)
    axes.imshow(
        picture,
        aspect="auto",
        interpolation="nearest",
        extent=(edges[0], edges[-1], len(picture) - 0.5, -0.5),
        zorder=0,
    )
    axes.set_ylabel("trial")
    whole_numbers(axes, "y", len(picture))
    bare(axes)


def changepoints_by_trial(
    axes: Axes, places: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> None:
    """A dot for each changepoint, a line for its interval, both in a trial's row and a changepoint's share of it.

    Parameters
    ----------
    places, lower, upper : shape (trial, changepoint)
    """
    n_trials, n_changepoints = places.shape
    colours = state_colours(n_changepoints + 1)
    shift = (np.arange(n_changepoints) - (n_changepoints - 1) / 2) * 0.6 / max(1, n_changepoints)
    rows = np.arange(n_trials)[:, np.newaxis] + shift
    for changepoint in range(n_changepoints):
        row, colour = rows[:, changepoint], colours[changepoint + 1]
        axes.hlines(
            row, lower[:, changepoint], upper[:, changepoint], color=colour, linewidth=1.4, zorder=4
        )
        axes.scatter(
            places[:, changepoint],
            row,
            s=16,
            color=colour,
            edgecolors="black",
            linewidths=0.5,
            zorder=5,
        )


def state_legend(axes: Axes, n_states: int) -> None:
    """Above the axes, one patch per state; of many states only the first is called one."""
    from matplotlib.patches import Patch

    many = n_states > _FEW
    axes.legend(
        handles=[
            Patch(
                facecolor=colour,
                alpha=_TINT,
                edgecolor=colour,
                label=f"{state}" if many and state else f"state {state}",
            )
            for state, colour in enumerate(state_colours(n_states))
        ],
        ncols=n_states,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        frameon=False,
        fontsize=8,
        handlelength=0.8 if many else 1.2,
        handletextpad=0.3 if many else 0.8,
        columnspacing=0.6 if many else 1.0,
        borderaxespad=0.1,
    )


def changepoint_histograms(
    axes: Axes, draws: np.ndarray, edges: np.ndarray, *, unit: str, what: str = "trials"
) -> None:
    """Where each changepoint is, over all trials.

    Parameters
    ----------
    draws : shape (draw, trial, changepoint), or (1, trial, changepoint) for one estimate a trial
    edges : of the bars
    """
    n_draws, _, n_changepoints = draws.shape
    colours = state_colours(n_changepoints + 1)
    for changepoint in range(n_changepoints):
        counts, _ = np.histogram(draws[..., changepoint], edges)
        axes.stairs(
            counts / n_draws,
            edges,
            fill=True,
            color=colours[changepoint + 1],
            alpha=_TINT,
            zorder=1,
        )
        axes.stairs(
            counts / n_draws,
            edges,
            color=colours[changepoint + 1],
            linewidth=1.4,
            zorder=2,
            label=f"state {changepoint} → {changepoint + 1}",
        )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    width = edges[1] - edges[0]
    axes.set_ylabel(
        f"{what} per {'bin' if unit == 'bins' and width == 1 else f'{width:.4g} {unit}'}"
    )
    # Many would cover the bars.
    place: dict[str, Any] = (
        {} if n_changepoints < _FEW else {"loc": "upper left", "bbox_to_anchor": (1.0, 1.05)}
    )
    axes.legend(frameon=False, fontsize=8, title="changepoint", title_fontsize=8, **place)
    bare(axes)


def whole_numbers(axes: Axes, which: str, n: int) -> None:
    """Ticks at whole numbers from 0, about ten of them."""
    step = next((step for step in (1, 2, 5, 10, 20, 50, 100) if n / step <= 12), max(1, n // 10))
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(np.arange(0, n, step))


def _mixed(probability: np.ndarray) -> np.ndarray:
    """Colours of states mixed as they are probable: (trial, state, bin) to (trial, bin, rgb)."""
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(colour) for colour in state_colours(probability.shape[1])])
    tints = 1 - _TINT * (1 - colours)
    mixed: np.ndarray = np.clip(np.einsum("tsb,sc->tbc", probability, tints), 0, 1)
    return mixed
