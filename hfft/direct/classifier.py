"""A model with a head of its own, narrowed to the classes of the data, or with its classes summed into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hfft.direct.base import Answering, Around, save_as_published
from hfft.direct.class_names import Sources, describe
from hfft.head import output_parameters
from hfft.strategy import logits_of
from hfft.tasks.labels import Labels

KIND = "sum"


class Summed(Around):
    """A classifier whose classes are summed into others: the logit of a class is the log of its outputs' summed `exp`.

    The softmax over them is the sum of the probabilities, divided by that of all outputs that stand for any class.
    """

    def __init__(self, inner: Any, labels: Labels, places: Sequence[Sequence[int]]):
        super().__init__(inner, labels)
        self.places = [torch.tensor(of_class) for of_class in places]

    def forward(self, **batch: Any) -> Tensor:
        """Logits `(B, C)` of the classes of the data."""
        logits = logits_of(self.inner(**batch)).float()
        return torch.stack([logits[:, places.to(logits.device)].logsumexp(1) for places in self.places], 1)


def own_head(model: PreTrainedModel, processor: Any, labels: Labels, found: Sources) -> Answering:
    """A classifier that answers for the classes of the data with the outputs that stand for them.

    Args:
        model: with the head that it was published with; it is changed in place.
        labels: the classes of the data.
        found: the outputs for each of them.
    """
    outputs = [model.config.id2label[i] for i in range(model.config.num_labels)]
    stands_for = {name: [outputs[i] for i in places] for name, places in found.items()}
    plainly = all(names == [name] for name, names in stands_for.items())
    says: dict[str, Any] = {"notes": describe(found, outputs), "stands_for": {} if plainly else stands_for}
    first = [places[0] for places in found.values()]
    if all(len(places) == 1 for places in found.values()) and narrow(model, first):
        rename(model, labels)
        whole = first == list(range(len(outputs)))
        how = "with its own head" if whole else f"with its own head, narrowed to {len(first)} of {len(outputs)} classes"
        return Answering(model, processor, how, partial(_save, model, processor), plain=True, **says)
    return summed(model, processor, labels, list(found.values()), **says)


def summed(model: Any, processor: Any, labels: Labels, places: list[list[int]], **more: Any) -> Answering:
    """A classifier with its classes summed into those of the data.

    Args:
        places: outputs of the model for each class.
        more: further attributes of the result.
    """
    says = {"kind": KIND, "problem": labels.problem, "classes": dict(zip(labels.names, places, strict=True))}
    save = partial(save_as_published, model, says, [processor])
    how = (
        f"with its own head, {sum(map(len, places))} of its {model.config.num_labels} classes summed into {len(places)}"
    )
    return Answering(Summed(model, labels, places).eval(), processor, how, save, **more)


def with_numbers(model: PreTrainedModel, processor: Any, labels: Labels) -> Answering:
    """A regression, whose outputs are numbers without names."""
    model.config.problem_type = labels.problem
    return Answering(model, processor, "with its own head", partial(_save, model, processor), plain=True)


def _save(model: PreTrainedModel, processor: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def rename(model: PreTrainedModel, labels: Labels) -> None:
    """Give a model's outputs the names of the data's classes."""
    model.config.id2label, model.config.label2id = labels.id2label, labels.label2id
    model.config.problem_type = labels.problem
    if hasattr(model, "num_labels"):
        model.num_labels = labels.size


@torch.no_grad()
def narrow(model: PreTrainedModel, places: Sequence[int]) -> bool:
    """Keep these outputs of a model's head only, in this order; returns whether its last layer could be cut so.

    The softmax of what is left is the old one, divided by its sum over these outputs.
    """
    if list(places) == list(range(model.config.num_labels)):
        return True
    last = output_parameters(model)
    layers: Mapping[str, nn.Module] = {name: model.get_submodule(name.rpartition(".")[0]) for name in last}
    known = {nn.Linear: "out_features", nn.Conv2d: "out_channels"}
    if not last or any(type(layer) not in known or last[name] != 0 for name, layer in layers.items()):
        return False
    for name, layer in layers.items():
        parameter = layer.get_parameter(name.rpartition(".")[2])
        setattr(layer, name.rpartition(".")[2], nn.Parameter(parameter[list(places)].clone()))
        setattr(layer, known[type(layer)], len(places))
    return True
