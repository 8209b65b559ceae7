"""The supervisor's end of the fit process: start it, hand it points, hear from it, see it die.

The other end is `fit`. They talk in lines of JSON: commands go in by its standard input, messages come out by a pipe
of their own, so that whatever a library prints goes to the log and never into the conversation. When the supervisor
dies its end of the input closes, and the fit process ends itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_BLOCKED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}


class FitProcess:
    """One long-lived process that fits points one after another."""

    def __init__(self, *, environment: Mapping[str, str], log: Path) -> None:
        #: The most memory that it held since the last point began (see `fit`), known when it has ended.
        self.peak_rss_bytes: int | None = None
        self._messages, theirs = os.pipe()
        os.set_blocking(self._messages, False)
        self._rest = b""
        # Schedulers signal every process of a job. Blocked signals stay blocked in a child, so only the supervisor
        # hears them and decides.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "pytau_hpc.fit", str(theirs)],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(environment),
                    pass_fds=(theirs,),
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(theirs)

    @property
    def pid(self) -> int:
        return self._process.pid

    def command(self, command: Mapping[str, Any]) -> None:
        """Send one command. A process that is dead already does not hear it; `hear` tells."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()

    def hear(self, timeout_s: float, wake: int) -> Iterator[dict[str, Any]]:
        """The messages that came, waiting at most `timeout_s` for the first; returns early when `wake` is readable."""
        select.select([self._messages, wake], [], [], timeout_s)
        while True:
            try:
                data = os.read(self._messages, 1 << 16)
            except BlockingIOError:
                break
            if not data:
                break
            self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            yield json.loads(line)

    def exit_status(self) -> int | None:
        """None while it lives, else its status; negative for a signal."""
        if self._process.returncode is None:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                # What it used comes with its end, and only to whoever waits for it first.
                self.peak_rss_bytes = usage.ru_maxrss * 1024
                self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode

    def rss_bytes(self) -> int | None:
        """Its resident memory now, None where that cannot be read."""
        try:
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        except (OSError, ValueError):
            return None
        return None

    def kill(self) -> None:
        """End it at once; `exit_status` tells when it has."""
        self._process.kill()

    def close(self, timeout_s: float = 5.0) -> None:
        """End it: close its input, and kill it where that is not enough."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        deadline = time.monotonic() + timeout_s
        while self.exit_status() is None:
            if time.monotonic() >= deadline:
                self._process.kill()
            time.sleep(0.02)
        os.close(self._messages)
