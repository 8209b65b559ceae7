"""Bring the ledger up to date with the files: the only writer of the ledger.

Cost is proportional to what is new. Everything that decides a state is a file: journals, results, and the verdicts
"this run was found gone", which are written here, once, beside the submission they are about. Where the folder cannot
be written to, the same work is done on a private copy in memory and no verdict is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from pytau_hpc.errors import LockTimeout
from pytau_hpc.executors.base import Gone
from pytau_hpc.files import publish_text
from pytau_hpc.ledger import queries
from pytau_hpc.ledger.connection import LedgerDamaged, LedgerUnwritable, remove
from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.ledger.states import restate
from pytau_hpc.liveness import look, waiting_before
from pytau_hpc.sweep.cancellation import Cancellation
from pytau_hpc.sweep.journal import read_from
from pytau_hpc.sweep.manifest import read_manifest, revisions
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import Kind
from pytau_hpc.sweep.submission import Submission, TaskKey

_JOURNAL_NAME = re.compile(r"(\d+)\.r(\d+)\.jsonl")
#: A folder changed less than this ago may change again within the resolution of its time stamp: look again.
_SETTLED_S = 2.0
#: How long the sender of local tasks waits for its turn to say how they ended.
_PATIENCE_S = 600.0


@dataclass
class Collected:
    """An open ledger, up to date, and what is to be said about how it came to be."""

    ledger: Ledger
    notes: tuple[str, ...] = ()
    reachable: bool | None = None
    waiting: frozenset[TaskKey] = frozenset()
    alive: frozenset[TaskKey] = frozenset()  #: tasks that were seen, now
    reasons: Mapping[TaskKey, str] = field(default_factory=dict)  #: why tasks wait
    looked: bool = False  #: every executor with open tasks was looked at, now, and answered

    def __enter__(self) -> Collected:
        return self

    def __exit__(self, *exception: object) -> None:
        self.ledger.close()


def collect(
    sweep: SweepDir,
    *,
    now: float | None = None,
    ask: bool = True,
    fresh: bool = False,
    decide: Callable[[Ledger], Iterable[Gone]] = lambda ledger: (),
    lock_timeout_s: float = 90.0,
) -> Collected:
    """Fold what is new into the ledger and return it, open.

    Parameters
    ----------
    now : seconds since the epoch
    ask : look at processes and the scheduler for tasks that are gone
    fresh : ask the scheduler even if it was asked a moment ago (because something is about to be sent)
    decide : verdicts that the caller knows, from what the files say; written down, too

    Raises
    ------
    LockTimeout : another process has been collecting for longer than `lock_timeout_s`
    """
    now = time.time() if now is None else now
    if not os.access(sweep.path, os.W_OK):
        return _collect_into(Ledger.in_memory(sweep.ledger), sweep, now, ask=False, fresh=False)
    lock = FileLock(sweep.ledger_lock, timeout=lock_timeout_s, mode=0o664)

    def work(ledger: Ledger) -> Collected:
        return _collect_into(ledger, sweep, now, ask=ask, fresh=fresh, decide=decide)

    try:
        with lock:
            try:
                return work(Ledger.open(sweep.ledger))
            except LedgerDamaged:
                remove(sweep.ledger)
                return work(Ledger.open(sweep.ledger))
    except (PermissionError, LedgerUnwritable):
        # Somebody else's folder or file, or a full disk: the same answer, from a private copy.
        return _collect_into(Ledger.in_memory(sweep.ledger), sweep, now, ask=False, fresh=False)
    except Timeout:
        raise LockTimeout(
            f"another process is updating {sweep.ledger} and did not finish within {lock_timeout_s:.0f} s",
            help="try again; the lock frees itself when that process ends",
        ) from None


def _collect_into(
    ledger: Ledger,
    sweep: SweepDir,
    now: float,
    *,
    ask: bool,
    fresh: bool,
    decide: Callable[[Ledger], Iterable[Gone]] = lambda ledger: (),
) -> Collected:
    found = Collected(ledger)

    def work() -> None:
        found.waiting = waiting_before(ledger)
        _read_manifest(ledger, sweep)
        _read_submissions(ledger, sweep)
        _read_cancellations(ledger, sweep)
        uuids = [
            row[0]
            for row in ledger.connection.execute(
                "SELECT uuid FROM submission ORDER BY number, uuid"
            )
        ]
        for uuid in uuids:
            _read_journals(ledger, sweep, uuid, now)
            _read_verdicts(ledger, sweep, uuid)
        _look_for_results(ledger, sweep, now)
        _write_verdicts(ledger, sweep, decide(ledger), now)
        if ask:
            seen = look(sweep, ledger, now=now, fresh=fresh)
            still = _not_heard_of_since(ledger, sweep, seen.gone, now)
            _write_verdicts(ledger, sweep, still, now)
            found.waiting, found.notes = seen.waiting, seen.notes
            found.alive, found.reasons = seen.alive, seen.reasons
            found.reachable, found.looked = seen.reachable, seen.complete
        restate(ledger, found.waiting)
        if found.looked:
            queries.close_finished_submissions(ledger, found.waiting)

    try:
        ledger.in_transaction(work)
    except BaseException:
        ledger.close()
        raise
    return found


def settle(sweep: SweepDir, uuid: str, not_begun: Collection[int]) -> None:
    """Write down what became of the tasks of a local submission, now that its sender waits for none of them.

    Those that had no turn are given back, as if they had never been sent. Others that never said a word never started.
    """

    def verdicts(ledger: Ledger) -> list[Gone]:
        silent = queries.tasks_without_a_run(ledger, uuid)
        return [
            _given_back(uuid, task)
            if task in not_begun
            else Gone(submission=uuid, task=task, run=None, kind=Kind.NEVER_STARTED)
            for task in silent
        ]

    # Without it the tasks stay queued for as long as their sender lives.
    with collect(sweep, ask=False, decide=verdicts, lock_timeout_s=_PATIENCE_S):
        pass


def give_back(sweep: SweepDir, uuid: str, tasks: Collection[int]) -> None:
    """Write down that tasks of a submission were certainly never sent: their points are as if they never had been."""
    if tasks:
        with collect(
            sweep, ask=False, decide=lambda _: [_given_back(uuid, task) for task in tasks]
        ):
            pass


def _given_back(uuid: str, task: int) -> Gone:
    return Gone(submission=uuid, task=task, run=None, kind=None)


# -- the plan and the submissions -----------------------------------------------------------------------------------


def _read_manifest(ledger: Ledger, sweep: SweepDir) -> None:
    newest = str(max(revisions(sweep.path), default=0))
    if ledger.meta("revision") != newest:
        ledger.load_manifest(newest, read_manifest(sweep.path).points())


def _read_submissions(ledger: Ledger, sweep: SweepDir) -> None:
    new = set(_names(sweep.submissions)) - ledger.known_submissions()
    paths = [sweep.submission_file(uuid) for uuid in new if not uuid.startswith(".")]
    submissions = [Submission.read(path) for path in paths if path.exists()]
    for submission in sorted(
        submissions, key=lambda submission: (submission.number, submission.uuid)
    ):
        ledger.add_submission(submission)
    for uuid in queries.open_submissions(ledger):
        if sweep.refused_file(uuid).exists():
            ledger.mark_refused(uuid)


def _read_cancellations(ledger: Ledger, sweep: SweepDir) -> None:
    done = int((ledger.hint("cancellations") or ("0", 0.0))[0])
    while True:
        try:
            cancellation = Cancellation.read(sweep.cancellation_file(done))
        except FileNotFoundError:
            break
        ledger.set_cancelled(cancellation.points, cancellation.after)
        done += 1
        ledger.set_hint("cancellations", str(done), 0.0)


# -- journals and verdicts ------------------------------------------------------------------------------------------


def _read_journals(ledger: Ledger, sweep: SweepDir, uuid: str, now: float) -> None:
    folder = sweep.journal_of(uuid)
    known = ledger.journal_offsets(uuid)
    listed = _entries_if_changed(ledger, folder, f"journals:{uuid}", now)
    sizes: dict[tuple[int, int], int] = {}
    if listed is not None:
        for entry in listed:
            match = _JOURNAL_NAME.fullmatch(entry.name)
            if match and (int(match[1]), int(match[2])) not in known:
                sizes[int(match[1]), int(match[2])] = entry.stat().st_size
    for (task, run), (_, closed) in known.items():
        if not closed:
            with contextlib.suppress(FileNotFoundError):
                sizes[task, run] = sweep.journal(uuid, task, run).stat().st_size
    for (task, run), size in sorted(sizes.items()):
        offset, _ = known.get((task, run), (0, False))
        if size > offset or (task, run) not in known:
            ledger.add_chapter(uuid, task, run, read_from(sweep.journal(uuid, task, run), offset))


def _read_verdicts(ledger: Ledger, sweep: SweepDir, uuid: str) -> None:
    folder = sweep.gone(uuid)
    done = int((ledger.hint(f"verdicts:{uuid}") or ("0", 0.0))[0])
    while True:
        path = folder / f"{done:06}.json"
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            break
        verdicts, at = body["verdicts"], float(body.get("at", 0.0))
        for task, run, kind, *node in verdicts:
            ledger.mark_gone(uuid, task, run, None if kind is None else Kind(kind))
            if node:
                ledger.mark_unable(uuid, task, node[0], at)
        done += 1
        ledger.set_hint(f"verdicts:{uuid}", str(done), 0.0)


def _not_heard_of_since(
    ledger: Ledger, sweep: SweepDir, gone: Sequence[Gone], now: float
) -> list[Gone]:
    """The verdicts on tasks whose journals have not grown since they were read.

    They were read before the scheduler was asked, and a run that ended in between has had its last word: about those
    the next look decides.
    """
    if not gone:
        return []
    uuids = {verdict.submission for verdict in gone}
    before = {uuid: ledger.journal_offsets(uuid) for uuid in uuids}
    for uuid in uuids:
        ledger.forget_hint(f"journals:{uuid}")
        _read_journals(ledger, sweep, uuid, now)
    grown = {
        (uuid, task)
        for uuid in uuids
        for (task, run), known in ledger.journal_offsets(uuid).items()
        if before[uuid].get((task, run)) != known
    }
    return [verdict for verdict in gone if (verdict.submission, verdict.task) not in grown]


def _write_verdicts(ledger: Ledger, sweep: SweepDir, gone: Iterable[Gone], now: float) -> None:
    by_submission: dict[str, list[Gone]] = defaultdict(list)
    for verdict in gone:
        by_submission[verdict.submission].append(verdict)
    for uuid, verdicts in by_submission.items():
        folder = sweep.gone(uuid)
        folder.mkdir(exist_ok=True)
        number = int((ledger.hint(f"verdicts:{uuid}") or ("0", 0.0))[0])
        body = {
            "format": 1,
            "at": now,
            "verdicts": [
                [v.task, v.run, v.kind and v.kind.value, *([v.node] if v.node else [])]
                for v in verdicts
            ],
        }
        if publish_text(folder / f"{number:06}.json", json.dumps(body) + "\n"):
            _read_verdicts(ledger, sweep, uuid)


# -- results --------------------------------------------------------------------------------------------------------


def _look_for_results(ledger: Ledger, sweep: SweepDir, now: float) -> None:
    """Find results that no journal told of (another sweep's, or of a worker that died just after publishing), and
    notice those that were removed.
    """
    for folder in {
        row[0] for row in ledger.connection.execute("SELECT DISTINCT result_folder FROM point")
    }:
        entries = _entries_if_changed(ledger, sweep.study / folder, f"results:{folder}", now)
        if entries is None:
            continue
        names = {entry.name for entry in entries}
        changed: dict[str, bool] = {}
        for point_id, path, has_result in ledger.connection.execute(
            "SELECT point_id, result_path, has_result FROM point WHERE result_folder = ?", (folder,)
        ):
            listed = Path(path).name in names
            if listed and not has_result:
                if _adopt(ledger, sweep, point_id, path):
                    changed[point_id] = True
                else:
                    # Perhaps a copy that is still being made: look again next time.
                    ledger.forget_hint(f"results:{folder}")
            elif has_result and not listed and not (sweep.study / path).exists():
                changed[point_id] = False
        ledger.set_results(changed)


def _adopt(ledger: Ledger, sweep: SweepDir, point_id: str, path: str) -> bool:
    """Take over a result that no journal of this sweep tells of: valid if it opens and carries the right id."""
    from pytau_hpc.inference.result_file import ResultInvalid, read_attrs

    try:
        attrs = read_attrs(sweep.study / path)
    except (ResultInvalid, OSError):
        return False
    if attrs.get("point_id") != point_id:
        return False
    ledger.adopt(point_id, attrs.get("quality") or {})
    return True


# -- folders --------------------------------------------------------------------------------------------------------


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _entries_if_changed(
    ledger: Ledger, folder: Path, hint: str, now: float
) -> list[os.DirEntry[str]] | None:
    """The entries of a folder, or None where nothing was added or removed since the last look."""
    try:
        changed_ns = folder.stat().st_mtime_ns
    except FileNotFoundError:
        changed_ns = 0
    known = ledger.hint(hint)
    if known is not None and known[0] == str(changed_ns):
        return None
    if now - changed_ns / 1e9 > _SETTLED_S:
        ledger.set_hint(hint, str(changed_ns), now)
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        return list(entries)
    return []


@contextlib.contextmanager
def submit_lock(sweep: SweepDir, timeout_s: float = 60.0) -> Iterator[None]:
    """Held from `choose` to the written submission: two `resume`s at once must not send the same points.

    Raises
    ------
    LockTimeout : another submit or resume holds it
    """
    try:
        with FileLock(sweep.submit_lock, timeout=timeout_s, mode=0o664):
            yield
    except Timeout:
        raise LockTimeout(
            f"another submit or resume of {sweep.name} is being prepared and did not finish within {timeout_s:.0f} s",
            help="try again; the lock frees itself when that process ends",
        ) from None
