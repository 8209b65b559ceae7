"""What must hold of a sweep of toy fits after whatever happened to it: a pure function of the files.

Nothing of the package is used: what is checked must not check itself. Journals are read as lines of JSON, results
through h5py, and what the toy notes while it computes (`tests.toy`, $PYTAU_TOY_TRACE) tells what was computed twice.
"""

from __future__ import annotations

import csv
import json
import sqlite3
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np


@dataclass(frozen=True)
class Run:
    """One journal."""

    submission: str
    task: int
    number: int
    records: Sequence[Mapping[str, Any]]
    damaged: int


@dataclass
class Found:
    """What the files say: `wrong` is what must not be, the rest is for the report."""

    wrong: list[str] = field(default_factory=list)
    points: int = 0
    succeeded: int = 0
    runs: int = 0
    submissions: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    recomputed: int = 0  #: iterations that were computed more than once, all fits together


def check(
    sweep: Path, *, trace: Path, scratch: Path, interval: int, zombies: bool = False
) -> Found:
    """Judge a sweep that `resume` has finished.

    Parameters
    ----------
    interval : iterations that may be computed twice for one interruption: what lies between two checkpoints
    zombies : two executions of one fit may have run at once
    """
    found = Found()
    with (sweep / "manifest.csv").open(newline="") as file:
        points = [row["point_id"] for row in csv.DictReader(file)]
    runs = list(_runs(sweep / "journal"))
    found.points, found.runs = len(points), len(runs)
    found.submissions = len(list(sweep.glob("submissions/*/submission.json")))
    found.succeeded = _results(found, sweep, points)
    _journals(found, runs, set(points))
    _executions(found, trace, interval, zombies)
    _leftovers(found, sweep, scratch)
    _ledger(found, sweep, points)
    return found


def _results(found: Found, sweep: Path, points: Sequence[str]) -> int:
    files: dict[str, list[Path]] = defaultdict(list)
    for path in (sweep.parent.parent / "models").rglob("model_*.nc"):
        files[path.stem.removeprefix("model_")].append(path)
    for point in points:
        if len(files[point]) != 1:
            found.wrong.append(f"{point} has {len(files[point])} results")
            continue
        path = files[point][0]
        if path.stat().st_nlink != 1:
            found.wrong.append(f"{path.name} has a second name")
        with h5py.File(path, "r") as file:
            says = {key: _text(file.attrs[key]) for key in ("point_id", "point", "quality")}
        if says["point_id"] != point:
            found.wrong.append(f"{path.name} is the result of {says['point_id']}")
        quality = json.loads(says["quality"])
        iterations = json.loads(says["point"])["settings"]["iterations"]
        if quality["elbo"] != _uninterrupted(int(quality["info"]["seed"]), iterations):
            found.wrong.append(f"{path.name} is not what an uninterrupted fit gives")
    return sum(bool(files[point]) for point in points)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _uninterrupted(seed: int, iterations: int) -> float:
    """The toy's walk, once more."""
    value = 0.0
    for iteration in range(iterations):
        value = float(np.sin(value * 7.0) + np.random.default_rng([seed, iteration]).normal())
    return value


def _runs(journals: Path) -> Iterator[Run]:
    for path in sorted(journals.rglob("*.jsonl")):
        task, number = path.name.removesuffix(".jsonl").split(".r")
        *lines, _ = path.read_bytes().split(b"\n")  # a tail without its newline was torn off
        records, damaged = [], 0
        for line in lines:
            body, _, crc = line.rpartition(b',"crc":"')
            if crc == b'%08x"}' % zlib.crc32(body):
                records.append(json.loads(line))
            else:
                damaged += 1
        yield Run(path.parent.name, int(task), int(number), records, damaged)


def _journals(found: Found, runs: Sequence[Run], points: set[str]) -> None:
    """No record is lost, no task was sent twice, no point succeeded twice."""
    successes: Counter[str] = Counter()
    jobs: dict[tuple[str, int], set[str]] = defaultdict(set)
    for run in runs:
        name = f"{run.submission}/{run.task}.r{run.number}"
        if run.damaged:
            found.wrong.append(f"journal {name} has {run.damaged} damaged lines")
        if [record["seq"] for record in run.records] != list(range(len(run.records))):
            found.wrong.append(f"journal {name} has gaps")
        for record in run.records:
            if record["event"] == "run_started":
                jobs[run.submission, run.task].add(record["job"])
            if record["event"] == "point_succeeded":
                successes[record["point"]] += 1
            if record.get("point", "") not in points | {""}:
                found.wrong.append(f"journal {name} has a point that nobody planned")
    for (submission, task), names in jobs.items():
        if len(names) > 1:
            found.wrong.append(f"task {task} of {submission} was sent twice: {sorted(names)}")
    for point, n in successes.items():
        if n > 1:
            found.wrong.append(f"{point} succeeded {n} times")


def _executions(found: Found, trace: Path, interval: int, zombies: bool) -> None:
    """Every interruption costs at most what lies between two checkpoints, and nobody computes beside another."""
    for path in trace.iterdir():
        if path.suffix:
            continue
        executions: dict[str, list[tuple[int, float]]] = {}
        for line in path.read_text().splitlines():
            process, iteration, wall = line.split()
            executions.setdefault(process, []).append((int(iteration), float(wall)))
        done, ended = 0, 0.0
        for number, steps in enumerate(executions.values()):
            first, last = steps[0][0], steps[-1][0] + 1
            if number and steps[0][1] < ended and not zombies:
                found.wrong.append(f"fit {path.name} was computed by two processes at once")
            again = max(0, done - first)
            found.recomputed += again
            if again > interval and not zombies:
                found.wrong.append(f"fit {path.name} computed {again} iterations twice")
            if first > done:
                found.wrong.append(f"fit {path.name} left out iterations {done} to {first}")
            done, ended = max(done, last), max(ended, steps[-1][1])


def _leftovers(found: Found, sweep: Path, scratch: Path) -> None:
    models = sweep.parent.parent / "models"
    left = [path for path in models.rglob("*") if path.is_file() and path.suffix != ".nc"]
    left += list(models.rglob(".*"))
    # A sender that is killed in the middle of a file leaves its beginning, some bytes under a hidden name that nobody
    # reads.
    killed = set((sweep / "submissions").glob("*/.*.tmp"))
    # submitit's own folder has its own manners.
    left += [
        path for path in sweep.rglob(".*") if path.parent.name != "submitit" and path not in killed
    ]
    left += [path for path in (sweep / "checkpoints").rglob("*") if path.is_file()]
    left += [path for path in scratch.rglob("*") if path.parent.parent == scratch]
    found.wrong += [f"left over: {path}" for path in dict.fromkeys(left)]


def _ledger(found: Found, sweep: Path, points: Sequence[str]) -> None:
    ledger = sweep / "ledger.db"
    states = Counter(state for (state,) in _ask(ledger, "SELECT state FROM point"))
    if states != {"succeeded": len(points)}:
        found.wrong.append(f"the ledger says {dict(states)}")
    for sql in (
        "SELECT kind FROM attempt WHERE kind IS NOT NULL",
        # A task that was lost before it came to a point leaves no attempt, ...
        "SELECT gone FROM task t WHERE gone IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM run r WHERE r.submission = t.submission AND r.task = t.task)",
        # ... and a run that was lost between two points none with a kind.
        "SELECT gone FROM run r WHERE gone IS NOT NULL AND NOT EXISTS (SELECT 1 FROM attempt a"
        " WHERE a.submission = r.submission AND a.task = r.task AND a.run = r.run AND a.kind IS NOT NULL)",
    ):
        found.kinds.update(kind for (kind,) in _ask(ledger, sql))


def _ask(ledger: Path, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as connection:
        return connection.execute(sql).fetchall()


def rows_of(ledger: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the ledger that follow from files: what must come back when it is deleted."""
    found = {}
    for (table,) in _ask(
        ledger, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    ):
        if table not in ("hint", "journal"):
            found[table] = sorted(_ask(ledger, f"SELECT * FROM {table}"), key=repr)
    return found
