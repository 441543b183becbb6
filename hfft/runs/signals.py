"""SIGTERM and SIGINT stop the process at once, or during training after the current step; a second signal stops at once.

Needs no torch: the handlers are installed before the first slow import.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

FORWARDED = 1.0  # seconds within which a second signal counts as the first, forwarded by a launcher or a terminal
_PR_SET_PDEATHSIG = 1


class Stopped(KeyboardInterrupt):
    """A signal stopped the run. Like KeyboardInterrupt, it is not caught by `except Exception`.

    Args:
        number: the signal; the exit status is 128 plus this number.
        remedy: how the run continues.
    """

    def __init__(self, number: int, remedy: str = "the same command continues the run"):
        self.number, self.exit_code = int(number), 128 + int(number)
        super().__init__(f"stopped by {signal.Signals(number).name}; {remedy}")


class _State:
    """State shared by the handlers, one per process."""

    number = 0  # the signal that requested a stop
    at = 0.0
    deferred = 0
    owner = 0


def requested() -> int:
    """The signal that asked this process to stop, or 0."""
    return _State.number


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Handle SIGTERM and SIGINT inside the context, in the main thread only; earlier handlers are restored afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.number, _State.deferred, _State.owner = 0, 0, os.getpid()
    before = {number: signal.signal(number, _answer) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _State.number = 0


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Inside this context, a signal is only recorded: the training loop checks `requested()` where the run can be stopped."""
    if _State.number:  # an earlier exception was swallowed on its way up
        raise Stopped(_State.number)
    _State.deferred += 1
    try:
        yield
    finally:
        _State.deferred -= 1
    if _State.number and not _State.deferred:
        raise Stopped(_State.number)


def follow_launcher() -> None:
    """Stop together with the launcher: `accelerate launch` with one process forwards no SIGTERM, it just dies (Linux only)."""
    if sys.platform == "linux" and {"ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID"} & set(os.environ):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _answer(number: int, frame: Any) -> None:
    # in a forked worker: SIGTERM acts as without a handler, others are left to the parent
    if os.getpid() != _State.owner:
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        return
    now = time.monotonic()
    if _State.number:
        if now - _State.at >= FORWARDED:
            os._exit(128 + number)
        return
    _State.number, _State.at = number, now
    if not _State.deferred:
        raise Stopped(number)
