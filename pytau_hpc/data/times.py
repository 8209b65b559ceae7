"""Between bins and milliseconds."""

from __future__ import annotations

from typing import Any


def changepoint_ms(tau: Any, *, start_ms: float, bin_ms: float) -> Any:
    """When a changepoint is, in ms of the recording.

    A sigmoid that stands at bin index `tau` is half-way in the *middle* of that bin, so half a bin is added. (PyTau
    leaves the half bin out and reports earlier times.)

    Parameters
    ----------
    tau : number or array, in bins of the window
    start_ms : start of the fitted window
    """
    return start_ms + (tau + 0.5) * bin_ms
