"""The warm cache: taken only from ourselves, first one wins, never an error."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from pytau_hpc.warm_cache import cache_file, pack, unpack

FITS = [("single_taste_poisson", "jax")]


@pytest.fixture
def warm(tmp_path):
    """A scratch folder with compiled code in it."""
    scratch = tmp_path / "scratch"
    (scratch / "pytensor" / "compiledir").mkdir(parents=True)
    (scratch / "pytensor" / "compiledir" / "mod.so").write_bytes(b"code")
    (scratch / "owner.json").write_text("{}")
    return scratch


def test_what_a_task_compiled_is_there_for_the_next(tmp_path, warm):
    archive = cache_file(tmp_path / "cache", FITS)
    fresh = tmp_path / "fresh"
    fresh.mkdir()

    assert pack(warm, archive)
    assert unpack(archive, fresh)

    assert (fresh / "pytensor" / "compiledir" / "mod.so").read_bytes() == b"code"
    assert not (fresh / "owner.json").exists()


def test_the_first_archive_stays(tmp_path, warm):
    archive = cache_file(tmp_path / "cache", FITS)
    pack(warm, archive)
    before = archive.read_bytes()
    (warm / "pytensor" / "more.so").write_bytes(b"more")

    assert not pack(warm, archive)
    assert archive.read_bytes() == before


def test_users_of_one_sweep_have_folders_of_their_own(tmp_path, warm, monkeypatch):
    """What the first one has closed to others is not in the way of the second one."""
    first = cache_file(tmp_path / "cache", FITS)
    pack(warm, first)
    monkeypatch.setattr(os, "getuid", lambda: 4711)

    second = cache_file(tmp_path / "cache", FITS)

    assert first.parent.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "cache").stat().st_mode & 0o055 == 0o055
    assert second.parent != first.parent
    assert second.parent.parent == first.parent.parent


def test_a_cache_that_may_not_be_looked_at_is_no_error(tmp_path, warm, monkeypatch):
    """The run that would end with it has succeeded."""

    def refuse(path: Path, **how: bool) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)

    assert not pack(warm, cache_file(tmp_path / "cache", FITS))


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_an_archive_that_others_may_write_to_is_not_unpacked(tmp_path, warm, mode):
    """Compiled code is code."""
    archive = cache_file(tmp_path / "cache", FITS)
    pack(warm, archive)
    os.chmod(archive, mode)

    assert not unpack(archive, tmp_path)


def test_a_folder_that_others_may_write_to_is_not_trusted(tmp_path, warm):
    archive = cache_file(tmp_path / "cache", FITS)
    pack(warm, archive)
    os.chmod(archive.parent, 0o777)

    assert not unpack(archive, tmp_path)


def test_an_archive_cannot_write_outside_of_scratch(tmp_path, warm):
    archive = cache_file(tmp_path / "cache", FITS)
    pack(warm, archive)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(warm / "owner.json", arcname="../escaped.json")
    fresh = tmp_path / "deep" / "fresh"
    fresh.mkdir(parents=True)

    assert not unpack(archive, fresh)
    assert not (tmp_path / "deep" / "escaped.json").exists()


def test_a_torn_archive_is_passed_over(tmp_path, warm):
    archive = cache_file(tmp_path / "cache", FITS)
    pack(warm, archive)
    archive.write_bytes(archive.read_bytes()[:40])

    assert not unpack(archive, tmp_path)


def test_other_models_have_other_archives(tmp_path):
    assert cache_file(tmp_path, FITS) != cache_file(tmp_path, [("single_taste_poisson", "pymc")])
