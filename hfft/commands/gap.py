"""`hfft gap`: how far one data set is from another, and which of several is the nearest, on a model's features."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from hfft.errors import BadInput
from hfft.run import importing
from hfft.wording import block, printable

HELP = "how far one data set is from another on a model's features, and which of several is nearest"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    command.add_argument(
        "data", nargs="+", metavar="DATA", help="two data sets, as in data.path; with --sources the target alone"
    )
    command.add_argument(
        "--backbone", required=True, metavar="MODEL", help="hub id, folder or run whose features are compared"
    )
    command.add_argument(
        "--sources", nargs="+", metavar="DATA", default=[], help="which of these is nearest to the target?"
    )
    command.add_argument(
        "--by", metavar="COLUMN", help="each value of this column of a source is a source of its own: domain"
    )
    command.add_argument("--split", default="train", help="of every set (default: train)")
    command.add_argument(
        "--rows", type=int, default=2000, help="rows of each set, drawn with a fixed seed (default: 2000)"
    )
    command.add_argument("--column", help="the column of images or texts (default: as in the run, or the usual)")
    command.add_argument("--label", metavar="COLUMN", help="the column of labels (default: as in the run, or label)")
    command.add_argument("--json", action="store_true", help="print JSON instead of lines")


def run(given: argparse.Namespace) -> int:
    """Print the distances of two sets, or of a target and its sources."""
    names, sources = list(given.data), list(given.sources)
    if len(names) != (1 if sources else 2):
        raise BadInput(
            f"{len(names)} data sets are named; name two, or the target alone and its sources after --sources, as in: "
            f"hfft gap digits --sources printed_digits letters --backbone nano-vit"
        )
    if given.by is not None and not sources:
        raise BadInput("--by: divides sources; name them after --sources")
    if given.rows < 10:
        raise BadInput(f"--rows {given.rows}: says nothing of a distance; give at least 10")
    if twice := next((name for i, name in enumerate(sources + names) if name in (sources + names)[:i]), None):
        raise BadInput(f"{twice}: is named twice; a set has no distance from itself")
    with importing():
        from hfft.console import quiet_libraries
        from hfft.features.export import Wanted
        from hfft.scenarios.adaptation import measure_gap as measure

    quiet_libraries()
    columns = {role: name for role, name in {"input": given.column, "label": given.label}.items() if name is not None}
    wanted = Wanted(given.backbone, names[-1], given.split, columns)
    (target,) = measure.rows_of(wanted, given.rows).values()
    others = {}
    for name in sources or names[:1]:
        for part, rows in measure.rows_of(replace(wanted, data=name), given.rows, given.by).items():
            if part in others:
                raise BadInput(f"--by: {part!r} is a value of {given.by} in two of the sources; give one of them")
            others[part] = rows
    if given.by is not None and len(others) < 2:
        raise BadInput(f"--by {given.by}: has one value in {sources[0]}; a single source needs no column")
    measure.same_width([target, *others.values()])
    found = {name: measure.compared(rows, target) for name, rows in others.items()}
    if given.json:
        print(block(json.dumps({"target": names[-1], "split": target.split, "to": found}, indent=1).splitlines()))
        return 0
    drawn = [
        f"{n}: {len(r.features)} of {r.whole} rows"
        for n, r in {names[-1]: target, **others}.items()
        if len(r.features) < r.whole
    ]
    head = f"features of {given.backbone}, split {target.split}" + (f"; drawn: {'; '.join(drawn)}" if drawn else "")
    said = measure.source_lines(found, names[-1]) if sources else measure.lines(found[names[0]], names[0], names[1])
    for line in [head, *said]:
        print(printable(line), flush=True)
    return 0
