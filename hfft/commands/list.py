"""`hfft list`: list the recipes that come with hfft."""

from __future__ import annotations

import argparse

from hfft.recipe.find import shipped

HELP = "list the recipes that come with hfft"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The command takes none."""


def run(given: argparse.Namespace) -> int:
    """Print each shipped recipe with the first line of its header."""
    width = max(map(len, shipped()))
    for name, path in shipped().items():
        first = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        print(f"{name:<{width}}  {first}")
    return 0
