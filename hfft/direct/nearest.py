"""Zero-shot classes of texts: a sentence encoder gives a text the class whose description is nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hfft import backbone
from hfft.backbone import published_code
from hfft.backbone.pooling import fitting_pooling
from hfft.backbone.spec import Backbone
from hfft.data.modality.base import Inputs
from hfft.direct.base import Answering
from hfft.head.spec import Head
from hfft.modeling import pool
from hfft.tasks.labels import Labels
from hfft.tasks.table import Task

SCALE = 20.0  # of cosines, before the softmax: what sentence encoders are trained with (MultipleNegativesRankingLoss)
BATCH = 64


def nearest(
    spec: Backbone,
    processor: Any,
    task: Task,
    labels: Labels,
    pooling: str | None,
    words: Mapping[str, str],
    max_length: int | None = None,
    device: Any = "cpu",
) -> Answering:
    """A sentence encoder with a cosine head, whose prototypes are the embeddings of the classes' descriptions.

    Args:
        pooling: how the states of a text's tokens become its embedding; default: as the encoder was trained.
        words: class -> its description.
        max_length: limit of a text in tokens; default: the tokenizer's or the model's.

    Raises:
        BadInput: the encoder cannot be loaded.
    """
    notes = []
    if pooling is None:
        fitting = fitting_pooling(spec, task)
        # a pooler was trained to tell the order of two sentences, not for cosines
        pooling = "mean" if fitting.pooling == "pooler" else fitting.pooling
        notes = [
            fitting.line()
            if fitting.stated
            else f"pooling: {pooling}; {spec.name} was not trained as a sentence encoder"
        ]
    head = Head(kind="cosine", pooling=pooling)  # type: ignore[arg-type]
    model: Any = backbone.load_model(spec, head, task, labels, processor).eval().to(device)
    task.modality.inputs.set_limit(processor, model, max_length)
    with torch.no_grad():
        found = embeddings(model, processor, task.modality.inputs, [words[name] for name in labels.names])
        model.head.out.weight.copy_(found)
        model.head.scale.fill_(SCALE)
    how = f"zero-shot, by the nearest class description (cosine of {pooling}-pooled states)"
    return Answering(
        model,
        processor,
        how,
        partial(_save, model, processor, task),
        notes=notes,
        stands_for={name: [words[name]] for name in labels.names},
    )


@torch.no_grad()
def embeddings(model: Any, processor: Any, inputs: Inputs, texts: Sequence[str]) -> Tensor:
    """The pooled states of texts, of length 1, `(N, D)`, from a model with a head of hfft's."""
    base, found = getattr(model, model.base_model_prefix), [torch.empty(0)] * len(texts)
    for places, batch in inputs.batches(list(texts), BATCH, processor, None):
        batch = {key: value.to(model.device) for key, value in batch.items()}
        pooled = F.normalize(pool(base(**batch)[0], batch.get("attention_mask"), model.head.pooling), dim=-1)
        for place, row in zip(places, pooled, strict=True):
            found[place] = row
    return torch.stack(found)


def _save(model: Any, processor: Any, task: Task, folder: Path) -> None:
    published_code.save(model, folder, task.auto_class)
    processor.save_pretrained(folder)
