"""``demo``: a whole small study on this computer, with a known answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pytau_hpc.cli.options import shown, talk


def command(
    folder: Annotated[Path, typer.Option("--into", help="Where the study is made.")] = Path(
        "pytau_hpc_demo"
    ),
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="How many tasks may run at once.")
    ] = None,
) -> int:
    """Make a small synthetic study, run it on this computer, and compare it with the truth."""
    from pytau_hpc import demo
    from pytau_hpc.choose import Command
    from pytau_hpc.cli.sending import run_here
    from pytau_hpc.reports import demo as report
    from pytau_hpc.reports import plan as plan_report

    folder = folder.absolute()
    talk(f"Making two animals with two sessions each in {shown(folder)}/data …")
    study = demo.make_study(folder)
    print(plan_report.as_text(demo.plan_study(study)))
    talk()
    code = run_here(study.sweep, Command.RESUME, jobs=jobs)
    print(report.standing(study))
    if code == 130:
        talk("Stopped. Run the same command again: it goes on where it stopped.")
        return code
    print()
    print(report.conclusion(study))
    return code
