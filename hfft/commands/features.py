"""`hfft features`: what a pretrained network computes of each row, written to a file."""

from __future__ import annotations

import argparse
import re
import sys

from hfft.commands.arguments import takes_rows
from hfft.run import importing
from hfft.wording import printable

HELP = "write what a pretrained network computes of each row, to a file"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    command.add_argument("source", help="run folder, model folder or hub id")
    command.add_argument("--data", metavar="PATH", required=True, help="a data set as in data.path of a recipe")
    command.add_argument("--output", metavar="FILE", required=True, help=".parquet, .npz, or a folder of datasets")
    takes_rows(command)
    command.add_argument("--label", metavar="COLUMN", help="the column of labels (default: as in the run, or label)")
    command.add_argument(
        "--pooling",
        choices=["cls", "mean", "max", "last", "pooler"],
        help="how the states of all positions become one (default: what the model was trained with)",
    )
    command.add_argument(
        "--layer", default="-1", metavar="LAYER", help="number of a hidden state, -1 the last, or a module's path"
    )
    command.add_argument("--batch-size", type=int, default=32)


def run(given: argparse.Namespace) -> int:
    """Write ids, labels and features of a split."""
    with importing():
        from hfft.console import quiet_libraries
        from hfft.features.export import Export, Wanted
        from hfft.features.write import checked, write

    quiet_libraries()
    checked(given.output)
    named = {"input": given.column, "text_pair": given.pair_column, "id": given.id, "label": given.label}
    columns = {role: name for role, name in named.items() if name is not None}
    layer = int(given.layer) if re.fullmatch(r"-?\d+", given.layer) else given.layer
    wanted = Wanted(
        given.source, given.data, given.split, columns, given.pooling, layer, given.batch_size, tuple(given.read)
    )
    export = Export(wanted)
    print(printable(export.line()), file=sys.stderr, flush=True)
    write(export, given.output)
    print(printable(f"{given.output}: {export.rows} rows"), file=sys.stderr)
    return 0
