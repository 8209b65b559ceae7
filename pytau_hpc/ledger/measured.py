"""What fits have used so far, by class: seconds, memory, and what a task pays before its first fit.

Read from the table of attempts in one pass, for `measure` to make estimates of. Ledgers of other sweeps are opened to
read, never brought up to date and never changed; one that cannot be read has nothing to say. No estimates here, and no
decisions.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from pytau_hpc.errors import PytauHpcError
from pytau_hpc.ledger.connection import SCHEMA_VERSION
from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.sweep.fit_class import FitClass, classes_of, kinds_of
from pytau_hpc.sweep.manifest import read_manifest
from pytau_hpc.sweep.run_dir import SweepDir, is_sweep
from pytau_hpc.sweep.state import Kind, Outcome

#: A process that these ended has lost what it had compiled.
_DEADLY = frozenset({Kind.OUT_OF_MEMORY.value, Kind.KILLED.value, Kind.NODE.value})
#: So many other sweeps are asked, those with the newest ledgers: `plan` must not wait for all of history.
_MOST_SWEEPS = 20


class Success(NamedTuple):
    """One fit that succeeded: wall and CPU seconds, peak memory; `warm`: its process had fitted another before."""

    elapsed_s: float
    cpu_s: float
    max_rss_bytes: int | None
    warm: bool


@dataclass
class Fits:
    """What is known about the fits of one class under one executor.

    too_little_bytes : memory with which a point ran out of it
    unfinished_s : how long points were fitted that reached a time limit and have not succeeded since
    """

    successes: list[Success] = field(default_factory=list)
    too_little_bytes: list[int] = field(default_factory=list)
    unfinished_s: list[float] = field(default_factory=list)


class Start(NamedTuple):
    """The beginning of one run: seconds until its first fit was done, and those of that fit by its own clock."""

    executor: str
    fit_class: FitClass
    wall_s: float
    elapsed_s: float


@dataclass
class Measurements:
    """What one ledger knows; `fits` by class and executor."""

    fits: dict[tuple[FitClass, str], Fits] = field(default_factory=lambda: defaultdict(Fits))
    starts: list[Start] = field(default_factory=list)


def measurements(ledger: Ledger, classes: Mapping[str, FitClass]) -> Measurements:
    """What was measured in one sweep.

    Parameters
    ----------
    classes : the class of each point, by id; attempts at other points are passed over
    """
    return _Reading(ledger.connection, classes).found


def of_study(
    study: Path, *, but: str | None = None, kinds: Collection[str] | None = None
) -> list[Measurements]:
    """What was measured in the sweeps of a study, as far as their ledgers are there and can be read.

    Parameters
    ----------
    but : the name of a sweep to leave out
    kinds : the kinds of fits that are asked about; None for all
    """
    try:
        places = [SweepDir(path) for path in (study / "sweeps").iterdir() if path.name != but]
    except OSError:
        return []
    dated = []
    for place in places:
        with contextlib.suppress(OSError):
            if is_sweep(place.path):
                dated.append((os.stat(place.ledger).st_mtime, place.name, place))
    newest = sorted(dated, reverse=True, key=itemgetter(0, 1))[:_MOST_SWEEPS]
    return [found for _, _, place in newest if (found := of_sweep(place, kinds)) is not None]


def of_sweep(place: SweepDir, kinds: Collection[str] | None = None) -> Measurements | None:
    """What the ledger of a sweep knows as it lies there; None where that is nothing, or cannot be read."""
    if not place.ledger.is_file():
        return None
    try:
        uri = f"{place.ledger.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=2)) as connection:
            ledger = Ledger(connection)
            known = connection.execute("SELECT 1 FROM attempt WHERE outcome IS NOT NULL LIMIT 1")
            if ledger.meta("schema") != SCHEMA_VERSION or known.fetchone() is None:
                return None
            manifest = read_manifest(place.path)
            if kinds is not None and not set(kinds).intersection(kinds_of(manifest)):
                return None
            return measurements(ledger, classes_of(manifest))
    except (sqlite3.Error, PytauHpcError, OSError, ValueError, LookupError):
        # Another version's, damaged, locked, half copied: the person asked about another sweep.
        return None


_ATTEMPTS = """
SELECT submission, task, run, seq, point_id, outcome, kind, elapsed_s, coalesce(cpu_s, elapsed_s), max_rss_bytes,
       ended_at, resumed_from
FROM attempt WHERE outcome IS NOT NULL OR kind IS NOT NULL ORDER BY submission, task, run
"""
_TASKS = """
SELECT t.submission, t.task, t.mem_bytes, s.executor FROM task t JOIN submission s ON s.uuid = t.submission
"""


class _Reading:
    """One pass over the attempts of a ledger."""

    def __init__(self, connection: sqlite3.Connection, classes: Mapping[str, FitClass]) -> None:
        self.found = Measurements()
        self._classes = classes
        #: Seconds of the attempts at a point that did not finish it, wall and CPU.
        self._parts: dict[str, list[float]] = {}
        self._timed_out: dict[str, tuple[FitClass, str]] = {}
        self._resumed: list[tuple[str, str, Success]] = []
        self._finished: set[str] = set()
        cursor = connection.cursor()
        cursor.row_factory = None  # plain tuples: there may be a hundred thousand
        tasks = {(s, t): (mem, executor) for s, t, mem, executor in cursor.execute(_TASKS)}
        starts = {
            (s, t, r): at
            for s, t, r, at in cursor.execute("SELECT submission, task, run, started_at FROM run")
        }
        rows = cursor.execute(_ATTEMPTS)
        for key, attempts in groupby(rows, key=itemgetter(0, 1, 2)):
            mem_bytes, executor = tasks.get(key[:2], (None, None))
            if executor is not None:
                self._run(attempts, executor, mem_bytes, starts.get(key))
        self._settle()

    def _run(
        self,
        attempts: Iterable[tuple[Any, ...]],
        executor: str,
        mem_bytes: int | None,
        started_at: float | None,
    ) -> None:
        first, warm = True, False
        for row in sorted(attempts, key=itemgetter(3)):
            point_id, outcome, kind, elapsed_s, cpu_s, rss, ended_at, resumed_from = row[4:]
            if outcome == Outcome.SKIPPED:
                continue
            of = self._classes.get(point_id)
            if outcome == Outcome.SUCCEEDED:
                self._finished.add(point_id)
                if of is not None and elapsed_s is not None:
                    fit = Success(elapsed_s, cpu_s, rss, warm)
                    if resumed_from:
                        self._resumed.append((point_id, executor, fit))
                    else:
                        self.found.fits[of, executor].successes.append(fit)
                        if first and started_at is not None and ended_at is not None:
                            start = Start(executor, of, ended_at - started_at, elapsed_s)
                            self.found.starts.append(start)
                warm = True
            elif of is not None:
                self._unfinished(point_id, of, executor, kind, (elapsed_s, cpu_s))
                if kind == Kind.OUT_OF_MEMORY:
                    # A scheduler ends what goes beyond the request; here it was all that the computer had left.
                    bound = mem_bytes if executor == "slurm" else rss
                    if bound:
                        self.found.fits[of, executor].too_little_bytes.append(bound)
            warm = warm and kind not in _DEADLY
            first = False

    def _unfinished(
        self,
        point_id: str,
        of: FitClass,
        executor: str,
        kind: str | None,
        seconds: tuple[float | None, float | None],
    ) -> None:
        parts = self._parts.setdefault(point_id, [0.0, 0.0])
        parts[0] += seconds[0] or 0.0
        parts[1] += seconds[1] or 0.0
        if kind == Kind.TIMEOUT:
            self._timed_out[point_id] = (of, executor)

    def _settle(self) -> None:
        """What needs all attempts at a point: a fit that was resumed took what its parts took."""
        for point_id, executor, last in self._resumed:
            before = self._parts.get(point_id, (0.0, 0.0))
            whole = last._replace(
                elapsed_s=last.elapsed_s + before[0], cpu_s=last.cpu_s + before[1]
            )
            self.found.fits[self._classes[point_id], executor].successes.append(whole)
        for point_id, key in self._timed_out.items():
            if point_id not in self._finished and self._parts[point_id][0] > 0:
                self.found.fits[key].unfinished_s.append(self._parts[point_id][0])
