"""The promise of a checkpoint: what comes back is exactly what was saved, or nothing."""

from __future__ import annotations

import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytau_hpc.inference.checkpoint import Checkpoint, NullCheckpoint

POINT = "0123456789abcdef"
HERE = {"numpy": "2.4", "cpu": "a"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def a_checkpoint(
    folder: Path,
    prefix: str = "sub.0.r1",
    *,
    point_id: str = POINT,
    fingerprint: Mapping[str, str] = HERE,
    **more: Any,
) -> Checkpoint:
    more.setdefault("interval_s", 60.0)
    return Checkpoint(
        folder, prefix, point_id=point_id, engine="jax", fingerprint=lambda: fingerprint, **more
    )


def some_arrays(iteration: int = 0) -> dict[str, np.ndarray]:
    return {
        "mu": np.linspace(-1.0, 1.0, 5) + iteration,
        "file": np.array(iteration, dtype=np.int16),
        "flags": np.zeros((0, 3), dtype=bool),
        "window": np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3)),
    }


def save_some(checkpoint: Checkpoint, iteration: int) -> None:
    checkpoint.save(some_arrays(iteration), {"at": iteration}, iteration)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
    """Numbers of any kind, and any JSON value, survive the way to disk and back in another run."""
    arrays = some_arrays()
    meta = {
        "generator": {"state": 2**127 + 1},
        "best": float("-inf"),
        "starts": [{"10": 1, "9": 0.1}],
        "none": None,
    }

    a_checkpoint(tmp_path / "ab" / POINT).save(arrays, meta, 250)
    state = a_checkpoint(tmp_path / "ab" / POINT, "sub.0.r2").load()

    assert state is not None
    assert state.iteration == 250
    assert state.meta == meta
    assert state.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert state.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(state.arrays[name], array, strict=True)


def test_keys_that_are_not_text_come_back_as_text(tmp_path):
    """JSON knows no other keys; the checksum must not stumble over their order."""
    a_checkpoint(tmp_path).save({}, {10: "a", 9: "b"}, 1)  # type: ignore[dict-item]

    state = a_checkpoint(tmp_path).load()

    assert state is not None
    assert state.meta == {"10": "a", "9": "b"}


def test_without_a_checkpoint_a_fit_starts_from_the_beginning(tmp_path):
    """Neither a missing nor an empty folder is an error."""
    checkpoint = a_checkpoint(tmp_path / "not" / "there")

    assert checkpoint.load() is None
    assert checkpoint.refused is None
    assert a_checkpoint(tmp_path).load() is None


def test_the_most_advanced_checkpoint_of_any_run_is_taken(tmp_path):
    """Who wrote it does not matter: the same point has the same numbers."""
    save_some(a_checkpoint(tmp_path, "old.0.r1"), 750)
    save_some(a_checkpoint(tmp_path, "old.0.r2"), 1000)
    save_some(a_checkpoint(tmp_path, "new.4.r1"), 500)

    state = a_checkpoint(tmp_path, "new.4.r2").load()

    assert state is not None
    assert state.iteration == 1000


def test_a_file_cut_at_any_length_is_passed_over(tmp_path):
    """A torn file is never half a state: the one before it is used."""
    save_some(a_checkpoint(tmp_path, "a.0.r1"), 1)
    save_some(a_checkpoint(tmp_path, "b.0.r1"), 2)
    newest = tmp_path / "b.0.r1.2.npz"
    whole = newest.read_bytes()

    for length in range(0, len(whole), 7):
        newest.write_bytes(whole[:length])
        state = a_checkpoint(tmp_path).load()
        assert state is not None
        assert state.iteration == 1, length


def test_one_flipped_bit_anywhere_changes_no_state(tmp_path):
    """Either the damage is noticed and the older file used, or it hit a byte that means nothing."""
    save_some(a_checkpoint(tmp_path, "a.0.r1"), 1)
    save_some(a_checkpoint(tmp_path, "b.0.r1"), 2)
    newest = tmp_path / "b.0.r1.2.npz"
    whole = newest.read_bytes()
    rng = random.Random(1)
    noticed = 0

    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        newest.write_bytes(damaged)
        state = a_checkpoint(tmp_path).load()
        assert state is not None
        assert state.meta == {"at": state.iteration}
        expected = some_arrays(state.iteration)
        assert state.arrays.keys() == expected.keys()
        assert all(state.arrays[name].tobytes() == expected[name].tobytes() for name in expected)
        noticed += state.iteration == 1

    assert noticed > len(whole) / 3 / 2


def test_a_whole_file_with_other_numbers_is_not_used(tmp_path):
    """What the zip format's own checksums cannot see: a member exchanged by a tool that repaired them."""
    save_some(a_checkpoint(tmp_path), 250)
    [path] = tmp_path.iterdir()
    with np.load(path) as stored:
        members = {name: stored[name] for name in stored.files}
    members["array.mu"] = members["array.mu"] + 1e-9
    np.savez(path, **members)

    assert a_checkpoint(tmp_path).load() is None


def test_a_file_that_hides_code_is_not_opened(tmp_path):
    """A shared folder may hold anything; nothing in it is ever executed."""
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return Path.touch, (canary,)

    save_some(a_checkpoint(tmp_path, "a.0.r1"), 1)
    np.savez(tmp_path / "b.0.r1.9.npz", checkpoint=np.array([Bomb()], dtype=object))

    state = a_checkpoint(tmp_path).load()

    assert state is not None
    assert state.iteration == 1
    assert not canary.exists()


def test_python_objects_cannot_be_saved(tmp_path):
    """They could be read back by pickle only."""
    with pytest.raises(ValueError, match="Python objects"):
        a_checkpoint(tmp_path).save({"x": np.array([object()])}, {}, 1)


def test_a_checkpoint_of_another_point_is_not_used(tmp_path):
    """A folder that was copied or renamed by hand must not mix fits."""
    save_some(a_checkpoint(tmp_path, point_id="f" * 16), 500)

    assert a_checkpoint(tmp_path).load() is None


def test_links_and_hidden_files_are_not_checkpoints(tmp_path):
    """We make no links, and a hidden name is a file that somebody is still writing."""
    elsewhere = tmp_path / "elsewhere"
    save_some(a_checkpoint(elsewhere), 500)
    [real] = elsewhere.iterdir()
    folder = tmp_path / "point"
    folder.mkdir()
    (folder / "b.0.r1.900.npz").symlink_to(real)
    (folder / ".b.0.r1.800.npz").write_bytes(real.read_bytes())

    assert a_checkpoint(folder).load() is None


def test_another_machine_starts_over_and_says_why(tmp_path):
    """A resumed fit that is not bit-equal would be a different result under the same name."""
    save_some(a_checkpoint(tmp_path, fingerprint={"numpy": "2.3", "cpu": "a"}), 500)
    checkpoint = a_checkpoint(tmp_path)

    assert checkpoint.load() is None
    assert checkpoint.refused is not None
    assert "numpy was 2.3, is 2.4" in checkpoint.refused
    assert "iteration 500" in checkpoint.refused
    assert "cpu" not in checkpoint.refused


def test_a_less_advanced_checkpoint_of_this_kind_of_machine_is_used(tmp_path):
    """Moving to another kind of node and back costs nothing that was done here."""
    save_some(a_checkpoint(tmp_path, "a.0.r1"), 250)
    save_some(a_checkpoint(tmp_path, "a.0.r2", fingerprint={"numpy": "2.4", "cpu": "b"}), 500)
    checkpoint = a_checkpoint(tmp_path)

    state = checkpoint.load()

    assert state is not None
    assert state.iteration == 250
    assert checkpoint.refused is None


def test_a_checkpoint_is_due_after_the_interval_and_counts_from_the_last_one(tmp_path):
    """The clock is the monotonic one, from the start of the run."""
    clock = Clock()
    checkpoint = a_checkpoint(tmp_path, interval_s=60, clock=clock)

    clock.now += 59
    assert not checkpoint.due()
    clock.now += 1
    assert checkpoint.due()
    save_some(checkpoint, 250)
    assert not checkpoint.due()
    clock.now += 60
    assert checkpoint.due()


def test_an_interval_of_zero_saves_at_every_chunk(tmp_path):
    """Which is what a test of resuming wants."""
    checkpoint = a_checkpoint(tmp_path, interval_s=0, clock=Clock())

    save_some(checkpoint, 250)

    assert checkpoint.due()


@pytest.mark.parametrize("kind", ["kept", "null"])
def test_a_stop_may_be_asked_for_from_another_thread(tmp_path, kind):
    """The supervisor's word arrives in a reader thread while the fit computes."""
    checkpoint = a_checkpoint(tmp_path, clock=Clock()) if kind == "kept" else NullCheckpoint()
    assert not checkpoint.due()
    assert checkpoint.stop_reason is None

    thread = threading.Thread(target=checkpoint.request_stop, args=("walltime",))
    thread.start()
    thread.join()
    checkpoint.request_stop("SIGTERM")

    assert checkpoint.stop_requested
    assert checkpoint.due()
    assert checkpoint.stop_reason == "walltime"


def test_a_run_keeps_its_last_two_and_leaves_the_others_alone(tmp_path):
    """A reader may hold the last but one; another run's files are not ours to remove."""
    save_some(a_checkpoint(tmp_path, "a.0.r1"), 250)
    checkpoint = a_checkpoint(tmp_path, "a.0.r10")

    for iteration in (500, 750, 1000, 12000):
        save_some(checkpoint, iteration)

    assert names(tmp_path) == {"a.0.r1.250.npz", "a.0.r10.1000.npz", "a.0.r10.12000.npz"}


def test_who_is_told_of_a_checkpoint_can_read_it(tmp_path):
    """The journal's record is written after the file is safe, so it never promises too much."""
    seen = []

    def on_save(iteration: int) -> None:
        state = a_checkpoint(tmp_path).load()
        seen.append((iteration, state and state.iteration))

    save_some(a_checkpoint(tmp_path, on_save=on_save), 250)

    assert seen == [(250, 250)]


@contextmanager
def files_may_have(n_bytes: int) -> Iterator[None]:
    """A real refusal by the kernel, as of a full disk or a quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("room", [0, 100, 1000])
def test_where_the_file_system_refuses_the_earlier_checkpoint_stays(tmp_path, room):
    """A full disk costs the new checkpoint only, and leaves no rubbish."""
    checkpoint = a_checkpoint(tmp_path)
    save_some(checkpoint, 250)

    with files_may_have(room), pytest.raises(OSError, match="File too large"):
        save_some(checkpoint, 500)

    assert names(tmp_path) == {"sub.0.r1.250.npz"}
    save_some(checkpoint, 500)
    state = a_checkpoint(tmp_path).load()
    assert state is not None
    assert state.iteration == 500


def test_clearing_removes_every_runs_files_and_may_be_done_twice(tmp_path):
    """Two runs that finish the same point both clear it."""
    folder = tmp_path / "01" / POINT
    save_some(a_checkpoint(folder, "a.0.r1"), 250)
    save_some(a_checkpoint(folder, "a.0.r2"), 500)
    (folder / ".a.0.r3.750.npz.host.1.tmp").write_bytes(b"left by a kill")

    a_checkpoint(folder, "a.0.r2").clear()
    a_checkpoint(folder, "a.0.r2").clear()

    assert not folder.exists()


def test_a_run_may_save_after_another_one_cleared_the_folder(tmp_path):
    """A zombie learns at publication that it is late, not by an error here."""
    folder = tmp_path / "01" / POINT
    late = a_checkpoint(folder, "a.0.r1")
    save_some(late, 250)
    a_checkpoint(folder, "a.0.r2").clear()

    save_some(late, 500)

    assert names(folder) == {"a.0.r1.500.npz"}


SAVER = """
import sys
from pathlib import Path
import numpy as np
from pytau_hpc.inference.checkpoint import Checkpoint
folder, prefix = Path(sys.argv[1]), sys.argv[2]
checkpoint = Checkpoint(folder, prefix, point_id="0123456789abcdef", engine="jax", interval_s=0,
                        fingerprint=lambda: {"numpy": "2.4", "cpu": "a"})
print("ready", flush=True)
for iteration in range(1, 10**6):
    checkpoint.save({"x": np.full(20_000, iteration)}, {"at": iteration}, iteration)
"""


def test_killed_while_saving_a_run_leaves_a_whole_checkpoint(tmp_path):
    """SIGKILL at random moments: what is there afterwards is complete and is one state."""
    rng = random.Random(2)
    for run in range(4):
        folder = tmp_path / str(run)
        with subprocess.Popen(
            [sys.executable, "-c", SAVER, str(folder), f"s.0.r{run}"], stdout=subprocess.PIPE
        ) as saver:
            assert saver.stdout is not None
            saver.stdout.readline()
            while not folder.is_dir() or not list(folder.glob("[!.]*.npz")):
                time.sleep(0.01)
            time.sleep(rng.random() * 0.2)
            saver.kill()

        state = a_checkpoint(folder).load()

        assert state is not None
        assert state.meta == {"at": state.iteration}
        assert (state.arrays["x"] == state.iteration).all()
        assert len(list(folder.glob("[!.]*.npz"))) <= 3
