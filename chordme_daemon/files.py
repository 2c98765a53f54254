"""How many files, and with them connections, the process may have open."""

import os
import resource
from typing import Final

# What is kept for all else: the journal, Redis, listeners, admin and peer connections, logs.
OWN_FILES: Final = 64


def free_bytes(path: str) -> int:
    """How much a file may still grow; 0 where nothing may be written."""
    disk = os.statvfs(os.path.dirname(path) or ".")
    return 0 if disk.f_flag & os.ST_RDONLY else disk.f_bavail * disk.f_frsize


def raise_limit() -> int:
    """Raise the soft limit to the hard one; how many connections fit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return 1 << 30
    return max(hard - OWN_FILES, 1)
