"""Score a published model as its users load it, with the pipeline of plain transformers, and compare with what its card says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor

from hfft.data.load import load_splits
from hfft.errors import BadInput, RunError
from hfft.evaluate.scores import Metrics
from hfft.predict.trained import published_file
from hfft.publish.reload import load_pipeline, pipeline_answers
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.wording import listing

SMALLEST = 1e-30  # probability whose logarithm is taken as a logit
ROUNDING = 1e-4  # of a figure: the same weights in batches of another size


def score_as_published(source: str, recipe: Recipe) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(split, its figures, origin of its rows) of each held-out split, by a pipeline and `evaluate.evaluator`.

    Args:
        source: a hub id, a run folder or a model folder.

    Raises:
        BadInput: a pipeline cannot serve the model, the data is a stream, or the classes of the data are unknown to it.
        RunError: a figure differs from the one that was published with the model, beyond rounding.
    """
    task = recipe.the_task
    if not task.labelled or recipe.data.streaming:
        raise BadInput("--as-published: needs stored rows with labels; leave it out")
    splits, labels = load_splits(recipe.data, task, recipe.seed)
    pipe = _pipeline(source, recipe)
    names = list(pipe.model.config.id2label.values()) if labels.names else []
    if unknown := [name for name in labels.names if name not in names]:
        raise BadInput(f"the data has classes that {source} does not know: {listing(unknown)}")
    known = published(source)
    for name, rows in splits.items():
        if name == "train":
            continue
        reader = task.modality.inputs
        inputs = [reader.plain(reader.of_row(row, splits.columns)) for row in rows]
        outputs = pipeline_answers(pipe, task, inputs)
        figures = figures_of(outputs, rows, labels, names, recipe)
        yield name, figures, splits.origin[name]
        if differing := differences(figures, known.get(name, {})):
            raise RunError(
                f"{source}, as published, does not score what was published with it on {name}: {'; '.join(differing)}; "
                f"compare the versions in its card with those here"
            )


def _pipeline(source: str, recipe: Recipe) -> Any:
    model = published_file(source, "model/config.json")
    where = source if model is None else str(model.parent)
    try:
        return load_pipeline(where, recipe.the_task)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise BadInput(
            f"--as-published: plain transformers cannot load {source}: {str(error).splitlines()[0]}"
        ) from error


def figures_of(outputs: Tensor, rows: Dataset, labels: Labels, names: list[str], recipe: Recipe) -> dict[str, Any]:
    """The recipe's metrics of outputs `(n, C)`, which are probabilities of the model's classes `names`, or values."""
    meaning, targets = labels, torch.tensor(list(rows["labels"]))
    problem = PROBLEMS[labels.problem]
    if problem.classes:
        logits = outputs.clamp(min=SMALLEST).log()
    elif problem.multi_label:
        logits = torch.logit(outputs.clamp(SMALLEST, 1 - 1e-7))
    else:
        logits = outputs
    if names:
        meaning, order = Labels.of(labels.problem, names), torch.tensor([names.index(name) for name in labels.names])
        wide = torch.zeros(len(targets), len(names))
        targets = order[targets] if problem.classes else wide.index_copy_(1, order, targets.float())
    metrics = Metrics(meaning, recipe.metrics)
    metrics.update(logits, targets)
    return metrics.compute()


def published(source: str) -> Mapping[str, Any]:
    """The metrics.json that was published with a model; empty without one."""
    path = published_file(source, "metrics.json")
    return {} if path is None else json.loads(path.read_text(encoding="utf-8"))


def differences(figures: Mapping[str, float], known: Mapping[str, float]) -> list[str]:
    """The figures that are not the published ones, each with both; none if those are of another number of rows."""
    if known.get("n") != figures["n"]:
        return []
    return [
        f"{name} {value:.4f}, published {known[name]:.4f}"
        for name, value in figures.items()
        if name in known and abs(value - known[name]) > ROUNDING * max(1.0, abs(known[name]))
    ]
