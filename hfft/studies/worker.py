"""A process of a study: reads a recipe per line, runs it, and answers in a line. Started by `hfft.studies.workers`."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from typing import Any

from hfft.recipe import Recipe
from hfft.runs import signals

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the children that come in, until there are no more."""
    _end_with(int(os.environ["HFFT_STUDY_PARENT"]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print in C must not come between the answers
    try:
        with signals.handled():
            from hfft.studies.train_child import DiskFull, train_child

            for line in sys.stdin:
                found: dict[str, Any] = {"failed": None, "full": None}
                try:
                    found["failed"] = train_child(Recipe.model_validate(json.loads(line)))
                except DiskFull as error:
                    found["full"] = str(error)
                answers.write(json.dumps(found) + "\n")
                answers.flush()
    except signals.Stopped as stop:
        return stop.exit_code
    except BrokenPipeError:  # the study has ended
        return 1
    return 0


def _end_with(parent: int) -> None:
    """Stop this process, where it can be continued, when the study's own ends, even by kill -9 (Linux only)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before this was set
            sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
