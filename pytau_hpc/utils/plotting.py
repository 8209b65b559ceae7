"""The door for PyTau's `pytau.utils.plotting`: everything is in `pytau_hpc.plotting`."""

from __future__ import annotations

from pytau_hpc.plotting import (
    plot_aligned_state_firing,
    plot_changepoint_overview,
    plot_changepoint_raster,
    plot_elbo_history,
    plot_state_firing_rates,
    raster,
)

__all__ = [
    "plot_aligned_state_firing",
    "plot_changepoint_overview",
    "plot_changepoint_raster",
    "plot_elbo_history",
    "plot_state_firing_rates",
    "raster",
]
