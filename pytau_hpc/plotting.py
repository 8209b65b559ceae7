"""The door to the pictures: of a result, and by the names of PyTau's `pytau.utils.plotting`. No logic here.

``plot_overview(result)`` and the others that take a `ResultHandler` know units and uncertainty; PyTau's take arrays.
All return (figure, axes).
"""

from __future__ import annotations

from pytau_hpc.reports.fit_figures import (
    plot_aligned,
    plot_changepoints,
    plot_elbo,
    plot_overview,
    plot_raster,
    plot_state_rates,
)
from pytau_hpc.reports.pytau_figures import (
    plot_aligned_state_firing,
    plot_changepoint_overview,
    plot_changepoint_raster,
    plot_elbo_history,
    plot_state_firing_rates,
    raster,
)

__all__ = [
    "plot_aligned",
    "plot_aligned_state_firing",
    "plot_changepoint_overview",
    "plot_changepoint_raster",
    "plot_changepoints",
    "plot_elbo",
    "plot_elbo_history",
    "plot_overview",
    "plot_raster",
    "plot_state_firing_rates",
    "plot_state_rates",
    "raster",
]
