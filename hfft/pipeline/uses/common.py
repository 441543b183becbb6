"""What the uses without training share: scored splits, the data note and the contents of metrics.json."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from torch import Tensor

from hfft import data
from hfft.data.modality.base import Rows
from hfft.errors import RunError
from hfft.evaluate import Metrics
from hfft.evaluate.findings import findings
from hfft.evaluate.splits import score_answers
from hfft.pipeline.record import facts
from hfft.pipeline.save import write_folder
from hfft.recipe import Recipe
from hfft.report import write_rows
from hfft.runs import RunFolder
from hfft.runs.data_note import note_data
from hfft.tasks.labels import Labels
from hfft.wording import first_line

Answer = Callable[[Rows], Iterable[tuple[Tensor, Tensor]]]  # rows -> (logits, labels), batch by batch


def pinned(recipe: Recipe, folder: RunFolder) -> Recipe:
    """The recipe with the commits that an interrupted run in the folder began with."""
    return recipe if folder.state() == "new" else Recipe.model_validate(folder.pinned(recipe.resolved()))


def begin(
    recipe: Recipe, folder: RunFolder, splits: data.Splits, commit: str | None, trained: np.ndarray | None = None
) -> None:
    """Write the recipe with the commits of model and data, unless an interrupted run did, and note the data.

    Args:
        recipe: as it was given, without pinned commits.
        commit: the commit of the model; None if it is not from the hub.
        trained: digests `(N,)` of the rows that are learned from; None if there are none.
    """
    if folder.state() == "new" or folder.changed(recipe.resolved()):
        folder.write_recipe(recipe.resolved(), commit, splits.revision)
    named = data.names_files(splits.train, recipe.data)
    note_data(folder, data.file_state(recipe.data), data.fingerprints(splits), trained, named)


def save(folder: RunFolder, write: Callable[[Path], None]) -> None:
    """Let `write` fill the folder of the finished model, completely or not at all.

    Raises:
        RunError: it cannot be written.
    """
    try:
        write_folder(folder.model, write)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"the model could not be written to {folder.model}: {first_line(error)}; the same command tries again"
        ) from error


def score(
    recipe: Recipe, folder: RunFolder, splits: data.Splits, labels: Labels, answer: Answer
) -> dict[str, dict[str, Any]]:
    """Score validation and test, with the outputs stored in the run folder: split -> `metrics` and tables of the classes."""
    found = {
        name: score_answers(
            answer(rows),
            Metrics(labels, recipe.metrics),
            folder.outputs / f"{name}.safetensors",
            splits.origin[name],
            None if recipe.data.streaming else splits.sizes[name],
            recipe.score.outputs_limit,
        )
        for name, rows in splits.items()
        if name != "train"
    }
    write_rows(folder, recipe, splits)
    return found


def metrics_of(
    recipe: Recipe,
    splits: data.Splits,
    labels: Labels,
    commit: str | None,
    scores: dict[str, dict[str, Any]],
    began: float,
    remedy: str,
    **more: Any,
) -> dict[str, Any]:
    """The contents of metrics.json for a run in which no network was trained.

    Args:
        began: when the run began, by `time.perf_counter`.
        remedy: what may help where the figures are poor.
        more: further entries, such as `use`.
    """
    train = {"loss": None, "n": splits.sizes["train"], "epochs": 0, "steps": 0}
    return {
        **{name: found["metrics"] for name, found in scores.items()},
        "train": {**train, "seconds": round(time.perf_counter() - began, 2)},
        "classes": {name: {k: v for k, v in found.items() if k != "metrics"} for name, found in scores.items()},
        "findings": findings(scores, recipe.problem, {}, remedy=remedy),
        **facts(recipe, splits, labels, commit),
        "strategy": [],
        "world_size": 1,
        "frozen": {},
        "faults": [],
        "cache": {},
        **more,
    }
