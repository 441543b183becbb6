"""The layers of one model as candidates: all hidden states from one forward pass."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from typing import Any

import torch

from hfft import layers
from hfft.errors import BadInput, ModelError
from hfft.eval_mode import eval_mode
from hfft.features.cache import Chosen
from hfft.features.extract import extract_views
from hfft.features.views import View
from hfft.rank.candidates import Candidate
from hfft.rank.measure import described, features_of, opened, seen_classes
from hfft.rank.model import RankedModel, few
from hfft.rank.sample import Sample
from hfft.rank.scores import scores
from hfft.rank.table import Row
from hfft.wording import first_line


def measured_layers(chosen: Candidate, sample: Sample) -> tuple[list[Row], list[str]]:
    """A row for each hidden state of a model, 0 the embeddings, and what a user should know of it.

    Parameters and time are those up to the layer, where the model's blocks are its layers.

    Raises:
        HfftError: it cannot be loaded, does not suit the data, or returns no hidden states.
    """
    model, rows = opened(chosen, sample)
    count = hidden_states(model)
    pooling = "mean" if model.pooling == "pooler" else model.pooling  # which reads the last layer only
    views = [View(pooling, i) for i in range(count)]
    found = features_of(model, rows, views)
    whole, costs = described(chosen, model, rows), up_to(model, rows, count - 1)
    made = []
    for i, features in enumerate(found):
        parameters, milliseconds = costs[i] if costs else (None, None)
        off = count - 1 - i
        line = chosen.line if not off else _cut(chosen, off) if costs and i else ""
        row = replace(whole, layer=i, line=line, pooling=pooling, width=features.shape[1])
        row = replace(row, parameters=parameters, bytes=None, milliseconds=milliseconds)
        try:
            row = replace(row, scores=scores(features, sample.targets, None, chosen.recipe.seed))
        except BadInput as error:  # such as a class token before the first block, which is the same for all rows
            row = replace(row, error=first_line(error))
        made.append(row)
    return made, seen_classes(chosen.name, model.classes, sample)


def _cut(chosen: Candidate, count: int) -> str:
    """The overrides that use the model without its last blocks; empty if it is edited already."""
    cut = shlex.quote(f"backbone.edit=[{{remove: last-{count}}}]")
    return "" if chosen.recipe.backbone.edit else f"{chosen.line} {cut}"


@torch.no_grad()
def hidden_states(model: RankedModel) -> int:
    """The number of hidden states that a model returns, with that of the embeddings.

    Raises:
        ModelError: it returns none.
    """
    network, task = model.network(model.loaded()), model.recipe.the_task
    device = next(network.parameters()).device
    blank = {name: value.to(device) for name, value in task.modality.inputs.blank(model.processor).items()}
    with eval_mode(network):
        outputs = network(**blank, output_hidden_states=True)
    model.clock.seconds, model.clock.rows = 0.0, 0  # this was no row
    states = getattr(outputs, "hidden_states", None)
    if not states:
        raise ModelError(f"{model.recipe.backbone.name} returns no hidden states; rank it without --layers")
    return len(states)


def up_to(model: RankedModel, rows: Any, blocks: int) -> list[tuple[int, float]] | None:
    """The parameters, and the milliseconds per row, from the input to each layer; None if blocks are not the layers."""
    whole = model.with_head
    if whole is None or (depths := layers.depths(whole)).blocks != blocks:
        return None
    ends = [0.0] * (blocks + 1)
    begun, handles = 0.0, []

    def begin(*_: Any) -> None:
        nonlocal begun
        begun = time.perf_counter()

    def end(number: int) -> Any:
        def hook(*_: Any) -> None:
            ends[number] += time.perf_counter() - begun

        return hook

    paths = layers.block_paths(whole)
    handles = [model.below.register_forward_pre_hook(begin)]
    handles.append(whole.get_submodule(paths[0][0]).register_forward_pre_hook(end(0)))
    handles += [whole.get_submodule(path[-1]).register_forward_hook(end(i + 1)) for i, path in enumerate(paths)]
    part = Chosen(rows, few(len(rows)))
    extract_views(model.loaded(), model.processor, part, model.recipe.the_task, [View("mean")])
    for handle in handles:
        handle.remove()
    sizes = [0] * (blocks + 1)
    for name, parameter in whole.named_parameters():
        if depths.of(name) <= blocks:
            sizes[depths.of(name)] += parameter.numel()
    return [(sum(sizes[: i + 1]), 1000 * ends[i] / len(part)) for i in range(blocks + 1)]
