"""What a model scores that is tested in training mode, as it does without `model.eval()`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from hfft import data
from hfft.errors import BadInput
from hfft.predict import load_predictor
from hfft.recipe import Recipe


def score(recipe: Recipe, batch_sizes: Sequence[int] = (100, 2)) -> dict[str, Any]:
    """Test accuracy of the recipe's backbone, a finished model, in evaluation mode and in training mode.

    In training mode, BatchNorm takes the statistics of the test batch and dropout is on; hence the score depends on which
    rows share a batch.

    Args:
        batch_sizes: of the test in training mode; with the first one, rows are also taken in the order of their classes.

    Returns:
        `test`: in evaluation mode; `modes`: name -> accuracy.
    """
    splits, labels = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
    if splits.test is None or not labels.names:
        raise BadInput("data.test: testing in training mode needs a test split with classes")
    images = splits.test[splits.columns["image"]]
    truth = np.array(splits.test["labels"])
    predictor = load_predictor(recipe.backbone.name)
    outputs = {name: i for i, name in predictor.model.config.id2label.items()}
    places = [outputs[name] for name in labels.names]

    def accuracy(order: np.ndarray, batch_size: int, training: bool) -> float:
        """With a fresh copy of the model each time: training mode moves its statistics."""
        alone = copy.deepcopy(predictor)
        alone.model.train(training)
        torch.manual_seed(recipe.seed)
        found = alone.logits([images[int(i)] for i in order], batch_size).numpy()[:, places].argmax(1)
        return float(np.mean(found == truth[order]))

    shuffled = np.random.default_rng(recipe.seed).permutation(len(truth))
    by_class = np.argsort(truth, kind="stable")
    first = batch_sizes[0]
    modes = {f"training mode, batches of {size}": accuracy(shuffled, size, True) for size in batch_sizes}
    modes["training mode, sorted by class"] = accuracy(by_class, first, True)
    evaluated = accuracy(shuffled, first, False)
    return {"test": {"accuracy": evaluated, "n": len(truth)}, "modes": modes}
