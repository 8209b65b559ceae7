"""Whole pictures of one fit. Each takes a `ResultHandler` and returns figure and axes, as PyTau's plots do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pytau_hpc.analysis.activity import mean_around
from pytau_hpc.errors import UserError
from pytau_hpc.reports import fit_axes, neuron_axes

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pytau_hpc.analysis.handler import ResultHandler


def plot_raster(
    result: ResultHandler,
    lims: tuple[float, float] | None = None,
    truth: np.ndarray | None = None,
) -> tuple[Figure, Axes]:
    """Every spike of every trial, over the states that the fit found there.

    Where a colour fades into the next, the changepoint is uncertain.

    Parameters
    ----------
    lims : from and to, in ms of the recording; the fitted window where not given
    truth : true changepoints of simulated data, shape (trial, changepoint), drawn as black lines
    """
    activity = result.fitted.activity(result.chosen_taste)
    n_trials, n_neurons, _ = activity.shape
    if _is_series(activity):
        return _series_figure(result)
    edges = result.fitted.time.edges(result.fitted.n_bins)
    height = min(16, max(3.5, 1 + n_trials * (0.14 + 0.011 * n_neurons)))
    figure, [[axes]] = subplots(1, 1, figsize=(9, height))
    fit_axes.states_by_trial(axes, result.state_probability(), edges)
    spikes = _raw_spikes(result)
    if spikes is None:
        fit_axes.trial_values(axes, activity, edges)
    else:
        fit_axes.trial_spikes(axes, spikes, np.arange(spikes.shape[-1]) + 0.5)
    if truth is not None:
        for trial, places in enumerate(np.asarray(truth)):
            axes.vlines(places, trial - 0.5, trial + 0.5, color="black", linewidth=1.8, zorder=4)
    for trial in range(1, n_trials):
        axes.axhline(trial - 0.5, color="white", linewidth=0.8, zorder=1)
    axes.set_xlim(lims or (edges[0], edges[-1]))
    axes.set_xlabel(_time_label(result))
    each = f" ({_count(n_neurons, _rows(result))} each)" if n_neurons > 1 else ""
    axes.set_ylabel(f"trial{each}")
    fit_axes.state_legend(axes, result.fitted.n_states)
    axes.set_title(_title(result), loc="left", fontsize=10, pad=22)
    return figure, axes


def plot_overview(result: ResultHandler) -> tuple[Figure, np.ndarray]:
    """One page: states and changepoints of every trial, their distribution, what the states are, and the ELBO."""
    fitted = result.fitted
    edges = fitted.time.edges(fitted.n_bins)
    activity = fitted.activity(result.chosen_taste)
    n_trials = len(activity)
    figure, axes = subplots(
        2,
        2,
        figsize=(12, min(13, max(6.5, 4.2 + 0.16 * n_trials))),
        width_ratios=[1.7, 1],
        height_ratios=[max(1.2, min(2.4, n_trials / 12)), 1],
    )
    [[states, rates], [histograms, loss]] = axes
    if _is_series(activity):
        _series(states, result, 0)
        states.set_title("line: mean, band: 95 % interval", loc="left", fontsize=9)
    else:
        _states(states, result)
        states.set_title("dots: mean, lines: 95 % interval", loc="left", fontsize=9)
    states.set_xlim(edges[0], edges[-1])
    states.tick_params(labelbottom=False)
    fit_axes.state_legend(states, fitted.n_states)
    _histograms(histograms, result)
    histograms.set_xlabel(_time_label(result))
    _rates_picture(rates, result)
    _elbo(loss, result, from_part=0.0)
    figure.suptitle(_title(result), fontsize=11, x=0.01, ha="left")
    return figure, axes


def plot_changepoints(result: ResultHandler) -> tuple[Figure, Axes]:
    """Where each changepoint is, over trials and draws."""
    figure, [[axes]] = subplots(1, 1, figsize=(8, 3.6))
    _histograms(axes, result)
    axes.set_xlabel(_time_label(result))
    axes.set_title(_title(result), loc="left", fontsize=10)
    return figure, axes


def plot_state_rates(result: ResultHandler, prob: float = 0.95) -> tuple[Figure, Axes]:
    """What the model says of each neuron in each state, with its interval; a star where an ANOVA finds a difference."""
    table = _by_neuron(result, prob)
    n_neurons, n_states = table["mean"].shape
    figure, [[axes]] = subplots(
        1, 1, figsize=(min(16, max(7.5, 2 + n_neurons * (0.12 + 0.07 * n_states))), 4.2)
    )
    significant = result.firing.anova_significant_neurons
    neuron_axes.rates_by_neuron(
        axes,
        *(table[name].to_numpy() for name in ("mean", "lower", "upper")),
        significant=significant,
        label=_rate_label(table),
    )
    axes.set_xlabel(_rows(result))
    if table["mean"].attrs["units"] in ("Hz", "per bin"):
        axes.set_ylim(bottom=0)
    axes.legend(
        frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2
    )
    star = "; * differs between states (ANOVA, p < 0.05, Bonferroni)" if len(significant) else ""
    axes.set_title(
        f"{_title(result)}\ndots: mean, lines: {100 * prob:.4g} % interval{star}",
        loc="left",
        fontsize=9,
        pad=12,
    )
    return figure, axes


def plot_aligned(
    result: ResultHandler, window_radius: int | None = None
) -> tuple[Figure, np.ndarray]:
    """What every neuron does around each changepoint; a dot where before and after differ (paired t-test).

    Parameters
    ----------
    window_radius : samples before and after a changepoint: ms for spikes
    """
    from pytau_hpc.analysis.significance import calc_significant_neurons_snippets

    snips = result.around_changepoints(window_radius)
    _, significant = calc_significant_neurons_snippets(snips)
    used = (~np.isnan(snips[:, 0]).any(axis=1)).sum(axis=0)
    figure, axes = aligned_figure(
        snips, significant, step=1.0, unit=result.fitted.time.unit, rows=_rows(result)
    )
    for changepoint, each in enumerate(axes):
        of = "" if used[changepoint] == len(snips) else f" ({used[changepoint]} trials)"
        each.set_title(f"state {changepoint} → {changepoint + 1}{of}", fontsize=9)
    figure.suptitle(
        f"{_title(result)}\ndots: before and after differ (paired t-test, p < 0.05, not corrected)",
        fontsize=9,
        x=0.01,
        ha="left",
    )
    return figure, axes


def plot_elbo(result: ResultHandler, final_window: float = 0.5) -> tuple[Figure, np.ndarray]:
    """The ELBO on the way: all of it, and the last part.

    Parameters
    ----------
    final_window : how much of the way is the last part
    """
    if result.loss is None:
        raise UserError(f"{result.fitted.name}: this fit recorded no loss on its way")
    figure, axes = subplots(1, 2, figsize=(10, 3.4))
    whole, last = axes[0]
    _elbo(whole, result, from_part=0.0)
    _elbo(last, result, from_part=1 - final_window)
    last.set_title(f"last {100 * final_window:.4g} %", loc="left", fontsize=9)
    figure.suptitle(_title(result), fontsize=10, x=0.01, ha="left")
    return figure, axes[0]


def aligned_figure(
    snips: np.ndarray, significant: np.ndarray, *, step: float, unit: str, rows: str
) -> tuple[Figure, np.ndarray]:
    n_neurons, n_changepoints = snips.shape[1], snips.shape[-1]
    shown = mean_around(snips, hz_per_unit=1000 / step if unit == "ms" else 1.0)
    limit = neuron_axes.colour_limit(shown)
    figure, [axes] = subplots(
        1,
        n_changepoints,
        figsize=(min(16, max(7.5, 2.2 + 2.8 * n_changepoints)), min(10, 2.6 + 0.14 * n_neurons)),
        sharey=True,
    )
    for changepoint, each in enumerate(axes):
        picture = neuron_axes.aligned(
            each,
            shown[changepoint],
            step=step,
            unit=unit,
            significant=np.flatnonzero(significant[:, changepoint]),
            limit=limit,
        )
        if n_changepoints > 4 and changepoint != n_changepoints // 2:
            each.set_xlabel("")  # there is room for one
    axes[0].set_ylabel(rows)
    what = "rate − its mean (Hz)" if unit == "ms" else "value − its mean"
    figure.colorbar(picture, ax=list(axes), pad=0.03, label=what)
    return figure, axes


def _states(axes: Axes, result: ResultHandler) -> None:
    fitted = result.fitted
    fit_axes.states_by_trial(axes, result.state_probability(), fitted.time.edges(fitted.n_bins))
    table = result.changepoints()
    if "trial" in table.dims:
        fit_axes.changepoints_by_trial(
            axes, *(table[name].to_numpy() for name in ("mean", "lower", "upper"))
        )
    else:
        n_trials = len(fitted.activity(result.chosen_taste))
        fit_axes.changepoints_by_trial(
            axes,
            *(
                np.tile(table[name].to_numpy(), (n_trials, 1))
                for name in ("mean", "lower", "upper")
            ),
        )


def _is_series(activity: np.ndarray) -> bool:
    """Few rows of one trial are shown as lines."""
    return len(activity) == 1 and activity.shape[1] <= 8


def _series_figure(result: ResultHandler) -> tuple[Figure, Any]:
    n_rows = result.fitted.activity(result.chosen_taste).shape[1]
    figure, axes = subplots(n_rows, 1, figsize=(9, 1.4 + 1.8 * n_rows), sharex=True)
    for row, each in enumerate(axes[:, 0]):
        _series(each, result, row)
    axes[-1, 0].set_xlabel(_time_label(result))
    fit_axes.state_legend(axes[0, 0], result.fitted.n_states)
    axes[0, 0].set_title(_title(result), loc="left", fontsize=10, pad=22)
    return figure, axes[0, 0] if n_rows == 1 else axes[:, 0]


def _series(axes: Axes, result: ResultHandler, row: int) -> None:
    fitted = result.fitted
    activity = fitted.activity(result.chosen_taste)
    try:
        table = _by_neuron(result)
    except UserError:
        level = None
    else:
        # Counts of spikes are shown as they were binned, and so are their rates.
        per_bin = fitted.time.step / 1000 if table["mean"].attrs["units"] == "Hz" else 1.0
        mean, lower, upper = (
            per_bin * table[name].to_numpy()[row] for name in ("mean", "lower", "upper")
        )
        level = (mean, lower, upper)
    edges = fitted.time.edges(fitted.n_bins)
    fit_axes.series(axes, activity[0, row], result.state_probability()[0], edges, level)
    what = "count per bin" if fitted.values == "counts" else "value"
    axes.set_ylabel(what if activity.shape[1] == 1 else f"{_rows(result)} {row}\n({what})")


def _histograms(axes: Axes, result: ResultHandler) -> None:
    fitted = result.fitted
    draws = fitted.time.of_changepoint(fitted.tau_of_trials(result.chosen_taste))
    shared = "trial" not in fitted.tau_dims
    if shared:
        draws = draws[:, :1]
    edges = fitted.time.edges(fitted.n_bins)
    fit_axes.changepoint_histograms(
        axes,
        # In some models a state that is not needed begins up to half a bin past the end: it is in the last bar.
        np.minimum(draws, edges[-1]),
        edges,
        unit=fitted.time.unit,
        what="probability" if shared else "trials",
    )


def _rates_picture(axes: Axes, result: ResultHandler) -> None:
    try:
        table = _by_neuron(result)
    except UserError as none:
        _say(axes, none.message)
        return
    significant = result.firing.anova_significant_neurons
    if len(table["mean"]) <= 4:
        neuron_axes.rates_by_neuron(
            axes,
            *(table[name].to_numpy() for name in ("mean", "lower", "upper")),
            significant=np.array([], dtype=int),
            label=_rate_label(table),
        )
        axes.set_xlabel(_rows(result))
        axes.set_title("dots: mean, lines: 95 % interval", loc="left", fontsize=9)
        return
    neuron_axes.rates_picture(
        axes,
        table["mean"].to_numpy(),
        significant=significant,
        label=_rate_label(table),
        rows=_rows(result),
        counts=result.fitted.values == "counts",
    )
    if len(significant):
        axes.set_title("dots: states differ (ANOVA, p < 0.05)", loc="left", fontsize=9)


def _elbo(axes: Axes, result: ResultHandler, *, from_part: float) -> None:
    loss = result.loss
    if loss is None or not len(loss.hist):
        _say(axes, "no loss was recorded")
        return
    first = min(int(len(loss.hist) * from_part), len(loss.hist) - 1)
    value, error = result.quality.get("elbo"), result.quality.get("elbo_se")
    final = None if value is None else (float(value), float(error or 0))
    neuron_axes.elbo(axes, loss.iteration[first:], loss.hist[first:], final=final)
    if final is not None:
        axes.set_title("dashed: ELBO of the kept fit", loc="left", fontsize=9)


def _by_neuron(result: ResultHandler, prob: float = 0.95) -> xr.Dataset:
    """What the states emit, axes (neuron, state); one row where the data have no such axis."""
    table = result.rates(prob, average=("trial",))
    if "taste" in table.dims:
        table = table.isel(taste=0)  # there is only one, or `result` would have asked which
    return table if len(table.sizes) == 2 else table.expand_dims("neuron")


def _rate_label(table: xr.Dataset) -> str:
    units = table["mean"].attrs["units"]
    return {
        "Hz": "rate (Hz)",
        "per bin": "count per bin",
        "probability": "probability",
    }.get(units, "mean")


def _rows(result: ResultHandler) -> str:
    if result.fitted.values == "categories":
        return "category"
    known = [dim for dim in ("neuron", "dimension") if dim in result.fitted.observed_dims]
    return known[0] if known else "series"


def _raw_spikes(result: ResultHandler) -> np.ndarray | None:
    """The recording's spikes, or None where it is not there: then the picture shows what the model saw."""
    if result.fitted.time.unit == "bins":
        return None
    try:
        return result.firing.raw_spikes
    except UserError:
        return None


def _time_label(result: ResultHandler) -> str:
    return "time in the trial (ms)" if result.fitted.time.unit == "ms" else "bin"


def _count(n: int, what: str) -> str:
    plural = {"category": "categories", "series": "series"}.get(what, f"{what}s")
    return f"{n} {what if n == 1 else plural}"


def _title(result: ResultHandler) -> str:
    fitted = result.fitted
    taste = "" if result.chosen_taste is None else f", taste {result.chosen_taste}"
    elbo = result.quality.get("elbo")
    parts = [f"{fitted.name}{taste}", fitted.model, _count(fitted.n_states, "state")]
    if elbo is not None:
        parts.append(f"ELBO {elbo:,.1f}".replace("-", "−"))
    if result.quality.get("converged") in (0, False):
        parts.append("not converged")
    return " · ".join(parts)


def _say(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", wrap=True, transform=axes.transAxes)


def subplots(rows: int, columns: int, **how: Any) -> tuple[Figure, Any]:
    """With pyplot, so that ``plt.show()`` shows it; axes always of shape (rows, columns)."""
    from matplotlib import pyplot as plt

    how.setdefault("layout", "constrained")
    return plt.subplots(rows, columns, squeeze=False, **how)
