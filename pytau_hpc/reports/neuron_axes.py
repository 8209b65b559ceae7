"""Parts of pictures of a fit along the neurons: rates of states, activity around changepoints; and the ELBO.

Plain arrays in; called by `fit_figures` and `pytau_figures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytau_hpc.reports.figures import state_colours
from pytau_hpc.reports.fit_axes import bare, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def rates_by_neuron(
    axes: Axes,
    mean: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    significant: np.ndarray,
    label: str,
) -> None:
    """A dot and its interval for each neuron and state, states side by side.

    Parameters
    ----------
    mean, lower, upper : shape (neuron, state)
    significant : indices of neurons that get a star
    """
    n_neurons, n_states = mean.shape
    shift = (np.arange(n_states) - (n_states - 1) / 2) * 0.7 / n_states
    for state, colour in enumerate(state_colours(n_states)):
        at = np.arange(n_neurons) + shift[state]
        axes.vlines(at, lower[:, state], upper[:, state], color=colour, linewidth=1.6, zorder=2)
        axes.scatter(
            at,
            mean[:, state],
            s=18,
            color=colour,
            edgecolors="black",
            linewidths=0.4,
            zorder=3,
            label=f"state {state}",
        )
    for neuron in range(0, n_neurons, 2):
        axes.axvspan(neuron - 0.5, neuron + 0.5, color="0.95", zorder=0, linewidth=0)
    axes.set(xlim=(-0.5, n_neurons - 0.5), ylabel=label)
    top = axes.get_ylim()[1]
    for neuron in significant:
        axes.annotate(
            "*",
            (neuron, top),
            ha="center",
            va="bottom",
            fontsize=11,
            annotation_clip=False,
            xytext=(0, -4),
            textcoords="offset points",
        )
    axes.set_ylim(top=top)
    whole_numbers(axes, "x", n_neurons)
    bare(axes)


def rates_picture(
    axes: Axes, mean: np.ndarray, *, significant: np.ndarray, label: str, rows: str, counts: bool
) -> None:
    """Neurons × states as a picture; a dot beside the neurons that differ.

    Parameters
    ----------
    mean : shape (neuron, state)
    counts : these are rates or counts, from 0
    """
    n_neurons, n_states = mean.shape
    from matplotlib.colors import PowerNorm

    picture = axes.imshow(
        mean,
        aspect="auto",
        interpolation="nearest",
        cmap="cividis",
        origin="lower",
        # Most neurons are slow and a few are fast; the square root shows both.
        norm=PowerNorm(0.5, vmin=0) if counts and mean.max() > 0 else None,
    )
    bar = axes.figure.colorbar(picture, ax=axes, pad=0.08, fraction=0.08)
    bar.set_label(label)
    axes.set(xlabel="state", ylabel=rows)
    whole_numbers(axes, "x", n_states)
    whole_numbers(axes, "y", n_neurons)
    _mark_rows(axes, significant)
    bare(axes)


def aligned(
    axes: Axes, snips: np.ndarray, *, step: float, unit: str, significant: np.ndarray, limit: float
) -> Any:
    """Each neuron's activity around a changepoint, minus its mean there.

    Parameters
    ----------
    snips : shape (neuron, sample), mean over trials; see `around`
    step : samples are so far apart
    significant : indices of neurons that get a dot
    limit : the colours end here

    Returns
    -------
    the picture, for a colour bar
    """
    radius = snips.shape[-1] * step / 2
    picture = axes.imshow(
        snips,
        aspect="auto",
        interpolation="nearest",
        origin="lower",
        cmap="PuOr_r",
        vmin=-limit,
        vmax=limit,
        extent=(-radius, radius, -0.5, len(snips) - 0.5),
    )
    axes.axvline(0, color="black", linewidth=1)
    axes.set_xlabel(f"from the changepoint ({unit})")
    whole_numbers(axes, "y", len(snips))
    _mark_rows(axes, significant)
    bare(axes)
    return picture


def colour_limit(differences: np.ndarray) -> float:
    """Where the colours end: nearly all values are within."""
    return float(np.quantile(np.abs(differences), 0.995)) or 1.0


def elbo(
    axes: Axes, iteration: np.ndarray, hist: np.ndarray, *, final: tuple[float, float] | None = None
) -> None:
    """The ELBO on the way, and where it ended.

    Parameters
    ----------
    hist : negative ELBO, nats
    final : ELBO of the posterior that was kept, and its standard error
    """
    few = len(hist) <= 60
    axes.plot(
        iteration,
        -np.asarray(hist, dtype=float),
        color=state_colours(2)[0],
        linewidth=1.4 if few else 0.7,
        alpha=1.0 if few else 0.6,
        marker="o" if few else None,
        markersize=3.5,
    )
    if final is not None:
        axes.axhline(final[0], color="black", linestyle="--", linewidth=1, zorder=0)
    axes.set(xlabel="iteration", ylabel="ELBO (nats)")
    axes.locator_params(axis="x", nbins=5)  # so that numbers of five digits stay apart
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    bare(axes)


def _mark_rows(axes: Axes, significant: np.ndarray) -> None:
    """Dots right of the picture, outside of it, so that no colour is covered."""
    rows = np.asarray(significant)
    if not len(rows):
        # An unclipped line without points has no place, and pushes everything else out of the figure.
        return
    axes.plot(
        np.full(len(rows), 1.03),
        rows,
        "o",
        color="black",
        markersize=3.5,
        transform=axes.get_yaxis_transform(),
        clip_on=False,
    )
