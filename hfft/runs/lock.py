"""One process at a time in a run folder: a lock that the system releases when its process ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from hfft.errors import BadInput
from hfft.processes import by_first_process
from hfft.wording import printable

NAME = ".lock"
PATIENCE = 5.0  # seconds to wait for a process that is ending, such as one whose launcher was stopped
_PAUSE = 0.1


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a run folder, creating it if needed; a folder that is still empty at the end is removed.

    This is a POSIX record lock (fcntl): it ends with its process, even by kill -9, and unlike flock's it is not inherited by
    forked workers, which outlive their parent for seconds; NFS keeps it between hosts. If the file system has no locks, or
    the folder cannot be written, nothing is locked.

    Raises:
        BadInput: another process holds the lock for longer than `PATIENCE`.
    """
    handle = _locked(folder)
    try:
        yield
    finally:
        if handle is not None:
            with contextlib.suppress(OSError):
                (folder / NAME).unlink()  # removed before it is released: a waiting process sees that its file is gone
            with contextlib.suppress(OSError):
                os.close(handle)
        with contextlib.suppress(OSError):  # it is not empty, or another process removed it
            folder.rmdir()


def _locked(folder: Path) -> int | None:
    """The open, locked lock file of a folder; None if it cannot be locked."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            removed = isinstance(error, FileNotFoundError | FileExistsError) and not folder.is_file()
            if removed and time.monotonic() < end:
                continue  # the last holder removed the folder in the meantime
            return None  # writing to the folder later reports what is wrong with it
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, depending on the system
            holder = printable(os.read(handle, 200).decode("utf-8", "replace"))
            os.close(handle)
            if time.monotonic() > end:
                raise BadInput(
                    f"{folder} is in use by {holder or 'another process'}; wait for it to end, stop it, or use "
                    f"another training.output_dir"
                ) from None
            time.sleep(_PAUSE)
            continue
        except OSError:  # the file system has no locks: ENOLCK, ENOSYS, EOPNOTSUPP
            _forget(folder, handle)
            return None
        if _is_at(handle, folder / NAME):
            with contextlib.suppress(OSError):
                os.truncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return handle
        os.close(handle)  # the last holder removed it in the meantime


def _forget(folder: Path, handle: int) -> None:
    os.close(handle)
    with contextlib.suppress(OSError):
        (folder / NAME).unlink()


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is still the one at a path."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(handle), os.stat(path))
    return False


@contextlib.contextmanager
def lock_folder_once(folder: Path) -> Iterator[None]:
    """`lock_folder`, held by the first process on behalf of all."""
    held = contextlib.ExitStack()

    @by_first_process
    def enter() -> None:
        held.enter_context(lock_folder(folder))

    with held:
        enter()
        yield
