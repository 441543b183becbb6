"""`python -m tests.torture [GATE …]`: the long matrices, one line per gate with its count; status 1 where one fails."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.torture import elsewhere, hosts, hub, matrices, resume
from tests.torture.combine import combine
from tests.torture.fuzz import fuzz
from tests.torture.kill import kill
from tests.torture.stop import stop
from tests.torture.world import stop_world

WORLD = [("torchrun", "one rank"), ("torchrun", "launcher"), ("accelerate", "one rank"), ("accelerate", "launcher")]
# Name -> what is promised, how many are tried, and the trial: a line for each that failed.
GATES: dict[str, tuple[str, int, Callable[[Path], list[str]]]] = {
    "kill": ("killed with -9, started again, equal to the bit", 20, lambda folder: kill(folder, 20)),
    "kill-command": (
        "the same with `hfft train` started anew each time",
        4,
        lambda f: kill(f / "real", 4, 1, real=True),
    ),
    "stop": ("SIGTERM or SIGINT: 143 or 130, one line, then equal to the bit", 20, lambda folder: stop(folder, 20)),
    "stop-command": ("the same with `hfft train` started anew", 4, lambda f: stop(f / "real", 4, 1, real=True)),
    "stop-world": (
        "two processes stop at the same step, then equal to the bit",
        4,
        lambda f: stop_world(f / "w", WORLD),
    ),
    "stop-elsewhere": (
        "signals while a run fetches, maps, saves, writes or pushes, alone and as two: no push, and it goes on",
        len(elsewhere.CASES),
        lambda f: elsewhere.elsewhere(f / "elsewhere", elsewhere.CASES),
    ),
    "stop-twice": (
        "a second signal within a long step ends it at once, under each launcher",
        len(elsewhere.TWICE),
        lambda f: elsewhere.twice(f / "twice", elsewhere.TWICE),
    ),
    "resume": ("resumed, equal to the bit with no stop and no workers", len(resume.CASES), resume.resume),
    "push": (
        "pushes with a fault: one commit, or one line and finished later",
        hub.COUNTS["push"],
        hub.every_fault("push"),
    ),
    "fetch": (
        "downloads with a fault: the right bytes, or one line and done later",
        hub.COUNTS["fetch"],
        hub.every_fault("fetch"),
    ),
    "push-killed": (
        "uploaders killed with -9: the old model or the new one, whole, and one commit in the end",
        hub.COUNTS["push-killed"],
        hub.every_fault("push-killed"),
    ),
    "fuzz": (
        "mutants of the recipes refused before the first step, or run to their end",
        500,
        lambda f: fuzz(f / "fuzz", 500),
    ),
    "combine": (
        "recipes of several valid options, pairs not seen yet first: refused before the first step, or run to their end",
        700,
        lambda f: combine(f / "combine", 700),
    ),
    "matrices": (
        "files of tests, every case of those of which `make test` draws a sample",
        len(matrices.FILES),
        matrices.every_case,
    ),
    **{name: (promise, 1, hosts.gate(trial)) for name, (promise, trial) in hosts.GATES.items()},
}


def main(names: list[str]) -> int:
    """Run the gates named, or all."""
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, (promise, count, trial) in GATES.items():
            if names and name not in names:
                continue
            started = time.monotonic()
            failed = trial(Path(folder))
            failures += len(failed)
            print(
                f"{name}: {count - len(failed)} of {count} {promise} ({time.monotonic() - started:.0f} s)", flush=True
            )
            for line in failed:
                print(f"  {line}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
