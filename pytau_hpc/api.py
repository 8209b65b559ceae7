"""A sweep from Python: ``pytau_hpc.open_sweep("gc_states")``.

Every question brings the ledger up to date first, so an open notebook never shows yesterday's sweep. Importing this
module is cheap; pandas and ArviZ are imported by the methods that return their objects.
"""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytau_hpc.collect import Collected, collect
from pytau_hpc.errors import UserError
from pytau_hpc.ledger import queries, summary
from pytau_hpc.reports.status import Status, status_of
from pytau_hpc.reports.status_text import as_text
from pytau_hpc.sweep.run_dir import SweepDir, find_sweep

if TYPE_CHECKING:
    import pandas as pd


def open_sweep(path: str | os.PathLike[str] | None = None) -> Sweep:
    """Open a sweep to look at it.

    Parameters
    ----------
    path : folder of the sweep, or its name below ``sweeps/`` here or above; not needed where there is only one

    Raises
    ------
    NotASweep : nothing there
    """
    return Sweep(find_sweep(None if path is None else os.fspath(path)))


class Sweep:
    """One sweep, for notebooks and scripts; see `open_sweep`. Nothing here changes a sweep."""

    def __init__(self, place: SweepDir) -> None:
        self._place = place

    @property
    def name(self) -> str:
        return self._place.name

    @property
    def path(self) -> Path:
        return self._place.path

    @property
    def ledger_path(self) -> Path:
        """The SQLite file, for `pandas.read_sql` and other tools; brought up to date by this call."""
        with self._collected():
            return self._place.ledger

    @property
    def axes(self) -> list[str]:
        """Names of the grid's axes, in the order of the manifest's columns."""
        with self._collected() as collected:
            return queries.axes(collected.ledger)

    def points(self) -> pd.DataFrame:
        """One row per point; see `ledger.frames.points` for the columns."""
        from pytau_hpc.ledger import frames

        with self._collected() as collected:
            return frames.points(collected.ledger)

    def attempts(self) -> pd.DataFrame:
        """One row per attempt: one point in one run of a task."""
        from pytau_hpc.ledger import frames

        with self._collected() as collected:
            return frames.attempts(collected.ledger)

    def tasks(self) -> pd.DataFrame:
        """One row per run of a task: what it asked for and what it used."""
        from pytau_hpc.ledger import frames

        with self._collected() as collected:
            return frames.tasks(collected.ledger)

    def submissions(self) -> pd.DataFrame:
        """One row per submission."""
        from pytau_hpc.ledger import frames

        with self._collected() as collected:
            return frames.submissions(collected.ledger)

    def compare(
        self, by: Sequence[str] | None = None, *, held_out: int | None = None, seed: int = 0
    ) -> pd.DataFrame:
        """Models and numbers of states side by side, wherever they were fitted to the same data.

        Parameters
        ----------
        by : axes whose values make one data set; by default all that say which data (session, taste, region, …)
        held_out : also divide the trials into so many parts and predict each from a fit to the others: new fits by
            `advi` with its defaults, in this process, whatever method the points have
        seed : of those

        Returns
        -------
        one row for each data set, model and number of states, with the best of the repeats; see `ledger.comparison`
        for the columns

        Raises
        ------
        UserError : no such axis; or points of one group were fitted to different data, whose ELBOs say nothing about
            each other; or a model's trials cannot be held out
        """
        from pytau_hpc.compare import compare

        with self._collected() as collected:
            return compare(self._place, collected.ledger, by, held_out=held_out, seed=seed)

    def status(self) -> Status:
        """Counts by state, causes, what runs and how long it will take."""
        with self._collected() as collected:
            return status_of(self._place, collected)

    def result(self, point: str) -> Any:
        """The result of a point, in memory.

        Parameters
        ----------
        point : its id, the beginning of its id as long as that is unique, or its label

        Returns
        -------
        `arviz.InferenceData` or `xarray.DataTree`, whichever the installed ArviZ uses; ``posterior["tau"]`` has dims
        chain, draw, trial, changepoint and is in bins

        Raises
        ------
        UserError : no such point, several, or one that has no result
        """
        from pytau_hpc.inference.result_file import read_result

        with self._collected() as collected:
            row = summary.find_point(collected.ledger, point)
        file = self._place.study / row["result_path"]
        if not file.exists():
            raise UserError(
                f"point {row['point_id']} ({row['label']}) has no result: it is {row['state']}",
                help=f"pytau-hpc status {self.name} --points",
            )
        try:
            return read_result(file)
        except OSError as error:
            raise UserError(
                f"the result of point {row['point_id']} cannot be read: {error}",
                help=f"remove {file} and run  pytau-hpc submit {self.name}",
            ) from error

    def _collected(self) -> Collected:
        return collect(self._place)

    def __repr__(self) -> str:
        return f"Sweep({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return f'<pre style="line-height: 1.3">{html.escape(as_text(self.status()))}</pre>'
