"""``status``: where a sweep stands."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pytau_hpc.cli.options import Json, Sweep, Where, talk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytau_hpc.collect import Collected
    from pytau_hpc.ledger.summary import Which
    from pytau_hpc.reports.format import Line
    from pytau_hpc.sweep.run_dir import SweepDir

Points = Annotated[bool, typer.Option("--points", help="One row for each point.")]
Failed = Annotated[
    bool, typer.Option("--failed", help="What failed, was lost or interrupted, by cause.")
]
By = Annotated[
    str | None, typer.Option("--by", metavar="AXIS", help="One row for each value of an axis.")
]
Ids = Annotated[bool, typer.Option("--ids", help="Ids only, one per line.")]
Watch = Annotated[bool, typer.Option("--watch", help="Show it until nothing is queued or running.")]
ExitStatus = Annotated[
    bool,
    typer.Option("--exit-status", help="Exit with 3 when not all succeeded, 4 when not finished."),
]


def command(
    sweep: Sweep = None,
    points: Points = False,
    failed: Failed = False,
    by: By = None,
    where: Where = None,
    ids: Ids = False,
    watch: Watch = False,
    exit_status: ExitStatus = False,
    as_json: Json = False,
) -> int:
    """Show counts by state, causes, what runs and how long it will take."""
    from pytau_hpc.collect import collect
    from pytau_hpc.errors import UserError
    from pytau_hpc.ledger.summary import UNSUCCESSFUL, Which
    from pytau_hpc.reports import status as report
    from pytau_hpc.reports import status_text as text
    from pytau_hpc.sweep.run_dir import find_sweep

    _only_one({"--points": points, "--ids": ids, "--by": by is not None, "--watch": watch})
    if watch and failed:
        raise UserError("--watch shows the summary; it does not go with --failed")
    place = find_sweep(sweep)
    called = sweep or place.name
    which = Which(where=where, states=UNSUCCESSFUL if failed else None)
    if watch:
        from pytau_hpc.reports.live import watch as show_until_done

        status = show_until_done(place, which=which, called=called, json_lines=as_json)
    else:
        with collect(place) as collected:
            status = report.status_of(place, collected, which=Which(where=where), called=called)
            if as_json:
                extra = _json_extra(
                    place, collected, which, points=points or ids, failed=failed, by=by
                )
                print(json.dumps({**report.as_json(status), **extra}, ensure_ascii=False))
            elif ids:
                _print_ids(collected, which)
            elif points:
                _print_points(collected, which)
            elif by is not None:
                _print_by(collected, which, by)
            elif failed:
                _print_failed(place, collected, which, status.points)
            else:
                _show(text.as_lines(status, width=_width()))
        if not (as_json or ids or points or by):
            steps = [step for step in status.next if not (failed and "--failed" in step.command)]
            talk()
            for step in text.next_lines(steps):
                talk(step)
    return report.exit_code(status) if exit_status else 0


def _only_one(given: dict[str, bool]) -> None:
    from pytau_hpc.errors import UserError

    names = [name for name, is_given in given.items() if is_given]
    if len(names) > 1:
        raise UserError(f"{' and '.join(names)} do not go together", help="give one of them")


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100


def _show(lines: Sequence[Line]) -> None:
    """Print lines: painted on a terminal (rich knows NO_COLOR and dumb ones), plainly elsewhere."""
    from pytau_hpc.reports.format import painted, plain

    if not sys.stdout.isatty():
        print(plain(lines))
        return
    from rich.console import Console

    Console().print(painted(lines), crop=False, overflow="ignore", soft_wrap=True)


def _print_ids(collected: Collected, which: Which) -> None:
    from pytau_hpc.ledger.summary import point_ids

    for point_id in point_ids(collected.ledger, which):
        print(point_id)


def _print_points(collected: Collected, which: Which) -> None:
    from pytau_hpc.ledger.summary import point_rows
    from pytau_hpc.reports import tables

    rows = point_rows(collected.ledger, which)
    if sys.stdout.isatty():
        _show(tables.points_table(rows, _width()))
    elif rows:
        print(tables.points_tsv(rows))


def _print_by(collected: Collected, which: Which, axis: str) -> None:
    from pytau_hpc.ledger.summary import counts_by
    from pytau_hpc.reports import tables

    groups = tables.group(counts_by(collected.ledger, axis, which))
    if sys.stdout.isatty():
        _show(tables.by_table(axis, groups, _width()))
    else:
        print(tables.by_tsv(axis, groups))


def _print_failed(sweep: SweepDir, collected: Collected, which: Which, of: int) -> None:
    from pytau_hpc.ledger.summary import point_rows
    from pytau_hpc.reports import failures

    found = failures.failures(point_rows(collected.ledger, which), failures.limits_of(sweep))
    _show(failures.as_lines(found, of=of, width=_width() if sys.stdout.isatty() else None))


def _json_extra(
    sweep: SweepDir,
    collected: Collected,
    which: Which,
    *,
    points: bool,
    failed: bool,
    by: str | None,
) -> dict[str, Any]:
    """What the document holds besides the summary: points, groups of an axis, groups of failures."""
    from pytau_hpc.ledger import queries, summary
    from pytau_hpc.reports import failures, tables

    extra: dict[str, Any] = {}
    if by is not None:
        groups = tables.group(summary.counts_by(collected.ledger, by, which))
        extra["by"] = {"axis": by, "values": tables.by_json(groups)}
    if points or failed:
        rows = summary.point_rows(collected.ledger, which)
        extra["points"] = tables.points_json(rows, queries.axes(collected.ledger))
        if failed:
            found = failures.failures(rows, failures.limits_of(sweep))
            extra["failures"] = failures.as_json(found)
    return extra
