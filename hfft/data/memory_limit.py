"""What data may take of memory while it is read: a file of a kilobyte can hold gigabytes."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

MOST = 8 * 2**30  # bytes; a row group of the hub's own data sets has at most 0.3 GB
SHARE = 0.8  # of what is available
_STATUS, _MEMORY = Path("/proc/self/status"), Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Give this process no more than `MOST` bytes within, nor more than the machine has: then it meets a MemoryError.

    The readers take a row group of Parquet, or a row, whole, and one that is compressed a millionfold would end the process,
    or others, without a word. Files that are mapped do not count. Where the system does not tell (it is not Linux),
    nothing is bounded.
    """
    taken = _kilobytes(_STATUS, "VmData")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if taken is None or (room := available()) is None:
        yield
        return
    limit = taken + min(MOST, int(room * SHARE))
    limits = [limit, *(value for value in before if value != resource.RLIM_INFINITY)]
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (min(limits), before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def available() -> int | None:
    """Bytes that this process may still take, of the machine's memory and of its control group's; None if untold."""
    free = _kilobytes(_MEMORY, "MemAvailable")
    with contextlib.suppress(OSError, ValueError):  # no control group, or "max"
        most = int((_GROUP / "memory.max").read_text())
        held = int((_GROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        left = most - held + int(stat.get("inactive_file", 0))  # which is let go of first
        free = left if free is None else min(free, left)
    return free if free is None else max(free, 0)


def _kilobytes(path: Path, key: str) -> int | None:
    """The bytes that a file of /proc tells in kB."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = path.read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), None)
    return None
