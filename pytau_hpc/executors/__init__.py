"""Where tasks run. `EXECUTORS` lists the ways; each is one module that implements `base.Executor`.

Every executor runs the same command for a task, ``python -m pytau_hpc worker SWEEP SUBMISSION TASK``, and nothing else
about a task depends on which executor ran it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from pytau_hpc.errors import UserError
from pytau_hpc.executors.base import Executor, LaysFiles
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.submission import Submission

#: name → the class, imported when it is asked for (submitit is not needed to show a status).
EXECUTORS: Mapping[str, str] = {
    "local": "pytau_hpc.executors.local:LocalExecutor",
    "slurm": "pytau_hpc.executors.slurm:SlurmExecutor",
    "gnu_parallel": "pytau_hpc.executors.gnu_parallel:GnuParallelExecutor",
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


def files_of(sweep: SweepDir, submission: Submission, *, workers: int | None) -> Mapping[str, str]:
    """What has to lie beside a submission before it is there itself: name and text of each file.

    Parameters
    ----------
    workers : how many tasks may run at once, where a person said so
    """
    way = executor(submission.executor)
    return way.files(sweep, submission, workers=workers) if isinstance(way, LaysFiles) else {}
