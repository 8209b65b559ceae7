"""What `cancel` gave up: one file each time, written once, before anybody is told to stop.

So a `cancel` that is killed in its middle is true all the same, and a new ledger knows of it. `collect` reads the files
in order; workers look for new ones before each point and at each checkpoint.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pytau_hpc.errors import PytauHpcError
from pytau_hpc.files import publish_text
from pytau_hpc.sweep.run_dir import SweepDir

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Cancellation:
    """Points that a person gave up.

    at : when, seconds since the epoch
    after : the number of the newest submission then; a later one of the same points is not meant
    points : ids
    only_queued : a fit that has begun by the time its worker reads this goes on
    """

    at: float
    after: int
    points: tuple[str, ...]
    only_queued: bool = False

    def to_text(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}) + "\n"

    @classmethod
    def read(cls, path: Path) -> Cancellation:
        """
        Raises
        ------
        FileNotFoundError : there is no such file
        PytauHpcError : it was written by another version
        """
        body = json.loads(path.read_text(encoding="utf-8"))
        if body["format"] != FORMAT:
            raise PytauHpcError(f"{path} has format {body['format']}; this version reads {FORMAT}")
        return cls(
            at=body["at"],
            after=body["after"],
            points=tuple(body["points"]),
            only_queued=body["only_queued"],
        )


def write(sweep: SweepDir, cancellation: Cancellation) -> Path:
    """Publish a cancellation under the next free number, beside those before it."""
    sweep.cancelled.mkdir(exist_ok=True)
    number = len(_names(sweep.cancelled))
    while not publish_text(sweep.cancellation_file(number), cancellation.to_text()):
        number += 1
    return sweep.cancellation_file(number)


class Cancellations:
    """Which of some points of a submission were given up, for whoever has to fit them.

    Asking costs one listing of a folder that hardly ever has anything in it; each file is read once.
    """

    def __init__(self, sweep: SweepDir, *, submission: int, points: Collection[str]) -> None:
        """
        Parameters
        ----------
        submission : its number
        points : ids of the points that somebody may ask for
        """
        self._folder = sweep.cancelled
        self._submission = submission
        self._points = frozenset(points)
        self._read: set[str] = set()
        self._before_they_begin: set[str] = set()
        self._at_once: set[str] = set()

    def hit(self, point_id: str, *, begun: bool = False) -> bool:
        """Whether a point was given up; `begun`: its fit is under way."""
        self._look()
        return point_id in self._at_once or (not begun and point_id in self._before_they_begin)

    def hit_all(self, point_ids: Iterable[str]) -> bool:
        """Whether nothing is left to begin."""
        self._look()
        return (self._at_once | self._before_they_begin).issuperset(point_ids)

    def _look(self) -> None:
        for name in sorted(set(_names(self._folder)) - self._read):
            try:
                cancellation = Cancellation.read(self._folder / name)
            except (
                OSError
            ):  # a file server's bad moment: no reason to end a fit; the next look will tell
                continue
            self._read.add(name)
            if cancellation.after >= self._submission:
                meant = self._points.intersection(cancellation.points)
                (self._before_they_begin if cancellation.only_queued else self._at_once).update(
                    meant
                )


def _names(folder: Path) -> list[str]:
    """Names of the cancellations that are there, whole."""
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError:
        return []
