"""`hfft predict`: predictions for files, folders, tables or texts, or for a whole data set."""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfft.commands.arguments import takes_rows
from hfft.errors import BadInput
from hfft.run import importing
from hfft.runs.tasks import run_of
from hfft.tasks.problem import Shown
from hfft.wording import printable

if TYPE_CHECKING:
    from hfft.data.predicted import Reading
    from hfft.tasks.modality import Modality

SHOWN = 10  # errors of single inputs that are told one by one


HELP = "predict for files, folders, tables or texts, or for a whole data set"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    command.add_argument("source", help="run folder, model folder or hub id")
    command.add_argument(
        "inputs",
        nargs="*",
        metavar="FILE_OR_TEXT",
        help="images or sounds and folders of them, tables, texts, files with one text per line, - for standard input",
    )
    command.add_argument("--task", metavar="NAME", help="the task to predict, for a run of several tasks")
    command.add_argument("--data", metavar="PATH", help="a data set as in data.path of a recipe")
    takes_rows(command)
    command.add_argument("--pair", metavar="TEXT", help="the second text for each text, if the model takes pairs")
    command.add_argument("--probabilities", action="store_true", help="also every class's probability")
    command.add_argument("--top-k", type=int, metavar="K", help="the K most probable classes, best first")
    command.add_argument(
        "--threshold",
        action="append",
        default=[],
        metavar="[CLASS=]NUMBER",
        help="probability from which a multi-label model selects a class (default: 0.5); may be repeated",
    )
    command.add_argument(
        "--reject",
        type=float,
        metavar="RATE",
        help="answer `unknown` where the model is unsure, so that at most this share of rows like its validation rows is: 0.05",
    )
    command.add_argument("--output", metavar="FILE", help="table to write, .csv or .jsonl (default: CSV to the screen)")
    command.add_argument("--batch-size", type=int, default=32)


def run(given: argparse.Namespace) -> int:
    """Print or write a table of predictions; the status is 1 if there is an input without one."""
    if bool(given.inputs) == bool(given.data):
        raise BadInput("expected either files or texts, or --data, but not both; see hfft predict --help")
    if given.output and Path(given.output).suffix not in (".csv", ".jsonl"):
        raise BadInput(f"--output {given.output}: the file name must end in .csv or .jsonl")
    if given.batch_size < 1:
        raise BadInput(f"--batch-size {given.batch_size}: must be at least 1")
    if given.split is not None and not given.data:
        raise BadInput("--split: is for --data; leave it out")
    if given.pair is not None and given.data:
        raise BadInput("--pair: is for texts on the command line; name the column of second texts with --pair-column")
    if given.reject is not None and not 0 < given.reject < 1:
        raise BadInput(f"--reject {given.reject:g}: expected a share between 0 and 1, such as 0.05")
    source = run_of(given.source, given.task)
    shown = Shown.of(given.probabilities, given.top_k, given.threshold)
    named = {"id": given.id, "text_pair": given.pair_column}
    with replaced(given.output) if given.output else contextlib.nullcontext(printing()) as file:
        rows = predict(
            *(source, given.inputs, given.data, given.split, given.column, given.batch_size),
            **{"shown": shown, "named": named, "pair": given.pair, "read": given.read, "reject": given.reject},
        )
        failed = Failed(rows)
        terminal = not given.output and sys.stdout.isatty()
        write_table(
            map(printable_row, failed) if terminal else failed,
            file,
            Path(given.output).suffix if given.output else ".csv",
        )
    return failed.status()


def predict(
    source: str,
    inputs: list[str],
    data: str | None,
    split: str | None,
    column: str | None,
    batch_size: int,
    shown: Shown | None = None,
    named: dict[str, str | None] | None = None,
    pair: str | None = None,
    read: Iterable[str] = (),
    reject: float | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of `id`, `label`, `probability`, `error` for files, tables and texts, or for a split of a data set.

    Args:
        named: role -> column, besides `column` for the inputs.
        pair: the second text of every text that is not in a table.
        read: how files are written, as `encoding=cp1252`.
        reject: share of rows like the validation rows that may be answered `unknown`.
    """
    with importing():
        from hfft.console import quiet_libraries
        from hfft.data.predicted import read_rows
        from hfft.predict import rejection
        from hfft.predict.inputs import read_inputs
        from hfft.predict.predictor import load_predictor

    quiet_libraries()
    predictor = load_predictor(source)
    shown, modality = shown or Shown(), predictor.modality
    if reject is not None:
        surest_below, line = rejection.threshold(predictor, reject, source)
        shown = replace(shown, surest_below=surest_below)
        print(printable(line), file=sys.stderr)
    reading = reading_for(source, modality, split, column, named, pair, read)
    rows = read_inputs(inputs, modality, reading) if data is None else read_rows(data, modality, reading)
    yield from predictor.table(rows, batch_size, shown)


def reading_for(
    source: str,
    modality: Modality,
    split: str | None,
    column: str | None,
    named: Mapping[str, str | None] | None = None,
    pair: str | None = None,
    read: Iterable[str] = (),
) -> Reading:
    """How rows for a model are read: as its run read its data, unless the command line says otherwise. Arguments: `predict`.

    Raises:
        BadInput: the model takes no such column, or a key of `read` is none of `data`.
    """
    from hfft.predict.trained import reading_of, stated

    chosen = {role: name for role, name in {modality.name: column, **(named or {})}.items() if name is not None}
    if strange := set(chosen) - {*modality.columns, "id"}:
        raise BadInput(f"--pair-column: the model takes {modality.one}, and no {min(strange)}; leave it out")
    reading = replace(reading_of(source), chosen=chosen, split=split, pair=pair)
    return replace(reading, options={**reading.options, **stated(read)})


class Failed:
    """Rows as they are passed on; tells the errors of those without a prediction, and counts them."""

    def __init__(self, rows: Iterable[dict[str, Any]]):
        self.rows, self.count, self.failed = rows, 0, 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self.rows:
            self.count += 1
            if row.get("error") is not None:
                self.failed += 1
                if self.failed <= SHOWN:
                    print(printable(row["error"]), file=sys.stderr, flush=True)
            yield row

    def status(self) -> int:
        """The exit status, after a line on how many inputs have no prediction."""
        if self.failed:
            line = f"{self.failed} of {self.count} inputs have no prediction; see column error"
            print(printable(line), file=sys.stderr)
        return 1 if self.failed else 0


def printing() -> Any:
    """Standard output, which escapes what its encoding lacks."""
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return sys.stdout


@contextlib.contextmanager
def replaced(name: str, flag: str = "--output") -> Iterator[Any]:
    """A file to write, which takes the place of one of this name only at the end, and only if nothing went wrong.

    Args:
        flag: the option that names it.

    Raises:
        BadInput: it cannot be written there.
    """
    path = Path(os.path.realpath(name))
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder; give a file" if path.is_dir() else f"there is no folder {path.parent}; make it first"
        raise BadInput(f"{flag} {name}: {what}")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            file = open(beside, "w", encoding="utf-8", newline="", errors="backslashreplace")  # noqa: SIM115
        except OSError as error:
            raise BadInput(f"{flag} {name}: cannot be written ({error.strerror}); use another folder") from None
        with file:
            yield file
        if path.exists():
            shutil.copymode(path, beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def printable_row(value: Any) -> Any:
    """A row for a terminal, which must not obey control characters in the names of files and classes."""
    if isinstance(value, dict):
        return {printable(key): printable_row(item) for key, item in value.items()}
    if isinstance(value, list):
        return [printable_row(item) for item in value]
    return printable(value) if isinstance(value, str) else value


def write_table(rows: Iterable[dict[str, Any]], file: Any, suffix: str) -> None:
    """Write rows one by one, as CSV or as JSON lines.

    In CSV several labels are joined by `|`, and every class's probability has a column; in JSON `error` is left out if
    there is none.
    """
    rows = iter(rows)
    if suffix == ".jsonl":
        for row in rows:
            kept = {key: value for key, value in row.items() if key != "error" or value is not None}
            file.write(json.dumps(kept, ensure_ascii=False) + "\n")
        return
    for first in itertools.islice(rows, 1):
        writer = csv.DictWriter(file, list(_cells(first)))
        writer.writeheader()
        writer.writerows(map(_cells, itertools.chain([first], rows)))


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """A row as cells of CSV."""
    cells: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            cells |= {f"probability_{name}": probability for name, probability in value.items()}
        else:
            cells[key] = "|".join(map(str, value)) if isinstance(value, list) else value
    return cells
