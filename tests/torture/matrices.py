"""Every case of the tests of which `make test` draws a sample."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted(
    str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py") if "mark.sampled(" in path.read_text()
)


def every_case(folder: Path, files: Sequence[str] = FILES) -> list[str]:
    """Run the files, two at a time; a line for each that fails, with the cases that do."""
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "--every-case", "-m", "sampled"]
    patient = {**os.environ, "FORKED_PATIENCE": "1800"}  # all cases of a file in one pair of processes
    done = subprocess.run([*command, *files], cwd=ROOT, env=patient, capture_output=True, text=True)
    failed = defaultdict[str, list[str]](list)
    for file, case in re.findall(r"^(?:FAILED|ERROR) ([^:\s]+)(?:::)?(.*)", done.stdout, re.MULTILINE):
        failed[file].append(case)
    if done.returncode and not failed:  # broke off before it could say which: nothing is shown
        return [f"{file}: broke off: {(done.stdout + done.stderr)[-1500:]}" for file in files]
    return [f"{file}: {'; '.join(cases)}" for file, cases in failed.items()]
