"""``resume``: send what failed (within its budget), was interrupted or lost, or never ran."""

from __future__ import annotations

from typing import Annotated

import typer

from pytau_hpc.cli.options import Json, Sweep, Where
from pytau_hpc.cli.sending import send
from pytau_hpc.cli.submit import (
    AutoResume,
    DryRun,
    Memory,
    PerTask,
    Point,
    Profile,
    Time,
    Wait,
    Workers,
    Yes,
)

Errors = Annotated[
    bool, typer.Option("--errors", help="Also what is final, once you have mended the cause.")
]

Lost = Annotated[
    bool,
    typer.Option(
        "--lost", help="Also what is queued or running but was not seen: you know better."
    ),
]
Cancelled = Annotated[bool, typer.Option("--cancelled", help="Also what was cancelled.")]


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
    point: Point = None,
    errors: Errors = False,
    lost: Lost = False,
    cancelled: Cancelled = False,
    wait: Wait = False,
    auto_resume: AutoResume = False,
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
        points=point or (),
        errors=errors,
        lost=lost,
        cancelled=cancelled,
        wait=wait,
        auto_resume=auto_resume,
        as_json=as_json,
    )
