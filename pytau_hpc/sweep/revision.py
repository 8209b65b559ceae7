"""Writing the manifest, as revisions.

``revisions/0001/{spec.yaml,manifest.yaml,manifest.csv}`` is staged under a hidden name and renamed, so it is there
whole or not at all, and of two plans at once the first one wins. The files of the same names in the sweep's folder are
copies for people; `manifest.read_manifest` uses the newest revision, so a crash between the rename and the copies
loses nothing. Called by `plan`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytau_hpc.errors import UserError
from pytau_hpc.files import canonical_json, fsync_dir, fsync_file, sha256_text, write_atomic
from pytau_hpc.sweep.cells import CellWriter, shape_text
from pytau_hpc.sweep.manifest import (
    AFTER_AXES,
    BEFORE_AXES,
    FORMAT,
    HEADER,
    ROWS,
    SPEC,
    Manifest,
    Variant,
    header_text,
    revision_dir,
    revisions,
)
from pytau_hpc.sweep.point import DataSource, Point, Selection, Session
from pytau_hpc.sweep.resources import Request, RetrySettings

#: What makes one plan differ from another. Who planned, when and with which versions does not.
_CONTENT = (
    "sweep",
    "spec_sha256",
    "rows_sha256",
    "profile",
    "resources",
    "retry",
    "checkpoint_s",
    "source",
    "variants",
    "sessions",
)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A plan that is not a revision yet.

    axes : every axis with its values, the session first; the order of the columns
    made : who planned where, and the commit of the folder; versions : of the programs
    """

    name: str
    spec_text: str
    spec_file: str
    points: Sequence[Point]
    source: DataSource
    sessions: Sequence[Session]
    axes: Mapping[str, Sequence[Any]]
    request: Request
    retry: RetrySettings
    profile: str | None
    checkpoint_s: float
    made: Mapping[str, str | None]
    versions: Mapping[str, str | None]
    created_at: str


@dataclass(frozen=True)
class Frozen:
    """The two files of a revision before it has a number."""

    header: Mapping[str, Any]
    rows: str
    spec: str

    def same_as(self, manifest: Manifest) -> bool:
        """Whether that revision says this already."""
        return all(self.header[key] == manifest.header.get(key) for key in _CONTENT)


def freeze(draft: Draft) -> Frozen:
    """What the files of a plan say."""
    rows, variants, arrays = _rows(draft)
    header = {
        "format": FORMAT,
        "sweep": draft.name,
        "revision": None,
        "points": len(draft.points),
        "created_at": draft.created_at,
        "made": draft.made,
        "versions": draft.versions,
        "spec": draft.spec_file,
        "spec_sha256": sha256_text(draft.spec_text),
        "rows_sha256": sha256_text(rows),
        "profile": draft.profile,
        "resources": draft.request.to_json(),
        "retry": draft.retry.to_json(),
        "checkpoint_s": draft.checkpoint_s,
        "source": asdict(draft.source),
        "axes": draft.axes,
        "variants": [asdict(variant) for variant in variants],
        "sessions": [asdict(session) for session in draft.sessions],
        "data": arrays,
    }
    # Through JSON, so that what is compared with a file is what the file would say: lists, not tuples.
    return Frozen(json.loads(json.dumps(header, allow_nan=False)), rows, draft.spec_text)


def publish(frozen: Frozen, sweep_dir: Path, number: int) -> None:
    """Write a revision, then the copies for people.

    Raises
    ------
    UserError : another plan of the same sweep made this revision meanwhile
    """
    folder = sweep_dir / "revisions"
    folder.mkdir(parents=True, exist_ok=True)
    staged = folder / f".{number:04}.{uuid.uuid4().hex}.tmp"
    staged.mkdir()
    try:
        header = header_text({**frozen.header, "revision": number})
        for name, text in ((SPEC, frozen.spec), (ROWS, frozen.rows), (HEADER, header)):
            (staged / name).write_text(text, encoding="utf-8", newline="")
            fsync_file(staged / name)
        fsync_dir(staged)
        try:
            # A rename never replaces a folder that holds something.
            os.rename(staged, revision_dir(sweep_dir, number))
        except OSError as error:
            if not revision_dir(sweep_dir, number).is_dir():
                raise
            raise UserError(
                f"another plan of {frozen.header['sweep']} made revision {number} at the same moment",
                help="see what it planned, then plan again",
            ) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    for changed in (folder, sweep_dir, sweep_dir.parent):
        fsync_dir(changed)
    refresh_copies(sweep_dir)


def refresh_copies(sweep_dir: Path) -> None:
    """Make the copies in the sweep's folder those of the newest revision, where they are not."""
    for number in revisions(sweep_dir)[-1:]:
        for name in (SPEC, ROWS, HEADER):
            newest = (revision_dir(sweep_dir, number) / name).read_bytes()
            copy = sweep_dir / name
            if not copy.is_file() or copy.read_bytes() != newest:
                write_atomic(copy, newest)


def _rows(draft: Draft) -> tuple[str, list[Variant], list[dict[str, Any]]]:
    """manifest.csv, the variants that its rows count, and the digest of every selected array."""
    columns = [name for name in draft.axes if name != "session"]
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*BEFORE_AXES, "session", *columns, *AFTER_AXES])
    cells = CellWriter()
    variants = _Variants()
    arrays: dict[tuple[str, Selection], str] = {}
    for point in draft.points:
        writer.writerow(
            [
                point.point_id,
                point.session.animal,
                point.session.name,
                *(cells.text(point.axes[name]) for name in columns),
                point.data_digest,
                shape_text(point.shape),
                variants.number(point),
                point.result_path,
            ]
        )
        arrays[point.session.name, point.selection] = point.data_digest
    told = [
        {"session": session, **asdict(selection), "digest": digest}
        for (session, selection), digest in arrays.items()
    ]
    return file.getvalue(), variants.all, told


class _Variants:
    """Numbers the variants of points in the order in which they come."""

    def __init__(self) -> None:
        self.all: list[Variant] = []
        self._by_content: dict[str, int] = {}
        self._by_identity: dict[tuple[Any, ...], int] = {}

    def number(self, point: Point) -> int:
        # Points share the objects that hold their settings: comparing identities first saves most of the work.
        quick = (
            point.model,
            point.model_version,
            id(point.model_options),
            point.method,
            id(point.settings),
        )
        if quick not in self._by_identity:
            variant = Variant(
                model=point.model,
                model_version=point.model_version,
                model_options=point.model_options,
                method=point.method,
                settings=point.settings,
            )
            content = canonical_json(asdict(variant))
            if content not in self._by_content:
                self._by_content[content] = len(self.all)
                self.all.append(variant)
            self._by_identity[quick] = self._by_content[content]
        return self._by_identity[quick]
