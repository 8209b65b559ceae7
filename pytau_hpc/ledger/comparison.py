"""Points that were fitted to the same data, side by side: which model, which number of states, how far behind the best.

A table from a table. ELBOs may be compared between fits of the same data only, so points of one group that were not
are refused. Called by `compare`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pytau_hpc.errors import UserError, did_you_mean

#: Axes that say which data were fitted. (A shuffle has its random numbers from the repeat.)
DATA_AXES = ("session", "taste", "region", "laser", "transform", "window_ms", "bin_ms")
_SHOWN = ("elbo", "elbo_se", "converged", "rhat_max", "ess_min", "divergences", "point_id")


def comparison(points: pd.DataFrame, axes: Sequence[str], by: Sequence[str] | None) -> pd.DataFrame:
    """The comparison of all points that succeeded.

    Parameters
    ----------
    points : as `frames.points` gives them
    axes : of the sweep
    by : axes whose values make one data set; None for `DATA_AXES`, of which those with one value are left out

    Returns
    -------
    columns: `by`; every other axis that varies (`model`, `n_states`, …); `repeats` behind the row, and `elbo_spread`
    between them; of the best of them `elbo`, `elbo_se`, `converged`, `rhat_max`, `ess_min`, `divergences` and
    `point_id`; then `behind`, how far its ELBO is below the best of the group, with the standard error `behind_se`

    Raises
    ------
    UserError : no such axis; a group with different data
    """
    done = points[points["state"].astype(str) == "succeeded"].copy()
    keys = _keys(done, axes, by)
    _refuse_mixed(done, keys)
    varying = [
        axis
        for axis in axes
        if axis not in (*keys, "repeat") and done[axis].nunique(dropna=False) > 1
    ]
    fits = [*keys, *(v for v in varying if v != "n_states"), "n_states"]
    fits = list(dict.fromkeys(fits))
    # The best of the repeats stands for all; where there are no ELBOs (nuts), the best mixed.
    order = done.sort_values(["elbo", "rhat_max"], ascending=[False, True], na_position="last")
    grouped = order.groupby(fits, sort=True, dropna=False, observed=True)
    first = grouped.head(1).index
    table = order.loc[first, [*fits, *_SHOWN]]
    sizes = grouped["point_id"].transform("size").loc[first]
    spread = (grouped["elbo"].transform("max") - grouped["elbo"].transform("min")).loc[first]
    place = len(fits)
    table.insert(place, "repeats", sizes.astype("Int64"))
    table.insert(place + 1, "elbo_spread", spread)
    best = table.groupby(keys, dropna=False, observed=True)["elbo"] if keys else None
    top = best.transform("max") if best is not None else table["elbo"].max()
    is_top = table["elbo"] == top
    table["behind"] = top - table["elbo"]
    top_se = table["elbo_se"].where(is_top)
    if best is not None:
        top_se = top_se.groupby([table[key] for key in keys], dropna=False).transform("max")
    else:
        top_se = pd.Series(top_se.max(), index=table.index)
    both = (table["elbo_se"] ** 2 + top_se**2) ** 0.5
    table["behind_se"] = both.where(~is_top, 0.0)
    return table.sort_values(fits).reset_index(drop=True)


def _keys(done: pd.DataFrame, axes: Sequence[str], by: Sequence[str] | None) -> list[str]:
    if by is None:
        found = [axis for axis in DATA_AXES if axis in axes and done[axis].nunique() > 1]
        shuffled = "transform" in axes and (done["transform"].astype(str) != "none").any()
        return [*found, "repeat"] if shuffled and done["repeat"].nunique() > 1 else found
    for name in by:
        if name not in axes:
            raise UserError(
                f"`by` names no axis of this sweep: {name!r}; its axes: {', '.join(axes)}",
                help=did_you_mean(name, axes),
            )
    return list(dict.fromkeys(by))


def _refuse_mixed(done: pd.DataFrame, keys: Sequence[str]) -> None:
    """Raise where one group holds fits of different data."""
    say = [axis for axis in DATA_AXES if axis in done.columns and axis not in keys]
    if "repeat" in done.columns and "repeat" not in keys:
        shuffled = done["transform"].astype(str) != "none"
        done = done.assign(_shuffle=done["repeat"].where(shuffled, 0))
        say.append("_shuffle")
    groups = done.groupby(list(keys), dropna=False, observed=True) if keys else [((), done)]
    for _, group in groups:
        mixed = [axis for axis in say if group[axis].nunique(dropna=False) > 1]
        if mixed:
            names = ", ".join("repeat" if axis == "_shuffle" else axis for axis in mixed)
            raise UserError(
                f"points with different {names} were fitted to different data; "
                "their ELBOs say nothing about each other",
                help=f"compare(by=[{', '.join(repr(n) for n in [*keys, *names.split(', ')])}])",
            )
