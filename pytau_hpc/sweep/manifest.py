"""The manifest: the frozen rows of a sweep, and how they came about.

manifest.csv has one row for each point: its id, the session, one column per axis, digest and shape of its data, and
the number of its *variant* (a model with its options and a method with its settings, resolved). Variants, sessions and
everything else that rows share stand in manifest.yaml, once. Together they make every `Point` again, exactly.

Read by submit, collect and the reports, without numpy and pydantic. Written by `revision`; this module knows the
form of both files.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytau_hpc.errors import NotASweep, PytauHpcError
from pytau_hpc.files import sha256_text
from pytau_hpc.sweep.cells import CellReader, shape_of
from pytau_hpc.sweep.point import DataSource, Point, Preprocessing, Selection, Session
from pytau_hpc.sweep.resources import Request, RetrySettings

FORMAT = 1
SPEC, HEADER, ROWS = "spec.yaml", "manifest.yaml", "manifest.csv"
BEFORE_AXES = ("point_id", "animal")
AFTER_AXES = ("data_digest", "shape", "variant", "result_path")

_REVISION = re.compile(r"[0-9]{4,}\Z", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A model with its options and a method with its settings, all resolved: what rows share of what is computed."""

    model: str
    model_version: int
    model_options: Mapping[str, Any]
    method: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Manifest:
    """A revision of a sweep's plan. `header` is manifest.yaml, `rows_text` manifest.csv, `folder` where they lie."""

    header: Mapping[str, Any]
    rows_text: str
    folder: Path

    @property
    def name(self) -> str:
        return str(self.header["sweep"])

    @property
    def revision(self) -> int:
        return int(self.header["revision"])

    @property
    def created_at(self) -> str:
        """ISO 8601, UTC."""
        return str(self.header["created_at"])

    @property
    def n_points(self) -> int:
        return int(self.header["points"])

    @property
    def axes(self) -> dict[str, list[Any]]:
        """Every axis with its values, the session first, in the order of the columns."""
        return dict(self.header["axes"])

    @property
    def request(self) -> Request:
        """What the spec asks for; the profile's defaults complete it: ``manifest.request.over(profile.defaults)``."""
        return Request.from_json(self.header["resources"])

    @property
    def retry(self) -> RetrySettings:
        return RetrySettings.from_json(self.header["retry"])

    @property
    def profile(self) -> str | None:
        """The profile that the spec names."""
        name = self.header["profile"]
        return None if name is None else str(name)

    @property
    def checkpoint_s(self) -> float:
        return float(self.header["checkpoint_s"])

    @property
    def spec_sha256(self) -> str:
        return str(self.header["spec_sha256"])

    @cached_property
    def source(self) -> DataSource:
        return DataSource(**self.header["source"])

    @cached_property
    def sessions(self) -> tuple[Session, ...]:
        return tuple(Session(**row) for row in self.header["sessions"])

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        return tuple(Variant(**row) for row in self.header["variants"])

    def rows(self) -> list[dict[str, str]]:
        """The rows as they stand in manifest.csv."""
        return list(csv.DictReader(io.StringIO(self.rows_text, newline="")))

    def point_ids(self) -> list[str]:
        lines = csv.reader(io.StringIO(self.rows_text, newline=""))
        next(lines, None)
        return [line[0] for line in lines]

    def points(self) -> list[Point]:
        """Every point as it was planned, in the order of the rows. Points share what they have in common."""
        lines = csv.reader(io.StringIO(self.rows_text, newline=""))
        header = next(lines)
        axes = header[len(BEFORE_AXES) : -len(AFTER_AXES)]
        first, last = len(BEFORE_AXES), len(BEFORE_AXES) + len(axes)
        cells = CellReader()
        session_of = {session.name: session for session in self.sessions}
        shared = _Shared()
        made = []
        for line in lines:
            values = dict(zip(axes, map(cells.value, line[first:last]), strict=True))
            # A session's name is text, whatever it looks like.
            values["session"] = line[first]
            digest, shape, variant, _ = line[last:]
            made.append(
                _point(
                    line[0],
                    session_of[line[first]],
                    self.source,
                    values,
                    digest,
                    shape,
                    self.variants[int(variant)],
                    shared,
                )
            )
        return made


class _Shared:
    """Selections and preprocessings that are made once for all the points that have them."""

    def __init__(self) -> None:
        self.selections: dict[tuple[Any, ...], Selection] = {}
        self.preprocessings: dict[tuple[Any, ...], Preprocessing] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}


def _point(
    point_id: str,
    session: Session,
    source: DataSource,
    axes: dict[str, Any],
    digest: str,
    shape: str,
    variant: Variant,
    shared: _Shared,
) -> Point:
    taste, region, laser = axes["taste"], axes["region"], axes["laser"]
    window = None if axes["window_ms"] is None else tuple(axes["window_ms"])
    # The type is part of the key: taste 1 is not taste true.
    chosen = (type(taste), taste, region, laser)
    if chosen not in shared.selections:
        shared.selections[chosen] = Selection(taste=taste, region=region, laser=laser)
    prepared = (axes["transform"], window, axes["bin_ms"])
    if prepared not in shared.preprocessings:
        shared.preprocessings[prepared] = Preprocessing(
            transform=axes["transform"], window_ms=window, bin_ms=axes["bin_ms"]
        )
    if shape not in shared.shapes:
        shared.shapes[shape] = shape_of(shape)
    return Point(
        point_id=point_id,
        session=session,
        source=source,
        selection=shared.selections[chosen],
        preprocessing=shared.preprocessings[prepared],
        model=variant.model,
        model_version=variant.model_version,
        model_options=variant.model_options,
        n_states=axes["n_states"],
        method=variant.method,
        settings=variant.settings,
        repeat=axes["repeat"],
        data_digest=digest,
        shape=shared.shapes[shape],
        axes=axes,
    )


def read_manifest(sweep_dir: Path) -> Manifest:
    """The newest revision of a sweep.

    Raises
    ------
    NotASweep : there is no plan in that folder
    PytauHpcError : the files were changed or cut after they were written, or are of another version of this package
    """
    for number in reversed(revisions(sweep_dir)):
        with contextlib.suppress(FileNotFoundError):
            return _read(revision_dir(sweep_dir, number))
    # A sweep that was copied without its history is still a sweep.
    try:
        return _read(sweep_dir)
    except (FileNotFoundError, NotADirectoryError):
        raise NotASweep(
            f"no plan in {sweep_dir}", help="make one with  python -m pytau_hpc plan SPEC.yaml"
        ) from None


def revisions(sweep_dir: Path) -> list[int]:
    """Numbers of the revisions that are there, ascending."""
    try:
        names = os.listdir(sweep_dir / "revisions")
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name) for name in names if _REVISION.match(name))


def newest_revision(sweep_dir: Path) -> Path | None:
    """The folder of the newest revision, None where there is none. Its name changes whenever the plan does."""
    numbers = revisions(sweep_dir)
    return revision_dir(sweep_dir, numbers[-1]) if numbers else None


def revision_dir(sweep_dir: Path, number: int) -> Path:
    return sweep_dir / "revisions" / f"{number:04}"


def _read(folder: Path) -> Manifest:
    header = _header(folder / HEADER)
    if header.get("format") != FORMAT:
        raise PytauHpcError(
            f"{folder / HEADER} has format {header.get('format')}; this version reads {FORMAT}",
            help="use the version of pytau_hpc that planned this sweep, or plan again",
        )
    with (folder / ROWS).open(encoding="utf-8", newline="") as file:
        rows = file.read()
    if sha256_text(rows) != header.get("rows_sha256"):
        raise PytauHpcError(
            f"{folder / ROWS} is not what was planned: its digest differs from the one in {HEADER}",
            help="a manifest changes through its spec, never by hand: plan again",
        )
    return Manifest(header=header, rows_text=rows, folder=folder)


def _header(path: Path) -> dict[str, Any]:
    import yaml

    text = path.read_text(encoding="utf-8")
    # libyaml's parser is ten times faster, which is felt with thousands of sessions.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        header = yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise PytauHpcError(f"{path} cannot be read: {error}", help="plan again") from error
    if not isinstance(header, dict):
        raise PytauHpcError(f"{path} is not a manifest", help="plan again")
    return header


_EXPLAINED = """\
# Written by `pytau_hpc plan`: the head of manifest.csv, which has the rows. To change a sweep, change its spec and plan
# again. A row's `variant` counts the variants below, from 0.
"""


def header_text(header: Mapping[str, Any]) -> str:
    """manifest.yaml: one line for each session and each array."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    def dumped(value: Any, flow: bool | None, width: int) -> str:
        text: str = yaml.dump(
            value,
            Dumper=dumper,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=flow,
            width=width,
        )
        return text

    parts = [_EXPLAINED]
    for key, value in header.items():
        if key in ("sessions", "data") and value:
            parts.append(
                f"{key}:\n" + "".join(f"- {dumped(item, True, 100_000)}" for item in value)
            )
        else:
            # None: collections of plain values on one line, everything above them in lines of its own.
            parts.append(
                dumped({key: value}, None if isinstance(value, (dict, list)) else False, 110)
            )
    return "".join(parts)
