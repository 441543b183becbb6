"""A pretrained model that answers for given classes: what it is made of, and the module that each way of answering shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig

from hfft.tasks.labels import Labels

KEY = "direct"  # the entry of a saved model's config that says how it answers


@dataclass(frozen=True)
class Answering:
    """A pretrained model as it is, with what makes it answer for the classes of the data.

    Attributes:
        model: a batch of inputs -> logits `(B, C)`; its `config` has the classes of the data as `id2label`.
        processor: the image processor or tokenizer that makes its inputs.
        hypotheses: a text for each class, with which every input is paired; the model then gives one logit for a pair, `(B, 1)`.
        how: how it answers, as a sentence goes on after "the model answers".
        plain: whether plain transformers, without hfft, gives the same answers with what `save` writes.
        notes: what a user should know of the classes, one line each.
        stands_for: class of the data -> what stands for it in the model: names of its outputs, or texts.
        save: writes the model into a folder.
    """

    model: Any
    processor: Any
    how: str
    save: Callable[[Path], None]
    plain: bool = False
    hypotheses: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    stands_for: dict[str, list[str]] = field(default_factory=dict)


class Around(nn.Module):
    """The base of modules around a published model that turn its outputs into those for the classes of the data."""

    def __init__(self, inner: Any, labels: Labels):
        super().__init__()
        self.inner = inner
        self.config = PretrainedConfig(id2label=labels.id2label, label2id=labels.label2id, problem_type=labels.problem)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.inner.parameters()).device


def save_as_published(inner: Any, says: Mapping[str, Any], processors: list[Any], folder: Path) -> None:
    """Write a published model unchanged, with a note in its config of how it answers for the classes of the data.

    Args:
        says: the note, as `answer.reloaded` reads it; `classes` becomes a list of pairs, since a config sorts its keys.
    """
    setattr(inner.config, KEY, {**says, "classes": [[name, what] for name, what in says["classes"].items()]})
    inner.save_pretrained(folder)
    for processor in processors:
        processor.save_pretrained(folder)
