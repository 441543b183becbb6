"""`hfft cache`: list or remove the stored outputs of frozen layers."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from hfft.frozen_cache import folder
from hfft.wording import human, printable

HELP = "stored outputs of frozen layers: list them, or clear those that no run uses"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    command.add_argument("what", choices=["list", "clear"])
    command.add_argument("--dir", metavar="FOLDER", help="a folder instead of $HFFT_CACHE")


def run(given: argparse.Namespace) -> int:
    """List stored outputs of frozen layers, or remove those that no run is using."""
    where = Path(given.dir) if given.dir else folder.root()
    held = folder.entries(where)
    for entry in held if given.what == "list" else ():
        when = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        print(printable(f"{when}  {human(entry.bytes):>8}  {'in use  ' if entry.in_use else ''}{entry.note}"))
    if given.what == "clear":
        removed = [entry for entry in held if folder.remove(entry)]
        print(f"removed {len(removed)} of {len(held)}: {human(sum(entry.bytes for entry in removed))}")
    else:
        print(printable(f"{where}: {human(sum(entry.bytes for entry in held))}"))
    return 0
