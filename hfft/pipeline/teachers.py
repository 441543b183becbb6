"""Load finished models as teachers for another model."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hfft.data import Prepared, Splits
from hfft.errors import BadInput
from hfft.pipeline import rows
from hfft.predict.predictor import Predictor, load_predictor
from hfft.recipe import Recipe
from hfft.strategy.outputs import logits_of
from hfft.tasks.labels import Labels
from hfft.wording import listing


class Teacher(nn.Module):
    """A model that maps inputs to logits `(B, C)`, in the order of the student's classes.

    Args:
        order: the classes in the student's order, as numbers of its own; None if both are the same.
        differing: settings in which its tokenizer differs from the student's; then it cannot read the student's inputs.
        prepare: makes inputs of its own of all rows, if they differ.
    """

    def __init__(
        self,
        model: nn.Module,
        order: list[int] | None,
        differing: Sequence[str] = (),
        prepare: Callable[[], Prepared] | None = None,
    ):
        super().__init__()
        self.model, self.order, self.differing = model, order, tuple(differing)
        self._prepare = prepare

    @functools.cached_property
    def prepared(self) -> Prepared | None:
        """All rows as inputs of its own; None if it reads the student's."""
        return None if self._prepare is None else self._prepare()

    def extra_repr(self) -> str:
        """The order, which identifies stored outputs."""
        return f"order={self.order}"

    def forward(self, **inputs: Any) -> Tensor:
        """The logits."""
        logits = logits_of(self.model(**inputs))
        return logits if self.order is None else logits[:, torch.tensor(self.order, device=logits.device)]


def teachers(
    labels: Labels, processor: Any, prepare: Callable[[Predictor], Prepared] | None = None
) -> Callable[[str], nn.Module]:
    """A function that loads a teacher by its run folder, model folder or hub id, for a student of these classes.

    It raises BadInput if the teacher has other classes, or preprocesses its inputs in another way than the student and can
    have none of its own.

    Args:
        prepare: makes inputs of all rows for a model with another tokenizer.
    """

    def load(name: str) -> nn.Module:
        found = load_predictor(name)
        differing = differences(processor, found.processor)
        texts = hasattr(processor, "get_vocab") and hasattr(found.processor, "get_vocab")
        own = functools.partial(prepare, found) if differing and texts and prepare is not None else None
        if differing and own is None:
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
        order = None if same else [names.index(name) for name in labels.names]
        return Teacher(found.model, order, differing, own)

    return load


def prepared_for(recipe: Recipe, splits: Splits, labels: Labels) -> Callable[[Predictor], Prepared]:
    """A function that makes inputs of a recipe's rows for a finished model: as they are stored, not augmented."""

    def prepare(found: Predictor) -> Prepared:
        task, plain = recipe.the_task, recipe.data.model_copy(update={"augment": []})
        task.modality.inputs.set_limit(found.processor, found.model, None)
        return rows.prepare(recipe.model_copy(update={"data": plain}), splits, labels, found.processor)

    return prepare


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
