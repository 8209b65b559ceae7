"""Pictures: colours of states, the demo's raster with changepoints, and ELBO against the number of states.

Pictures of one fit are in `fit_axes` (parts) and `fit_figures` (whole ones), PyTau's in `pytau_figures`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

#: Paul Tol's "bright" scheme, which the colour-blind can tell apart.
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")


def state_colours(n_states: int) -> list[Any]:
    """One colour for each state, the same in every picture; from an ordered map where there are many states."""
    if n_states <= len(_COLOURS):
        return list(_COLOURS[:n_states])
    from matplotlib import colormaps

    ordered = colormaps["viridis"]
    return [ordered(state / (n_states - 1)) for state in range(n_states)]


def raster_with_changepoints(
    axes: Axes,
    spikes: np.ndarray,
    changepoints_ms: np.ndarray,
    *,
    window_ms: tuple[int, int],
    true_ms: np.ndarray,
) -> None:
    """One row of spikes per trial and neuron; each trial's states as coloured bands.

    Parameters
    ----------
    spikes : shape (trial, neuron, ms)
    changepoints_ms, true_ms : shape (trial, changepoint), found and true
    """
    import numpy as np

    n_trials, n_neurons, _ = spikes.shape
    start, end = window_ms
    trials, neurons, times = np.nonzero(spikes[:, :, start:end])
    axes.scatter(
        times + start,
        trials * n_neurons + neurons,
        s=1.5,
        c="black",
        marker=".",
        linewidths=0,
        zorder=2,
    )
    colours = state_colours(changepoints_ms.shape[-1] + 1)
    for trial in range(n_trials):
        edges = [start, *changepoints_ms[trial], end]
        low, high = trial * n_neurons - 0.5, (trial + 1) * n_neurons - 0.5
        for state, (left, right) in enumerate(itertools.pairwise(edges)):
            axes.fill_between(
                [left, right], low, high, color=colours[state], alpha=0.35, linewidth=0, zorder=1
            )
        axes.vlines(
            true_ms[trial], low, high, color="black", linewidth=1.0, linestyles="solid", zorder=3
        )
    axes.set(
        xlim=(start, end), ylim=(n_trials * n_neurons - 0.5, -0.5), xlabel="time in the trial (ms)"
    )
    axes.set_yticks(
        [(trial + 0.5) * n_neurons for trial in range(0, n_trials, 5)], [*range(0, n_trials, 5)]
    )
    axes.set_ylabel(f"trial ({n_neurons} neurons each)")


def elbo_by_states(
    axes: Axes, elbo: Mapping[Any, Mapping[int, float]], *, true_states: int
) -> None:
    """One line per data set: ELBO below its best, in nats."""
    for values in elbo.values():
        numbers = sorted(values)
        best = max(values.values())
        axes.plot(
            numbers,
            [values[n] - best for n in numbers],
            color=_COLOURS[0],
            alpha=0.6,
            marker="o",
            markersize=4,
        )
    axes.axvline(true_states, color="black", linestyle=":", linewidth=1, zorder=0)
    axes.annotate(
        "true", (true_states, 0), xytext=(4, -4), textcoords="offset points", va="top", fontsize=8
    )
    axes.set(xlabel="number of states", ylabel="ELBO below the best (nats)")
    axes.set_xticks(sorted({n for values in elbo.values() for n in values}))


def demo_figure(
    path: Path,
    *,
    title: str,
    spikes: np.ndarray,
    changepoints_ms: np.ndarray,
    true_ms: np.ndarray,
    window_ms: tuple[int, int],
    elbo: Mapping[Any, Mapping[int, float]],
    true_states: int,
) -> None:
    """Both pictures side by side, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[2, 1])
    raster_with_changepoints(left, spikes, changepoints_ms, window_ms=window_ms, true_ms=true_ms)
    left.set_title(f"{title}\ncolour: states found · black lines: true changepoints", fontsize=10)
    elbo_by_states(right, elbo, true_states=true_states)
    right.set_title(f"model selection, {len(elbo)} data sets", fontsize=10)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
