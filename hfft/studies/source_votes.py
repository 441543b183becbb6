"""What a child of the study that leaves a domain out measures: classifiers of each source on shared features, and their votes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hfft.classifier import fit
from hfft.data import load_splits
from hfft.data.domains import domain_ids
from hfft.evaluate import Metrics
from hfft.features import Features, of_recipe
from hfft.recipe import Recipe
from hfft.scenarios.adaptation.source_heads import SPEC, fit_heads
from hfft.studies.leave_one_domain_out import EQUAL, POOLED, WEIGHTED
from hfft.tasks.labels import Labels
from hfft.tasks.measure import metric_names


def votes(recipe: Recipe) -> dict[str, Any]:
    """Scores on the domain that is left out, of classifiers on features of the model that the recipe begins from.

    Returns:
        `test`: the main metric by votes weighted by likeness, and n; `votes`: name in `VOTES` -> the main metric.
    """
    splits, _ = load_splits(recipe.data, recipe.the_task, recipe.seed)
    found = domain_ids(recipe.data, splits)
    assert found is not None
    sources, names = found
    parts = of_recipe(recipe, ("train", "test"))
    train, test = parts["train"], parts["test"]
    assert train.labels is not None
    pooled = fit(SPEC, train.values, train.labels, seed=recipe.seed, names=train.names)
    heads = fit_heads(train.values, train.labels, sources, names, len(train.names), recipe.seed)
    answers = {
        POOLED: pooled.probabilities(test.values),
        EQUAL: heads.probabilities(test.values, weighted=False),
        WEIGHTED: heads.probabilities(test.values),
    }
    scores = {name: _score(recipe, probabilities, test) for name, probabilities in answers.items()}
    (metric, *_) = metric_names(scores[WEIGHTED])
    return {
        "test": {metric: scores[WEIGHTED][metric], "n": scores[WEIGHTED]["n"]},
        "votes": {name: score[metric] for name, score in scores.items()},
    }


def _score(recipe: Recipe, probabilities: np.ndarray, rows: Features) -> dict[str, Any]:
    metrics = Metrics(Labels.of(recipe.problem, rows.names), recipe.metrics)
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    metrics.update(torch.from_numpy(logits).float(), torch.from_numpy(np.array(rows.labels)))
    return metrics.compute()
