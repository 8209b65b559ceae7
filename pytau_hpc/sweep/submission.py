"""One submission: the tasks that one `submit` or `resume` sends, with the full rows of their points.

It is written, whole, before anything is sent to the scheduler. Workers read their rows here and never in the
manifest, so that a new revision of the plan cannot pull a row from under a queued task. It is also how a submission
whose sender was killed is found again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytau_hpc.errors import PytauHpcError
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.process import ProcessIdentity
from pytau_hpc.sweep.resources import Resources

FORMAT = 1

#: What names a task: the uuid of its submission, and its number there.
TaskKey = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One array element: points that one process fits one after another."""

    number: int
    points: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True)
class Array:
    """Tasks that are sent together because they ask for the same. Element `i` of the scheduler's array, counted from
    0, is task `first + i`.
    """

    number: int
    first: int
    tasks: tuple[Task, ...]
    resources: Resources


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What one `submit` or `resume` sends.

    `number` counts the submissions of a sweep and decides which of two is newer (no clock does). `because` says for
    every point why it was chosen. `excluded_nodes`: where nothing of it may run, because fits only failed there.
    `cluster`: where it was sent, by the scheduler's name of itself.
    """

    uuid: str
    number: int
    sweep: str
    command: str
    created_at: float
    executor: str
    profile: Mapping[str, Any]
    driver: ProcessIdentity
    checkpoint_s: float
    grace_s: float
    arrays: tuple[Array, ...]
    because: Mapping[str, str]
    uid: int | None = None
    excluded_nodes: tuple[str, ...] = ()
    cluster: str | None = None

    @property
    def tasks(self) -> list[Task]:
        return [task for array in self.arrays for task in array.tasks]

    @property
    def job_prefix(self) -> str:
        return f"{self.sweep}.{self.uuid}"

    def job_name(self, array: Array) -> str:
        """The scheduler's name of an array: how it is found again after a crash."""
        return f"{self.job_prefix}.{array.number}"

    def array_of(self, task: int) -> Array:
        for array in self.arrays:
            if array.first <= task < array.first + len(array.tasks):
                return array
        raise PytauHpcError(f"submission {self.uuid} has no task {task}")

    def to_text(self) -> str:
        rows = [point.to_json() for task in self.tasks for point in task.points]
        body = {
            "format": FORMAT,
            "uuid": self.uuid,
            "number": self.number,
            "sweep": self.sweep,
            "command": self.command,
            "created_at": self.created_at,
            "executor": self.executor,
            "profile": dict(self.profile),
            "driver": self.driver.to_json(),
            "checkpoint_s": self.checkpoint_s,
            "grace_s": self.grace_s,
            "uid": self.uid,
            "excluded_nodes": list(self.excluded_nodes),
            "cluster": self.cluster,
            "arrays": [
                {
                    "number": array.number,
                    "first": array.first,
                    "resources": asdict(array.resources),
                    "points_per_task": [len(task.points) for task in array.tasks],
                }
                for array in self.arrays
            ],
            "because": _pack_column([self.because[row["point_id"]] for row in rows]),
            "points": pack(rows),
        }
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False) + "\n"

    @classmethod
    def from_text(cls, text: str, *, only_task: int | None = None) -> Submission:
        """Read a submission; with `only_task`, the other tasks are there without their points.

        A worker needs the points of its own task, and there may be 100,000 others.
        """
        body = _checked(json.loads(text))
        rows = range(body["points"]["n"])
        if only_task is not None:
            sizes = [size for array in body["arrays"] for size in array["points_per_task"]]
            rows = range(sum(sizes[:only_task]), sum(sizes[: only_task + 1]))
        read = [Point.from_json(row) for row in unpack(body["points"], rows)]
        point_at = dict(zip(rows, read, strict=True))
        reasons = _unpack_column(body["because"], rows)
        because = {point.point_id: why for point, why in zip(read, reasons, strict=True)}
        arrays, start = [], 0
        for array in body["arrays"]:
            tasks = []
            for index, size in enumerate(array["points_per_task"]):
                tasks.append(
                    Task(
                        number=array["first"] + index,
                        points=tuple(
                            point_at[i] for i in range(start, start + size) if i in point_at
                        ),
                    )
                )
                start += size
            arrays.append(
                Array(
                    number=array["number"],
                    first=array["first"],
                    tasks=tuple(tasks),
                    resources=Resources(**array["resources"]),
                )
            )
        plain = (
            "uuid",
            "number",
            "sweep",
            "command",
            "created_at",
            "executor",
            "profile",
            "checkpoint_s",
            "grace_s",
        )
        return cls(
            **{key: body[key] for key in plain},
            driver=ProcessIdentity.from_json(body["driver"]),
            uid=body.get("uid"),
            excluded_nodes=tuple(body.get("excluded_nodes") or ()),
            cluster=body.get("cluster"),
            arrays=tuple(arrays),
            because=because,
        )

    @classmethod
    def read(cls, path: Path, *, only_task: int | None = None) -> Submission:
        return cls.from_text(path.read_text(encoding="utf-8"), only_task=only_task)


def read_point_ids(path: Path) -> tuple[int, set[str]]:
    """The number of a submission and the ids of its points, without making the points."""
    body = _checked(json.loads(path.read_text(encoding="utf-8")))
    points = body["points"]
    return body["number"], set(_unpack_column(points["columns"]["point_id"], range(points["n"])))


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    if body["format"] != FORMAT:
        raise PytauHpcError(
            f"submission {body.get('uuid')} has format {body['format']}; this version reads {FORMAT}"
        )
    return body


# Rows share most of their content. Packed, a column that never changes is stored once, and a column of repeated or
# structured values as indexes into a table of the distinct ones: 100,000 rows take about 10 MB instead of 100.


def pack(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows with the same keys → columns, packed."""
    keys = list(rows[0]) if rows else []
    return {
        "n": len(rows),
        "columns": {key: _pack_column([row[key] for row in rows]) for key in keys},
    }


def unpack(packed: Mapping[str, Any], rows: range | None = None) -> list[dict[str, Any]]:
    """Rows again: all of them, or those in a range."""
    rows = range(packed["n"]) if rows is None else rows
    columns = {key: _unpack_column(column, rows) for key, column in packed["columns"].items()}
    return [{key: column[i] for key, column in columns.items()} for i in range(len(rows))]


def _pack_column(values: Sequence[Any]) -> dict[str, Any]:
    texts = [json.dumps(value) for value in values]
    index: dict[str, int] = {}
    codes = [index.setdefault(text, len(index)) for text in texts]
    distinct = [json.loads(text) for text in index]
    if len(distinct) == 1:
        return {"n": len(values), "all": distinct[0]}
    if 2 * len(distinct) > len(values):
        return {"each": list(values)}
    return {"table": distinct, "codes": codes}


def _unpack_column(column: Mapping[str, Any], rows: range) -> list[Any]:
    if "each" in column:
        return list(column["each"][rows.start : rows.stop])
    if "table" in column:
        return [column["table"][code] for code in column["codes"][rows.start : rows.stop]]
    return [column["all"]] * len(rows)
