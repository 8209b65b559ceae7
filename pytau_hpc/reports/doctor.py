"""What `doctor` found, as lines with a mark each, and as a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pytau_hpc.doctor import Check, Verdict
from pytau_hpc.reports.format import Line, Span, line, plural

MARKS = {Verdict.OK: "✓", Verdict.WARNING: "!", Verdict.PROBLEM: "✗"}
STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.PROBLEM: "red"}


def check_lines(check: Check) -> list[Line]:
    """``✗ no C++ compiler: …`` and, where there is something to do, a line with that."""
    mark = Span(MARKS[check.verdict], STYLES[check.verdict])
    lines: list[Line] = [line(mark, f" {_one_line(check.says)}")]
    if check.help:
        lines.append(line(f"  help: {_one_line(check.help)}"))
    return lines


def conclusion(checks: Sequence[Check]) -> str:
    """``1 problem, 2 warnings``"""
    count = Counter(check.verdict for check in checks)
    found = [
        plural(count[verdict], verdict.value)
        for verdict in (Verdict.PROBLEM, Verdict.WARNING)
        if count[verdict]
    ]
    return ", ".join(found) or "no problems"


def as_json(checks: Sequence[Check]) -> dict[str, Any]:
    count = Counter(check.verdict for check in checks)
    return {
        "schema": "pytau-hpc/doctor/1",
        "problems": count[Verdict.PROBLEM],
        "warnings": count[Verdict.WARNING],
        "checks": [
            {
                "name": check.name,
                "verdict": check.verdict.value,
                "says": check.says,
                "help": check.help,
            }
            for check in checks
        ],
    }


def _one_line(text: str) -> str:
    """Words of other programs may have line breaks."""
    return " ".join(text.split("\n"))
