"""Checks of settings that the inference methods share. Pure; nothing heavy is imported."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pytau_hpc.errors import UserError, did_you_mean

Check = Callable[[Any], str | None]
"""A value → what it should have been, or None when it is fine."""


def is_whole(value: Any, at_least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= at_least


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check(test: Callable[[Any], bool], what: str) -> Check:
    return lambda value: None if test(value) else what


def whole(at_least: int) -> Check:
    return check(lambda value: is_whole(value, at_least), f"a whole number from {at_least}")


def one_of(words: Collection[str]) -> Check:
    return check(
        lambda value: isinstance(value, str) and value in words, f"one of {', '.join(words)}"
    )


AUTO_OR_WHOLE = check(
    lambda value: value == "auto" or is_whole(value, 1), "auto or a whole number from 1"
)
POSITIVE = check(lambda value: is_number(value) and value > 0, "a positive number")


class Problems:
    """What is wrong with the settings of one method, one line each, so that all of it is said at once."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._lines: list[str] = []
        self._hints: list[str | None] = []

    def add(self, line: str, hint: str | None = None) -> None:
        self._lines.append(line)
        self._hints.append(hint)

    def unknown(self, given: Mapping[str, Any], known: Collection[str]) -> None:
        """Settings that the method does not have."""
        for key in given:
            if key not in known:
                hint = did_you_mean(key, known)
                self.add(f"{self._method} has no setting `{key}`" + (f"; {hint}" if hint else ""))

    def wrong(self, key: str, value: Any, check: Check) -> bool:
        """Note a value that fails its check. True where it did."""
        what = check(value)
        if what:
            self.add(f"`{key}` must be {what}, got {value!r}")
        return bool(what)

    def raise_any(self) -> None:
        """Raise `UserError` with all that was noted, if anything was."""
        if self._lines:
            raise UserError("\n".join(self._lines), help=next(filter(None, self._hints), None))
