"""The rows that models are ranked by: one sample of a recipe's training data, the same for all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from datasets import Dataset

from hfft import data
from hfft.data.splits import column, sample
from hfft.errors import BadInput
from hfft.rank.scores import checked_targets
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS

ROWS = 2000


@dataclass(frozen=True)
class Sample:
    """Rows of train with their targets.

    Attributes:
        splits: with these rows as `train`, and no others.
        targets: what scores explain, `(N,)` or `(N, C)`: `hfft.rank.scores.checked_targets`.
        origin: where the rows come from, in words.
        notes: what a user should know of them, one line each.
    """

    splits: data.Splits
    labels: Labels
    targets: np.ndarray
    origin: str
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.targets)


def sample_of(recipe: Recipe, rows: int = ROWS) -> Sample:
    """At most `rows` rows of train, with the classes in its own proportions, drawn by the recipe's seed.

    Raises:
        BadInput: the task has no labels, the data is a stream, or nothing can be said about its targets.
    """
    task, seed = recipe.the_task, recipe.seed
    if not task.labelled:
        raise BadInput(
            f"task: {recipe.task} has no labels; models are ranked by how well their features explain labels"
        )
    if recipe.data.streaming:
        raise BadInput("data.streaming: models are ranked on stored rows; add data.streaming=false")
    if rows < 1:
        raise BadInput(f"--rows: is {rows}; expected a number of rows, usually 2000 to 5000")
    splits, labels = data.load_splits(plain(recipe).data, task, seed)
    stored, classes = column(splits.train, "labels"), PROBLEMS[labels.problem].classes
    places, whole = np.arange(len(stored)), splits.origin["train"]
    if rows < len(stored):
        listed = {"place": places, **({"labels": stored.to_numpy()} if classes else {})}
        # drawn as held-out rows are, in the classes' own proportions: those of train would be balanced
        places = column(sample(Dataset.from_dict(listed), rows, "validation", labels, seed), "place").to_numpy()
        whole = f"{len(places)} of {len(stored)} rows of {whole}{', stratified' if classes else ''}, seed {seed}"
    else:
        whole = f"all {len(stored)} rows of {whole}"
    content = {"train": splits.content["train"][places]} if "train" in splits.content else {}
    chosen = replace(splits, train=splits.train.select(places), validation=None, test=None, content=content)
    found, notes = checked_targets(_numbers(stored, classes)[places], labels.names)
    return Sample(chosen, labels, found, whole, tuple(notes))


def plain(recipe: Recipe) -> Recipe:
    """The recipe without augmentation: features are those of the rows as they are."""
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"augment": []})})


def _numbers(stored: Any, classes: bool) -> np.ndarray:
    """A column of targets as `(N,)` int64 for classes, else `(N, C)` float64."""
    if classes:
        return stored.to_numpy().astype(np.int64)
    return stored.combine_chunks().flatten().to_numpy().reshape(len(stored), -1).astype(np.float64)
