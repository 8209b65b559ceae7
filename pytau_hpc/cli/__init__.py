"""The command line: one module per command, no logic.

Standard output is the answer, standard error the talk. A user's mistake becomes one message and exit code 2; an error
of ours keeps its traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    The `worker` command is taken before anything else is imported: a cluster starts thousands of them.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["worker"] and len(arguments) == 4:
        from pathlib import Path

        from pytau_hpc import worker

        return worker.main(Path(arguments[1]), arguments[2], int(arguments[3]))
    from pytau_hpc.cli.app import run

    return run(arguments)
