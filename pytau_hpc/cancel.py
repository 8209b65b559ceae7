"""Give points up: those that are queued or running. What has a result keeps it, what was never sent is left alone.

A file says so first (`sweep.cancellation`), then executors are told to stop what nobody wants any more. So a `cancel`
that is killed between the two is true: workers find the file by themselves, and the next `cancel` tells the executors.
A task that a given-up point shares with others is never stopped: its worker passes over the point. Called by
``cancel``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pytau_hpc.collect import Collected, collect, submit_lock
from pytau_hpc.errors import UserError
from pytau_hpc.executors import executor
from pytau_hpc.executors.base import OpenTask
from pytau_hpc.ledger import given_up
from pytau_hpc.ledger.given_up import Candidate
from pytau_hpc.ledger.summary import find_point
from pytau_hpc.liveness import open_tasks
from pytau_hpc.sweep.cancellation import Cancellation, write
from pytau_hpc.sweep.run_dir import SweepDir
from pytau_hpc.sweep.state import State


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a person asked for.

    where : an SQL condition on the points
    points : ids, beginnings of ids, or labels; all points where there are none
    queued_only : what runs goes on
    """

    where: str | None = None
    points: Sequence[str] = ()
    queued_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What would be given up.

    points : queued and running ones that are meant
    going_on : running points that are meant but go on, because only queued ones are given up
    after : number of the newest submission
    unwanted : executor → tasks of which nothing is wanted then, those of earlier cancellations included
    shared : tasks that hold such points and others
    notes : what `collect` has to say
    """

    points: tuple[Candidate, ...]
    going_on: int
    after: int
    unwanted: Mapping[str, tuple[OpenTask, ...]]
    shared: int
    notes: tuple[str, ...] = ()

    @property
    def tasks(self) -> int:
        """How many tasks hold the points."""
        return len({point.task for point in self.points})


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of it.

    became : states, afterwards, of the points that were to be given up; None where nothing was given up
    did, notes, silence : what executors said; see `executors.base.Told`
    """

    prepared: Prepared
    became: Mapping[State, int] | None = None
    did: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    silence: str | None = None


def prepare(
    sweep: SweepDir,
    wish: Wish,
    *,
    only: Collection[str] | None = None,
    fresh: bool = True,
    now: float | None = None,
) -> Prepared:
    """Decide what would be given up; nothing is written except what `collect` learns.

    Parameters
    ----------
    only : ids of the points to consider

    Raises
    ------
    UserError : a condition or a point that cannot be understood
    """
    with collect(sweep, now=now, fresh=fresh) as collected:
        named = {find_point(collected.ledger, text)["point_id"] for text in wish.points}
        meant = [
            point
            for point in given_up.candidates(collected.ledger, wish.where)
            if (not named or point.point_id in named) and (only is None or point.point_id in only)
        ]
        points = [p for p in meant if not (wish.queued_only and p.state is State.RUNNING)]
        return _prepared(sweep, collected, points, going_on=len(meant) - len(points))


def _prepared(
    sweep: SweepDir, collected: Collected, points: Sequence[Candidate], going_on: int
) -> Prepared:
    ledger = collected.ledger
    unwanted = given_up.unwanted_tasks(ledger, {point.point_id for point in points})
    return Prepared(
        points=tuple(points),
        going_on=going_on,
        after=given_up.newest_number(ledger),
        unwanted={
            name: found
            for name, tasks in open_tasks(sweep, ledger).items()
            if (found := tuple(task for task in tasks if task.key in unwanted))
        },
        shared=len({point.task for point in points} - unwanted),
        notes=collected.notes,
    )


def cancel(
    sweep: SweepDir,
    wish: Wish,
    *,
    confirm: Callable[[Prepared], bool] = lambda prepared: True,
    now: float | None = None,
) -> Done:
    """Give points up, and have their tasks stopped.

    Parameters
    ----------
    confirm : called with what would be given up, where that is anything; False leaves all as it is. Nothing is locked
        meanwhile, since a person may think for long; afterwards no other points are given up than those shown

    Raises
    ------
    UserError : a condition or a point that cannot be understood, or a folder that is not ours to write to
    LockTimeout : a submit or resume is at it
    """
    if not os.access(sweep.path, os.W_OK):
        raise UserError(f"you may not write to {sweep.path}", help="ask whoever sent the points")
    shown = prepare(sweep, wish, now=now)
    if not shown.points:
        return _told(shown, wish)
    if not confirm(shown):
        return Done(prepared=shown)
    agreed = {point.point_id for point in shown.points}
    with submit_lock(sweep):
        # What the scheduler said a moment ago will do; what has begun or ended since then, the journals tell.
        prepared = prepare(sweep, wish, only=agreed, fresh=False, now=now)
        if prepared.points:
            write(sweep, _cancellation(prepared, wish, time.time() if now is None else now))
    done = _told(prepared, wish)
    with collect(sweep, now=now, ask=False) as collected:
        became = given_up.states_of(collected.ledger, agreed)
    return replace(done, prepared=shown, became=became)


def _cancellation(prepared: Prepared, wish: Wish, now: float) -> Cancellation:
    return Cancellation(
        at=now,
        after=prepared.after,
        points=tuple(point.point_id for point in prepared.points),
        only_queued=wish.queued_only,
    )


def _told(prepared: Prepared, wish: Wish) -> Done:
    """Have the tasks stopped that nobody wants any more."""
    told = [
        executor(name).cancel(tasks, only_queued=wish.queued_only)
        for name, tasks in prepared.unwanted.items()
    ]
    silences = [one.silence for one in told if one.silence is not None]
    return Done(
        prepared=prepared,
        did=tuple(line for one in told for line in one.did),
        notes=tuple(line for one in told for line in one.notes),
        silence="; ".join(silences) or None,
    )
