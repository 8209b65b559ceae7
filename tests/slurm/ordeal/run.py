"""One repetition of a scenario, judged, and the table of many."""

from __future__ import annotations

import shutil
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from tests.slurm.ordeal import Scenario
from tests.slurm.ordeal.check import Found
from tests.slurm.ordeal.field import Field
from tests.slurm.ordeal.machine import Hopeless, accounting, ask, control, undrain


def repeat(
    name: str, scenario: Scenario, number: int, folder: Path, records: Path | None
) -> dict[str, Any]:
    """One repetition; never raises for what it finds."""
    field = Field(folder / f"{name}.{number}", name, records=records, detailed=number < 2)
    started = time.monotonic()
    found: Found | None = None
    try:
        scenario.run(field)
        found = field.judge()
        if strange := set(found.kinds) - set(scenario.kinds):
            n = {kind: found.kinds[kind] for kind in sorted(strange)}
            found.wrong.append(f"kinds {n}, where only {sorted(scenario.kinds)} are true")
        if not field.hits:
            found.wrong.append("the injury did not hit")
    except Hopeless as error:
        field.wrong.append(f"hopeless: {error}")
    except Exception:
        field.wrong.append(f"the harness broke: {traceback.format_exc()}")
    wrong = found.wrong if found is not None else field.wrong
    tag = "acct" if accounting() else "noacct"
    if wrong or number < 2:
        field.keep(found, f"{name}.{tag}.{number}" + (".WRONG" if wrong else ""))
    tidy(field)
    calls = field.calls()
    if not wrong:
        shutil.rmtree(field.folder, ignore_errors=True)
    return {
        "scenario": name,
        "accounting": tag == "acct",
        "repetition": number,
        "seconds": round(time.monotonic() - started, 1),
        "hits": field.hits,
        "resumes": field.resumes,
        "too_early": field.too_early,
        "released": field.released,
        "kinds": dict(found.kinds) if found else {},
        "points": found.points if found else None,
        "succeeded": found.succeeded if found else None,
        "recomputed": found.recomputed if found else None,
        "calls": dict(calls),
        "wrong": wrong,
        "folder": str(field.folder) if wrong else None,
    }


def tidy(field: Field) -> None:
    """No job of this sweep is left, and every node is usable."""
    # Also those of earlier sweeps: a controller that was killed may have forgotten that they had ended.
    for line in ask("squeue", "--noheader", "--format=%A|%j").splitlines():
        job, name = line.split("|", 1)
        if name.startswith("toy.") or name in ("high", "wrap"):
            ask("scancel", job)
    undrain()
    try:
        control("wait-idle")
    except Hopeless as error:
        print(f"! {error}", file=sys.stderr)


def table(rows: list[dict[str, Any]]) -> str:
    """One line a scenario."""
    lines = [
        f"{'scenario':28} {'reps':>4} {'hits':>5} {'resumes':>7} {'early':>5} {'again':>6} {'wrong':>5}"
        f" {'s/rep':>6}  {'sbatch/squeue/sacct':19}  kinds"
    ]
    for name in dict.fromkeys(row["scenario"] for row in rows):
        held = [row for row in rows if row["scenario"] == name]
        kinds: Counter[str] = Counter()
        calls: Counter[str] = Counter()
        for row in held:
            kinds.update(row["kinds"])
            calls.update(row["calls"])
        n = len(held)
        lines.append(
            f"{name:28} {n:4} {sum(r['hits'] for r in held):5} {sum(r['resumes'] for r in held):7}"
            f" {sum(r['too_early'] for r in held):5} {sum(r['recomputed'] or 0 for r in held):6}"
            f" {sum(bool(r['wrong']) for r in held):5} {sum(r['seconds'] for r in held) / n:6.0f}"
            f"  {calls['sbatch'] / n:5.1f}/{calls['squeue'] / n:5.1f}/{calls['sacct'] / n:5.1f}  "
            + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
        )
    return "\n".join(lines)
