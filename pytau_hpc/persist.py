"""Resume a sweep again and again until everything is done or final: what ``--wait --auto-resume`` does.

It keeps nothing in memory that matters: every decision is made afresh from the files, so a process that is killed in
between is replaced by running the same command again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from pytau_hpc.choose import Command
from pytau_hpc.errors import LockTimeout, SchedulerUnreachable
from pytau_hpc.prepare import Order
from pytau_hpc.submit import submit
from pytau_hpc.sweep.resources import Request
from pytau_hpc.sweep.run_dir import SweepDir

#: While something is still running, what may be tried again is gathered for so long: few large submissions.
_SEND_EVERY_S = 300.0
#: After a scheduler that did not answer.
_PAUSE_S = 60.0


class Persistence:
    """Decides at every look whether to send again, and whether all is over.

    Parameters
    ----------
    order : what the person asked for; what is sent again is what `resume` would send without further options
    clock : monotonic seconds
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
        self._clock = clock
        self._send_at = clock() + _SEND_EVERY_S
        self._pause_until = clock()

    def is_over(self, going_on: int, *, tell: Callable[[str], None]) -> bool:
        """True when nothing is queued or running and nothing may be tried again.

        Parameters
        ----------
        going_on : how many points are queued or running
        tell : called with what is sent again, in words

        Raises
        ------
        SubmitRefused : the scheduler does not take it, and will not by trying again
        """
        now = self._clock()
        if now < self._pause_until or (going_on and now < self._send_at):
            return False
        try:
            done = submit(self._sweep, self._order)
        except (SchedulerUnreachable, LockTimeout) as error:
            tell(f"! {error.message}")
            self._pause_until = now + _PAUSE_S
            return False
        postponed = done.prepared.postponed or (done.sent is not None and done.sent.problem)
        self._send_at = now + (_PAUSE_S if postponed else _SEND_EVERY_S)
        submission = done.prepared.submission
        if submission is not None and done.sent is not None:
            n = sum(len(task.points) for task in submission.tasks)
            tell(f"↻ sent {n} point{'' if n == 1 else 's'} again (submission {submission.number})")
            if done.sent.problem is not None:
                tell(f"! {done.sent.problem.message}")
            return False
        return not going_on and not done.prepared.postponed
