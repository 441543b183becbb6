"""Every case of the tests of which `make test` draws a sample."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted(
    str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py") if "mark.sampled(" in path.read_text()
)


def every_case(folder: Path) -> list[str]:
    """Run the files, two at a time; the last lines of each that fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "--every-case", "-m", "sampled"]
    done = subprocess.run([*command, *FILES], cwd=ROOT, capture_output=True, text=True)
    failed = re.findall(r"^(?:FAILED|ERROR) .*", done.stdout, re.MULTILINE)
    return failed or ([done.stdout[-2000:] + done.stderr[-2000:]] if done.returncode else [])
