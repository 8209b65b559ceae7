"""``worker``: run one task. Started by executors; a person runs it to look at one task by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    sweep: Annotated[Path, typer.Argument(help="Folder of the sweep.")],
    submission: Annotated[str, typer.Argument(help="Uuid of the submission.")],
    task: Annotated[int, typer.Argument(help="Number of the task.")],
) -> int:
    """Run one task of a submission (what every array element does)."""
    from pytau_hpc.worker import main

    return main(sweep, submission, task)
