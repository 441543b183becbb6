"""One candidate: its features, computed once, their scores, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hfft import backbone, data
from hfft.backbone.pooling import fitting_pooling
from hfft.features.cache import Chosen, opened_cache
from hfft.features.extract import extract_views
from hfft.features.views import View
from hfft.rank.candidates import Candidate
from hfft.rank.card import Card, read_card
from hfft.rank.model import RankedModel, few, size
from hfft.rank.sample import Sample, plain
from hfft.rank.scores import scores
from hfft.rank.table import Row
from hfft.wording import listing


def measured(chosen: Candidate, sample: Sample) -> tuple[Row, list[str]]:
    """The row of a candidate, by the features of its last layer, and what a user should know of it.

    Raises:
        HfftError: it cannot be loaded, or does not suit the data.
    """
    model, rows = opened(chosen, sample)
    views = [View(model.pooling), *([] if model.logits is None else [model.logits])]
    features, *logits = features_of(model, rows, views)
    source = logits[0].argmax(1) if logits else None
    found = scores(features, sample.targets, source, chosen.recipe.seed)
    row = described(chosen, model, rows)
    return replace(row, scores=found, width=features.shape[1]), seen_classes(chosen.name, model.classes, sample)


def described(chosen: Candidate, model: RankedModel, rows: Any) -> Row:
    """The row of a candidate without its scores: what it costs, and what its card says."""
    parameters, taken = size(model.below)
    card = Card() if chosen.kind == "random" else read_card(chosen.name, chosen.recipe.backbone.revision)
    return Row(
        chosen.name,
        chosen.kind,
        chosen.line,
        pooling=model.pooling,
        parameters=parameters,
        bytes=taken,
        milliseconds=_milliseconds(model, rows),
        input=model.input_size(),
        own_accuracy=card.accuracy,
        own_data=card.accuracy_on,
        licence=card.licence,
        date=card.date,
    )


def opened(chosen: Candidate, sample: Sample) -> tuple[RankedModel, Any]:
    """The model of a candidate, and the sample as its inputs.

    Raises:
        HfftError: it cannot be loaded, or does not suit the data.
    """
    recipe = plain(chosen.recipe)
    recipe = recipe.model_copy(update={"backbone": backbone.pinned(recipe.backbone)})
    task, seed = recipe.the_task, recipe.seed
    processor = backbone.load_processor(recipe.backbone, task)
    model = RankedModel(recipe, processor, sample.labels, fitting_pooling(recipe.backbone, task).pooling)
    model.set_limit()
    prepared = data.prepare(sample.splits, recipe.data, task, sample.labels, processor, seed)
    return model, prepared.train


def features_of(model: RankedModel, rows: Any, views: Sequence[View]) -> list[np.ndarray]:
    """The features `(N, D)` of each view from one forward pass, or from the cache."""

    def computed(part: Any) -> list[np.ndarray]:
        return extract_views(model.loaded(), model.processor, part, model.recipe.the_task, views)

    with opened_cache(model, views, model.recipe.layers.cache) as cache:
        return cache.features(rows, computed)


def _milliseconds(model: RankedModel, rows: Any) -> float:
    """Milliseconds of the forward pass per row; of a few rows if all features were stored."""
    if not model.clock.rows:
        part, views = Chosen(rows, few(len(rows))), [View(model.pooling)]
        extract_views(model.loaded(), model.processor, part, model.recipe.the_task, views)
    return model.clock.milliseconds


def seen_classes(name: str, own: Sequence[str], sample: Sample) -> list[str]:
    """A line if a model was published with some of the data's classes: it may have been trained on these very rows."""
    known = {" ".join(word.casefold().replace("_", " ").split()) for word in own}
    same = [word for word in sample.labels.names if " ".join(word.casefold().replace("_", " ").split()) in known]
    if not same:
        return []
    return [
        f"{name} was published with {len(same)} of the {len(sample.labels.names)} classes ({listing(same, 8)}): it may have "
        f"been trained on these rows, and then its scores say too much"
    ]
