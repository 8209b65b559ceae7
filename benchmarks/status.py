"""How long ``status --json`` takes on a sweep of 100,000 points when nothing is new.

    python benchmarks/status.py [POINTS] [--folder FOLDER]

Makes a sweep of 1,000 tasks with real journals (half of it done, 20 tasks running, the rest queued; then all of it
done) and times the command as a process: the first call, which reads every journal, and the best of five after it. CPU
seconds are shown beside the wall clock's, which on a busy computer say more about its other users.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pytau_hpc.sweep.state import Kind  # noqa: E402
from pytau_hpc.sweep.submission import Submission  # noqa: E402
from tests.builders import BuiltSweep, a_sweep, some_points  # noqa: E402

TASKS, RUNNING = 1000, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("points", nargs="?", type=int, default=100_000)
    parser.add_argument(
        "--folder", type=Path, help="where to make it; an own temporary folder by default"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        began = time.perf_counter()
        points = some_points(options.points, sessions=max(1, options.points // 1000))
        sweep = a_sweep(Path(folder), points, name="big")
        submission = sweep.submit(per_task=-(-options.points // TASKS))
        tasks = len(submission.tasks)
        work(sweep, submission, range(tasks // 2))
        runs = [
            sweep.run(submission, task).starts(submission.tasks[task].points[0])
            for task in range(tasks // 2, min(tasks, tasks // 2 + RUNNING))
        ]
        print(f"made {options.points:,} points in {time.perf_counter() - began:.0f} s", flush=True)
        report("half done", sweep)
        for run in runs:
            run.ends("killed")
        work(sweep, submission, range(tasks // 2, tasks), run=2)
        report("all done", sweep)
        print(f"ledger.db: {sweep.dir.ledger.stat().st_size / 2**20:.0f} MiB")


def work(sweep: BuiltSweep, submission: Submission, tasks: range, run: int = 1) -> None:
    for number in tasks:
        with sweep.run(submission, number, number=run) as running:
            for i, point in enumerate(submission.tasks[number].points):
                if i % 50 == 49:
                    running.fails(point, Kind.OUT_OF_MEMORY)
                else:
                    running.succeeds(point)


def report(what: str, sweep: BuiltSweep) -> None:
    first, cpu, document = timed(sweep, "status", "--json")
    time.sleep(2.5)  # folders that changed a moment ago are looked at again
    timed(sweep, "status", "--json")
    print(f"{what}: {document['counts']}")
    print(
        f"  {'first':<22} {first:6.2f} s   {cpu:6.2f} s CPU   (reads every new journal)", flush=True
    )
    for words in (["status", "--json"], ["status"], ["status", "--by", "n_states"], ["--version"]):
        best, cpu = (
            min(values)
            for values in zip(*(timed(sweep, *words)[:2] for _ in range(5)), strict=True)
        )
        print(f"  {' '.join(words):<22} {best:6.2f} s   {cpu:6.2f} s CPU", flush=True)


def timed(sweep: BuiltSweep, command: str, *words: str) -> tuple[float, float, dict]:
    """Wall and CPU seconds of the command, and its JSON."""
    named = [] if command == "--version" else [str(sweep.dir.path)]
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytau_hpc", command, *named, *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    seconds, after = time.perf_counter() - began, os.times()
    cpu = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return seconds, cpu, json.loads(done.stdout) if "--json" in words else {}


if __name__ == "__main__":
    main()
