"""``submit``: send the points that are planned."""

from __future__ import annotations

from typing import Annotated

import typer

from pytau_hpc.cli.options import Json, Sweep, Where
from pytau_hpc.cli.sending import send

Profile = Annotated[
    str | None, typer.Option("--profile", "-p", help="Name or file of a cluster profile.")
]
Workers = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="How many tasks may run at once.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; send nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Memory = Annotated[
    float | None, typer.Option("--mem", min=0.1, help="Memory per task in GiB, for this time.")
]
Time = Annotated[
    str | None,
    typer.Option("--time", help="Time limit per task (hours:minutes:seconds), for this time."),
]
PerTask = Annotated[
    int | None, typer.Option("--points-per-task", min=1, help="Points in one task, for this time.")
]

Point = Annotated[
    list[str] | None,
    typer.Option("--point", metavar="ID", help="Only this point (again for more): id or label."),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Stay until nothing of it is queued or running any more.")
]
AutoResume = Annotated[
    bool,
    typer.Option(
        "--auto-resume", help="While waiting, resume what may be tried again, until all is done."
    ),
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
    point: Point = None,
    wait: Wait = False,
    auto_resume: AutoResume = False,
    as_json: Json = False,
) -> int:
    """Send the points that are not done. Safe to run again."""
    from pytau_hpc.choose import Command

    return send(
        Command.SUBMIT,
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
        wait=wait,
        auto_resume=auto_resume,
        as_json=as_json,
    )
