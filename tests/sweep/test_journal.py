"""The journal: what is written is read back, and damage costs one record."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytau_hpc.sweep.journal import MAX_RECORD_BYTES, EventKind, Journal, decode, read_from


def a_journal(path: Path, points: int = 3) -> bytes:
    journal = Journal.create(path, clock=lambda: 1000.0)
    journal.append(EventKind.RUN_STARTED, sync=True, host="n1")
    for number in range(points):
        journal.append(EventKind.POINT_STARTED, sync=True, point=f"{number:016x}")
    journal.close()
    return path.read_bytes()


def test_what_was_appended_is_read_back_in_order(tmp_path):
    a_journal(tmp_path / "0.r1.jsonl")

    chapter = read_from(tmp_path / "0.r1.jsonl", 0)

    assert [event.seq for event in chapter.events] == [0, 1, 2, 3]
    assert chapter.events[0].kind is EventKind.RUN_STARTED
    assert chapter.events[2].payload == {"point": "0000000000000001"}
    assert chapter.damaged == 0


def test_reading_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "0.r1.jsonl"
    journal = Journal.create(path)
    journal.append(EventKind.RUN_STARTED, host="n1")
    first = read_from(path, 0)
    journal.append(EventKind.RUN_ENDED, because="done")

    second = read_from(path, first.offset)

    assert [event.kind for event in second.events] == [EventKind.RUN_ENDED]
    assert second.offset == path.stat().st_size


def test_a_run_number_is_taken_once(tmp_path):
    a_journal(tmp_path / "0.r1.jsonl")

    with pytest.raises(FileExistsError):
        Journal.create(tmp_path / "0.r1.jsonl")


def test_a_journal_cut_at_any_byte_gives_the_records_before_the_cut(tmp_path):
    """A torn tail is never an error, never half a record, and is read when the rest arrives."""
    path = tmp_path / "0.r1.jsonl"
    data = a_journal(path)
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]

    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        chapter = read_from(path, 0)
        assert len(chapter.events) == sum(end <= cut for end in ends)
        assert chapter.damaged == 0
        path.write_bytes(data)
        assert len(chapter.events) + len(read_from(path, chapter.offset).events) == len(ends)


def test_any_flipped_bit_costs_at_most_the_records_it_touches(tmp_path):
    """What is read is true, whatever the disk did; a flipped newline joins two records."""
    path = tmp_path / "0.r1.jsonl"
    good = a_journal(path)
    true = {event.seq: event for event in read_from(path, 0).events}

    for position in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[position] ^= 1 << bit
            path.write_bytes(bytes(bad))
            events = read_from(path, 0).events
            assert len(events) >= len(true) - 2
            assert all(true[event.seq] == event for event in events)


def test_a_record_that_was_cut_short_loses_only_itself(tmp_path):
    """After a short write the next record starts on a line of its own."""
    path = tmp_path / "0.r1.jsonl"
    journal = Journal.create(path)
    journal.append(EventKind.RUN_STARTED, host="n1")
    os.write(journal._descriptor, b'{"v":1,"seq":1,"event":"poi')
    journal._mid_line = True
    journal.append(EventKind.RUN_ENDED, because="done")

    chapter = read_from(path, 0)

    assert [event.kind for event in chapter.events] == [EventKind.RUN_STARTED, EventKind.RUN_ENDED]
    assert chapter.damaged == 1


def test_a_long_message_is_cut_so_that_the_record_fits(tmp_path):
    path = tmp_path / "0.r1.jsonl"
    journal = Journal.create(path)

    journal.append(EventKind.POINT_FAILED, point="a" * 16, message="x" * 50_000, frame="f" * 50_000)

    data = path.read_bytes()
    assert len(data) <= MAX_RECORD_BYTES
    event = decode(data.rstrip(b"\n"))
    assert event is not None
    assert event.payload["message"].endswith("…")
