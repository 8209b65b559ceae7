"""Plan: expand a spec into points, check all of them against the data, and freeze them as a revision of the sweep.

Everything that is wrong is reported at once, with its place in the spec, and then nothing is written. Runs nothing and
sends nothing. A plan that says what the newest revision says already leaves it as it is. Called by the command line;
`reports.plan` prints the result.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytau_hpc import provenance
from pytau_hpc.data import READERS, TRANSFORMS, Reader
from pytau_hpc.errors import NotASweep, Problem, PytauHpcError, SpecInvalid, UserError
from pytau_hpc.inference import METHODS
from pytau_hpc.models import MODELS
from pytau_hpc.plan_data import FactsCache, Gathered, Progress, find_sessions, gather, passed_over
from pytau_hpc.plan_points import PointMaker, same_fits
from pytau_hpc.sweep.axes import Known
from pytau_hpc.sweep.grid import Expansion, expand, same_value
from pytau_hpc.sweep.manifest import Manifest, read_manifest, revisions
from pytau_hpc.sweep.point import DataSource, Point, Selection, Session
from pytau_hpc.sweep.resources import Request
from pytau_hpc.sweep.revision import Draft, freeze, publish, refresh_copies
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.spec import Spec, read_spec
from pytau_hpc.sweep.spec_checks import grid_of
from pytau_hpc.sweep.validate import in_order

KNOWN = Known(models=MODELS, methods=METHODS, readers=READERS, transforms=TRANSFORMS)

#: More rows that are one fit than this are not told one by one.
_TOLD = 5


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """One exclude rule of the spec, its line, and how many rows went because of it."""

    rule: dict[str, Any]
    line: int | None
    n_rows: int


@dataclass(frozen=True, kw_only=True)
class ShapeClass:
    """Points whose models see arrays of one shape: these share one compilation per model structure.

    dims : names of the axes of `shape`; n_states : smallest and largest
    """

    shape: tuple[int, ...]
    dims: tuple[str, ...]
    models: tuple[str, ...]
    n_states: tuple[int, int]
    n_sessions: int
    n_points: int


@dataclass(frozen=True, kw_only=True)
class PlanResult:
    """What a plan decided, and what became of it.

    Attributes
    ----------
    sweep, sweep_dir, study, spec_file, profile, request : names and places; the last two as the spec has them
    points : in the order of the manifest
    axes : every axis with the values that occur, the session first
    excluded, n_included : rows that rules took away, and explicit ones
    classes : points by shape of their data
    done : ids of points whose result is there already
    new, kept : ids that the previous revision does not have, and has; all are new where there was none
    dropped : ids that only the previous revision has
    revision, previous : numbers; `previous` is None for a first plan
    unchanged : the newest revision says the same, and stays
    dry_run : nothing was written; `revision` is what it would have been
    n_arrays, n_read : selected arrays, and how many had to be read (the facts of the others were known)
    notes : for the person
    """

    sweep: str
    sweep_dir: Path
    study: Path
    spec_file: str
    spec_sha256: str
    profile: str | None
    request: Request
    points: tuple[Point, ...]
    axes: dict[str, tuple[Any, ...]]
    excluded: tuple[Excluded, ...]
    n_included: int
    classes: tuple[ShapeClass, ...]
    done: frozenset[str]
    new: frozenset[str]
    kept: frozenset[str]
    dropped: tuple[str, ...]
    revision: int
    previous: int | None
    unchanged: bool
    dry_run: bool
    n_arrays: int
    n_read: int
    notes: tuple[str, ...] = ()


def plan(
    spec_path: Path,
    into: Path | None = None,
    *,
    dry_run: bool = False,
    now: datetime | None = None,
    progress: Progress | None = None,
) -> PlanResult:
    """Plan a sweep.

    Parameters
    ----------
    into : the study folder, which gets ``sweeps/<name>/``; the current folder where not given
    dry_run : decide and check everything, write nothing
    progress : called with arrays known and arrays wanted, as they are read

    Raises
    ------
    SpecInvalid : with everything that is wrong with the spec, or with the data for it
    UserError : the spec cannot be read, or another plan of this sweep was made at the same moment
    PytauHpcError : the study folder cannot be written to
    """
    study = Path(os.path.abspath(into or Path.cwd()))
    if not study.is_dir():
        raise UserError(f"there is no folder {study}", help=f"make it first:  mkdir -p {into}")
    spec = read_spec(spec_path, KNOWN)
    reader = READERS[spec.format]
    resolved = reader.resolve(spec.data_options)
    # Defaults are spelled out, so that another version's defaults change nothing; what says nothing is left out.
    options = {key: value for key, value in resolved.items() if value not in (None, {})}
    sessions = _sessions(spec, reader, Path(os.path.abspath(spec_path.parent)), study)
    expansion = _expanded(spec, sessions)
    cache = FactsCache(study)
    wanted = _wanted(expansion, sessions)
    gathered = gather(reader, options, wanted, study, cache, progress)
    source = DataSource(format=spec.format, options=options)
    points, dims = _points(spec, source, sessions, expansion, wanted, gathered)

    sweep = SweepDir(study / "sweeps" / spec.name)
    previous, notes = _previous(sweep, spec_path, study)
    base = Path(os.path.abspath(spec_path.parent))
    notes = (*notes, *passed_over(spec, reader, base, study, sessions))
    axes = _values(expansion)
    draft = Draft(
        name=spec.name,
        spec_text=spec.document.text,
        spec_file=_relative(spec_path, study),
        points=points,
        source=source,
        sessions=[session for session in sessions if session.name in set(axes["session"])],
        axes=axes,
        request=spec.request,
        retry=spec.retry,
        profile=spec.profile,
        checkpoint_s=spec.checkpoint_s,
        made={
            "user": provenance.user(),
            "host": provenance.host(),
            "git_commit": provenance.git_commit(spec_path.parent),
        },
        versions=provenance.versions(),
        created_at=(now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    frozen = freeze(draft)
    unchanged = previous is not None and frozen.same_as(previous)
    number = (
        previous.revision if previous and unchanged else max(revisions(sweep.path), default=0) + 1
    )
    if not dry_run:
        try:
            if unchanged:
                refresh_copies(sweep.path)
            else:
                publish(frozen, sweep.path, number)
            cache.save()
        except OSError as error:
            raise PytauHpcError(
                f"cannot write the plan to {sweep.path}: {error.strerror or error}",
                help="choose a study folder that you may write to:  --into FOLDER",
            ) from error

    ids = {point.point_id for point in points}
    before = previous.point_ids() if previous else []
    return PlanResult(
        sweep=spec.name,
        sweep_dir=sweep.path,
        study=study,
        spec_file=str(spec_path),
        spec_sha256=str(frozen.header["spec_sha256"]),
        profile=spec.profile,
        request=spec.request,
        points=tuple(points),
        axes=axes,
        excluded=_excluded(spec, expansion),
        n_included=expansion.n_included,
        classes=_classes(points, dims),
        done=_done(points, study),
        new=frozenset(ids.difference(before)),
        kept=frozenset(ids.intersection(before)),
        dropped=tuple(one for one in before if one not in ids),
        revision=number,
        previous=previous.revision if previous else None,
        unchanged=unchanged,
        dry_run=dry_run,
        n_arrays=sum(map(len, wanted.values())),
        n_read=gathered.n_read,
        notes=notes,
    )


def _refuse(spec: Spec, problems: Iterable[Problem]) -> None:
    found = in_order(list(problems))
    if found:
        raise SpecInvalid(spec.document.file, found)


def _sessions(spec: Spec, reader: Reader, base: Path, study: Path) -> list[Session]:
    sessions, problems = find_sessions(spec, reader, base, study)
    _refuse(spec, problems)
    return sessions


def _expanded(spec: Spec, sessions: Sequence[Session]) -> Expansion:
    names = tuple(session.name for session in sessions)
    axes = {"session": names, **spec.axes}
    expansion, mistakes = expand(grid_of(axes, spec.listed, spec.zip, spec.exclude, spec.include))
    problems = [
        spec.document.problem(
            one.address, one.message, help=one.help, at_key=isinstance(one.address[-1], str)
        )
        for one in mistakes
    ]
    for include in spec.include:
        session = include.values.get("session")
        if session is not None and session not in names:
            message = f"{include.where}: " if include.where else ""
            problems.append(
                spec.document.problem(include.address, f"{message}there is no session `{session}`")
            )
    if not expansion.rows and not problems:
        problems.append(spec.document.problem(("exclude",), "the rules exclude every row"))
    _refuse(spec, problems)
    return expansion


def _selection(axes: tuple[str, ...]) -> tuple[int, int, int]:
    return axes.index("taste"), axes.index("region"), axes.index("laser")


def _wanted(expansion: Expansion, sessions: Sequence[Session]) -> dict[Session, list[Selection]]:
    """The selections of every session that some row needs."""
    taste, region, laser = _selection(expansion.axes)
    chosen = dict.fromkeys((row[0], row[taste], row[region], row[laser]) for row in expansion.rows)
    found: dict[str, list[Selection]] = {}
    for name, *selected in chosen:
        found.setdefault(name, []).append(
            Selection(taste=selected[0], region=selected[1], laser=selected[2])
        )
    return {session: found[session.name] for session in sessions if session.name in found}


def _points(
    spec: Spec,
    source: DataSource,
    sessions: Sequence[Session],
    expansion: Expansion,
    wanted: dict[Session, list[Selection]],
    gathered: Gathered,
) -> tuple[list[Point], dict[str, tuple[str, ...]]]:
    """The points of all rows, and by point id the names of the axes of its data.

    Raises
    ------
    SpecInvalid : a row cannot be fitted, or two rows are one fit
    """
    maker = PointMaker(spec, source, gathered.facts, MODELS, METHODS)
    for (axis, value, message), names in gathered.refused.items():
        for name in names:
            maker.complaints.value(axis, value, message, name)
    session_of = {session.name: session for session in sessions}
    selections = {
        (session.name, one.taste, one.region, one.laser): one
        for session in wanted
        for one in wanted[session]
    }
    taste, region, laser = _selection(expansion.axes)
    points = []
    dims: dict[str, tuple[str, ...]] = {}
    for row in expansion.rows:
        selection = selections[row[0], row[taste], row[region], row[laser]]
        point = maker.point(
            session_of[row[0]], selection, dict(zip(expansion.axes, row, strict=True))
        )
        if point is not None:
            points.append(point)
            dims[point.point_id] = gathered.facts[row[0], selection].dims
    problems = maker.complaints.problems()
    if len(dims) < len(points):
        same = same_fits(points)
        more = (
            [f"… and {len(same) - _TOLD} more rows that are one fit"] if len(same) > _TOLD else []
        )
        problems += [spec.document.problem(("grid",), message) for message in same[:_TOLD] + more]
    _refuse(spec, problems)
    return points, dims


def _values(expansion: Expansion) -> dict[str, tuple[Any, ...]]:
    """The values of every axis that occur, in the order in which they do."""
    found = {}
    for column, name in enumerate(expansion.axes):
        # Rows hold the very objects of the axes, so their identities sort out most repetitions at once.
        objects = {id(row[column]): row[column] for row in expansion.rows}
        found[name] = tuple({same_value(value): value for value in objects.values()}.values())
    return found


def _previous(
    sweep: SweepDir, spec_path: Path, study: Path
) -> tuple[Manifest | None, tuple[str, ...]]:
    """The newest revision, and what to say about it."""
    try:
        manifest = read_manifest(sweep.path)
    except NotASweep:
        return None, ()
    except PytauHpcError as error:
        return None, (
            f"the last revision cannot be used, so all points count as new: {error.message}",
        )
    before, here = manifest.header.get("spec"), _relative(spec_path, study)
    if before != here:
        return manifest, (
            f"sweep {sweep.name} was planned from {before} before; this spec has the same name",
        )
    return manifest, ()


def _relative(path: Path, study: Path) -> str:
    absolute = Path(os.path.abspath(path))
    return (
        absolute.relative_to(study).as_posix() if absolute.is_relative_to(study) else str(absolute)
    )


def _done(points: Sequence[Point], study: Path) -> frozenset[str]:
    """Ids of points whose result is published; one listing per session's folder."""
    there: dict[str, set[str]] = {}
    done = set()
    for point in points:
        folder, _, name = point.result_path.rpartition("/")
        if folder not in there:
            try:
                there[folder] = set(os.listdir(study / folder))
            except OSError:
                there[folder] = set()
        if name in there[folder]:
            done.add(point.point_id)
    return frozenset(done)


def _excluded(spec: Spec, expansion: Expansion) -> tuple[Excluded, ...]:
    places = (spec.document.values.get(("exclude", index)) for index in range(len(spec.exclude)))
    return tuple(
        Excluded(rule=dict(rule), line=place.line if place else None, n_rows=n_rows)
        for rule, place, n_rows in zip(spec.exclude, places, expansion.excluded, strict=True)
    )


def _classes(points: Sequence[Point], dims: dict[str, tuple[str, ...]]) -> tuple[ShapeClass, ...]:
    """Points by shape, the largest arrays first."""
    groups: dict[tuple[tuple[int, ...], tuple[str, ...]], list[Point]] = {}
    for point in points:
        names = (*dims[point.point_id][:-1], "bin")
        groups.setdefault((point.shape, names), []).append(point)
    classes = [
        ShapeClass(
            shape=shape,
            dims=names,
            models=tuple(sorted({point.model for point in group})),
            n_states=(
                min(point.n_states for point in group),
                max(point.n_states for point in group),
            ),
            n_sessions=len({point.session.name for point in group}),
            n_points=len(group),
        )
        for (shape, names), group in groups.items()
    ]
    return tuple(sorted(classes, key=lambda one: (-len(one.shape), [-n for n in one.shape])))
