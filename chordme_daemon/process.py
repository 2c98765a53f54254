"""What the system knows of this process: memory, CPU time, descriptors, and when it began.

As prometheus_client's own collector tells it; but that needs `/proc/stat`, which a unit with
`ProcSubset=pid` does not have.
"""

import os
import resource
import time
from pathlib import Path

import attrs

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_FILES = Path("/proc/self/fd")
_MEMORY = Path("/proc/self/statm")
_STATUS = Path("/proc/self/stat")


@attrs.frozen
class Process:
    """How this process is at the moment."""

    resident_bytes: int
    virtual_bytes: int
    cpu_s: float
    open_files: int
    most_files: int


def began_at_s() -> float:
    """When this process was started, in seconds since the epoch."""
    # The command's name is in brackets, and may have any in it.
    ticks = int(_STATUS.read_text().rpartition(")")[2].split()[19])
    up_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - up_s + ticks / TICKS_PER_S


def look() -> Process:
    """Look at it; an OSError when there is no descriptor left to do so."""
    virtual, resident, *_ = map(int, _MEMORY.read_text().split())
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Process(
        resident * PAGE_BYTES,
        virtual * PAGE_BYTES,
        used.ru_utime + used.ru_stime,
        sum(1 for _ in _FILES.iterdir()),
        resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )
