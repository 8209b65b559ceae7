"""Compare the fits of a sweep: by their ELBOs, and by how well they predict trials that were held out.

Called by `api.Sweep.compare`; the table is `ledger.comparison`, the held-out scores `inference.model_selection`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytau_hpc.ledger import frames, queries
from pytau_hpc.ledger.comparison import comparison
from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.sweep.run_dir import SweepDir

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def compare(
    place: SweepDir,
    ledger: Ledger,
    by: Sequence[str] | None,
    *,
    held_out: int | None,
    seed: int,
) -> pd.DataFrame:
    """See `api.Sweep.compare`. Where asked for, `held_out` (nats a trial) and its standard error are added."""
    points = frames.points(ledger)
    table = comparison(points, queries.axes(ledger), by)
    if held_out is None:
        return table
    paths = dict(zip(points["point_id"], points["result_path"], strict=True))
    scores = [
        _held_out(place.study / str(paths[point_id]), held_out, seed)
        for point_id in table["point_id"]
    ]
    table["held_out"] = [float(found.mean()) for found in scores]
    table["held_out_se"] = [float(found.std(ddof=1) / len(found) ** 0.5) for found in scores]
    return table


def _held_out(path: Any, folds: int, seed: int) -> np.ndarray:
    """Log probabilities of the trials of a result's data, for its model and number of states."""
    import numpy as np

    from pytau_hpc.inference.model_selection import Candidate, cross_validate
    from pytau_hpc.inference.result_file import OBSERVED, read_attrs, read_result

    point: Mapping[str, Any] = read_attrs(path)["point"]
    data = np.asarray(read_result(path)["observed_data"][OBSERVED])
    candidate = Candidate.named(point["model"], point["model_options"])
    found = cross_validate(data, candidate, [int(point["n_states"])], folds=folds, seed=seed)
    return found.trials[0]
