"""SIGTERM and SIGINT: at once outside training, at the end of the running step within it; a second one ends at once.

Needs no torch: the handlers stand before the first slow import.
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

FORWARDED = 1.0  # seconds in which a second signal is the first one, passed on by a launcher or a terminal
_PR_SET_PDEATHSIG = 1


class Stopped(KeyboardInterrupt):
    """A signal ended the run. Like Ctrl-C's own exception it passes every `except Exception`.

    Args:
        number: the signal; the exit status is 128 above it.
        told: what is kept, and how the run goes on.
    """

    def __init__(self, number: int, remedy: str = "the same command continues the run"):
        self.number, self.exit_code = int(number), 128 + int(number)
        super().__init__(f"stopped by {signal.Signals(number).name}; {remedy}")


class _State:
    """What the handlers know; one per process, as signals are."""

    number = 0  # of the signal that asks for a stop
    at = 0.0
    deferred = 0
    owner = 0


def requested() -> int:
    """The signal that asks this process to stop, or 0."""
    return _State.number


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Answer SIGTERM and SIGINT within; in the main thread alone, where signals arrive. Earlier handlers come back after."""
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
    """Within, a signal only asks: whoever trains looks at `requested()` where the run can be left."""
    if _State.number:  # an earlier answer was swallowed on its way up
        raise Stopped(_State.number)
    _State.deferred += 1
    try:
        yield
    finally:
        _State.deferred -= 1
    if _State.number and not _State.deferred:
        raise Stopped(_State.number)


def follow_launcher() -> None:
    """Stop with the launcher: `accelerate launch` in one process passes no SIGTERM on, it just dies (Linux alone)."""
    if sys.platform == "linux" and {"ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID"} & set(os.environ):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _answer(number: int, frame: Any) -> None:
    if os.getpid() != _State.owner:  # a worker that was forked: it ends with its parent, or as if it had no handler
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
