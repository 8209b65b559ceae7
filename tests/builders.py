"""Small real sweeps for tests: points, manifests, submissions and journals, written by the classes that write them.

    sweep = a_sweep(tmp_path, n=4)
    submission = sweep.submit()
    with sweep.run(submission, task=0) as run:
        run.succeeds(sweep.points[0])
        run.fails(sweep.points[1], kind=Kind.OUT_OF_MEMORY)

Everything ends up on disk as a worker would have left it; `collect` then makes a real ledger of it.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytau_hpc.files import publish_text, sha256_text
from pytau_hpc.sweep.journal import EventKind, Journal
from pytau_hpc.sweep.manifest import read_manifest
from pytau_hpc.sweep.point import (
    DataSource,
    Point,
    Preprocessing,
    Selection,
    Session,
    point_id_of,
)
from pytau_hpc.sweep.process import ProcessIdentity, this_process
from pytau_hpc.sweep.resources import Request, Resources, RetrySettings
from pytau_hpc.sweep.revision import Draft, freeze, publish
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind
from pytau_hpc.sweep.submission import Array, Submission, Task

#: Sun 22 Nov 2026 12:00:00 UTC, when everything in tests happens unless they say otherwise.
NOON = 1795348800.0

#: What a fit publishes about itself unless a test says otherwise.
GOOD_FIT = {
    "elapsed_s": 60.0,
    "cpu_s": 54.0,
    "max_rss_bytes": 2**30,
    "elbo": -1234.5,
    "elbo_se": 0.5,
    "converged": 1,
    "iterations_run": 5000,
}


def a_gone_process() -> ProcessIdentity:
    """A process of this computer before its last restart: certainly gone."""
    return replace(this_process(), boot_id="an-earlier-boot")


def a_far_process() -> ProcessIdentity:
    """A process of another computer: nobody here can say whether it lives."""
    return ProcessIdentity(host="node-0417", boot_id="another-boot", pid=4711, started=1.0)


def a_session(number: int = 0) -> Session:
    animal = f"AM{number + 10}"
    return Session(
        name=f"{animal}_4Tastes_201006_095803",
        animal=animal,
        date="201006",
        path=f"data/{animal}_4Tastes_201006_095803",
    )


def a_point(
    *,
    session: Session | None = None,
    source: DataSource | None = None,
    taste: int | str = 0,
    region: str = "gc",
    laser: str = "none",
    transform: str = "none",
    window_ms: tuple[int, int] | None = (2000, 4000),
    bin_ms: int | None = 50,
    model: str = "single_taste_poisson",
    n_states: int = 4,
    repeat: int = 0,
    settings: dict[str, Any] | None = None,
    more_axes: dict[str, Any] | None = None,
) -> Point:
    """A point with its true id; `more_axes` are settings of the fit that stand in the grid."""
    session = session or a_session()
    settings = {"engine": "jax", "draws": 1000, **(settings or {}), **(more_axes or {})}
    selection = Selection(taste=taste, region=region, laser=laser)
    preprocessing = Preprocessing(transform=transform, window_ms=window_ms, bin_ms=bin_ms)
    digest = f"sha256:{sha256_text(f'{session.name} {selection}')}"
    what = {
        "data_digest": digest,
        "selection": selection,
        "preprocessing": preprocessing,
        "model": model,
        "model_version": 1,
        "model_options": {},
        "n_states": n_states,
        "method": "advi",
        "settings": settings,
        "repeat": repeat,
    }
    return Point(
        point_id=point_id_of(**what),
        session=session,
        source=source or DataSource(format="blech_hdf5"),
        shape=(30, 10, 40),
        axes={
            "session": session.name,
            "taste": taste,
            "region": region,
            "laser": laser,
            "transform": transform,
            "window_ms": None if window_ms is None else list(window_ms),
            "bin_ms": bin_ms,
            "model": model,
            "n_states": n_states,
            "repeat": repeat,
            **(more_axes or {}),
        },
        **what,
    )


def some_points(n: int, *, sessions: int = 1) -> list[Point]:
    """`n` points that differ in session, number of states and repeat, in this order."""
    each = -(-n // sessions)
    made = [
        a_point(session=a_session(session), n_states=2 + i % 4, repeat=i // 4)
        for session in range(sessions)
        for i in range(each)
    ]
    return made[:n]


def a_submission(
    points: Sequence[Point],
    *,
    sweep: str = "gc_states",
    number: int = 1,
    per_task: int = 1,
    uuid: str | None = None,
    command: str = "submit",
    executor: str = "local",
    resources: Resources | None = None,
    at: float = NOON,
    driver: ProcessIdentity | None = None,
    grace_s: float = 60.0,
    because: str = "new",
) -> Submission:
    """One array of tasks with `per_task` points each, sent by this process (which is alive) unless a test says more."""
    batches = [tuple(points[i : i + per_task]) for i in range(0, len(points), per_task)]
    tasks = tuple(Task(number=i, points=batch) for i, batch in enumerate(batches))
    return Submission(
        uuid=uuid or f"{number:012x}",
        number=number,
        sweep=sweep,
        command=command,
        created_at=at,
        executor=executor,
        profile={"name": executor, "executor": executor},
        driver=driver or this_process(),
        checkpoint_s=60.0,
        grace_s=grace_s,
        arrays=(Array(number=0, first=0, tasks=tasks, resources=resources or Resources()),),
        because={point.point_id: because for point in points},
    )


def write_revision(
    sweep: SweepDir,
    points: Sequence[Point],
    *,
    number: int = 1,
    retry: RetrySettings | None = None,
    request: Request | None = None,
    profile: str | None = None,
    spec_text: str = "name: gc_states\n",
) -> None:
    """Freeze points as a revision of the sweep's plan."""
    sessions = {point.session.name: point.session for point in points}
    names = list(points[0].axes) if points else ["session"]
    axes = {name: _distinct(point.axes[name] for point in points) for name in names}
    draft = Draft(
        name=sweep.name,
        spec_text=spec_text,
        spec_file=f"{sweep.name}.yaml",
        points=points,
        source=points[0].source if points else DataSource(format="blech_hdf5"),
        sessions=list(sessions.values()),
        axes=axes,
        request=request or Request(),
        retry=retry or RetrySettings(),
        profile=profile,
        checkpoint_s=60.0,
        made={},
        versions={},
        created_at="2026-11-22T12:00:00Z",
    )
    sweep.path.mkdir(parents=True, exist_ok=True)
    publish(freeze(draft), sweep.path, number)


def _distinct(values: Iterable[Any]) -> list[Any]:
    return [value for value, _ in itertools.groupby(sorted(values, key=repr))]


def a_sweep(
    study: Path,
    points: Sequence[Point] | None = None,
    *,
    n: int = 4,
    name: str = "gc_states",
    **plan: Any,
) -> BuiltSweep:
    """A planned sweep below `study`: `n` points unless `points` are given. `plan` goes to `write_revision`."""
    sweep = BuiltSweep(
        SweepDir(study / "sweeps" / name), tuple(some_points(n) if points is None else points)
    )
    write_revision(sweep.dir, sweep.points, **plan)
    return sweep


@dataclass
class BuiltSweep:
    """A sweep on disk, and what can happen to it."""

    dir: SweepDir
    points: tuple[Point, ...]
    submitted: int = 0

    def submit(self, points: Sequence[Point] | None = None, **changes: Any) -> Submission:
        """Write a submission of these points (all by default); `changes` go to `a_submission`."""
        self.submitted += 1
        submission = a_submission(
            self.points if points is None else points,
            **{
                "sweep": self.dir.name,
                "number": self.submitted,
                "uuid": uuid.uuid4().hex[:12],
                **changes,
            },
        )
        self.dir.submission(submission.uuid).mkdir(parents=True)
        assert publish_text(self.dir.submission_file(submission.uuid), submission.to_text())
        return submission

    def run(self, submission: Submission, task: int = 0, **who: Any) -> BuiltRun:
        """Start a run of a task; `who` goes to `BuiltRun.begin`."""
        return BuiltRun.begin(self.dir, submission, task, **who)

    def succeed(
        self, submission: Submission, tasks: Iterable[int] | None = None, **fit: Any
    ) -> None:
        """Let every point of these tasks (all by default) succeed."""
        for task in submission.tasks if tasks is None else [submission.tasks[i] for i in tasks]:
            with self.run(submission, task.number) as run:
                for point in task.points:
                    run.succeeds(point, **fit)

    def plan_again(self, points: Sequence[Point], **plan: Any) -> BuiltSweep:
        """A new revision with other points."""
        write_revision(self.dir, points, number=1 + read_manifest(self.dir.path).revision, **plan)
        return replace(self, points=tuple(points))


class BuiltRun:
    """A run of a task that writes a real journal. Used with `with`, it ends in good order."""

    def __init__(self, sweep: SweepDir, journal: Journal, clock: list[float]) -> None:
        self._sweep = sweep
        self._clock = clock
        self.journal = journal

    @classmethod
    def begin(
        cls,
        sweep: SweepDir,
        submission: Submission,
        task: int = 0,
        *,
        number: int = 1,
        at: float = NOON,
        process: ProcessIdentity | None = None,
        host: str = "node-0417",
        job: str = "8123457_4",
        restart: int = 0,
    ) -> BuiltRun:
        """A run of a process that is alive (this one) unless a test says otherwise."""
        clock = [at]
        path = sweep.journal(submission.uuid, task, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        run = cls(sweep, Journal.create(path, clock=lambda: clock[0]), clock)
        process = process or this_process()
        run.journal.append(
            EventKind.RUN_STARTED,
            host=host,
            process_host=process.host,
            boot_id=process.boot_id,
            pid=process.pid,
            process_started=process.started,
            job=job,
            points=len(submission.tasks[task].points),
            restart=str(restart) if restart else None,
        )
        return run

    def __enter__(self) -> BuiltRun:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            self.ends()

    def wait(self, seconds: float) -> BuiltRun:
        self._clock[0] += seconds
        return self

    def starts(self, point: Point) -> BuiltRun:
        self.journal.append(EventKind.POINT_STARTED, point=point.point_id)
        return self

    def progresses(
        self, point: Point, done: int, total: int, phase: str = "fitting", rss: int = 2**29
    ) -> BuiltRun:
        self.journal.append(
            EventKind.PROGRESS, point=point.point_id, phase=phase, done=done, total=total, rss=rss
        )
        return self

    def checkpoints(self, point: Point, iteration: int) -> BuiltRun:
        self.journal.append(EventKind.CHECKPOINT, point=point.point_id, iteration=iteration)
        return self

    def succeeds(self, point: Point, *, file: bool = True, **fit: Any) -> BuiltRun:
        """Start and finish a point; its result is an empty file (`file=False`: none, as if somebody had removed it)."""
        told = {**GOOD_FIT, **fit}
        self.starts(point).wait(told["elapsed_s"])
        if file:
            result = self._sweep.study / point.result_path
            result.parent.mkdir(parents=True, exist_ok=True)
            result.touch()
        self.journal.append(EventKind.POINT_SUCCEEDED, point=point.point_id, **told)
        return self

    def fails(self, point: Point, kind: Kind = Kind.EXCEPTION, **told: Any) -> BuiltRun:
        """Start a point and let it fail."""
        told = {"elapsed_s": 10.0, "cpu_s": 9.0, "max_rss_bytes": 2**30, **told}
        if kind is Kind.EXCEPTION:
            told = {
                "error": "ValueError",
                "message": "no spikes",
                "frame": "load.py:88 load",
                **told,
            }
        self.starts(point).wait(told["elapsed_s"])
        self.journal.append(EventKind.POINT_FAILED, point=point.point_id, kind=kind.value, **told)
        return self

    def is_interrupted(
        self,
        point: Point,
        kind: Kind = Kind.PREEMPTED,
        iteration: int = 500,
        after_s: float = 10.0,
    ) -> BuiltRun:
        """Start a point and stop it in good order, at a checkpoint."""
        self.starts(point).wait(after_s).checkpoints(point, iteration)
        self.journal.append(
            EventKind.POINT_INTERRUPTED, point=point.point_id, kind=kind.value, iteration=iteration
        )
        return self

    def skips(self, point: Point, because: str = "its result is there already") -> BuiltRun:
        self.journal.append(EventKind.POINT_SKIPPED, point=point.point_id, because=because)
        return self

    def ends(self, because: str = "done") -> None:
        self.journal.append(EventKind.RUN_ENDED, because=because)
        self.journal.close()
