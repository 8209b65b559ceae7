"""The SQLite file: opening it, and putting into it what files say. Called by `collect`, its only writer.

States are computed in `states`, questions asked in `queries`, DataFrames made in `frames`.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytau_hpc.ledger.connection import connect, connect_to_memory, in_our_words
from pytau_hpc.ledger.fold import fold
from pytau_hpc.sweep.journal import Chapter
from pytau_hpc.sweep.point import Point, label_of
from pytau_hpc.sweep.state import Kind
from pytau_hpc.sweep.submission import Submission

#: Columns about how good a fit is, as they stand in its result.
QUALITY = (
    "elbo",
    "elbo_se",
    "converged",
    "iterations_run",
    "rhat_max",
    "ess_min",
    "divergences",
)


class Ledger:
    """A connection to the ledger of one sweep.

    Open one with `Ledger.open` (to write, under the lock that `collect` holds) or `Ledger.in_memory`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA temp_store = MEMORY")
        self.dirty: set[str] = set()

    @classmethod
    def open(cls, path: Path) -> Ledger:
        return cls(connect(path))

    @classmethod
    def in_memory(cls, copy_of: Path | None = None) -> Ledger:
        return cls(connect_to_memory(copy_of))

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    # -- what is there already ------------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def set_meta(self, key: str, value: str) -> None:
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def hint(self, key: str) -> tuple[str, float] | None:
        row = self.connection.execute("SELECT value, at FROM hint WHERE key = ?", (key,)).fetchone()
        return None if row is None else (row[0], row[1])

    def set_hint(self, key: str, value: str, at: float) -> None:
        self.connection.execute("INSERT OR REPLACE INTO hint VALUES (?, ?, ?)", (key, value, at))

    def forget_hint(self, key: str) -> None:
        self.connection.execute("DELETE FROM hint WHERE key = ?", (key,))

    def known_submissions(self) -> set[str]:
        return {row[0] for row in self.connection.execute("SELECT uuid FROM submission")}

    def journal_offsets(self, submission: str) -> dict[tuple[int, int], tuple[int, bool]]:
        """(task, run) → (bytes read, whether its last record was read)."""
        rows = self.connection.execute(
            "SELECT task, run, offset, closed FROM journal WHERE submission = ?", (submission,)
        )
        return {(task, run): (offset, bool(closed)) for task, run, offset, closed in rows}

    # -- what the files say ---------------------------------------------------------------------------------------

    def load_manifest(self, revision: str, points: Sequence[Point]) -> None:
        """Make the points of a revision the planned ones; points of older revisions that were submitted stay."""
        axes = list(points[0].axes) if points else []
        self.connection.execute(
            "UPDATE point SET planned = 0, position = NULL, label = session || '/K' || n_states"
        )
        # Points may have other result paths now: every folder is looked through again.
        self.connection.execute("DELETE FROM hint WHERE key LIKE 'results:%'")
        self.connection.execute("DROP VIEW IF EXISTS points")
        self.connection.execute("DROP TABLE IF EXISTS axis")
        columns = "".join(f", {_quoted(axis)}" for axis in axes)
        self.connection.execute(
            f"CREATE TABLE axis (point_id TEXT PRIMARY KEY{columns}) WITHOUT ROWID"
        )
        varying = [axis for axis in axes if len({str(point.axes[axis]) for point in points}) > 1]
        self._insert_points(points, planned=True, label=lambda point: label_of(point, varying))
        marks = ", ".join("?" * (len(axes) + 1))
        self.connection.executemany(
            f"INSERT OR REPLACE INTO axis VALUES ({marks})",
            ((p.point_id, *(_plain(p.axes[axis]) for axis in axes)) for p in points),
        )
        known = [row[1] for row in self.connection.execute("PRAGMA table_info(point)")]
        rest = ", ".join(
            f"p.{column}"
            for column in known
            if column not in (*axes, "point_id", "planned", "position")
        )
        shown = "".join(f"a.{_quoted(axis)}, " for axis in axes)
        self.connection.execute(
            f"CREATE VIEW points AS SELECT p.point_id, {shown}{rest} FROM point p "
            "LEFT JOIN axis a USING (point_id) WHERE p.planned = 1 ORDER BY p.position"
        )
        self.connection.execute("DELETE FROM point WHERE planned = 0 AND submission IS NULL")
        self.set_meta("revision", revision)
        self.set_meta("axes", json.dumps(axes))
        self.dirty.update(point.point_id for point in points)

    def _insert_points(
        self,
        points: Iterable[Point],
        *,
        planned: bool,
        label: Callable[[Point], str] = lambda point: label_of(point, ()),
    ) -> None:
        self.connection.executemany(
            "INSERT INTO point (point_id, position, planned, label, animal, session, model, n_states, result_path,"
            " result_folder) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (point_id) DO "
            + (
                "UPDATE SET position = excluded.position, planned = 1, label = excluded.label, "
                "animal = excluded.animal, session = excluded.session, "
                "has_result = CASE WHEN result_path = excluded.result_path THEN has_result ELSE 0 END, "
                "result_path = excluded.result_path, result_folder = excluded.result_folder"
                if planned
                else "NOTHING"
            ),
            (
                (
                    point.point_id,
                    position if planned else None,
                    int(planned),
                    label(point),
                    point.session.animal,
                    point.session.name,
                    point.model,
                    point.n_states,
                    point.result_path,
                    point.result_path.rpartition("/")[0],
                )
                for position, point in enumerate(points)
            ),
        )

    def add_submission(self, submission: Submission) -> None:
        tasks = submission.tasks
        self.connection.execute(
            "INSERT OR IGNORE INTO submission (uuid, number, command, executor, created_at, n_tasks, n_points, "
            "grace_s, job_prefix, driver, uid, cluster) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                submission.uuid,
                submission.number,
                submission.command,
                submission.executor,
                submission.created_at,
                len(tasks),
                sum(len(task.points) for task in tasks),
                submission.grace_s,
                submission.job_prefix,
                json.dumps(submission.driver.to_json()),
                submission.uid,
                submission.cluster,
            ),
        )
        self._insert_points((point for task in tasks for point in task.points), planned=False)
        self.connection.executemany(
            "INSERT OR IGNORE INTO task VALUES (?, ?, ?, ?, ?, ?, ?, NULL, 0, NULL, NULL)",
            (
                (
                    submission.uuid,
                    task.number,
                    array.number,
                    task.number - array.first,
                    array.resources.cpus,
                    int(array.resources.mem_gb * 2**30),
                    array.resources.time_min * 60.0,
                )
                for array in submission.arrays
                for task in array.tasks
            ),
        )
        self.connection.executemany(
            "INSERT OR IGNORE INTO placement VALUES (?, ?, ?, ?)",
            (
                (point.point_id, submission.uuid, task.number, submission.because[point.point_id])
                for task in tasks
                for point in task.points
            ),
        )
        self.dirty.update(point.point_id for task in tasks for point in task.points)

    def add_chapter(self, submission: str, task: int, run: int, chapter: Chapter) -> None:
        """Fold the new records of one journal."""
        # The journal is the proof of a run, whatever became of its first line.
        key = (submission, task, run)
        self.connection.execute(
            "INSERT OR IGNORE INTO run (submission, task, run) VALUES (?, ?, ?)", key
        )
        known = self.connection.execute(
            "SELECT 1 FROM journal WHERE submission = ? AND task = ? AND run = ?", key
        ).fetchone()
        if known is None:
            # A run of a submission that was closed: somebody has to watch it again.
            self.connection.execute("UPDATE submission SET open = 1 WHERE uuid = ?", (submission,))
        closed = fold(self.connection, submission, task, run, chapter.events)
        self.connection.execute(
            "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "offset = excluded.offset, closed = max(closed, excluded.closed), damaged = damaged + excluded.damaged",
            (submission, task, run, chapter.offset, int(closed), chapter.damaged),
        )
        self.touch_task(submission, task)

    def mark_gone(self, submission: str, task: int, run: int | None, kind: Kind | None) -> None:
        """A verdict of `collect`: this run, or (None) the task, is gone; without a kind, the task was given back."""
        if kind is None:
            self.connection.execute(
                "UPDATE task SET given_back = 1 WHERE submission = ? AND task = ?",
                (submission, task),
            )
        elif run is None:
            self.connection.execute(
                "UPDATE task SET gone = coalesce(gone, ?) WHERE submission = ? AND task = ?",
                (kind, submission, task),
            )
        else:
            self.connection.execute(
                "INSERT INTO run (submission, task, run, gone) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET gone = coalesce(run.gone, excluded.gone)",
                (submission, task, run, kind),
            )
        self.touch_task(submission, task)

    def mark_unable(self, submission: str, task: int, node: str, at: float) -> None:
        """A task failed on this node before it could write anything; found at `at`, seconds since the epoch."""
        self.connection.execute(
            "UPDATE task SET failed_on = ?, failed_at = ? WHERE submission = ? AND task = ?",
            (node, at, submission, task),
        )

    def mark_refused(self, submission: str) -> None:
        """The scheduler took nothing of a submission: its points are as if it had never been."""
        self.connection.execute(
            "UPDATE submission SET refused = 1, open = 0 WHERE uuid = ?", (submission,)
        )
        rows = self.connection.execute(
            "SELECT point_id FROM placement WHERE submission = ?", (submission,)
        )
        self.dirty.update(row[0] for row in rows)

    def touch_task(self, submission: str, task: int) -> None:
        """The points of a task need their states computed again."""
        rows = self.connection.execute(
            "SELECT point_id FROM placement WHERE submission = ? AND task = ?", (submission, task)
        )
        self.dirty.update(row[0] for row in rows)

    def set_results(self, found: Mapping[str, bool]) -> None:
        """Point id → whether its result is there."""
        self.connection.executemany(
            "UPDATE point SET has_result = ? WHERE point_id = ? AND has_result != ?",
            ((int(there), point_id, int(there)) for point_id, there in found.items()),
        )
        self.dirty.update(found)

    def adopt(self, point_id: str, quality: Mapping[str, Any]) -> None:
        """Remember what the file of an adopted result says about the fit."""
        self.connection.execute(
            f"INSERT OR REPLACE INTO adopted (point_id, {', '.join(QUALITY)}) "
            f"VALUES (?{', ?' * len(QUALITY)})",
            (point_id, *(quality.get(name) for name in QUALITY)),
        )

    def set_cancelled(self, point_ids: Iterable[str], after: int) -> None:
        """Points that a person gave up when `after` was the number of the newest submission."""
        ids = list(point_ids)
        self.connection.executemany(
            "INSERT OR IGNORE INTO cancellation VALUES (?, ?)", ((i, after) for i in ids)
        )
        self.dirty.update(ids)

    def in_transaction(self, work: Callable[[], None]) -> None:
        """All of `work`, or nothing of it.

        Raises
        ------
        LedgerDamaged : SQLite calls the file malformed
        LedgerUnwritable : read-only, or the disk is full
        """
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            work()
            self.connection.execute("COMMIT")
        except BaseException as error:
            self.dirty.clear()
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error) and (ours := in_our_words(error)) is not None:
                raise ours from error
            raise


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _plain(value: Any) -> Any:
    """A value that SQLite can hold: lists and mappings as JSON."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    return json.dumps(value)
