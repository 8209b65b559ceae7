"""Run scenarios and count: `python -m tests.slurm.ordeal SCENARIO… [--times 10] [--json FILE]`.

The cluster (`tests/slurm/cluster.sh start 8`) must be up; other users of it wait meanwhile.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import filelock

from tests.slurm.ordeal import SCENARIOS
from tests.slurm.ordeal.machine import accounting, nodes
from tests.slurm.ordeal.run import repeat, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.slurm.ordeal", description=__doc__)
    parser.add_argument("scenario", nargs="*", help="all of them where none is named")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--json", type=Path, help="append one line a repetition")
    parser.add_argument("--records", type=Path, help="folder for what SLURM showed at each moment")
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    if given.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name:28} {(scenario.run.__doc__ or '').splitlines()[0]}")
        return 0
    if unknown := set(given.scenario) - set(SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}; see --list")
    if not nodes():
        parser.error("no cluster; tests/slurm/cluster.sh start 8")
    folder = Path(tempfile.mkdtemp(prefix="ordeal-"))
    rows = []
    for name in given.scenario or SCENARIOS:
        scenario = SCENARIOS[name]
        if scenario.needs_accounting and not accounting():
            continue
        for number in range(given.times):
            with filelock.FileLock(
                Path(tempfile.gettempdir()) / "pytau-hpc-test-cluster.user.lock"
            ):
                row = repeat(name, scenario, number, folder, given.records)
            rows.append(row)
            print(table([row]).splitlines()[-1], flush=True)
            for words in row["wrong"][:8]:
                print(f"    ✗ {words[:400]}", flush=True)
            if given.json:
                with given.json.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    print(table(rows))
    return int(any(row["wrong"] for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
