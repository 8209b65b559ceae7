"""``resume``: send what failed (within its budget), was interrupted or lost, or never ran."""

from __future__ import annotations

from typing import Annotated

import typer

from pytau_hpc.cli.options import Json, Sweep, Where
from pytau_hpc.cli.sending import send
from pytau_hpc.cli.submit import DryRun, Memory, PerTask, Profile, Time, Workers, Yes

Errors = Annotated[
    bool, typer.Option("--errors", help="Also what is final, once you have mended the cause.")
]


def command(
    sweep: Sweep = None,
    profile: Profile = None,
    jobs: Workers = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    mem: Memory = None,
    time: Time = None,
    points_per_task: PerTask = None,
    where: Where = None,
    errors: Errors = False,
    as_json: Json = False,
) -> int:
    """Retry what failed, with more memory or time where that was the cause, and send what never ran."""
    from pytau_hpc.choose import Command

    return send(
        Command.RESUME,
        sweep=sweep,
        profile=profile,
        jobs=jobs,
        dry_run=dry_run,
        yes=yes,
        mem=mem,
        time=time,
        points_per_task=points_per_task,
        where=where,
        errors=errors,
        as_json=as_json,
    )
