"""What `plan` prints: the axes, what becomes of the points, the shapes that the models will see, and what it will cost.

Says only what is known; how long fits take is known when some have run. No logic: `pytau_hpc.plan` decided everything,
and `plan_cost` reckoned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytau_hpc.plan import Excluded, PlanResult, ShapeClass
from pytau_hpc.plan_cost import PlanCost, ShapeNeeds
from pytau_hpc.reports.cost import cost_line, request_lines, requests
from pytau_hpc.reports.format import cut, plural, roughly

WIDTH = 100
SCHEMA = "pytau-hpc/plan/1"
#: So many shapes are listed one by one.
_CLASSES = 12
#: So many requests.
_REQUESTS = 6


def as_text(result: PlanResult, cost: PlanCost | None = None) -> str:
    """The plan for a person, at most 100 columns wide."""
    blocks = [
        [_title(result)],
        _axes(result),
        _counts(result),
        _classes(result, cost.needs if cost is not None else {}),
        [] if cost is None else _cost(cost),
        _outcome(result),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def as_json(result: PlanResult, cost: PlanCost | None = None) -> str:
    """The plan as one JSON document."""
    needs = cost.needs if cost is not None else {}
    document = {
        "schema": SCHEMA,
        "sweep": {
            "name": result.sweep,
            "root": str(result.sweep_dir),
            "study": str(result.study),
            "spec": result.spec_file,
            "spec_sha256": result.spec_sha256,
            "profile": result.profile,
        },
        "revision": result.revision,
        "previous_revision": result.previous,
        "unchanged": result.unchanged,
        "dry_run": result.dry_run,
        "axes": {name: list(values) for name, values in result.axes.items()},
        "excluded": [
            {"rule": one.rule, "line": one.line, "rows": one.n_rows} for one in result.excluded
        ],
        "included": result.n_included,
        "counts": {
            "points": len(result.points),
            "done": len(result.done),
            "new": len(result.new),
            "kept": len(result.kept),
            "dropped": len(result.dropped),
        },
        "classes": [
            {
                "shape": list(one.shape),
                "dims": list(one.dims),
                "models": list(one.models),
                "n_states": list(one.n_states),
                "sessions": one.n_sessions,
                "points": one.n_points,
                **_needs_json(needs.get(one.shape)),
            }
            for one in result.classes
        ],
        "points": [
            {
                "point_id": point.point_id,
                "label": point.label,
                "axes": dict(point.axes),
                "done": point.point_id in result.done,
                "new": point.point_id in result.new,
                "result_path": point.result_path,
            }
            for point in result.points
        ],
        "dropped": list(result.dropped),
        "cost": None if cost is None else _cost_json(cost),
        "notes": list(result.notes),
    }
    return json.dumps(document, indent=1, ensure_ascii=False)


def _needs_json(needs: ShapeNeeds | None) -> dict[str, float | None]:
    if needs is None:
        return {"fit_s_min": None, "fit_s_max": None, "req_mem_gb": None}
    return {
        "fit_s_min": round(needs.shortest_s, 3),
        "fit_s_max": round(needs.longest_s, 3),
        "req_mem_gb": needs.mem_gb,
    }


def _cost_json(cost: PlanCost) -> dict[str, Any]:
    return {
        "profile": cost.profile,
        "cpu_hours_expected": None if cost.expected is None else round(cost.expected, 4),
        "cpu_hours_max": None if cost.maximum is None else round(cost.maximum, 4),
        "points": cost.n_points,
        "points_known": cost.n_known,
        "fits_measured": cost.n_fits,
        "tasks": [
            {"tasks": n, "cpus": cpus, "mem_gb": mem_gb, "time_min": time_min}
            for cpus, mem_gb, time_min, n in requests(cost.arrays)
        ],
    }


def next_steps(result: PlanResult) -> list[str]:
    """What to type next, and what is worth knowing before."""
    lines = [f"! {note}" for note in result.notes]
    left = len(result.points) - len(result.done)
    if result.dry_run:
        lines.append(f"Next    pytau-hpc plan {result.spec_file}      write the manifest")
    elif left:
        lines.append(
            f"Next    pytau-hpc submit {result.sweep} --dry-run      see what would be sent"
        )
        lines.append(
            f"        pytau-hpc submit {result.sweep}                send {plural(left, 'point')}"
        )
    else:
        lines.append(f"Next    pytau-hpc status {result.sweep}      every point is done already")
    return lines


def points_tsv(result: PlanResult) -> str:
    """One line for each point, tab-separated, with a header."""
    names = list(result.axes)
    lines = ["\t".join(["point_id", "label", *names])]
    for point in result.points:
        lines.append(
            "\t".join([point.point_id, point.label, *(_value(point.axes[name]) for name in names)])
        )
    return "\n".join(lines)


def _title(result: PlanResult) -> str:
    parts = [result.sweep, f"spec {Path(result.spec_file).name} ({result.spec_sha256[:8]})"]
    if result.profile:
        parts.append(f"profile {result.profile}")
    return cut(" · ".join(parts), WIDTH)


def _axes(result: PlanResult) -> list[str]:
    """The axes that vary, then the others on a line or two; rules and explicit rows; the sum."""
    varying = [name for name, values in result.axes.items() if len(values) > 1 or name == "session"]
    width = max(len(name) for name in (*varying, "excluded"))
    lines = [f"{'Axis':<{width}}  {'n':>6}  values"]
    for name in varying:
        lines.append(
            f"{name:<{width}}  {len(result.axes[name]):>6}  {_values(result.axes[name], WIDTH - width - 10)}"
        )
    for one in result.excluded:
        lines.append(
            f"{'excluded':<{width}}  {f'−{one.n_rows}':>6}  {cut(_rule(one), WIDTH - width - 10)}"
        )
    if result.n_included:
        lines.append(f"{'included':<{width}}  {f'+{result.n_included}':>6}  explicit rows")
    lines.append(f"{'':<{width}}  {len(result.points):>6}  points")
    fixed = [
        f"{name} {_value(values[0])}" for name, values in result.axes.items() if name not in varying
    ]
    return [*lines, *_wrapped("all with ", fixed)]


def _values(values: Sequence[Any], width: int) -> str:
    """All of the values, or the first and the last where there is no room."""
    text = " ".join(map(_value, values))
    if len(text) <= width:
        return text
    return cut(f"{_value(values[0])} … {_value(values[-1])}", width)


def _value(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _rule(one: Excluded) -> str:
    pairs = ", ".join(f"{name} {_value(value)}" for name, value in one.rule.items())
    return f"{pairs} (spec line {one.line})" if one.line else pairs


def _wrapped(start: str, parts: Sequence[str]) -> list[str]:
    """Parts with dots between them, in lines that fit."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 3 <= WIDTH:
            lines[-1] += f" · {part}"
        else:
            lines.append(cut((" " * len(start) if lines else start) + part, WIDTH))
    return lines


def _counts(result: PlanResult) -> list[str]:
    lines = [f"✓ {len(result.done):>6}  done already"] if result.done else []
    if result.unchanged:
        return lines
    if result.previous is None:
        return [*lines, f"+ {len(result.new):>6}  new"]
    return [
        *lines,
        f"+ {len(result.new):>6}  new",
        f"= {len(result.kept):>6}  as in revision {result.previous}",
        f"− {len(result.dropped):>6}  dropped; results that are there stay",
    ]


def _classes(result: PlanResult, needs: Mapping[tuple[int, ...], ShapeNeeds]) -> list[str]:
    """One line for each shape of data, with what its fits need where that is known."""
    if not result.classes:
        return []
    shown = result.classes[:_CLASSES]
    dims = max((one.dims for one in shown), key=len)
    head = "×".join(f"{name}s" if name != "bin" else "bins" for name in dims)
    width = max(len(head), *(len(_shape(one)) for one in shown))
    measured = {one.shape: _measured(needs.get(one.shape)) for one in shown} if needs else {}
    room = max((len(cell) for cell in measured.values()), default=0)
    each = f"{'each fit':<{room}}  " if measured else ""
    lines = [f"Points  {head:<{width}}  states  sessions  {each}models"]
    for one in shown:
        low, high = one.n_states
        states = str(low) if low == high else f"{low}–{high}"
        line = f"{one.n_points:>6}  {_shape(one):<{width}}  {states:>6}  {one.n_sessions:>8}  "
        line += f"{measured[one.shape]:<{room}}  " if measured else ""
        lines.append(cut(line + ", ".join(one.models), WIDTH))
    rest = result.classes[_CLASSES:]
    if rest:
        lines.append(f"{sum(one.n_points for one in rest):>6}  in {len(rest)} more shapes")
    return lines


def _measured(needs: ShapeNeeds | None) -> str:
    """``12–40 s, 1.5 GiB``, at least as wide as the head of the column."""
    if needs is None:
        return "-       "
    low, high = (
        f"{s:.1f} s" if s < 10 else roughly(s) for s in (needs.shortest_s, needs.longest_s)
    )
    seconds = high if low == high else f"{low} – {high}"
    return f"{seconds}, {needs.mem_gb:g} GiB"


def _cost(cost: PlanCost) -> list[str]:
    """What `submit` would ask for, and what that may cost."""
    asked = request_lines(cost.arrays)
    shown = asked if len(asked) <= _REQUESTS else [*asked[: _REQUESTS - 1], "…"]
    lines = [f"{'' if i else 'Tasks':<8}{text}" for i, text in enumerate(shown)]
    known = cost_line(cost.expected, cost.maximum)
    if cost.expected is not None:
        known += f"   (from {plural(cost.n_fits, 'fit')} of this study)"
    elif cost.maximum is not None:
        left = cost.n_points - cost.n_known
        of = "" if not cost.n_known else f" of {plural(left, 'point')}"
        known += f"; what to expect is not known before the first results{of}"
    return [cut(line, WIDTH) for line in [*lines, f"{'Cost':<8}{known}"]]


def _shape(one: ShapeClass) -> str:
    return "×".join(map(str, one.shape))


def _outcome(result: PlanResult) -> list[str]:
    where = result.sweep_dir.relative_to(result.study).as_posix()
    read = f"{plural(result.n_arrays, 'array')}, {result.n_read} read"
    if result.unchanged:
        return [
            f"Nothing changed: revision {result.revision} in {where} says this already ({read})."
        ]
    if result.dry_run:
        return [f"Would write revision {result.revision} of {where} ({read}). Nothing was written."]
    return [f"Wrote revision {result.revision} of {where}/manifest.csv ({read})."]
