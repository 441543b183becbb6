"""Replace a pretrained head by a new one: new weights, zeros, or the rows of classes that both tasks share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedModel

from hfft.errors import ModelError
from hfft.head.find_head import output_parameters, parameter_names
from hfft.wording import listing

if TYPE_CHECKING:
    from hfft.head.spec import Head

_FLAG = "_is_hf_initialized"  # transformers' initialisers skip tensors with this flag


@torch.no_grad()
def replace(model: PreTrainedModel, head: Head, known: Mapping[str, Mapping[str, torch.Tensor]] | None = None) -> int:
    """Replace the model's head in place, with the architecture's own initialisation; returns the number of rows kept.

    Args:
        head: `init: zeros` sets the last layer to zero, so that the first loss is that of a uniform guess.
        known: class name -> head tensor name -> its row in the pretrained head, as returned by `rows`; classes of the new
            task found here keep their rows (`keep_known`), and with them the head's earlier layers.

    Raises:
        ModelError: `keep_known` is set and no class is shared.
    """
    last, names = output_parameters(model), parameter_names(model, head.new)
    if head.keep_known:  # rows are useful only after the layers they were trained with, so the rest of the head is kept
        names = {*last, *(names - parameter_names(model))}
    reinitialise(model, names)
    parameters = dict(model.named_parameters())
    if head.init == "zeros":
        for name in last:
            parameters[name].zero_()
    if not head.keep_known:
        return 0
    classes = [model.config.id2label[i] for i in range(model.config.num_labels)]
    shared = [name for name in classes if name in (known or {})]
    if not shared:
        raise ModelError(
            f"head.keep_known: the pretrained head has {listing(known or ['no named class'])} and the task has "
            f"{listing(classes)}; no class is shared; leave keep_known out"
        )
    assert known is not None
    for label in shared:
        for name, dim in last.items():
            if known[label][name].shape != parameters[name].select(dim, 0).shape:
                raise ModelError(
                    "head.keep_known: backbone.edit changed the width of the features; leave keep_known out"
                )
            parameters[name].select(dim, classes.index(label)).copy_(known[label][name])
    return len(shared)


@torch.no_grad()
def reinitialise(model: PreTrainedModel, names: set[str]) -> None:
    """Initialise the named tensors as the architecture does for an untrained model; all others are unchanged."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    within = {""} | {name[:i] for name in names for i, letter in enumerate(name) if letter == "."}
    for name, tensor in tensors.items():
        setattr(tensor, _FLAG, name not in names)
    try:
        # From the leaves up, as transformers does: a model may initialise its head differently from other layers of that class.
        for path, module in reversed(list(model.named_modules())):
            if path in within:
                model._init_weights(module)
    finally:
        for tensor in tensors.values():
            delattr(tensor, _FLAG)


def rows(model: PreTrainedModel) -> dict[str, dict[str, torch.Tensor]]:
    """Class name -> head tensor name -> row, for a model that still has its pretrained head."""
    parameters = dict(model.named_parameters())
    last = output_parameters(model)
    return {
        label: {name: parameters[name].detach().select(dim, i).clone() for name, dim in last.items()}
        for i, label in model.config.id2label.items()
        if i < model.config.num_labels
    }
