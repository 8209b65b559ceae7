"""``doctor``: is everything there that a sweep needs?"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pytau_hpc.cli.options import Json, Sweep

if TYPE_CHECKING:
    from pytau_hpc.doctor import Check

WITH_PROBLEMS = 1


def command(
    sweep: Sweep = None,
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", help="Name or file of a cluster profile.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Look at this computer, the cluster, the profile and the sweep's folder. Changes nothing."""
    from pytau_hpc import doctor
    from pytau_hpc.reports import doctor as report

    checks: list[Check] = []

    def take(check: Check) -> None:
        checks.append(check)
        if not as_json:
            _show(check)

    def conclude() -> None:
        print(json.dumps(report.as_json(checks)) if as_json else report.conclusion(checks))
        sys.stdout.flush()

    def give_up() -> None:
        take(doctor.HANGS)
        conclude()
        os._exit(WITH_PROBLEMS)  # the thread that hangs cannot be asked to end

    for check in doctor.patiently(lambda: doctor.examine(doctor.setting(sweep, profile)), give_up):
        take(check)
    conclude()
    has_problem = any(check.verdict is doctor.Verdict.PROBLEM for check in checks)
    return WITH_PROBLEMS if has_problem else 0


def _show(check: Check) -> None:
    from pytau_hpc.reports.doctor import check_lines
    from pytau_hpc.reports.format import painted, plain

    if not sys.stdout.isatty():
        print(plain(check_lines(check)), flush=True)
        return
    from rich.console import Console

    Console().print(painted(check_lines(check)), soft_wrap=True)
