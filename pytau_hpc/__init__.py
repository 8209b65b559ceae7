"""Array-job orchestrator for sweeps of Bayesian changepoint models of neural activity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytau_hpc.api import Sweep, open_sweep

__version__ = "0.1.0"
__all__ = ["Sweep", "__version__", "open_sweep"]


def __getattr__(name: str) -> Any:
    # The worker and the command line import this package thousands of times; only a person needs the API.
    if name in ("Sweep", "open_sweep"):
        from pytau_hpc import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
