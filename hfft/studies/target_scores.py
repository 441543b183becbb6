"""What children of the study of adaptation measure: a model on target rows, and classifiers on its features."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from hfft.classifier import ClassifierSpec, fit
from hfft.data import load_splits
from hfft.data.spec import NONE
from hfft.errors import BadInput
from hfft.evaluate.label_free import criteria
from hfft.features import of_recipe
from hfft.predict import load_predictor
from hfft.predict.held_out import HeldOut
from hfft.recipe import Recipe
from hfft.studies.measures import main_score

# Name of an arm -> classifier on the features of the source-tuned model. Each is fitted with labelled source rows, and with
# target rows without labels where it takes them; `C` is not searched, since no target labels may choose it.
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "1-NN": {"type": "knn", "n_neighbors": 1},
    "SVM": {"type": "svm", "C": 1.0},
    "CORAL + SVM": {"type": "svm", "C": 1.0, "transform": [{"standardise": "per-domain"}, "coral"]},
    "EasyTL": {"type": "easytl"},
    "EasyTL with CORAL": {"type": "easytl", "transform": [{"standardise": "per-domain"}, "coral"]},
}


def score(recipe: Recipe, target: str) -> dict[str, Any]:
    """The model that the recipe begins from, on the target's test rows, and what can be said of it without their labels.

    Args:
        target: the other data set, as `data.path`.

    Returns:
        `test`: accuracy and n, by the labels of the test rows, which are used for nothing else; `label_free`: `criteria` of the
        training rows of the target, whose labels are not read, and of the source's validation rows.
    """
    source, labels = load_splits(recipe.data, recipe.the_task, recipe.seed)
    there = recipe.data.model_copy(update={"path": target, "validation": NONE, "max_train_samples": None, "name": None})
    splits, target_labels = load_splits(there, recipe.the_task, recipe.seed)
    if splits.test is None or source.validation is None:
        raise BadInput("data.validation: the study needs validation rows of the source, and a test split of the target")
    predictor = load_predictor(recipe.backbone.name)
    here = HeldOut.of(predictor, source.columns, labels, recipe.backbone.name)
    held = HeldOut.of(predictor, splits.columns, target_labels, recipe.backbone.name)
    logits, truth = _answers(held, splits.test)
    unlabelled, _ = _answers(held, splits.train)
    validation, classes = _answers(here, source.validation)
    return {
        "test": {"accuracy": float((logits.argmax(1) == truth).mean()), "n": len(truth)},
        "label_free": criteria(_softmax(unlabelled), _softmax(validation), classes),
    }


def _answers(held: HeldOut, rows: Any) -> tuple[np.ndarray, np.ndarray]:
    found = [(logits.numpy(), labels.numpy()) for logits, labels in held.answers(rows)]
    logits, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return logits, labels


def _softmax(logits: np.ndarray) -> np.ndarray:
    found = np.exp(logits - logits.max(1, keepdims=True))
    return found / found.sum(1, keepdims=True)


def classifiers(recipe: Recipe, target: str) -> dict[str, Any]:
    """The test accuracy on the target of classifiers on the features of the model that the recipe begins from.

    Returns:
        `classifiers`: name -> `accuracy`, and `seconds` of the fit without those of the features; `seconds`: of the features.
    """
    began = time.perf_counter()
    data = recipe.data.model_copy(update={"sets": {}})
    with_target = recipe.model_copy(update={"data": data})
    here = of_recipe(with_target, ("train",))["train"]
    moved: dict[str, Any] = {"path": target, "validation": NONE, "max_train_samples": None, "name": None, "sets": {}}
    there = of_recipe(recipe.model_copy(update={"data": recipe.data.model_copy(update=moved)}), ("train", "test"))
    seconds, found = time.perf_counter() - began, {}
    assert here.labels is not None
    for name, options in CLASSIFIERS.items():
        began = time.perf_counter()
        spec = ClassifierSpec.model_validate(options)
        rows = there["train"].values if spec.wants_target else None
        fitted = fit(spec, here.values, here.labels, target=rows, seed=recipe.seed, names=here.names)
        (_, accuracy), *_ = main_score(recipe, fitted, there["test"]).items()
        found[name] = {"accuracy": accuracy, "seconds": time.perf_counter() - began}
    return {"test": {"n": len(there["test"].values)}, "classifiers": found, "seconds": seconds}
