"""What is known of a selected array without having it, and whether a fit can use it.

Pure and light (no numpy): `plan` reads every array once, keeps its `Facts` in a cache, and checks each point of the
grid against them. `recording.facts` measures them; the fit process checks again before it computes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytau_hpc.data.transforms import TRANSFORMS
from pytau_hpc.errors import did_you_mean


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A selected array before preprocessing, described.

    Attributes
    ----------
    digest : ``sha256:<hex>``, see `recording.array_digest`
    shape, dims : lengths and names of the axes; the last is "ms" (1 kHz) or "bin"
    kind : "spikes" or "binned"
    dtype : after reading, such as ``uint8`` or ``float64``
    minimum : smallest finite value; None where there is none
    n_not_finite : how many values are NaN or infinite
    is_integer : whether every finite value is a whole number
    """

    digest: str
    shape: tuple[int, ...]
    dims: tuple[str, ...]
    kind: str
    dtype: str
    minimum: float | None
    n_not_finite: int
    is_integer: bool

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Facts:
        return cls(**{**value, "shape": tuple(value["shape"]), "dims": tuple(value["dims"])})


def check(
    facts: Facts,
    *,
    transform: str,
    window_ms: Sequence[int] | None,
    bin_ms: int | None,
    values: str | None = None,
) -> list[str]:
    """Everything that keeps this array from being preprocessed and fitted so; empty where nothing does.

    Parameters
    ----------
    values : what the model takes, "counts", "real" or "categories"; spikes are counts in any case
    """
    return value_problems(facts, values) + layout_problems(
        facts.shape, facts.dims, facts.kind, transform=transform, window_ms=window_ms, bin_ms=bin_ms
    )


def value_problems(facts: Facts, values: str | None = None) -> list[str]:
    """Problems of the numbers themselves."""
    found = []
    if facts.n_not_finite:
        total = 1
        for length in facts.shape:
            total *= length
        found.append(
            f"{facts.n_not_finite} of {total} values are NaN or infinite; all must be finite"
        )
    what = (
        "spikes"
        if facts.kind == "spikes"
        else values
        if values in ("counts", "categories")
        else None
    )
    if what:
        if facts.minimum is not None and facts.minimum < 0:
            found.append(f"the smallest value is {facts.minimum:g}; {what} must be 0 or more")
        if not facts.is_integer:
            found.append(f"some values are not whole numbers ({facts.dtype}); {what} must be")
    return found


def layout_problems(
    shape: Sequence[int],
    dims: Sequence[str],
    kind: str,
    *,
    transform: str,
    window_ms: Sequence[int] | None,
    bin_ms: int | None,
) -> list[str]:
    """Problems of shape, window, bins and transform."""
    found = [f"there are no {dim}s (0)" for dim, n in zip(dims[:-1], shape, strict=False) if n == 0]
    if kind == "spikes":
        found += _time_problems(shape[-1], window_ms, bin_ms)
    else:
        if window_ms is not None or bin_ms is not None:
            found.append("the data are binned already; leave out window_ms and bin_ms")
        if shape[-1] == 0:
            found.append("there are no bins (0)")
    return found + _transform_problems(shape, dims, kind, transform)


def _time_problems(n_ms: int, window_ms: Sequence[int] | None, bin_ms: int | None) -> list[str]:
    missing = [
        key for key, value in (("window_ms", window_ms), ("bin_ms", bin_ms)) if value is None
    ]
    if window_ms is None or bin_ms is None:
        return [f"spikes need {' and '.join(missing)}"]
    if len(window_ms) != 2:
        return [f"window_ms must be two numbers, start and end, not {len(window_ms)}"]
    found = []
    start, end = window_ms
    if start < 0 or end > n_ms:
        found.append(f"window {start}-{end} ms is outside the data, which run from 0 to {n_ms} ms")
        if end >= 100 * n_ms > 0:
            found[-1] += " (`time_lims` is in seconds: 2.0, not 2000)"
    if end <= start:
        found.append(f"window {start}-{end} ms is empty: its end must be after its start")
    if bin_ms < 1:
        found.append(f"bin_ms is {bin_ms}; it must be at least 1")
    elif end > start and (end - start) % bin_ms:
        width = end - start
        found.append(
            f"bins of {bin_ms} ms do not divide the window of {width} ms ({width / bin_ms:.2f} bins); "
            f"nearest that do: {' and '.join(map(str, nearest_bins(width, bin_ms)))} ms"
        )
    return found


def nearest_bins(width: int, bin_width: int) -> list[int]:
    """The nearest widths of bins that divide a window: one below and, unless it is too wide, one above."""
    below = next(n for n in range(min(bin_width, width), 0, -1) if width % n == 0)
    above = next((n for n in range(bin_width, width + 1) if width % n == 0), None)
    return [below] if above is None else [below, above]


def _transform_problems(
    shape: Sequence[int], dims: Sequence[str], kind: str, transform: str
) -> list[str]:
    if transform not in TRANSFORMS:
        hint = did_you_mean(transform, TRANSFORMS)
        return [
            f"no transform `{transform}`; known: {', '.join(TRANSFORMS)}"
            + (f" ({hint})" if hint else "")
        ]
    wanted = TRANSFORMS[transform]
    if wanted.spikes_only and kind != "spikes":
        return [f"transform {transform} needs spikes at 1 kHz; these data are binned already"]
    missing = [dim for dim in wanted.needs if dim not in dims]
    if missing:
        return [
            f"transform {transform} needs the dimensions {', '.join(wanted.needs)}; these data have {', '.join(dims)}"
        ]
    if "trial" in wanted.needs and shape[list(dims).index("trial")] == 1:
        return [f"transform {transform} needs at least 2 trials; there is 1"]
    return []


def preprocessed_shape(
    facts: Facts, window_ms: Sequence[int] | None, bin_ms: int | None
) -> tuple[int, ...]:
    """Shape of the array that the model sees; for facts, window and bins that pass `check`."""
    if facts.kind != "spikes" or window_ms is None or bin_ms is None:
        return facts.shape
    start, end = window_ms
    return (*facts.shape[:-1], (end - start) // bin_ms)
