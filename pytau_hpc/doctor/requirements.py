"""What this package needs and what is installed, from metadata alone: nothing that is asked about is imported."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DISTRIBUTION = "pytau_hpc"

_REQUIREMENT = re.compile(
    r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^]]*\])?\s*\(?([^;()]*)\)?\s*(?:;(.*))?\Z"
)
_BOUND = re.compile(r"(>=|<=|==|!=|~=|>|<)\s*([\w.*+!-]+)")
_PYTHON = re.compile(r"python_version\s*(>=|<=|==|>|<)\s*['\"]([\d.]+)['\"]")


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A package that is needed, with the bounds of its version as they are written (``>=5.28,<6``)."""

    name: str
    bounds: str

    @property
    def installed(self) -> str | None:
        """The version that is installed; None where there is none."""
        try:
            return importlib.metadata.version(self.name)
        except importlib.metadata.PackageNotFoundError:
            return None

    def allows(self, version: str) -> bool:
        return all(holds(version, *bound) for bound in _BOUND.findall(self.bounds))

    def __str__(self) -> str:
        return f"{self.name}{self.bounds}"


def requirements() -> list[Requirement]:
    """What is needed without extras, with this Python; nothing where neither metadata nor pyproject.toml is there."""
    major, minor, _ = platform.python_version_tuple()
    return list(parse(_declared(), python=f"{major}.{minor}"))


def needed_python() -> str:
    """Bounds of Python's version; ``""`` where nothing says so."""
    try:
        return str(importlib.metadata.metadata(DISTRIBUTION)["Requires-Python"] or "")
    except importlib.metadata.PackageNotFoundError:
        return str(_project().get("requires-python", ""))


def parse(lines: Sequence[str], *, python: str) -> Iterator[Requirement]:
    """Requirements as metadata writes them, those of extras and of other Pythons left out."""
    for line in lines:
        found = _REQUIREMENT.match(line)
        if found is None:
            continue
        name, bounds, marker = found[1], found[2].strip(), found[3] or ""
        if "extra" in marker:
            continue
        if all(holds(python, *bound) for bound in _PYTHON.findall(marker)):
            yield Requirement(name=name, bounds=bounds)


def holds(version: str, relation: str, bound: str) -> bool:
    """Whether a version lies within one bound, by its release numbers (``2.0rc1`` counts as 2.0)."""
    ours, theirs = _release(version), _release(bound)
    if bound.endswith(".*") or relation == "~=":
        n = len(theirs) - (relation == "~=")
        same = ours[:n] == theirs[:n]
        return not same if relation == "!=" else same and ours >= theirs
    width = max(len(ours), len(theirs))
    ours += (0,) * (width - len(ours))
    theirs += (0,) * (width - len(theirs))
    return {
        ">=": ours >= theirs,
        "<=": ours <= theirs,
        ">": ours > theirs,
        "<": ours < theirs,
        "==": ours == theirs,
        "!=": ours != theirs,
    }[relation]


def _release(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _declared() -> list[str]:
    try:
        return importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return list(_project().get("dependencies", []))


def _project() -> dict[str, Any]:
    """``[project]`` of the checkout that this runs from, where it runs from one."""
    path = Path(__file__).resolve().parents[2] / "pyproject.toml"
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8"))["project"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return {}
