"""How numbers, times and states look to a person: durations, sizes, bars, local times, coloured lines.

Text is made as lines of spans, so that the same lines can be printed plainly, painted on a terminal, or redrawn live.
Colour is never the only signal: every state has a mark and a word. Called by everything in `reports`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytau_hpc.sweep.state import Kind, State

if TYPE_CHECKING:
    from rich.text import Text

MARKS: Mapping[State, str] = {
    State.SUCCEEDED: "✓",
    State.RUNNING: "↻",
    State.QUEUED: "…",
    State.PLANNED: "+",
    State.INTERRUPTED: "‖",
    State.FAILED: "✗",
    State.LOST: "?",
    State.CANCELLED: "⊘",
}

STYLES: Mapping[State, str | None] = {
    State.SUCCEEDED: "green",
    State.RUNNING: "cyan",
    State.QUEUED: "blue",
    State.PLANNED: None,
    State.INTERRUPTED: "yellow",
    State.FAILED: "red",
    State.LOST: "magenta",
    State.CANCELLED: "bright_black",
}

#: Only where the value's own name would not do.
KIND_WORDS: Mapping[Kind, str] = {
    Kind.TIMEOUT: "time limit",
    Kind.NODE: "node failure",
    Kind.NO_SPACE: "no space left",
}


def kind_words(kind: str | None) -> str:
    """``out of memory`` for ``out_of_memory``."""
    if kind is None:
        return "unknown"
    return KIND_WORDS.get(Kind(kind), kind.replace("_", " "))


def plural(n: int, word: str) -> str:
    return f"{n} {word}" + ("" if n == 1 else "s")


# -- numbers ----------------------------------------------------------------------------------------------------------


def duration(seconds: float | None) -> str:
    """``0:38:10``, from a day on ``2-03:00:00``: hours as SLURM prints them, days too."""
    if seconds is None:
        return "-"
    whole = max(0, round(seconds))
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{clock:0>8}" if days else clock


def roughly(seconds: float) -> str:
    """A duration that is only an estimate, with no more digits than it deserves: ``50 min``, ``2 h 45 min``."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(5 * round(minutes / 5), 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24)} days"


def hours(seconds: float) -> str:
    """``121``, ``12.3`` or ``0.08`` hours."""
    h = seconds / 3600
    return f"{h:.0f}" if h >= 100 else f"{h:.1f}" if h >= 1 else f"{h:.2f}"


def per_minute(per_s: float) -> str:
    """A rate of points: ``290 points/min``, ``2.9 points/min``, ``4.3 points/h``."""
    rate, unit = (60 * per_s, "min") if per_s >= 1 / 60 else (3600 * per_s, "h")
    return f"{rate:.0f} points/{unit}" if rate >= 10 else f"{rate:.1f} points/{unit}"


def gib(size: float | None) -> str:
    """Bytes as ``3.60 GiB``, small ones as ``512 MiB``."""
    if size is None:
        return "-"
    if size < 2**29:
        return f"{size / 2**20:.0f} MiB"
    return f"{size / 2**30:.2f} GiB" if size < 10 * 2**30 else f"{size / 2**30:.1f} GiB"


def percent(fraction: float) -> str:
    """Whole percent; 100 only where it is all, 0 only where it is nothing."""
    whole = round(100 * fraction)
    if whole >= 100 and fraction < 1:
        whole = 99
    if whole <= 0 and fraction > 0:
        whole = 1
    return f"{whole} %"


def bar(fraction: float, width: int) -> str:
    """A bar of `width` characters in steps of half a character."""
    halves = int(min(1.0, max(0.0, fraction)) * 2 * width)
    full, half = divmod(halves, 2)
    return "━" * full + "╸" * half + "┄" * (width - full - half)


# -- times ------------------------------------------------------------------------------------------------------------


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC, ``2026-11-22T19:05:12Z``."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day_and_time(seconds: float) -> str:
    """``Sun 22 Nov 2026 14:05 EST``, local time."""
    return _local(seconds, "%a %d %b %Y %H:%M %Z")


def time_of_day(seconds: float, *, with_seconds: bool = False) -> str:
    """``14:05 EST``, local time."""
    return _local(seconds, "%H:%M:%S %Z" if with_seconds else "%H:%M %Z")


def _local(seconds: float, form: str) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime(form).rstrip()


# -- lines ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """A piece of a line and, where it has one, its style in rich's words."""

    text: str
    style: str | None = None


Line = Sequence[Span]


def line(*pieces: str | Span) -> list[Span]:
    return [piece if isinstance(piece, Span) else Span(piece) for piece in pieces]


def marked(state: State, text: str) -> Span:
    return Span(f"{MARKS[state]} {text}", STYLES[state])


def spread(left: str, right: str, width: int) -> str:
    """Two texts at the two ends of a line; below each other where they do not fit."""
    gap = width - len(left) - len(right)
    return f"{left}{' ' * gap}{right}" if gap >= 2 else f"{left}\n{right}"


def cut(text: str, width: int) -> str:
    """At most `width` characters; what is cut off leaves an ellipsis."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def squeeze(text: str, width: int) -> str:
    """At most `width` characters, cut in the middle: of a label the end tells points apart."""
    if len(text) <= width:
        return text
    tail = (2 * width) // 3
    return f"{text[: max(0, width - 1 - tail)]}…{text[len(text) - tail :]}"


def plain(lines: Sequence[Line]) -> str:
    return "\n".join("".join(span.text for span in line).rstrip() for line in lines)


def painted(lines: Sequence[Line]) -> Text:
    """The lines as one renderable of rich, for terminals."""
    from rich.text import Text

    text = Text(no_wrap=True, end="")
    for number, spans in enumerate(lines):
        text.append("\n" if number else "")
        for span in spans:
            text.append(span.text, span.style)
    return text


def ansi(lines: Sequence[Line], width: int) -> str:
    """The lines with the escape sequences of a terminal's colours."""
    import io

    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", width=width)
    console.print(painted(lines), end="", overflow="ignore", no_wrap=True, crop=False)
    return out.getvalue()


# -- tables -----------------------------------------------------------------------------------------------------------


def columns(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: frozenset[int] = frozenset(),
    elastic: int | None = None,
    width: int = 100,
) -> list[str]:
    """Rows of a table with aligned columns, the header first.

    Parameters
    ----------
    right : columns that are aligned at their right
    elastic : the column whose cells are squeezed where the table would be wider than `width`
    """
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    too_wide = sum(widths) + 2 * (len(widths) - 1) - width
    if elastic is not None and too_wide > 0:
        widths[elastic] = max(8, widths[elastic] - too_wide)
        for row in table:
            row[elastic] = squeeze(row[elastic], widths[elastic])
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def tsv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Tab-separated, nothing cut; tabs and line breaks inside a value become spaces, nothing becomes an empty cell."""
    lines = ["\t".join(header)]
    lines += ["\t".join(map(_cell, row)) for row in rows]
    return "\n".join(lines)


_BREAKS = str.maketrans("\t\n\r", "   ")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value).translate(_BREAKS) if isinstance(value, str) else str(value)
