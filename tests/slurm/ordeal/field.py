"""One repetition: a study folder with a sweep of toy fits, the command line in it, and the cluster around it.

Commands of SLURM go through shims on the PATH, which count calls and remember what sbatch said; `record` keeps what
squeue, sacct and scontrol show at a moment, for whoever has to find out what happened.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.slurm.ordeal.check import Found, check, rows_of
from tests.slurm.ordeal.machine import (
    Hopeless,
    alive,
    ask,
    command_of,
    eventually,
    indices,
    undrain,
)
from tests.slurm.ordeal.texts import SBATCH, SHIM, SPEC

ROOT = Path(__file__).resolve().parents[3]
COUNTED = ("sbatch", "squeue", "sacct", "scontrol", "scancel")
GRACE_S = 5
#: Iterations of a fit take this long, unless a scenario says otherwise; checkpoints are due every second.
SLEEP_S = 0.1
INTERVAL = 12


@dataclass(frozen=True)
class Element:
    """An array element as squeue shows it."""

    job: str
    state: str
    reason: str
    node: str
    number: str  #: its own job number, once it has one


@dataclass(frozen=True)
class Answer:
    """What the real sbatch said about one array."""

    rc: int
    name: str
    elements: list[int]
    words: str


@dataclass
class Field:
    """See the module. `hits` counts injuries that really hit; scenarios add to it."""

    folder: Path
    scenario: str
    records: Path | None = None
    detailed: bool = True  #: ask SLURM about everything at every moment that is recorded
    hits: int = 0
    resumes: int = 0  #: those that sent something
    too_early: int = 0  #: those that found nothing to do yet
    released: int = 0  #: elements that SLURM held ("launch failed"), as only a person can undo
    zombies: bool = False
    interval: int = INTERVAL
    variables: dict[str, str] = field(default_factory=dict)  #: more of the environment
    said: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)

    # -- the sweep -------------------------------------------------------------------------------------------------

    def plan(
        self,
        *,
        points: int = 8,
        iterations: int = 40,
        sleep_s: float = SLEEP_S,
        checkpoint_s: float = 1,
        mem_gb: float = 0.5,
        minutes: int = 10,
        points_per_task: int = 1,
        grace_s: float = GRACE_S,
        partition: str = "main",
        limits: str = "",
        fit: str = "",
    ) -> None:
        """Plan a sweep; `points` is rounded up to a multiple of 4 (or is 1 or 2)."""
        self.folder.mkdir(parents=True)
        for name in ("shims", "scratch", "trace", "jobs"):
            (self.folder / name).mkdir()
        self._put_shims()
        (self.folder / "jobs" / "ordeal.yaml").write_text(
            f"executor: slurm\nslurm: {{partition: {partition}}}\n"
            + (f"limits: {{{limits}}}\n" if limits else "")
        )
        spec = SPEC.format(
            n_states="[2, 3]" if points > 2 else "[2]",
            repeat=-(-points // 4) if points > 2 else 1,
            iterations=iterations,
            sleep_s=sleep_s,
            checkpoint_s=checkpoint_s,
            mem_gb=mem_gb,
            time=f"00:{minutes:02}:00",
            points_per_task=points_per_task,
            grace_s=grace_s,
            fit=f", {fit}" if fit else "",
        )
        (self.folder / "toy.yaml").write_text(spec)
        self.cli("plan", "toy.yaml")

    def _put_shims(self) -> None:
        self.put_sbatch("")
        for name in COUNTED[1:]:
            self._shim(name, SHIM.format(name=name, log=self._log, real=shutil.which(name)))

    def put_sbatch(self, after: str) -> None:
        """What the sbatch on the PATH does after the real one has answered."""
        self._shim(
            "sbatch",
            SBATCH.format(
                log=self._log, real=shutil.which("sbatch"), folder=self.folder, after=after
            ),
        )

    def _shim(self, name: str, text: str) -> None:
        path = self.folder / "shims" / name
        path.write_text(text)
        path.chmod(0o755)

    @property
    def _log(self) -> Path:
        return self.folder / "calls.log"

    @property
    def sweep(self) -> Path:
        return self.folder / "sweeps" / "toy"

    @property
    def environment(self) -> dict[str, str]:
        leaks = ("SLURM_", "SBATCH_", "SQUEUE_", "PYTAU_HPC_")
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(leaks)},
            "PATH": f"{self.folder / 'shims'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "PYTAU_HPC_PLUGINS": "tests.toy",
            "PYTAU_HPC_SCRATCH": str(self.folder / "scratch"),
            "PYTAU_HPC_PROFILE": "ordeal",
            "PYTAU_TOY_TRACE": str(self.folder / "trace"),
            **self.variables,
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "pytau_hpc", *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def cli(self, *words: str, ok: Iterable[int] = (0,), timeout: float = 300) -> str:
        """Run a command and return what it said; an unexpected exit code is a violation."""
        process = self.start(*words)
        try:
            said, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            self.wrong.append(f"`{' '.join(words)}` did not end within {timeout:.0f} s")
            return ""
        self.note(f"$ {' '.join(words)} → {process.returncode}\n{said.rstrip()}")
        if process.returncode not in ok:
            tail = said.strip().splitlines()[-1:] or [""]
            self.wrong.append(f"`{' '.join(words)}` → {process.returncode}: {tail[0]}")
        return said

    def note(self, words: str) -> None:
        """Keep something for the record."""
        self.said.append(f"[{time.monotonic() - self._started:6.1f} s] {words}")

    def submit(self) -> str:
        return self.cli("submit", "--yes")

    def counts(self) -> dict[str, int]:
        said = self.cli("status", "--json")
        try:
            counts = json.JSONDecoder().raw_decode(said[said.index("{") :])[0]["counts"]
        except ValueError:
            raise Hopeless(f"status said {said[-300:]!r}") from None
        return {state: n for state, n in counts.items() if n}

    # -- its tasks and processes -----------------------------------------------------------------------------------

    def journals(self) -> dict[Path, list[dict[str, Any]]]:
        found = {}
        for path in sorted((self.sweep / "journal").rglob("*.jsonl")):
            lines = path.read_bytes().split(b"\n")[:-1]
            found[path] = [json.loads(line) for line in lines if line.endswith(b"}")]
        return found

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [r for records in self.journals().values() for r in records if r["event"] == kind]

    def running(self) -> list[dict[str, Any]]:
        """The first record of each run whose process lives, with what it is at."""
        found = []
        for path, records in self.journals().items():
            if records and "pid" in records[0] and records[-1]["event"] != "run_ended":
                pid = records[0]["pid"]
                if alive(pid) and "pytau_hpc" in command_of(pid):
                    found.append({**records[0], "path": path, "last": records[-1]})
        return found

    def computing(self, n: int, *, past: int = 1, seconds: float = 120) -> list[dict[str, Any]]:
        """Wait until `n` fits have checkpointed at least `past` times and go on; the runs that do."""

        def ready() -> list[dict[str, Any]]:
            runs = [
                run
                for run in self.running()
                if sum(r["event"] == "checkpoint" for r in self.journals()[run["path"]]) >= past
            ]
            return runs if len(runs) >= n else []

        return list(eventually(ready, f"{n} fits with a checkpoint", seconds))

    def queue(self, *, everything: bool = False) -> list[Element]:
        """The elements of this sweep's arrays that SLURM still has; `everything`: those that ended, too."""
        command = ["squeue", "--noheader", "--array", "--format=%i|%T|%r|%N|%A|%j"]
        answer = ask(*command, *(["--states=all"] if everything else []))
        found = []
        for line in answer.splitlines():
            job, state, reason, node, number, name = line.split("|", 5)
            if any(name.startswith(f"{uuid}.") or uuid in name for uuid in self.uuids()):
                found.append(Element(job, state, reason, node, number))
        return found

    def uuids(self) -> list[str]:
        try:
            return [n for n in os.listdir(self.sweep / "submissions") if not n.startswith(".")]
        except FileNotFoundError:
            return []

    def start_now(self) -> None:
        """End the two minutes that requeued elements wait, and release those that SLURM holds after a mishap."""
        for element in self.queue():
            if "held" in element.reason:
                self.record(f"{element.job} is held: {element.reason}")
                ask("scontrol", "release", element.job)
                self.released += 1
            if element.state == "PENDING" and element.reason in ("BeginTime", "None"):
                ask("scontrol", "update", f"jobid={element.job}", "starttime=now")

    # -- its end ---------------------------------------------------------------------------------------------------

    def all_published(self) -> bool:
        """Whether every point has a result; a job that hangs may still be in the queue."""
        planned = (self.sweep / "manifest.csv").read_text().count("\n") - 1
        return len(list((self.folder / "models").rglob("model_*.nc"))) == planned

    def settle(self, *, hurry: bool = True, seconds: float = 240) -> None:
        """Wait until SLURM has nothing of this sweep any more, or nothing is left to do."""

        def empty() -> bool:
            undrain()
            if hurry:
                self.start_now()
            return not self.queue() or (not self.running() and self.all_published())

        eventually(empty, "an empty queue", seconds)

    def finish(self, *, most: int = 12, seconds: float = 240) -> None:
        """What a person does: wait, look, `resume`, until everything has succeeded."""
        for _ in range(most):
            self.settle(seconds=seconds)
            counts = self.counts()
            if set(counts) == {"succeeded"}:
                break
            self.resume()
        else:
            self.wrong.append(f"not finished after {most} times `resume`: {self.counts()}")

    def resume(self) -> str:
        said = self.cli("resume", "--yes", ok=(0, 5, 75))
        if "Nothing to send" in said:
            self.too_early += 1
            time.sleep(2)
        else:
            self.resumes += 1
        return said

    def judge(self) -> Found:
        """All that must hold at the end."""
        before = len(self.uuids())
        if "Nothing to send" not in self.cli("resume", "--yes") or len(self.uuids()) != before:
            self.wrong.append("the second `resume` sent something")
        found = check(
            self.sweep,
            trace=self.folder / "trace",
            scratch=self.folder / "scratch",
            interval=self.interval,
            zombies=self.zombies,
        )
        rows = rows_of(self.sweep / "ledger.db")
        for path in self.sweep.glob("ledger.db*"):
            path.unlink()
        self.cli("status")
        again = rows_of(self.sweep / "ledger.db")
        for table, held in rows.items():
            if again.get(table) != held:
                differs = [row for row in held if row not in again.get(table, [])][:2]
                now = [row for row in again.get(table, []) if row not in held][:2]
                self.wrong.append(f"ledger rebuilt, table {table} differs: {differs} → {now}")
        found.wrong = [*self.wrong, *found.wrong]
        found.wrong += self._sent_twice()
        return found

    def _sent_twice(self) -> list[str]:
        accepted: Counter[tuple[str, int]] = Counter()
        for answer in self.answers():
            if answer.rc == 0:
                accepted.update((answer.name, index) for index in answer.elements)
        twice = Counter(name for (name, _), n in accepted.items() if n > 1)
        return [f"{n} elements of {name} were sent twice" for name, n in twice.items()]

    def answers(self) -> list[Answer]:
        """What the real sbatch answered, in order."""
        path = self.folder / "sbatch.said"
        if not path.exists():
            return []
        found = []
        for line in path.read_text().splitlines():
            rc, name, elements, words = line.split(" ", 3)
            found.append(Answer(int(rc), name, indices(elements), words))
        return found

    def calls(self) -> Counter[str]:
        """How often the package called SLURM's programs."""
        if not self._log.exists():
            return Counter()
        return Counter(line.split()[1] for line in self._log.read_text().splitlines())

    # -- for the record --------------------------------------------------------------------------------------------

    def record(self, moment: str) -> None:
        """What SLURM shows at this moment, into the record."""
        self.note(f"==== {moment}")
        if self.records is None or not self.detailed:
            return
        squeue = "%i|%K|%T|%F|%A|%r|%N|%S|%e|%M|%l|%k"
        names = list(dict.fromkeys(answer.name for answer in self.answers()))
        for command in (
            [
                "squeue",
                "--array",
                "--states=all",
                f"--name={','.join(names)}",
                f"--format={squeue}",
            ],
            [
                "sacct",
                "-D",
                "--noconvert",
                f"--name={','.join(names)}",
                "--format=jobid%14,state%24,exitcode,derivedexitcode,reason%20,submit,start,end,"
                "elapsed,nodelist,maxrss,reqmem",
            ],
        ):
            self.note(f"$ {' '.join(command[:3])}\n{ask(*command)}")
        for element in self.queue(everything=True)[:2]:
            shown = ask("scontrol", "show", "job", element.number, "-d")
            self.note(f"$ scontrol show job {element.job} ({element.number})\n{shown}")

    def watch(self, label: str, seconds: float, every: float = 2.0) -> None:
        """Records at intervals."""
        if self.records is None or not self.detailed:
            return
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.record(f"{label} +{seconds - (end - time.monotonic()):.1f} s")
            time.sleep(every)

    def keep(self, found: Found | None, name: str) -> None:
        """Write the record, and the journals' words with it."""
        if self.records is None:
            return
        self.records.mkdir(parents=True, exist_ok=True)
        lines = [*self.said]
        for path, records in self.journals().items():
            lines.append(f"---- journal {path.parent.name}/{path.name}")
            lines += [json.dumps(record) for record in records]
        for path in sorted((self.sweep / "submissions").glob("*/gone/*")):
            lines.append(f"---- {path.relative_to(self.sweep)}\n{path.read_text()}")
        for path in sorted((self.sweep / "logs").rglob("*.slurm.log")):
            if text := path.read_text(errors="replace").strip():
                lines.append(f"---- {path.relative_to(self.sweep)}\n{text[-1500:]}")
        lines.append(f"---- verdict: {found}")
        (self.records / f"{name}.txt").write_text("\n".join(lines) + "\n")
