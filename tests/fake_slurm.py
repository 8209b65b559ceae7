"""Small programs that stand for SLURM's on the PATH, where a test is about what they were told, or about what they say.

    slurm.answers(refuses("AssocMaxSubmitJobLimit …"), TAKES)   # what sbatch does, call by call; afterwards it takes
    slurm.calls[0].options["exclude"]                           # what the batch file of its first call said
    slurm.shows("PENDING", submission, [0, 1])                  # what squeue shows, beside what sbatch took

They keep SLURM's promises as far as tests need them: what sbatch takes, squeue shows from then on, under the name that
it was given, and nothing else. They run nothing. What needs a cluster that runs jobs is in `tests/slurm`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytau_hpc.sweep.submission import Submission

#: What sbatch's own words begin with.
FAILED = "sbatch: error: Batch job submission failed: "

_SBATCH = """\
cd {folder}
n=$(( $(cat n) + 1 )); echo $n > n
cp "${{@: -1}}" sbatch.$n; env > sbatch.$n.environment
option() {{ sed -n "s/^#SBATCH --$1=//p" sbatch.$n; }}
indexes=$(option array); indexes=${{indexes%%%*}}
size=$(( ${{indexes#*-}} - ${{indexes%-*}} + 1 ))
take() {{
  touch sbatch.$n.taken
  for i in $(seq ${{indexes%-*}} ${{indexes#*-}}); do
    echo "$(option job-name)|$i|PENDING|$((8000 + n))||Priority" >> queue
  done
}}
if [ -f answer.$n ]; then . ./answer.$n; elif [ -f answer.later ]; then . ./answer.later; fi
take
echo "Submitted batch job $((8000 + n))"
"""

_SQUEUE = """\
cd {folder}
echo "squeue $*" >> told; env > squeue.environment
names=
for word in "$@"; do case "$word" in --name=*) names=",${{word#--name=}},";; esac; done
awk -F'|' -v names="$names" 'index(names, "," $1 ",")' queue
"""

_SCONTROL = """\
cd {folder}
echo "scontrol $*" >> told
case "$1 $2" in
"show config") cat config;;
"show job") cat job;;
esac
"""


def refuses(words: str, *, status: int = 1) -> str:
    """An sbatch that takes nothing, says these words and ends so."""
    return f"echo {shlex.quote(words)} >&2; exit {status}"


def takes_and_says(words: str, *, status: int = 1) -> str:
    """An sbatch whose array is in the queue, though its own end does not show it."""
    return f"take; {refuses(words, status=status)}"


def takes_at_most(elements: int, words: str) -> str:
    """An sbatch that takes arrays up to a size, and says these words of larger ones."""
    return f"if [ $size -gt {elements} ]; then {refuses(words)}; fi"


def has_room_for(elements: int, words: str) -> str:
    """An sbatch that takes arrays as long as no more elements than this are in the queue."""
    return f"if [ $(( $(wc -l < queue) + size )) -gt {elements} ]; then {refuses(words)}; fi"


#: An sbatch that takes what it is given.
TAKES = ""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One sbatch: the options in its batch file, the environment that it ran in, and whether it took the array."""

    options: Mapping[str, str]
    environment: Mapping[str, str]
    taken: bool

    @property
    def elements(self) -> range:
        first, _, last = self.options["array"].partition("%")[0].partition("-")
        return range(int(first), int(last) + 1)


class FakeSlurm:
    """sbatch, squeue, scontrol and the like in `folder`, and what they are to say and were told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name, text in {"n": "0\n", "queue": "", "told": ""}.items():
            (folder / name).write_text(text)
        (folder / "config").write_text("ClusterName = lab\nMaxArraySize = 1001\n")
        self.put("sbatch", _SBATCH.format(folder=folder))
        self.put("squeue", _SQUEUE.format(folder=folder))
        self.put("scontrol", _SCONTROL.format(folder=folder))
        self.put("scancel", f'echo "scancel $*" >> {folder}/told')
        self.put("srun", "exit 1")
        self.put("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")

    def put(self, name: str, script: str) -> None:
        """Make a program do something else."""
        path = self.folder / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    # -- sbatch --------------------------------------------------------------------------------------------------------

    def answers(self, *answers: str, later: str = TAKES) -> None:
        """What the next calls of sbatch do, one by one, and what all that follow do."""
        begun = len(self.calls)
        for number, answer in enumerate(answers, begun + 1):
            (self.folder / f"answer.{number}").write_text(f"{answer}\n")
        (self.folder / "answer.later").write_text(f"{later}\n")

    @property
    def calls(self) -> list[Call]:
        """Every call of sbatch."""
        return [self._call(i + 1) for i in range(int((self.folder / "n").read_text()))]

    def _call(self, number: int) -> Call:
        path = self.folder / f"sbatch.{number}"
        lines = [line for line in path.read_text().splitlines() if line.startswith("#SBATCH --")]
        options = [line.removeprefix("#SBATCH --").partition("=") for line in lines]
        return Call(
            options={name: value for name, _, value in options},
            environment=_environment(path.with_name(f"{path.name}.environment")),
            taken=path.with_name(f"{path.name}.taken").exists(),
        )

    @property
    def taken(self) -> list[tuple[str, int]]:
        """Name and index of every element that sbatch ever took, in this order."""
        return [(c.options["job-name"], i) for c in self.calls if c.taken for i in c.elements]

    # -- squeue and scontrol -------------------------------------------------------------------------------------------

    def shows(self, state: str, submission: Submission, elements: Iterable[int]) -> None:
        """Let squeue show elements of a submission's first array, as job 7000, whatever it showed of them before."""
        name = submission.job_name(submission.arrays[0])
        wanted = set(elements)
        kept = [line for line in self._queue if (line[0] != name or int(line[1]) not in wanted)]
        new = [[name, str(index), state, "7000", "", "None"] for index in sorted(wanted)]
        self._write_queue([*kept, *new])

    def forgets(self) -> None:
        """Let squeue show nothing of all that it has shown."""
        self._write_queue([])

    @property
    def _queue(self) -> list[list[str]]:
        return [line.split("|") for line in (self.folder / "queue").read_text().splitlines()]

    def _write_queue(self, lines: Iterable[list[str]]) -> None:
        text = "".join("|".join(line) + "\n" for line in lines)
        (self.folder / "queue").write_text(text)

    def shows_job(self, text: str) -> None:
        """What ``scontrol show job`` says of any job."""
        (self.folder / "job").write_text(text)

    @property
    def told(self) -> list[str]:
        """Every call of squeue, scontrol and scancel, as it stood on the command line."""
        return (self.folder / "told").read_text().splitlines()

    @property
    def environment_of_squeue(self) -> Mapping[str, str]:
        """That of its last call."""
        return _environment(self.folder / "squeue.environment")


def _environment(path: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value for name, has_value, value in pairs if has_value}


def put_on_path(slurm: FakeSlurm, path: str) -> str:
    """A PATH on which these programs come first."""
    return f"{slurm.folder}{os.pathsep}{path}"
