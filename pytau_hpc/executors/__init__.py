"""Where tasks run. `EXECUTORS` lists the ways; each is one module that implements `base.Executor`.

Every executor runs the same command for a task, ``python -m pytau_hpc worker SWEEP SUBMISSION TASK``, and nothing else
about a task depends on which executor ran it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from pytau_hpc.errors import UserError
from pytau_hpc.executors.base import Executor

#: name → the class, imported when it is asked for (submitit is not needed to show a status).
EXECUTORS: Mapping[str, str] = {
    "local": "pytau_hpc.executors.local:LocalExecutor",
    "slurm": "pytau_hpc.executors.slurm:SlurmExecutor",
    "inline": "pytau_hpc.executors.inline:InlineExecutor",
}


def executor(name: str) -> Executor:
    """The executor of that name.

    Raises
    ------
    UserError : there is none
    """
    if name not in EXECUTORS:
        raise UserError(f"there is no executor `{name}`; there is {', '.join(EXECUTORS)}")
    module, _, attribute = EXECUTORS[name].partition(":")
    made: Executor = getattr(import_module(module), attribute)()
    return made
