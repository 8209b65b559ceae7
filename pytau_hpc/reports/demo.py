"""What `demo` shows at its end: how close the fits came to the truth, a picture, and where everything is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pytau_hpc import demo
from pytau_hpc.collect import collect
from pytau_hpc.data.times import changepoint_ms
from pytau_hpc.inference.result_file import read_result
from pytau_hpc.ledger import queries
from pytau_hpc.reports.status import status_of
from pytau_hpc.reports.status_text import as_text

_SHOWN_TASTE = 0


def standing(study: demo.Study) -> str:
    """What `status` says of the sweep."""
    with collect(study.sweep, ask=False) as collected:
        return as_text(status_of(study.sweep, collected))


def conclusion(study: demo.Study) -> str:
    """Compare with the truth, draw the picture, and say where things are."""
    with collect(study.sweep, ask=False) as collected:
        rows: list[Any] = [dict(row) for row in queries.points(collected.ledger)]
    path_of = {row["point_id"]: study.folder / row["result_path"] for row in rows}

    def draws(point_id: str) -> Any:
        return read_result(path_of[point_id]).posterior["tau"].to_numpy()

    found = demo.compare_with_truth(study, rows, draws)
    if not found.errors_ms:
        return "No fit with the true number of states has succeeded yet."
    errors = sorted(found.errors_ms.values())
    chosen = Counter(found.best_states.values())
    right = chosen[demo.TRUE_STATES]
    picture = study.folder / "demo.png"
    session = next(iter(study.truth))
    shown = next(row for row in rows if _is_shown(row, session) and row["state"] == "succeeded")
    _draw(study, picture, session, draws(shown["point_id"]), found)
    return "\n".join(
        [
            f"Changepoints  off by {errors[len(errors) // 2]:.0f} ms (median of {len(errors)} data sets; "
            f"{errors[0]:.0f} to {errors[-1]:.0f} ms), with bins of {demo.BIN_MS} ms",
            f"States        {demo.TRUE_STATES} are true; ELBO is highest at {demo.TRUE_STATES} in {right} of "
            f"{len(found.best_states)} data sets",
            "",
            f"Picture       {_here(picture)}",
            f"Results       {_here(study.folder / 'models')}/<animal>/<session>/model_<point id>.nc  (NetCDF, ArviZ)",
            f"Ledger        {_here(study.sweep.ledger)}  (SQLite)",
            f"Spec          {_here(study.spec)}",
            "",
            f"In Python     import pytau_hpc; pytau_hpc.open_sweep({str(_here(study.sweep.path))!r}).points()",
        ]
    )


def _is_shown(row: Any, session: str) -> bool:
    return bool(
        row["session"] == session
        and row["taste"] == _SHOWN_TASTE
        and row["n_states"] == demo.TRUE_STATES
    )


def _draw(study: demo.Study, picture: Path, session: str, tau: Any, found: demo.Recovered) -> None:
    import numpy as np

    from pytau_hpc.data import reader_of
    from pytau_hpc.reports.figures import demo_figure
    from pytau_hpc.sweep.point import Selection

    reader = reader_of("blech_hdf5")
    [recorded] = reader.sessions([f"data/{session}"], study.folder, study=study.folder)
    recorded = type(recorded)(**{**vars(recorded), "path": str(study.folder / recorded.path)})
    spikes = reader.read(recorded, Selection(taste=_SHOWN_TASTE, region="gc")).array
    middle = np.median(tau.reshape(-1, *tau.shape[-2:]), axis=0)
    demo_figure(
        picture,
        title=f"{session}, taste {_SHOWN_TASTE}",
        spikes=spikes,
        changepoints_ms=changepoint_ms(middle, start_ms=demo.WINDOW_MS[0], bin_ms=demo.BIN_MS),
        true_ms=np.asarray(study.truth[session][_SHOWN_TASTE]),
        window_ms=demo.WINDOW_MS,
        elbo=found.elbo,
        true_states=demo.TRUE_STATES,
    )


def _here(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
