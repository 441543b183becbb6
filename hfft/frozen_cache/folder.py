"""The cache folder: what it contains, its size limit, and clearing it. No torch."""

from __future__ import annotations

import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hfft.wording import human

if TYPE_CHECKING:
    import numpy as np

IN_USE = "in-use"  # a file in each entry, locked by the runs that use the entry


def root() -> Path:
    """`$HFFT_CACHE`, or `hfft` in the user's cache folder."""
    given = os.environ.get("HFFT_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hfft"


@dataclass(frozen=True)
class Held:
    """An entry of the cache: its folder, size in bytes, time of last use (seconds), and the model that made it."""

    path: Path
    bytes: int
    used: float
    note: str

    @property
    def in_use(self) -> bool:
        """Whether a run has the entry open."""
        try:
            with open(self.path / IN_USE) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False


def entries(where: Path | None = None) -> list[Held]:
    """The entries of the cache, the most recently used first; other processes may write and remove them meanwhile."""
    where = root() if where is None else where
    found = [_held(path) for path in (where.iterdir() if where.is_dir() else ())]
    return sorted((entry for entry in found if entry is not None), key=lambda entry: -entry.used)


def _held(path: Path) -> Held | None:
    """An entry; None if the folder is none, or is none any more."""
    try:
        if not (path / IN_USE).is_file():
            return None
        taken, note = sum(map(_bytes_on_disk, path.iterdir())), path / "note.txt"
        return Held(path, taken, path.stat().st_mtime, note.read_text() if note.is_file() else "")
    except FileNotFoundError:
        return None


def _bytes_on_disk(file: Path) -> int:
    """What a file takes, which may be sparse; 0 once it is gone, as a temporary file is that has got its name."""
    try:
        return file.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def remove(entry: Held) -> bool:
    """Remove an entry unless a run uses it; returns whether it was removed."""
    if entry.in_use:
        return False
    shutil.rmtree(entry.path, ignore_errors=True)
    return not entry.path.exists()


def make_room(folder: Path, needed: int, limit: int) -> str | None:
    """Remove the least recently used entries until a new one fits; returns None, or why it does not fit.

    Args:
        folder: the new entry; data that it already contains counts as its own.
        limit: size limit of the whole cache in bytes.
    """
    if needed > limit:
        return f"it needs {human(needed)}, above its limit of {human(limit)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    everything = entries(folder.parent)
    own = sum(entry.bytes for entry in everything if entry.path == folder)
    others = [entry for entry in everything if entry.path != folder]
    for entry in reversed(others):
        if sum(e.bytes for e in others) + needed <= limit:
            break
        if remove(entry):
            others = [e for e in others if e is not entry]
    if (taken := sum(e.bytes for e in others)) + needed > limit:
        return f"it needs {human(needed)} and other runs use {human(taken)}, above its limit of {human(limit)}"
    free = shutil.disk_usage(folder.parent).free
    if needed - own > 0.9 * free:
        return f"it needs {human(needed)}, but {folder.parent} has {human(free)} left"
    return None


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array so that the file is whole or is not there, also if the disk is full."""
    import numpy

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            numpy.save(file, array, allow_pickle=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
