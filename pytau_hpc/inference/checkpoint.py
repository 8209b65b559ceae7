"""Where a fit leaves its state so that another process can go on from there.

A checkpoint is one file with one writer: ``checkpoints/<ab>/<point_id>/<submission>.<task>.<run>.<iteration>.npz``. It
is written beside, flushed to disk and renamed, so a reader sees a whole file or none; the reader trusts nothing all the
same (checksum, point id, no pickle) and takes the most advanced file that is sound, whoever wrote it. A zombie that
still writes can therefore cost time but never change a result.

A checkpoint is used only under the fingerprint it was written with (`fingerprint`), since a resumed fit must equal an
uninterrupted one bit for bit.

Engines call `load` once, then `due` at each chunk boundary, `save` where it is, and raise `Interrupted` after a save
when `stop_requested`. The worker builds the checkpoint, calls `request_stop` from its reader thread, and `clear` once
the result is published. What is in the arrays is the engine's business alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pytau_hpc.files import fsync_dir, fsync_file, staged
from pytau_hpc.inference.fingerprint import difference, fingerprint_of

log = logging.getLogger(__name__)

FORMAT = 1
KEEP = 2  # a reader may be copying the last but one while we write the next
_HEADER = "checkpoint"
_ARRAY = "array."  # before the engine's names in the file, so that none can be mistaken for anything else
_NAME = re.compile(r"(?P<prefix>[^/]+)\.(?P<iteration>\d+)\.npz")


@dataclass(frozen=True, kw_only=True)
class State:
    """What a fit needs to go on.

    Attributes
    ----------
    arrays : the engine's arrays, as they were saved
    meta : the engine's other values, JSON
    iteration : how far the fit was; the engine's own count, which only grows
    """

    arrays: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]
    iteration: int


class CheckpointLike(Protocol):
    """What an engine may ask of a checkpoint."""

    @property
    def refused(self) -> str | None: ...
    @property
    def stop_requested(self) -> bool: ...
    def load(self) -> State | None: ...
    def pass_over(self, why: str) -> None: ...
    def due(self) -> bool: ...
    def save(
        self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], iteration: int
    ) -> None: ...


class NullCheckpoint:
    """Keeps nothing. A stop that is asked for still stops the fit at the next chunk boundary."""

    refused: str | None = None

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._reason = ""

    def request_stop(self, reason: str = "asked to stop") -> None:
        """Ask the fit to save and stop at its next chunk boundary. Safe from any thread; the first reason stays."""
        self._reason = self._reason or reason
        self._stop.set()

    @property
    def stop_requested(self) -> bool:
        return self._stop.is_set()

    @property
    def stop_reason(self) -> str | None:
        return self._reason if self.stop_requested else None

    def load(self) -> State | None:
        return None

    def pass_over(self, why: str) -> None:
        """What was loaded is of no use to this fit, which starts from the beginning."""
        self.refused = why

    def due(self) -> bool:
        return self.stop_requested

    def save(
        self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], iteration: int
    ) -> None:
        pass

    def clear(self) -> None:
        pass


class Checkpoint(NullCheckpoint):
    """The checkpoints of one point, as seen by one run.

    Parameters
    ----------
    folder : ``checkpoints/<ab>/<point_id>``; made when the first checkpoint is saved
    prefix : ``<submission>.<task>.<run>``, a name that only this run writes under
    point_id : the point whose state this is; a file that says otherwise is not read
    engine : "jax" or "pymc", part of the fingerprint
    interval_s : seconds between two checkpoints; 0 saves at every chunk boundary
    on_save : called with the iteration after a checkpoint is safely on disk
    clock : seconds, never going back; wall clocks step
    fingerprint : what must be equal between the writer and the reader; for tests

    Attributes
    ----------
    refused : after `load`, why a sound checkpoint was not used (its fingerprint differs, or `pass_over`), else None
    resumed_from : after `load`, the iteration that the fit goes on from; None where it starts from the beginning
    """

    def __init__(
        self,
        folder: Path,
        prefix: str,
        *,
        point_id: str,
        engine: str,
        interval_s: float,
        on_save: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        fingerprint: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__()
        self.folder = folder
        self.prefix = prefix
        self.point_id = point_id
        self.refused = None
        self.resumed_from: int | None = None
        self._fingerprint = fingerprint or (lambda: fingerprint_of(engine))
        self._interval_s = interval_s
        self._on_save = on_save
        self._clock = clock
        self._last = clock()

    def load(self) -> State | None:
        """Read the most advanced sound checkpoint of any run of this point, or None to start from the beginning.

        Files that are torn, foreign or of another fingerprint are passed over; the next best one is tried.
        """
        self.refused = None
        refused = None
        for path in self._by_iteration():
            try:
                header, arrays = _read(path, self.point_id)
            except _Unsound as error:
                log.warning("checkpoint %s is not used: %s", path.name, error)
                continue
            other = difference(self._fingerprint(), header["fingerprint"])
            if other is None:
                self.resumed_from = int(header["iteration"])
                return State(arrays=arrays, meta=header["meta"], iteration=header["iteration"])
            refused = (
                refused
                or f"the checkpoint at iteration {header['iteration']} is from another set-up: {other}"
            )
        self.refused = refused
        return None

    def pass_over(self, why: str) -> None:
        super().pass_over(why)
        self.resumed_from = None

    def due(self) -> bool:
        """Whether a checkpoint should be saved at this chunk boundary."""
        return self.stop_requested or self._clock() - self._last >= self._interval_s

    def save(
        self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], iteration: int
    ) -> None:
        """Write one checkpoint and drop this run's older ones but the last.

        Raises
        ------
        OSError : the file system refused (full, quota, gone); the earlier checkpoints are untouched
        ValueError : an array of Python objects, or a meta value that JSON does not have
        """
        self._write({name: np.asarray(array) for name, array in arrays.items()}, meta, iteration)
        self._last = self._clock()
        self._prune()
        if self._on_save is not None:
            self._on_save(iteration)

    def clear(self) -> None:
        """Remove the point's folder. What another run removes or adds meanwhile is left to that run."""
        with suppress(OSError):
            for path in list(self.folder.iterdir()):
                with suppress(OSError):
                    path.unlink()
            self.folder.rmdir()

    def _write(
        self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], iteration: int
    ) -> None:
        header = json.loads(
            _json(
                {
                    "format": FORMAT,
                    "point_id": self.point_id,
                    "iteration": int(iteration),
                    "fingerprint": dict(self._fingerprint()),
                    "meta": dict(meta),
                }
            )
        )
        header["sha256"] = _digest(header, arrays)
        members = {_HEADER: np.frombuffer(_json(header).encode(), dtype=np.uint8)}
        members.update({_ARRAY + name: array for name, array in arrays.items()})
        final = self.folder / f"{self.prefix}.{iteration}.npz"
        for attempt in range(3):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                with staged(final) as temporary:
                    with temporary.open("wb") as file:
                        np.savez(file, **members)  # type: ignore[arg-type]
                    fsync_file(temporary)
                    temporary.rename(final)
                fsync_dir(self.folder)
                return
            except FileNotFoundError:
                # Another run published this point and cleared the folder under us; the worker learns of the
                # result when it comes to publish its own.
                if attempt == 2:
                    raise

    def _by_iteration(self) -> list[Path]:
        found = []
        with suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                match = _NAME.fullmatch(path.name)
                # A link could lead out of the sweep; we never make one.
                if match and not path.name.startswith(".") and not path.is_symlink():
                    found.append((int(match["iteration"]), path.name, path))
        return [path for _, _, path in sorted(found, reverse=True)]

    def _prune(self) -> None:
        mine = [path for path in self._by_iteration() if path.name.rsplit(".", 2)[0] == self.prefix]
        for path in mine[KEEP:]:
            with suppress(OSError):
                path.unlink()


class _Unsound(Exception):
    """A file that is no checkpoint of ours."""


def _read(path: Path, point_id: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            header = json.loads(stored[_HEADER].tobytes())
            arrays = {
                name.removeprefix(_ARRAY): stored[name] for name in stored.files if name != _HEADER
            }
        claimed = header.pop("sha256")
        actual = _digest(header, arrays)
    # numpy, zipfile, zlib, struct and json each have their own words for a damaged file, and one flipped bit can reach
    # any of them. Whatever is wrong with it, the answer is the same: try the next file.
    except Exception as error:
        raise _Unsound(f"{type(error).__name__}: {error}") from error
    if actual != claimed:
        raise _Unsound("its checksum does not match its content")
    if header["format"] != FORMAT:
        raise _Unsound(f"its format is {header['format']}, this version reads {FORMAT}")
    if header["point_id"] != point_id:
        raise _Unsound(f"it belongs to point {header['point_id']}")
    return header, arrays


def _digest(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(_json(header).encode())
    for name in sorted(arrays):
        array = arrays[name]
        if array.dtype.hasobject:
            raise ValueError(
                f"array {name!r} holds Python objects; a checkpoint holds numbers only"
            )
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _json(value: Mapping[str, Any]) -> str:
    """One text for one value. Unlike in our other files infinity is allowed: a start not yet tried has no ELBO."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
