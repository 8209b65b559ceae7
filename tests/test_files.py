"""Publication: a complete file gets its name, the first one wins; with hard links and on file systems without."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pytau_hpc.files import _publish_claim, publish_no_replace, publish_text

#: How os.link fails on file systems without hard links.
NO_LINKS = [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK]

PROGRAM = """\
import errno, os, sys, time
from pathlib import Path
from pytau_hpc.files import publish_text

if sys.argv[1] == "no links":
    def refuse(*paths):
        raise OSError(errno.EPERM, "Operation not permitted")
    os.link = refuse
"""

ways = pytest.mark.parametrize("way", ["links", "no links"])


def without_links(monkeypatch: pytest.MonkeyPatch, code: int = errno.EPERM) -> None:
    """No file system without hard links can be mounted by a test: the one call that differs is replaced."""

    def refuse(*paths: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)


def a_program(way: str, folder: Path, text: str, *words: object) -> subprocess.Popen[str]:
    """A process that publishes in a folder."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + textwrap.dedent(text), way, *map(str, words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )


@ways
def test_the_first_file_gets_the_name_and_keeps_it(way, tmp_path, monkeypatch):
    """Nothing else is left."""
    if way == "no links":
        without_links(monkeypatch)
    final = tmp_path / "result.nc"

    assert publish_text(final, "first")
    assert not publish_text(final, "second")

    assert final.read_text() == "first"
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.parametrize("code", NO_LINKS, ids=lambda code: errno.errorcode[code])
def test_every_way_to_say_that_there_are_no_links_is_understood(code, tmp_path, monkeypatch):
    """File systems do not agree on the word."""
    without_links(monkeypatch, code)

    assert publish_text(tmp_path / "result.nc", "whole")

    assert (tmp_path / "result.nc").read_text() == "whole"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_link_that_fails_for_another_reason_is_an_error(code, tmp_path, monkeypatch):
    """A full disk is not a file system without links."""
    without_links(monkeypatch, code)

    with pytest.raises(OSError, match=os.strerror(code)):
        publish_text(tmp_path / "result.nc", "whole")

    assert list(tmp_path.iterdir()) == []


def test_a_link_that_was_made_although_the_answer_was_lost_counts(tmp_path, monkeypatch):
    """As on a network file system that repeats a request."""
    link = os.link

    def made_but_denied(source, final):
        link(source, final)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", made_but_denied)
    staged = tmp_path / "staged"
    staged.write_text("whole")

    assert publish_no_replace(staged, tmp_path / "result.nc")


@ways
def test_of_many_processes_exactly_one_publishes(way, tmp_path):
    """And what is there is its file, whole."""
    rounds, processes = 25, 5
    text = f"""
    start, who = float(sys.argv[2]), sys.argv[3]
    for number in range({rounds}):
        time.sleep(max(0, start + 0.02 * number - time.time()))
        if publish_text(Path(f"result{{number}}"), who * 5000):
            print(number)
    """
    start = time.time() + 1
    running = {
        str(who): a_program(way, tmp_path, text, start, who) for who in range(1, processes + 1)
    }
    won = {who: process.communicate()[0].split() for who, process in running.items()}

    assert sorted(n for numbers in won.values() for n in map(int, numbers)) == list(range(rounds))
    for who, numbers in won.items():
        for number in numbers:
            assert (tmp_path / f"result{number}").read_text() == who * 5000
    assert len(list(tmp_path.iterdir())) == rounds


@ways
def test_a_publisher_that_dies_at_any_step_blocks_nobody(way, tmp_path):
    """The next one publishes, its own file or the one that the dead one had ready; the name is never given twice."""
    text = """
    steps = int(sys.argv[2])
    def count(event, arguments):
        global steps
        if event in ("os.mkdir", "os.rename", "os.link", "os.listdir", "os.rmdir", "os.remove"):
            steps -= 1
            if not steps:
                os._exit(9)
    sys.addaudithook(count)
    publish_text(Path("result"), "of the dead")
    """
    for step in range(1, 30):
        folder = tmp_path / str(step)
        folder.mkdir()
        dying = a_program(way, folder, text, step)
        dying.communicate()
        was_there = (folder / "result").exists()

        print_won = 'print(publish_text(Path("result"), "of the living"))'
        won = a_program(way, folder, print_won).communicate()[0].strip() == "True"

        assert (folder / "result").read_text() == ("of the living" if won else "of the dead")
        assert not (won and was_there)
        if dying.returncode == 0:
            break
    assert dying.returncode == 0
    assert step > 2


def test_a_claim_beside_a_published_file_is_not_published_over_it(tmp_path):
    """Whoever finds it looks at the target first: the claim may be one of somebody who came too late."""
    final, claim = tmp_path / "result", tmp_path / ".result.claim"
    final.write_text("the first")
    claim.mkdir()
    (claim / "late").write_text("the second")

    _publish_claim(claim, final)

    assert final.read_text() == "the first"


def test_a_claim_whose_owner_died_is_published_by_whoever_finds_it(tmp_path):
    final, claim = tmp_path / "result", tmp_path / ".result.claim"
    claim.mkdir()
    (claim / "ours").write_text("the first")

    _publish_claim(claim, final)

    assert final.read_text() == "the first"
