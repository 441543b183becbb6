"""`hfft features`: what a pretrained network computes of each row, written to a file."""

from __future__ import annotations

import argparse
import re
import sys

from hfft.run import importing
from hfft.wording import printable


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
