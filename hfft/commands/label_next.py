"""`hfft label-next`: which rows of an unlabelled set to label next, written to a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hfft.commands.arguments import takes_rows
from hfft.commands.predict import SHOWN, reading_for, replaced, write_table
from hfft.errors import BadInput, HfftError
from hfft.run import importing
from hfft.wording import first_line, printable

if TYPE_CHECKING:
    import numpy as np

    from hfft.predict.predictor import Predictor


HELP = "which rows of an unlabelled set to label next, by a finished run"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    command.add_argument("source", help="run folder, model folder or hub id")
    command.add_argument(
        "--data", required=True, metavar="PATH", help="the unlabelled rows, as in data.path of a recipe"
    )
    command.add_argument("--n", type=int, required=True, help="rows to choose")
    command.add_argument(
        "--by",
        choices=["margin", "entropy", "core-set", "badge", "random"],
        default="margin",
        help="the smallest margin between two classes, the largest entropy, the rows farthest from those labelled, "
        "large and different gradients, or at random (default: margin)",
    )
    command.add_argument(
        "--output", required=True, metavar="FILE", help="table to write, .csv or .jsonl, best row first"
    )
    takes_rows(command)
    command.add_argument("--seed", type=int, default=42, help="of badge and random (default: 42)")
    command.add_argument("--batch-size", type=int, default=64)


def run(given: argparse.Namespace) -> int:
    """Write the chosen rows; the status is 1 if there is a row that cannot be used."""
    suffix = Path(given.output).suffix
    if suffix not in (".csv", ".jsonl"):
        raise BadInput(f"--output {given.output}: the file name must end in .csv or .jsonl")
    for name in ("n", "batch_size"):
        if getattr(given, name) < 1:
            raise BadInput(f"--{name.replace('_', '-')} {getattr(given, name)}: must be at least 1")
    if given.seed < 0:
        raise BadInput(f"--seed {given.seed}: must be at least 0")
    with importing():
        import numpy as np

        from hfft.console import quiet_libraries
        from hfft.data.predicted import read_rows
        from hfft.predict.next_labels import next_labels, read_pool
        from hfft.predict.predictor import load_predictor

    quiet_libraries()
    with replaced(given.output) as file:
        predictor = load_predictor(given.source)
        named = {"id": given.id, "text_pair": given.pair_column}
        reading = reading_for(given.source, predictor.modality, given.split, given.column, named, read=given.read)
        core_set = given.by == "core-set"
        labelled = labelled_features(given.source, predictor) if core_set else np.empty((0, 0))
        pool = read_pool(predictor, read_rows(given.data, predictor.modality, reading), given.batch_size)
        for error in pool.errors[:SHOWN]:
            print(printable(str(error)), file=sys.stderr, flush=True)
        write_table(next_labels(predictor, pool, given.n, given.by, labelled, given.seed), file, suffix)
    bad, rows = len(pool.errors), len(pool.ids)
    if bad:
        print(printable(f"{bad} of {rows + bad} rows cannot be used and are not chosen from"), file=sys.stderr)
    after = f", beside {len(labelled)} training rows" if core_set else ""
    print(
        printable(f"{given.output}: {given.n} of {rows + bad} rows of {given.data} to label next, by {given.by}{after}")
    )
    return 1 if bad else 0


def labelled_features(source: str, predictor: Predictor) -> np.ndarray:
    """The features `(M, D)` of the rows that a run was trained on, read again by its recipe.

    Raises:
        BadInput: they cannot be read.
    """
    from hfft.data.load import load_splits
    from hfft.predict.head_inputs import features_of_rows
    from hfft.predict.trained import recipe_of

    try:
        recipe = recipe_of(source, [])
        if recipe.data.streaming:
            raise BadInput("they were streamed")
        splits, _ = load_splits(recipe.data, recipe.the_task, recipe.seed)
    except HfftError as error:
        raise BadInput(
            f"--by core-set: chooses beside the run's training rows, which cannot be read ({first_line(error)}); use badge"
        ) from None
    return features_of_rows(predictor, splits.train, splits.columns)[0]
