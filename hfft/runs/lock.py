"""One start at a time in a run folder: a lock that the system takes away with the process that holds it."""

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
PATIENCE = 5.0  # seconds for a process that is just ending, such as one whose launcher was stopped
_PAUSE = 0.1


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a run folder, which is made where it is not there; one that is still empty in the end is removed.

    It is a lock of POSIX records (fcntl): it dies with its process, also by kill -9, and unlike flock's it is not handed
    on to forked workers, which outlive their parent for seconds; NFS keeps it between hosts. Where the file system knows
    no locks, or the folder cannot be written, nothing is held.

    Raises:
        BadInput: another process holds it, for longer than `PATIENCE`.
    """
    handle = _locked(folder)
    try:
        yield
    finally:
        if handle is not None:
            with contextlib.suppress(OSError):
                (folder / NAME).unlink()  # before it is let go of: whoever waits sees that its file is gone
            with contextlib.suppress(OSError):
                os.close(handle)
        with contextlib.suppress(OSError):  # it holds something, or another process removed it
            folder.rmdir()


def _locked(folder: Path) -> int | None:
    """The open and locked file of a folder; None where there can be none."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            removed = isinstance(error, FileNotFoundError | FileExistsError) and not folder.is_file()
            if removed and time.monotonic() < end:
                continue  # its last holder removed the folder after it was found here, or while `mkdir` looked at it
            return None  # what is wrong with the folder is told by those who write to it
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as the system likes
            holder = printable(os.read(handle, 200).decode("utf-8", "replace"))
            os.close(handle)
            if time.monotonic() > end:
                raise BadInput(
                    f"{folder} is in use by {holder or 'another process'}; wait for it to end or stop it, or name "
                    f"another training.output_dir"
                ) from None
            time.sleep(_PAUSE)
            continue
        except OSError:  # no locks here: ENOLCK, ENOSYS, EOPNOTSUPP
            _forget(folder, handle)
            return None
        if _is_at(handle, folder / NAME):
            with contextlib.suppress(OSError):
                os.truncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return handle
        os.close(handle)  # its last holder removed it after it was opened here


def _forget(folder: Path, handle: int) -> None:
    os.close(handle)
    with contextlib.suppress(OSError):
        (folder / NAME).unlink()


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is the one that a path names now."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(handle), os.stat(path))
    return False


@contextlib.contextmanager
def lock_folder_once(folder: Path) -> Iterator[None]:
    """`lock_folder`, held by the first process for all of them."""
    held = contextlib.ExitStack()

    @by_first_process
    def enter() -> None:
        held.enter_context(lock_folder(folder))

    with held:
        enter()
        yield
