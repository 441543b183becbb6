"""`hfft predict`: predictions for files, folders or texts, or for a whole data set."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hfft.errors import BadInput
from hfft.run import importing
from hfft.wording import printable


def run(given: argparse.Namespace) -> int:
    """Print or write a table of ids, labels and probabilities."""
    if bool(given.inputs) == bool(given.data):
        raise BadInput("expected either files or texts, or --data, but not both; see hfft predict --help")
    if given.output and Path(given.output).suffix not in (".csv", ".jsonl"):
        raise BadInput(f"--output {given.output}: the file name must end in .csv or .jsonl")
    rows = predict(given.source, given.inputs, given.data, given.split, given.column, given.batch_size)
    if given.output is None:
        shown = map(printable_row, rows) if sys.stdout.isatty() else rows
        write_table(shown, sys.stdout, ".csv")
    else:
        with open(given.output, "w", encoding="utf-8", newline="") as file:
            write_table(rows, file, Path(given.output).suffix)
    return 0


def predict(
    source: str, inputs: list[str], data: str | None, split: str, column: str | None, batch_size: int
) -> Iterator[dict[str, Any]]:
    """Rows of `id`, `label`, `probability` for files, texts, or a split of a data set (with row numbers as ids)."""
    with importing():
        from hfft.console import quiet_libraries
        from hfft.data.load import load_column
        from hfft.predict.predictor import load_predictor, read_inputs

    quiet_libraries()
    predictor = load_predictor(source)
    if data is None:
        yield from predictor.table(read_inputs(inputs, predictor.modality), batch_size)
        return
    values = load_column(data, split, column, predictor.modality)
    yield from predictor.table(((str(i), value) for i, value in enumerate(values)), batch_size)


def printable_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row for a terminal, which must not obey control characters in the names of files and classes."""
    return {printable(key): printable(value) if isinstance(value, str) else value for key, value in row.items()}


def write_table(rows: Iterable[dict[str, Any]], file: Any, suffix: str) -> None:
    """Write rows one by one, as CSV or as JSON lines."""
    writer = None
    for row in rows:
        if suffix == ".jsonl":
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            continue
        if writer is None:
            writer = csv.DictWriter(file, list(row))
            writer.writeheader()
        writer.writerow(row)
