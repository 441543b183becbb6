"""Load finished models as teachers for another model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hfft.errors import BadInput
from hfft.predict.predictor import load_predictor
from hfft.strategy.outputs import logits_of
from hfft.tasks.labels import Labels
from hfft.wording import listing


class Teacher(nn.Module):
    """A model that maps inputs to logits `(B, C)`, in the order of the student's classes."""

    def __init__(self, model: nn.Module, order: list[int] | None):
        super().__init__()
        self.model, self.order = model, order

    def extra_repr(self) -> str:
        """The order, which identifies stored outputs."""
        return f"order={self.order}"

    def forward(self, **inputs: Any) -> Tensor:
        """The logits."""
        logits = logits_of(self.model(**inputs))
        return logits if self.order is None else logits[:, torch.tensor(self.order, device=logits.device)]


def teachers(labels: Labels, processor: Any) -> Callable[[str], nn.Module]:
    """A function that loads a teacher by its run folder, model folder or hub id, for a student of these classes.

    It raises BadInput if the teacher has other classes or preprocesses its inputs in another way than the student.
    """

    def load(name: str) -> nn.Module:
        found = load_predictor(name)
        if differing := differences(processor, found.processor):
            raise BadInput(
                f"{name} preprocesses its inputs in another way than this model ({listing(differing, 3)}); choose a teacher with "
                f"the same processor"
            )
        names = tuple(found.model.config.id2label.values())
        if labels.names and set(names) != set(labels.names):
            raise BadInput(
                f"{name} has the classes {listing(names)}, not {listing(labels.names)}; choose a teacher with the same classes"
            )
        if len(names) != labels.size:
            raise BadInput(
                f"{name} has {len(names)} outputs, not {labels.size}; choose a teacher with the same outputs"
            )
        same = not labels.names or names == labels.names
        return Teacher(found.model, None if same else [names.index(name) for name in labels.names])

    return load


def differences(left: Any, right: Any) -> list[str]:
    """The settings in which two processors differ, if they make other inputs of the same row."""
    if hasattr(left, "get_vocab") != hasattr(right, "get_vocab"):
        return ["one reads texts, the other images"]
    if hasattr(left, "get_vocab"):
        found = [] if left.get_vocab() == right.get_vocab() else ["vocabulary"]
        return found + ([] if left("a B.")["input_ids"] == right("a B.")["input_ids"] else ["special tokens or case"])
    ours, theirs = (json.loads(processor.to_json_string()) for processor in (left, right))
    about = [key for key in ours if key.startswith(("do_", "image_", "size", "crop", "rescale", "resample"))]
    return [f"{key} {ours[key]}, not {theirs.get(key)}" for key in about if ours[key] != theirs.get(key)]
