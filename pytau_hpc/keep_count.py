"""For scripts that go through many fits themselves: count them, try again, log. Called by `utils.batch_utils`."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pytau_hpc.errors import NonFinite, UserError
from pytau_hpc.files import write_atomic

log = logging.getLogger(__name__)

LOG_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
#: Libraries that tell at level INFO what nobody asked.
_TALKATIVE = ("absl", "arviz", "jax", "matplotlib", "pytensor", "submitit")


class Fits(Protocol):
    """What has `fit_and_save`, such as a `FitHandler`."""

    def fit_and_save(
        self, model_type: str, states: int, fit_steps: int | None, **more: Any
    ) -> Any: ...


@dataclass
class ProgressTracker:
    """Counts jobs that succeeded and failed, and says how long the rest will take.

    Parameters
    ----------
    total_jobs : how many there are
    show : gets one line after each job; None for silence
    clock : seconds, never going back
    """

    total_jobs: int
    show: Callable[[str], None] | None = print
    clock: Callable[[], float] = time.monotonic
    completed_jobs: int = field(default=0, init=False)
    failed_jobs: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._started = self.clock()
        #: As `time.time` has it.
        self.start_time = time.time()

    @property
    def elapsed_time(self) -> float:
        """Seconds since it was made."""
        return self.clock() - self._started

    @property
    def remaining_time(self) -> float | None:
        """Seconds that the other jobs will take at this pace; None before the first. Failed jobs are over, too."""
        over = self.completed_jobs + self.failed_jobs
        if not over:
            return None
        return self.elapsed_time / over * max(0, self.total_jobs - over)

    def update(self, success: bool = True) -> ProgressTracker:
        """Count one job more; returns itself."""
        if success:
            self.completed_jobs += 1
        else:
            self.failed_jobs += 1
        if self.show is not None:
            self.show(str(self))
        return self

    def save(self, path: str | os.PathLike[str] = "progress.json") -> Path:
        """Write the counts as JSON; a reader never sees half a file."""
        told = {
            "total_jobs": self.total_jobs,
            "completed_jobs": self.completed_jobs,
            "failed_jobs": self.failed_jobs,
            "elapsed_time": self.elapsed_time,
        }
        write_atomic(Path(path), json.dumps(told, indent=1) + "\n")
        return Path(path)

    def __str__(self) -> str:
        left = self.remaining_time
        rest = "" if left is None else f", {left:.1f}s remaining"
        return (
            f"Progress: {self.completed_jobs}/{self.total_jobs} ({self.failed_jobs} failed) "
            f"[{self.elapsed_time:.1f}s elapsed{rest}]"
        )


def try_to_fit(
    handler: Fits,
    model_type: str,
    states: int,
    fit_steps: int | None,
    *,
    max_retries: int,
    wait_s: float,
    logger: logging.Logger,
    sleep: Callable[[float], None] = time.sleep,
    **more: Any,
) -> bool:
    """Fit, and try again what may go better the next time; whether it succeeded. Nothing is raised.

    A mistake in the arguments or the data, and a fit that diverges, would come to the same end again: fits have no luck
    of their own, their random numbers follow from what is fitted.

    Parameters
    ----------
    max_retries : how often to try, the first time included
    wait_s : seconds to wait before trying again
    """
    for attempt in range(1, max_retries + 1):
        try:
            handler.fit_and_save(model_type, states, fit_steps, **more)
        except (UserError, NonFinite) as error:
            logger.error("not tried again: %s", error)
            return False
        # Whatever it was: the next fit of the batch is not to blame.
        except Exception as error:
            logger.warning("attempt %d of %d failed: %s", attempt, max_retries, error)
            if attempt < max_retries:
                sleep(wait_s)
        else:
            logger.info("fit successful on attempt %d", attempt)
            return True
    logger.error("all attempts failed")
    return False


def log_to(
    path: str | os.PathLike[str] | None, level: int, loggers: Sequence[str] = _TALKATIVE
) -> logging.Logger:
    """Log to a file and to standard error; libraries are heard from WARNING on.

    Does nothing more where logging is set up already, as `logging.basicConfig` does.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path is not None:
        handlers.append(logging.FileHandler(path, encoding="utf-8", delay=True))
    logging.basicConfig(level=level, format=LOG_FORMAT, handlers=handlers)
    for name in loggers:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    return logging.getLogger("pytau_hpc")
