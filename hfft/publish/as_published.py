"""Score a published model as its users load it, with the pipeline of plain transformers, and compare with what its card says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from hfft.data.load import load_splits
from hfft.errors import BadInput, RunError
from hfft.evaluate.scores import Metrics
from hfft.predict.held_out import HeldOut
from hfft.predict.predictor import Predictor
from hfft.predict.trained import published_file
from hfft.publish.reload import load_pipeline, pipeline_answers
from hfft.recipe import Recipe
from hfft.tasks.problem import PROBLEMS
from hfft.wording import first_line

AT_ONCE = 256  # rows in memory
SMALLEST = 1e-30  # probability whose logarithm is taken as a logit
ROUNDING = 1e-4  # of a figure: the same weights in batches of another size


def score_as_published(source: str, recipe: Recipe) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(split, its figures, origin of its rows) of each held-out split, by a pipeline and `evaluate.evaluator`.

    Args:
        source: a hub id, a run folder or a model folder.

    Raises:
        BadInput, DataError: a pipeline cannot serve the model, the data is a stream, or has classes that the model does not know.
        RunError: a figure differs from the one that was published with the model, beyond rounding.
    """
    task = recipe.the_task
    if not task.labelled or recipe.data.streaming:
        raise BadInput("--as-published: needs stored rows with labels; leave it out")
    splits, labels = load_splits(recipe.data, task, recipe.seed)
    pipe = _pipeline(source, recipe)
    predictor = Predictor(pipe.model, None, task.modality)  # only for the order of its classes
    held = HeldOut.of(predictor, splits.columns, labels, source)
    known = published(source)
    for name, rows in splits.items():
        if name == "train":
            continue
        metrics = Metrics(held.labels, recipe.metrics)
        for begin in range(0, len(rows), AT_ONCE):
            inputs, targets = held.read(rows.select(range(begin, min(begin + AT_ONCE, len(rows)))))
            outputs = pipeline_answers(pipe, task, [task.modality.inputs.plain(one) for one in inputs])
            metrics.update(as_logits(outputs, labels.problem), targets)
        figures = metrics.compute()
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
        raise BadInput(f"--as-published: plain transformers cannot load {source}: {first_line(error)}") from error


def as_logits(outputs: Tensor, problem: str) -> Tensor:
    """Logits `(n, C)` that have the probabilities of a pipeline, or its values."""
    if PROBLEMS[problem].classes:
        return outputs.clamp(min=SMALLEST).log()
    return torch.logit(outputs.clamp(SMALLEST, 1 - 1e-7)) if PROBLEMS[problem].multi_label else outputs


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
