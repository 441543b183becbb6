"""`hfft score`: score a finished run or a published model on its recipe's held-out data."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hfft.commands import export_doubted, score_adapted
from hfft.commands.score_source import recipe_of
from hfft.errors import BadInput, HfftError
from hfft.recipe.recipe import Recipe
from hfft.run import importing
from hfft.runs.folder import RunFolder
from hfft.wording import first_line, printable

if TYPE_CHECKING:
    import numpy as np

    from hfft.data.load import Splits


HELP = "score a finished run or a published model on its recipe's held-out data"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    command.add_argument("source", help="run folder or hub id")
    command.add_argument("overrides", nargs="*", metavar="section.key=value", help="other data, other metrics")
    command.add_argument(
        "--full", action="store_true", help="compute the whole scorecard, also what runs the model again"
    )
    command.add_argument("--blocks", metavar="NAMES", help="compute these blocks of the scorecard: task,calibration")
    command.add_argument(
        "--export", metavar="FILE", help="write the labels that the block labels doubts to a .csv or .jsonl file"
    )
    command.add_argument(
        "--report", action="store_true", help="write the run's report and scorecard again, from the stored outputs"
    )
    command.add_argument(
        "--as-published",
        action="store_true",
        help="score with the pipeline of plain transformers, and compare with the published figures",
    )
    command.add_argument("--fresh", action="store_true", help="run the model again, even if its outputs are stored")
    command.add_argument(
        "--episodes",
        type=int,
        metavar="N",
        help="instead the accuracy of N-way K-shot episodes on the run's features: 600",
    )
    command.add_argument("--ways", type=int, metavar="N", help="classes in an episode (default: 5)")
    command.add_argument(
        "--shots", type=int, metavar="K", help="rows of each class that make its prototype (default: 5)"
    )
    command.add_argument("--queries", type=int, metavar="Q", help="rows of each class to classify (default: 15)")
    score_adapted.add_arguments(command)


def run(given: argparse.Namespace) -> int:
    """Print a model's metrics on its recipe's held-out splits, or the accuracy of episodes drawn from them."""
    settings = {name: value for name in ("ways", "shots", "queries") if (value := getattr(given, name)) is not None}
    if given.episodes is None and settings:
        raise BadInput(f"--{next(iter(settings))}: is for episodes; add --episodes 600, or leave it out")
    if given.export is not None:
        export_doubted.check(given.export, given.blocks, given.full)
    if (found := score_adapted.lines(given)) is not None:
        lines = found
    elif given.full or given.report or given.blocks is not None:
        if given.episodes is not None or given.fresh or given.as_published:
            raise BadInput(
                "--episodes, --fresh and --as-published: are not for the scorecard; leave them out, or --full, --blocks and "
                "--report"
            )
        asked = None if given.blocks is None else [name.strip() for name in given.blocks.split(",")]
        lines = score_card(given.source, given.overrides, asked, given.full, given.report, given.export)
    elif given.as_published:
        if given.episodes is not None or given.fresh:
            raise BadInput(
                "--episodes and --fresh: are not for --as-published, which always runs the model; leave them out"
            )
        lines = as_published(given.source, given.overrides)
    elif given.episodes is None:
        lines = score(given.source, given.overrides, given.fresh)
    else:
        lines = score_episodes(given.source, given.overrides, {"episodes": given.episodes, **settings})
    for line in lines:
        print(printable(line), flush=True)
    return 0


def score(source: str, overrides: list[str], fresh: bool = False) -> Iterator[str]:
    """One line per held-out split of the model's recipe.

    For a run folder with stored outputs, only the metrics are computed, unless an override outside `score` is given.

    Args:
        fresh: run the model anyway.

    Raises:
        BadInput, DataError: there is no such model, or the data has classes that the model does not know.
    """
    recipe = recipe_of(source, overrides)
    again = fresh or not all(override.startswith("score.") for override in overrides)
    files = [] if again else RunFolder(Path(source)).stored_outputs()
    if files:
        yield from score_outputs(files, recipe.metrics)
        yield from doubts(RunFolder(Path(source)), recipe)
        yield f"from the stored outputs in {files[0].parent}; add --fresh to run the model again"
    else:
        yield from score_model(source, recipe)


def score_card(
    source: str,
    overrides: list[str],
    names: Sequence[str] | None,
    full: bool,
    rewrite: bool,
    export: str | None = None,
) -> Iterator[str]:
    """Compute blocks of a run's scorecard from its stored outputs, write them into the run folder, and say them.

    Args:
        names: the blocks; None for the quick ones, or with `full` for all.
        rewrite: also write the report again.
        export: the file that receives the doubted labels.

    Raises:
        BadInput: it is no finished run with stored outputs, or a block is unknown.
    """
    with importing():
        from hfft import report, scorecard
        from hfft.console import quiet_libraries
        from hfft.scorecard import blocks
        from hfft.scorecard.scorecard import check_names

    chosen = names if names is not None else blocks.FULL if full else blocks.QUICK
    check_names(chosen)
    quiet_libraries()
    if not all(override.startswith(("score.", "report.")) for override in overrides):
        raise BadInput(
            "a scorecard is of the run's own data: only score.* and report.* can be set beside --full, --blocks and --report"
        )
    recipe, folder = recipe_of(source, overrides), RunFolder(Path(source))
    if not folder.stored_outputs():
        raise BadInput(f"{source} has no stored outputs to compute a scorecard from; score.outputs=auto stores them")
    metrics = folder.metrics_of_run()
    evidence = scorecard.of_run(folder, recipe, metrics, full=full or names is not None)
    card = scorecard.update(folder, evidence, chosen)
    yield from scorecard.lines(card)
    if export is not None:
        export_doubted.write(export, evidence, card)
        yield f"doubted labels: {export}"
    if rewrite:
        if note := report.write_rows_again(folder, recipe):
            yield note
        report.write_report(folder, metrics)
        yield f"report: {folder.report}"


def as_published(source: str, overrides: list[str]) -> Iterator[str]:
    """One line per held-out split, scored with a pipeline of plain transformers.

    Raises:
        BadInput: a pipeline cannot serve the model, or the data does not suit it.
        RunError: a figure differs from the published one.
    """
    with importing():
        from hfft.console import quiet_libraries
        from hfft.publish.as_published import score_as_published

    quiet_libraries()
    recipe = recipe_of(source, overrides)
    for split, figures, origin in score_as_published(source, recipe):
        yield line(split, figures, f"{origin}, as plain transformers loads it")


def score_outputs(files: list[Path], metrics: Sequence[str]) -> Iterator[str]:
    """One line per split with stored outputs.

    Raises:
        BadInput: a file is damaged, or a custom metric fails.
    """
    with importing():
        from hfft.evaluate.load_metric import check_files
        from hfft.evaluate.outputs import Outputs

    check_files(metrics)
    for file in files:
        outputs = Outputs.read(file)
        yield line(outputs.split, outputs.score(metrics)["metrics"], outputs.origin)


def doubts(run: RunFolder, recipe: Recipe) -> Iterator[str]:
    """What makes the metrics of stored outputs doubtful: rows that were trained on, files that have changed."""
    from hfft.data.changes import file_state
    from hfft.evaluate.seen import seen_line
    from hfft.runs.data_note import data_of_run

    metrics = run.metrics_of_run() if run.metrics.is_file() else {}
    for split, count in metrics.get("data", {}).get("leaked", {}).items():
        yield seen_line(split, count, metrics[split]["n"])
    note = data_of_run(run)
    # pictures that a table names are compared by `hfft train`, which reads them
    if note is not None and (now := file_state(recipe.data)) is not None and now != note["files"]:
        yield "the files of the data have changed since: these are the outputs for what they were"


def line(split: str, figures: Mapping[str, float], origin: str) -> str:
    """The line printed for a split."""
    shown = " ".join(f"{key} {value:.4f}" for key, value in figures.items() if key != "n")
    return f"{split} {shown}  (n={figures['n']}, {origin})"


def score_model(source: str, recipe: Recipe) -> Iterator[str]:
    """One line per held-out split of a recipe, with the model run again in this process, and one for rows trained on.

    Raises:
        BadInput, DataError: there is no such model, or the data has classes that the model does not know.
    """
    with importing():
        from hfft.console import quiet_libraries
        from hfft.data.load import load_splits
        from hfft.evaluate.scores import Metrics
        from hfft.evaluate.seen import seen_line, seen_rows
        from hfft.predict.held_out import HeldOut
        from hfft.predict.predictor import load_predictor

    quiet_libraries()
    predictor = load_predictor(source)
    splits, labels = load_splits(recipe.data, recipe.the_task, recipe.seed)
    held = HeldOut.of(predictor, splits.columns, labels, source)
    trained, unknown_why = rows_of_run(source, recipe, splits)
    seen = {} if trained is None else seen_rows(splits.content, trained)
    for name, rows in splits.items():
        if name == "train":
            continue
        metrics = Metrics(held.labels, recipe.metrics)
        for logits, target in held.answers(rows):
            metrics.update(logits, target)
        figures = metrics.compute()
        yield line(name, figures, splits.origin[name])
        if name in seen:
            yield seen_line(name, seen[name], int(figures["n"]))
    if unknown_why:
        yield f"whether these rows were trained on is not known: {unknown_why}"


def score_episodes(source: str, overrides: list[str], settings: Mapping[str, int]) -> Iterator[str]:
    """One line per held-out split: the mean accuracy of N-way K-shot episodes on the features that the head reads.

    The classes may be others than the model's, with `data.classes`: prototypes need no head.

    Raises:
        BadInput, DataError: there is no such model, rows have no single class, or no split has the rows for an episode.
    """
    with importing():
        from hfft.console import quiet_libraries
        from hfft.data.load import load_splits
        from hfft.data.splits import column
        from hfft.evaluate.episodes import EpisodeSettings, episode_accuracies, mean_and_interval, usable_classes
        from hfft.predict.head_inputs import features_of_rows
        from hfft.predict.predictor import load_predictor
        from hfft.tasks.problem import PROBLEMS

    asked = EpisodeSettings(**settings)
    asked.check()
    recipe = recipe_of(source, overrides)
    if recipe.data.streaming or not (recipe.the_task.labelled and PROBLEMS[recipe.problem].classes):
        raise BadInput("--episodes: needs stored rows of one class each; leave it out")
    quiet_libraries()
    predictor = load_predictor(source)
    splits, labels = load_splits(recipe.data, recipe.the_task, recipe.seed)
    refused = []
    for name, rows in splits.items():
        if name == "train":
            continue
        try:
            classes, left_out = usable_classes(column(rows, "labels").to_numpy(), labels.names, asked)
        except BadInput as error:
            refused.append(f"split {name}: {error}")
            continue
        features, targets = features_of_rows(predictor, rows, splits.columns)
        mean, interval = mean_and_interval(episode_accuracies(features, targets, classes, asked, recipe.seed))
        yield (
            f"{name} accuracy {mean:.4f} ± {interval:.4f}  ({asked.ways}-way {asked.shots}-shot, mean and 95 % interval of "
            f"{asked.episodes} episodes with {asked.queries} queries a class; n={len(rows)}, {splits.origin[name]})"
        )
        if left_out is not None:
            yield f"{name}: {left_out}"
    if len(refused) == sum(name != "train" for name, _ in splits.items()):
        raise BadInput(*(refused or ["--episodes: the recipe has no held-out split"]))
    yield from refused


def rows_of_run(source: str, recipe: Recipe, splits: Splits) -> tuple[np.ndarray | None, str]:
    """The digests of the rows that a model was trained on; None and the reason if they cannot be found.

    A run has noted them; for others they are read again by the model's own recipe.

    Args:
        recipe: the one that is scored, with overrides.
        splits: its data.
    """
    import numpy as np

    from hfft.data.load import load_splits
    from hfft.runs.data_note import trained_rows

    if (noted := trained_rows(Path(source))) is not None and not recipe.data.streaming:
        return noted, ""
    own = recipe_of(source, [])
    if own.use == "directly":
        return np.empty(0, np.int64), ""
    if own.data.streaming or recipe.data.streaming:
        return None, "a stream is not compared"
    if (own.data, own.seed) != (recipe.data, recipe.seed):
        try:
            splits = load_splits(own.data, own.the_task, own.seed)[0]
        except HfftError as error:
            return None, first_line(error)
    return splits.content["train"], ""
