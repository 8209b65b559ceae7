"""Load what one point fits: read, compare with what was planned, check, preprocess.

Called by the fit process. `plan` uses the same readers and the same checks, so a point that was planned loads, unless
its data changed since.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from pytau_hpc.data import reader_of
from pytau_hpc.data.facts import check
from pytau_hpc.data.preprocess import preprocess, preprocessing_rng
from pytau_hpc.data.recording import facts
from pytau_hpc.errors import BadData
from pytau_hpc.sweep.point import DataSource, Preprocessing, Selection, Session


@dataclass(frozen=True, kw_only=True)
class LoadedData:
    """The array that a model sees; `dims` names its axes, the last is "bin"."""

    array: npt.NDArray[Any]
    dims: tuple[str, ...]


def located(session: Session, study: Path) -> Session:
    """The session with its path made absolute; one without files stays as it is."""
    return dataclasses.replace(session, path=str(study / session.path)) if session.path else session


def load(
    session: Session,
    source: DataSource,
    selection: Selection,
    preprocessing: Preprocessing,
    repeat: int,
    expected_digest: str,
    study: Path,
) -> LoadedData:
    """Read and preprocess the data of one point.

    Parameters
    ----------
    expected_digest : of the selected array before preprocessing, as `plan` saw it
    study : folder that a relative `session.path` starts from

    Raises
    ------
    BadData : the session has vanished, changed since it was planned, or cannot be preprocessed so
    """
    reader = reader_of(source.format)
    here = located(session, study)
    if reader.on_disk and not Path(here.path).exists():
        raise BadData(f"session {session.name} has vanished: {here.path} does not exist")
    recording = reader.read(here, selection, source.options)
    found = facts(recording)
    if found.digest != expected_digest:
        what = f"taste {selection.taste}, region {selection.region}, laser {selection.laser}"
        raise BadData(
            f"session {session.name} ({what}) changed since plan: "
            f"{_short(expected_digest)} was planned, {_short(found.digest)} is there",
            help="plan again to fit the data as they are now",
        )
    problems = check(
        found,
        transform=preprocessing.transform,
        window_ms=preprocessing.window_ms,
        bin_ms=preprocessing.bin_ms,
    )
    if problems:
        raise BadData(f"session {session.name}: {'; '.join(problems)}")
    rng = preprocessing_rng(found.digest, selection, preprocessing, repeat)
    return LoadedData(
        array=preprocess(recording, preprocessing, rng), dims=(*recording.dims[:-1], "bin")
    )


def _short(digest: str) -> str:
    return digest[: len("sha256:") + 12] + "…"
