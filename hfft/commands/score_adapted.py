"""`hfft score --adapt` and `--guard`: a model adapted while it answers, and the choice between two models without labels."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hfft.commands.score_source import recipe_of
from hfft.errors import BadInput
from hfft.run import importing

if TYPE_CHECKING:
    pass

WAYS = ("tent", "adabn", "priors")
SCORING_ONLY = "labels of these rows are used for scoring alone"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the options."""
    command.add_argument(
        "--adapt", choices=WAYS, help="adapt the model to the rows without their labels, before and after"
    )
    command.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="rows that --adapt sees at once (default: 64)"
    )
    command.add_argument(
        "--guard",
        metavar="SOURCE",
        help="which to keep without labels: this adapted run, or the run that was not adapted",
    )


def lines(given: argparse.Namespace) -> Iterator[str] | None:
    """What the options ask for; None if none of them is given.

    Raises:
        BadInput: options that exclude each other.
    """
    if given.adapt is None and given.guard is None:
        return None
    others = ("full", "blocks", "report", "as_published", "episodes", "export", "fresh")
    if given.adapt is not None and given.guard is not None:
        raise BadInput("--guard: compares runs as they are; leave out --adapt")
    if wrong := next((name for name in others if getattr(given, name) not in (None, False)), None):
        raise BadInput(f"--{wrong.replace('_', '-')}: is not for --adapt and --guard; leave one of them out")
    if given.batch_size < 2:
        raise BadInput(f"--batch-size {given.batch_size}: a batch of one row has no statistics; give at least 2")
    if given.guard is not None:
        return guarded(given.source, given.guard, given.overrides)
    return adapted(given.source, given.overrides, given.adapt, given.batch_size)


def adapted(source: str, overrides: list[str], how: str, size: int) -> Iterator[str]:
    """For each held-out split the accuracy before and after, and their difference on the same rows.

    Raises:
        BadInput, DataError: there is no such model, it cannot be adapted so, or the data has classes that it does not know.
    """
    with importing():
        from hfft.console import quiet_libraries
        from hfft.data.load import load_splits
        from hfft.evaluate.intervals import paired_difference
        from hfft.predict.held_out import HeldOut
        from hfft.predict.predictor import load_predictor
        from hfft.scenarios.adaptation import test_time
        from hfft.scenarios.adaptation.priors import with_priors

    quiet_libraries()
    recipe, predictor = recipe_of(source, overrides), load_predictor(source)
    if not predictor.problem.classes:
        raise BadInput(f"--adapt: is for one class a row, which {recipe.problem} does not have; leave it out")
    splits, labels = load_splits(recipe.data, recipe.the_task, recipe.seed)
    held = HeldOut.of(predictor, splits.columns, labels, source)
    for name, rows in splits.items():
        if name == "train":
            continue
        inputs, truth = held.read(rows)
        before, notes = predictor.logits(inputs, size), list[str]()
        if how == "priors":
            after, notes = with_priors(source, before, [*held.labels.names])
        elif how == "adabn":
            after = test_time.adabn(predictor, inputs, size, recipe.seed).logits(inputs, size)
        else:
            after, count = test_time.tent(predictor, inputs, size, recipe.seed)
            notes.append(f"{count} scales and shifts learned, in an order drawn with seed {recipe.seed}")
        if how != "priors" and (note := test_time.few_rows(len(inputs), size)) is not None:
            notes.append(note)
        was, now = ((found.argmax(1) == truth).numpy() for found in (before, after))
        gap = paired_difference(now, was, recipe.seed)
        yield (
            f"{name} accuracy {was.mean():.4f}, with {how} {now.mean():.4f}, difference {gap['value']:+.4f} "
            f"[{gap['low']:+.4f}, {gap['high']:+.4f}]  (n={len(inputs)}, {splits.origin[name]}; {SCORING_ONLY})"
        )
        yield from (f"{name}: {note}" for note in notes)


def guarded(adapted_run: str, source: str, overrides: list[str]) -> Iterator[str]:
    """What each criterion that reads no target label says of an adapted run and the one that was not, and which is kept.

    Raises:
        BadInput, DataError: one of them is no run, or they have other classes.
    """
    with importing():
        from hfft.console import quiet_libraries
        from hfft.scenarios.adaptation.guard import compare

    quiet_libraries()
    yield from compare(adapted_run, source, overrides)
