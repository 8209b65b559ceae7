"""Every error that this package raises on purpose, with one root.

A `UserError` is a mistake in what the user gave us: it is shown as a message, never as a traceback, and ends the
program with exit code 2. Any other `PytauHpcError` is something that went wrong in the world (exit code 1 unless it
says otherwise). Everything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class PytauHpcError(Exception):
    """Root of our errors.

    Parameters
    ----------
    message : what went wrong and where, one or more lines
    help : what to type or change next
    """

    exit_code = 1

    def __init__(self, message: str, *, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        if help:
            # For Python's own traceback, which is where a script or a notebook shows it.
            self.add_note(f"help: {help}")


class UserError(PytauHpcError):
    """The user's input cannot be used as it is."""

    exit_code = 2


class BadData(UserError):
    """A session's data cannot be read, or cannot be what the spec says it is. A point that meets it is `bad_input`."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One mistake in a file the user wrote, with the place to look at.

    `line` and `column` count from 1; `snippet` is the line of the file; `width` is how many characters to underline;
    `path` is the key's address in the document (``grid.n_states[0]``).
    """

    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    snippet: str | None = None
    width: int = 1
    path: str = ""
    help: str | None = None

    def render(self) -> str:
        """Draw the problem the way compilers do: place, message, the line with a caret, a hint."""
        place = ":".join(
            str(part) for part in (self.file, self.line, self.column) if part is not None
        )
        lines = [f"  {place}: {self.message}" if place else f"  {self.message}"]
        if self.snippet is not None and self.line is not None:
            number = f"{self.line:>3}"
            lines.append(f"  {number} | {self.snippet}")
            if self.column is not None:
                lines.append(
                    f"  {' ' * len(number)} | {' ' * (self.column - 1)}{'^' * max(1, self.width)}"
                )
        if self.help:
            lines.append(f"  {' ' * 4}help: {self.help}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "message": self.message,
            "help": self.help,
        }


class Invalid(UserError):
    """A document (spec, profile, plan) with one or more problems, all reported at once."""

    def __init__(self, what: str, problems: Sequence[Problem], *, help: str | None = None) -> None:
        self.what = what
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) != 1 else "")
        super().__init__(
            f"{what} has {count}\n\n" + "\n\n".join(problem.render() for problem in self.problems),
            help=help,
        )


class SpecInvalid(Invalid):
    """The spec cannot be planned."""


class ProfileInvalid(Invalid):
    """The cluster profile cannot be used."""


class NotASweep(UserError):
    """No sweep where the user pointed."""


class SubmitRefused(PytauHpcError):
    """The scheduler refused the submission for good; its own words are in the message."""


class SchedulerUnreachable(PytauHpcError):
    """The scheduler did not answer; nothing is known, nothing was changed."""

    exit_code = 75


class LockTimeout(PytauHpcError):
    """Another process holds the lock of this sweep."""

    exit_code = 75


class CannotWrite(PytauHpcError):
    """A folder of the study takes no files now: a full disk or quota, a mount that is gone."""


class NonFinite(PytauHpcError):
    """The fit reached NaN or infinity and cannot go on."""


class FitFailed(PytauHpcError):
    """A fit in this process ended with an error of its own; the traceback is in the note."""


class Interrupted(PytauHpcError):
    """A fit stopped in good order, at a checkpoint, because it was asked to."""

    def __init__(self, iteration: int) -> None:
        super().__init__(f"stopped at iteration {iteration}, after a checkpoint")
        self.iteration = iteration


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint for a misspelt word, or None when nothing known resembles it."""
    close = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else None
