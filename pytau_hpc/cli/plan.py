"""``plan``: expand a spec into points."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pytau_hpc.cli.options import Json, talk


def command(
    spec: Annotated[Path, typer.Argument(help="The spec, a YAML file.")],
    into: Annotated[
        Path, typer.Option("--into", help="Study folder: where sweeps/ and models/ lie.")
    ] = Path("."),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan; write nothing.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Expand a spec into points, and write the manifest. Runs nothing."""
    from pytau_hpc.plan import plan
    from pytau_hpc.plan_cost import cost_of
    from pytau_hpc.reports import plan as report

    result = plan(spec, into, dry_run=dry_run)
    cost = cost_of(result)
    if as_json:
        print(report.as_json(result, cost))
        return 0
    print(report.as_text(result, cost))
    for line in report.next_steps(result):
        talk(line)
    return 0
