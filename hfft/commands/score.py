"""`hfft score`: score a finished run or a published model on its recipe's held-out data."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hfft.errors import BadInput, DataError
from hfft.lazy import torch
from hfft.recipe.find import load_recipe
from hfft.recipe.recipe import Recipe
from hfft.run import importing
from hfft.runs.folder import RunFolder
from hfft.tasks.labels import Labels
from hfft.wording import listing, printable

BATCH = 64


def run(given: argparse.Namespace) -> int:
    """Print a model's metrics on its recipe's held-out splits."""
    for line in score(given.source, given.overrides, given.fresh):
        print(printable(line), flush=True)
    return 0


def recipe_of(source: str, overrides: list[str]) -> Recipe:
    """The recipe of a run, or the one published with a model.

    Raises:
        BadInput: there is no recipe.
    """
    folder = Path(source)
    if folder.is_dir():
        if not (folder / "recipe.yaml").is_file():
            raise BadInput(f"{source} contains no recipe.yaml; give a run folder, or a model that hfft published")
        return load_recipe(folder / "recipe.yaml", *overrides)
    from huggingface_hub import hf_hub_download

    from hfft.hub.client import arrived
    from hfft.hub.errors import reading

    with reading(f"the recipe of {source}", source):
        path = arrived("model", source, lambda again: hf_hub_download(source, "recipe.yaml"))
    return load_recipe(path, *overrides)


def score(source: str, overrides: list[str], fresh: bool = False) -> Iterator[str]:
    """One line per held-out split of the model's recipe.

    For a run folder with stored outputs, only the metrics are computed, unless an override outside `score` is given.

    Args:
        fresh: run the model anyway.

    Raises:
        BadInput, DataError: there is no such model, or the data has classes that the model does not know.
    """
    recipe = recipe_of(source, overrides)
    files = [] if fresh or not all(override.startswith("score.") for override in overrides) else kept(Path(source))
    if files:
        yield from score_outputs(files, recipe.metrics)
        yield f"from the stored outputs in {files[0].parent}; add --fresh to run the model again"
    else:
        yield from score_model(source, recipe)


def kept(folder: Path) -> list[Path]:
    """The stored outputs for the splits that a finished run was scored on; an empty list if a file is missing."""
    run = RunFolder(folder)
    if not run.metrics.is_file():
        return []
    splits = [name for name in ("validation", "test") if name in run.metrics_of_run()]
    files = [run.outputs / f"{name}.safetensors" for name in splits]
    return files if all(file.is_file() for file in files) else []


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


def line(split: str, figures: Mapping[str, float], origin: str) -> str:
    """The line printed for a split."""
    shown = " ".join(f"{key} {value:.4f}" for key, value in figures.items() if key != "n")
    return f"{split} {shown}  (n={figures['n']}, {origin})"


def score_model(source: str, recipe: Recipe) -> Iterator[str]:
    """One line per held-out split of a recipe, with the model run again in this process.

    Raises:
        BadInput, DataError: there is no such model, or the data has classes that the model does not know.
    """
    with importing():
        from hfft.console import quiet_libraries
        from hfft.data.load import load_splits
        from hfft.evaluate.scores import Metrics
        from hfft.predict.predictor import load_predictor

    quiet_libraries()
    predictor, reader = load_predictor(source), recipe.the_task.modality.inputs
    splits, labels = load_splits(recipe.data, recipe.the_task, recipe.seed)
    names = tuple(predictor.model.config.id2label.values()) if labels.names else ()
    unknown = [name for name in labels.names if name not in names]
    if unknown:
        raise DataError(
            f"the data has classes that {source} does not know: {listing(unknown)}; the model's classes are {listing(names)}"
        )
    order = torch.tensor([names.index(name) for name in labels.names]) if names else None
    known = Labels.of(labels.problem, names) if names else labels
    for name, rows in splits.items():
        if name == "train":
            continue
        metrics = Metrics(known, recipe.metrics)
        inputs = ((reader.of_row(row, splits.columns), row["labels"]) for row in rows)
        at_once = BATCH * reader.gathered
        while batch := [pair for _, pair in zip(range(at_once), inputs, strict=False)]:
            target = torch.tensor([label for _, label in batch])
            if order is not None and metrics.problem.classes:
                target = order[target]
            elif order is not None:
                target = torch.zeros(len(batch), len(names)).index_copy_(1, order, target.float())
            metrics.update(predictor.logits([x for x, _ in batch], BATCH), target)
        yield line(name, metrics.compute(), splits.origin[name])
