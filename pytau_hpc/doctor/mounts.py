"""Which file system a folder is on, by the list of mounts, which is read without touching any of them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

#: File systems that several computers share, by their names or (``fuse.sshfs``) the last part of them.
_NETWORK = re.compile(
    r"(.*\.)?(nfs\d?|cifs|smb\w*|afs|lustre|gpfs|beegfs|ceph|glusterfs|gfs2|ocfs2|orangefs|pvfs2|panfs|wekafs|quobyte"
    r"|moosefs|mfs|9p|sshfs|davfs|juicefs|s3fs|goofys|rclone)\Z"
)
#: File systems in memory: gone with the machine, and counted as a task's memory.
_MEMORY = frozenset(["tmpfs", "ramfs", "devtmpfs"])


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A mounted file system: where, which kind (``nfs4``), with which options."""

    point: str
    kind: str
    options: frozenset[str] = frozenset()

    @property
    def is_shared(self) -> bool:
        """Whether other computers see it, too."""
        return _NETWORK.match(self.kind) is not None

    @property
    def is_in_memory(self) -> bool:
        return self.kind in _MEMORY

    @property
    def locks_stay_here(self) -> bool:
        """Whether its options keep locks from reaching other computers (nfs: nolock; Lustre: localflock)."""
        return bool(
            self.options & {"nolock", "localflock", "noflock", "local_lock=all", "local_lock=flock"}
        )


def mount_of(path: Path) -> Mount | None:
    """The mount that a path lies on: the longest one above it, the last one of several at one place."""
    import psutil

    real = os.path.realpath(path)
    best: Mount | None = None
    for part in psutil.disk_partitions(all=True):
        above = part.mountpoint.rstrip("/") + "/"
        longer = best is None or len(part.mountpoint) >= len(best.point)
        if (real + "/").startswith(above) and longer:
            best = Mount(
                point=part.mountpoint,
                kind=part.fstype,
                options=frozenset(part.opts.split(",")),
            )
    return best
