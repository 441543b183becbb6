"""Classifiers on a few rows of each class, from features that are computed once for a whole study."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from hfft.classifier import ClassifierSpec, fit
from hfft.data.shots import chosen
from hfft.features import Features, of_recipe
from hfft.recipe import Recipe
from hfft.studies.measures import main_score
from hfft.tasks.labels import Labels
from hfft.tasks.measure import metric_names

_KEPT: dict[str, dict[str, Features]] = {}  # of the last recipe: the next seed has the same features


def classify(recipe: Recipe, shots: Sequence[int | str], classifier: Mapping[str, Any]) -> dict[str, Any]:
    """The main test metric of a classifier on some rows of each class, drawn by the recipe's seed; `shots`: number -> metric.

    The rows are those that `data.shots` with the same `data.shots_seed` trains on.
    """
    started = time.perf_counter()
    parts, spec = features(recipe), ClassifierSpec.model_validate(dict(classifier))
    train, found = parts["train"], dict[str, dict[str, Any]]()
    assert train.labels is not None
    for k in shots:
        rows = np.arange(len(train.labels)) if k == "full" else few(recipe, train, int(k))
        fitted = fit(spec, train.values[rows], train.labels[rows], seed=recipe.seed, names=train.names)
        found[str(k)] = main_score(recipe, fitted, parts["test"])
    (metric,) = metric_names(found[str(shots[-1])])
    return {
        "test": found[str(shots[-1])],
        "shots": {k: score[metric] for k, score in found.items()},
        "train": {"n": len(train.values), "seconds": round(time.perf_counter() - started, 3)},
        "labels": list(train.names),
        "seed": recipe.seed,
    }


def features(recipe: Recipe) -> dict[str, Features]:
    """The features of train and test, kept in memory for the next seed."""
    values = recipe.resolved()
    key = repr([values[name] for name in ("task", "backbone", "head", "layers", "data")])
    spec = recipe.data
    drawn = isinstance(spec.test, float) or spec.max_train_samples is not None
    if recipe.backbone.init == "random" or drawn or spec.label_noise is not None or spec.imbalance is not None:
        key += f" {recipe.seed}"  # draws the rows, or the weights
    if key not in _KEPT:
        _KEPT.clear()
        _KEPT[key] = of_recipe(recipe, ("train", "test"))
    return _KEPT[key]


def few(recipe: Recipe, train: Features, shots: int) -> np.ndarray:
    """The places `(shots * classes,)` of the rows of each class that a seed draws."""
    assert train.labels is not None
    assert train.ids is not None
    rows = Dataset.from_dict({"labels": train.labels, "row": train.ids, "place": np.arange(len(train.labels))})
    data = recipe.data.model_copy(update={"shots": shots, "shots_seed": recipe.seed})
    return np.array(chosen(rows, data, Labels.of(recipe.problem, list(train.names)))["place"])
