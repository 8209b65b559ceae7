"""Resume a sweep again and again until everything is done or final: what ``--wait --auto-resume`` does.

It keeps nothing in memory that matters: every decision is made afresh from the files, so a process that is killed in
between is replaced by running the same command again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from pytau_hpc.choose import Command
from pytau_hpc.errors import CannotWrite, LockTimeout, PytauHpcError, SchedulerUnreachable
from pytau_hpc.executors import executor
from pytau_hpc.prepare import Order, Prepared
from pytau_hpc.submit import submit
from pytau_hpc.sweep.resources import Request
from pytau_hpc.sweep.run_dir import SweepDir

#: While something is still running, what may be tried again is gathered for so long: few large submissions.
_SEND_EVERY_S = 300.0
#: After trouble, or between two rounds of which the first made nothing succeed; doubled each time, up to the longest.
#: Whatever ends every fit at once (a full disk, a node without Python) would else use up all their tries in a minute.
_PAUSE_S, _LONGEST_PAUSE_S = 60.0, 3600.0


class Persistence:
    """Decides at every look whether to send again, and whether all is over.

    Parameters
    ----------
    order : what the person asked for; what is sent again is what `resume` would send without further options
    clock : monotonic seconds

    Attributes
    ----------
    stopped : a person stopped what was sent again
    """

    def __init__(
        self, sweep: SweepDir, order: Order, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sweep = sweep
        # `--errors`, `--lost` and `--cancelled` are a person's judgement of this moment; not to be repeated. And what
        # was asked for at first must not overrule what failures teach.
        self._order = replace(
            order,
            command=Command.RESUME,
            errors=False,
            lost=False,
            cancelled=False,
            base=order.request.over(order.base),
            request=Request(points_per_task=order.request.points_per_task),
        )
        self._runs_here = executor(order.profile.executor).blocks
        self._clock = clock
        self._send_at = clock() + _SEND_EVERY_S
        self._pause_until = clock()
        self._trouble_s = _PAUSE_S
        # Of the last round: when it was sent, how many points had succeeded by then, and how long it stays the last.
        self._sent_at = -math.inf
        self._had_succeeded = 0
        self._gap_s = 0.0
        self.stopped = False

    def is_over(
        self,
        going_on: int,
        succeeded: int,
        *,
        tell: Callable[[str], None],
        tick: Callable[[], None] = lambda: None,
    ) -> bool:
        """True when nothing is queued or running and nothing may be tried again, or when a person stopped it.

        Parameters
        ----------
        going_on, succeeded : how many points are queued or running, and how many have succeeded
        tell : called with what is sent again, in words
        tick : called now and then while local tasks run

        Raises
        ------
        SubmitRefused : the scheduler does not take it, and will not by trying again
        """
        began = self._clock()
        if began < self._pause_until or (going_on and began < self._send_at):
            return False
        if succeeded > self._had_succeeded:
            self._gap_s = 0.0
        next_at = self._sent_at + self._gap_s

        def agreed(prepared: Prepared) -> bool:
            if began < next_at:
                return False
            if self._runs_here:
                tell(_sent(prepared))
            return True

        try:
            done = submit(self._sweep, self._order, confirm=agreed, tick=tick)
        except (SchedulerUnreachable, LockTimeout, CannotWrite, OSError) as error:
            tell(f"! {error.message if isinstance(error, PytauHpcError) else error}")
            # From now on: to find it out may have taken longer than the pause.
            self._pause_until = self._clock() + self._trouble_s
            self._trouble_s = min(2 * self._trouble_s, _LONGEST_PAUSE_S)
            return False
        self._trouble_s = _PAUSE_S
        if done.prepared.submission is not None and done.sent is None:
            self._pause_until = next_at
            minutes = max(1, round((next_at - began) / 60))
            tell(f"! nothing has succeeded since then: again in {minutes} min")
            return False
        problem = done.sent.problem if done.sent is not None else None
        postponed = done.prepared.postponed or problem is not None
        self._send_at = self._clock() + (_PAUSE_S if postponed else _SEND_EVERY_S)
        if done.sent is not None:
            self._sent_at, self._had_succeeded = began, succeeded
            self._gap_s = min(max(2 * self._gap_s, _PAUSE_S), _LONGEST_PAUSE_S)
            self.stopped = done.sent.stopped
            if not self._runs_here:
                tell(_sent(done.prepared))
            if problem is not None:
                tell(f"! {problem.message}")
            return self.stopped
        return not going_on and not done.prepared.postponed


def _sent(prepared: Prepared) -> str:
    submission = prepared.submission
    assert submission is not None
    n = sum(len(task.points) for task in submission.tasks)
    return f"↻ sent {n} point{'' if n == 1 else 's'} again (submission {submission.number})"
