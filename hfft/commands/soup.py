"""`hfft soup`: average finished runs, or interpolate between a run's start and its end."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from hfft.run import importing
from hfft.wording import printable

OVERRIDE = re.compile(r"[a-z_]+(\.\w+)+=")


def run(given: argparse.Namespace) -> int:
    """Print the table of candidates, and write the chosen one as a run."""
    with importing():
        from hfft.pipeline.soup.soup import soup

    overrides = [word for word in given.inputs if OVERRIDE.match(word)]
    sources = [word for word in given.inputs if word not in overrides]
    output = None if given.output is None else Path(given.output)
    soup(sources, overrides, given.with_start, output, given.fresh, lambda line: print(printable(line), flush=True))
    return 0
