"""What it learned: how far each block moved from the pretrained weights, and how its features changed with it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hfft import head, layers
from hfft.errors import BadInput
from hfft.evaluate.logme import logme
from hfft.evaluate.representation import distances, linear_cka
from hfft.features.extract import batches
from hfft.features.views import View, bare
from hfft.recipe import Recipe
from hfft.scorecard.evidence import Evidence
from hfft.scorecard.sampling import sampled
from hfft.scorecard.start import Start, features, without_adapter

MOST = 500  # rows whose features are compared


def block(evidence: Evidence) -> dict[str, Any]:
    """CKA and distance per block, from the embeddings on, and LogME of the last features before and after.

    Raises:
        BadInput: the run did not begin with pretrained weights, or the model returns no hidden states.
    """
    start = Start.of(evidence.recipe, evidence.data_labels)
    rows = evidence.rows(evidence.split)
    chosen = rows.select(sampled(len(rows), MOST, evidence.seed))
    inputs = evidence.inputs(chosen)
    before, after = start.model.loaded(), without_adapter(evidence.predictor.model)
    count = hidden_states(after, evidence.predictor.processor, evidence.recipe, inputs[:1])
    if hidden_states(before, start.processor, start.recipe, inputs[:1]) != count:
        raise BadInput("the model has other blocks than at the start (backbone.edit), so they are not compared")
    # means over the positions for every block: at the embeddings, the first position is the same in all rows
    views = [*(View("mean", i - count) for i in range(count)), View(start.pooling)]
    now = features(after, evidence.predictor.processor, evidence.recipe, inputs, views)
    was = features(before, start.processor, start.recipe, inputs, views)
    moved = moves(before, after)
    targets = np.asarray(chosen["labels"])
    return {
        "split": evidence.split,
        "n": len(inputs),
        "rows": [
            {
                "block": "embeddings" if i == 0 else f"block {i}",
                "cka": linear_cka(was[i], now[i]),
                "moved": moved.get(i),
            }
            for i in range(count)
        ],
        "logme": {"before": logme(was[-1], targets), "after": logme(now[-1], targets)},
    }


def hidden_states(model: nn.Module, processor: Any, recipe: Recipe, inputs: list[Any]) -> int:
    """The number of hidden states of a model, with that of the embeddings.

    Raises:
        BadInput: it returns none.
    """
    ((_, (found,)),) = batches(model, processor, inputs, recipe.the_task, _Count(bare(model)))
    if not found[0, 0]:
        raise BadInput(f"{type(model).__name__} returns no hidden states, so its blocks are not compared")
    return int(found[0, 0])


@dataclass(frozen=True)
class _Count:
    """Reads the number of hidden states off a model."""

    base: Any

    def on(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def __call__(self, batch: Mapping[str, Tensor]) -> list[Tensor]:
        outputs = self.base(**batch, output_hidden_states=True)
        return [torch.tensor([[len(getattr(outputs, "hidden_states", None) or ())]])]


def moves(before: Any, after: Any) -> dict[int, float]:
    """Depth -> relative distance of its weights from the start, the head left out."""
    depths = layers.depths(after, head.parameter_names(after))
    backbone = bare(after)
    prefix = next((f"{name}." for name, module in after.named_modules() if module is backbone and name), "")
    of_after = {name.removeprefix(prefix): value for name, value in after.named_parameters() if name.startswith(prefix)}
    at = {name: depths.of(f"{prefix}{name}") for name in of_after}
    at = {name: depth for name, depth in at.items() if depth < depths.head}
    return distances(dict(bare(before).named_parameters()), of_after, at)


def lines(found: dict[str, Any]) -> list[str]:
    """One line per block."""
    said = []
    for row in found["rows"]:
        moved = "" if row["moved"] is None else f", weights moved by {row['moved']:.1%}"
        said.append(f"{row['block']}: CKA with the start {row['cka']:.3f}{moved}")
    return [
        *said,
        f"LogME of the last features: {found['logme']['before']:.3f} before, {found['logme']['after']:.3f} after",
    ]
