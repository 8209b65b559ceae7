"""The journal of one run: an append-only file with one writer, and how to read it back.

Every record is one line of JSON of at most 4 KiB that ends with a CRC of what stands before it. Each record is one
`write` on a descriptor opened with O_APPEND | O_EXCL under a name that only this run ever opens, so nothing can
interleave. Promises (a point started, a point finished) are synced to disk; heartbeats are not. A last line without
its newline is a torn tail: it is left for later, when more may have arrived. A line in the middle that does not
match its CRC is counted as damaged and skipped.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

MAX_RECORD_BYTES = 4096
FORMAT = 1


class EventKind(StrEnum):
    """What a run can say."""

    RUN_STARTED = "run_started"  #: who runs where: process, job, resources
    POINT_STARTED = "point_started"  #: an attempt begins
    PROGRESS = "progress"  #: phase, done of total, memory
    CHECKPOINT = "checkpoint"  #: everything up to this iteration is safe
    POINT_SUCCEEDED = "point_succeeded"  #: the result is published; usage and quality
    POINT_FAILED = "point_failed"  #: kind, error, where the traceback is
    POINT_INTERRUPTED = "point_interrupted"  #: stopped in good order at an iteration
    POINT_SKIPPED = "point_skipped"  #: not needed, and why
    SIGNALLED = "signalled"  #: the run was told to stop, and why, as far as it can know
    RUN_ENDED = "run_ended"  #: the last record of a run that ended in good order; what it used


@dataclass(frozen=True, kw_only=True)
class Event:
    """One record. `wall` is seconds since the epoch by the writer's clock: shown, never compared between hosts."""

    seq: int
    kind: EventKind
    wall: float
    mono: float
    payload: Mapping[str, Any] = field(default_factory=dict)


class Journal:
    """The writer. One per run; not thread-safe.

    Raises
    ------
    FileExistsError : from `create`, when another run has this number already
    """

    def __init__(self, descriptor: int, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._descriptor = descriptor
        self._seq = 0
        self._mid_line = False
        self._clock = clock
        self.path = path

    @classmethod
    def create(cls, path: Path, clock: Callable[[], float] = time.time) -> Journal:
        return cls(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666), path, clock
        )

    def append(self, kind: EventKind, /, *, sync: bool = False, **payload: Any) -> None:
        """Write one record; with `sync`, return only when it is on disk."""
        line = encode(
            Event(
                seq=self._seq, kind=kind, wall=self._clock(), mono=time.monotonic(), payload=payload
            )
        )
        data = (b"\n" if self._mid_line else b"") + line
        self._seq += 1
        written = os.write(self._descriptor, data)
        # A full disk can cut a record short. The next one then starts on a new line, so only this one is lost.
        self._mid_line = written < len(data)
        if self._mid_line:
            raise OSError(28, "the journal could not be written in full", str(self.path))
        if sync:
            os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def encode(event: Event) -> bytes:
    """One line. Long texts of the payload are cut so that the record fits."""
    payload = dict(event.payload)
    for limit in (1200, 300, 60):
        body = json.dumps(
            {
                "v": FORMAT,
                "seq": event.seq,
                "event": event.kind.value,
                "wall": round(event.wall, 3),
                "mono": round(event.mono, 3),
                **{key: _cut(value, limit) for key, value in payload.items()},
            },
            separators=(",", ":"),
            allow_nan=False,
            default=str,
        ).encode()
        if len(body) + 20 <= MAX_RECORD_BYTES:
            break
    else:
        raise ValueError(
            f"a {event.kind} record of {len(body)} bytes does not fit into {MAX_RECORD_BYTES}"
        )
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body[:-1])


def _cut(value: Any, limit: int) -> Any:
    if isinstance(value, str) and len(value) > limit:
        return value[: limit - 1] + "…"
    return value


def decode(line: bytes) -> Event | None:
    """One record from one line without its newline; None where it is damaged."""
    body, mark, crc = line.rpartition(b',"crc":"')
    if not mark or crc[8:] != b'"}' or b"%08x" % zlib.crc32(body) != crc[:8]:
        return None
    try:
        record = json.loads(body + b"}")
        known = {"v", "seq", "event", "wall", "mono"}
        return Event(
            seq=record["seq"],
            kind=EventKind(record["event"]),
            wall=record["wall"],
            mono=record["mono"],
            payload={key: value for key, value in record.items() if key not in known},
        )
    except (ValueError, KeyError):
        return None


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """What `read_from` found: the new events, where to go on, and how many lines in the middle were damaged."""

    events: tuple[Event, ...]
    offset: int
    damaged: int


def read_from(path: Path, offset: int) -> Chapter:
    """Read the complete records after `offset` bytes."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    end = data.rfind(b"\n") + 1
    events, damaged = [], 0
    for line in data[:end].split(b"\n"):
        if not line:
            continue
        event = decode(line)
        if event is None:
            damaged += 1
        else:
            events.append(event)
    return Chapter(events=tuple(events), offset=offset + end, damaged=damaged)
