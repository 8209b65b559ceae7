"""Compare the fits of a sweep: by their ELBOs, and by how well they predict trials that were held out.

Called by `api.Sweep.compare`; the table is `ledger.comparison`, the held-out scores `inference.model_selection`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytau_hpc.files import canonical_json
from pytau_hpc.ledger import frames, queries
from pytau_hpc.ledger.comparison import comparison
from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.sweep.run_dir import SweepDir

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from pytau_hpc.inference.model_selection import Candidate


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
    from pytau_hpc.inference.held_out import refuse_without_trials
    from pytau_hpc.inference.model_selection import cross_validate

    paths = dict(zip(points["point_id"], points["result_path"], strict=True))
    fitted = [_Fitted.read(place.study / str(paths[point_id])) for point_id in table["point_id"]]
    for one in fitted:  # before minutes are spent on the others
        refuse_without_trials(one.candidate.kind)
    scores: dict[str, np.ndarray] = {}
    for one in fitted:
        # Methods and settings differ between points; what is held out and predicted does not.
        if one.key not in scores:
            found = cross_validate(
                one.data, one.candidate, [one.n_states], folds=held_out, seed=seed
            )
            scores[one.key] = found.trials[0]
    each = [scores[one.key] for one in fitted]
    table["held_out"] = [float(found.mean()) for found in each]
    table["held_out_se"] = [float(found.std(ddof=1) / len(found) ** 0.5) for found in each]
    return table


@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """What a result says about its data and its model. The same `key` is the same of both."""

    data: np.ndarray
    candidate: Candidate
    n_states: int
    key: str

    @classmethod
    def read(cls, path: Path) -> _Fitted:
        import numpy as np

        from pytau_hpc.data.recording import array_digest
        from pytau_hpc.inference.model_selection import Candidate
        from pytau_hpc.inference.result_file import OBSERVED, read_attrs, read_result

        point: Mapping[str, Any] = read_attrs(path)["point"]
        data = np.asarray(read_result(path)["observed_data"][OBSERVED])
        candidate = Candidate.named(point["model"], point["model_options"])
        n_states = int(point["n_states"])
        said = [array_digest(data), point["model"], dict(candidate.options), n_states]
        return cls(data=data, candidate=candidate, n_states=n_states, key=canonical_json(said))
