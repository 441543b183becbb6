"""From rows to model inputs: texts tokenised once, images decoded when read, both augmented when read, batches padded to fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datasets.fingerprint import Hasher

from hfft.data.load import Splits
from hfft.data.masking import MaskStep
from hfft.data.patch_masks import MaskedCollate, MaskedTargets, PatchMasks
from hfft.data.spec import Data
from hfft.data.stream import Stream
from hfft.tasks.labels import Labels
from hfft.tasks.table import Task

VERSION = 2  # version of a modality's preprocessing: the cache identifies the tokenizer, not the function


@dataclass(frozen=True)
class Prepared:
    """What a Trainer needs: the three splits, the collator, and the preprocessing that is left for the device.

    Attributes:
        on_device: a batch on the device -> the model's inputs.
    """

    train: Any
    validation: Any
    test: Any
    collate: Callable[[Any], dict[str, Any]]
    on_device: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def items(self) -> list[tuple[str, Any]]:
        """(name, inputs) of the held-out splits."""
        return [
            (name, rows) for name, rows in (("validation", self.validation), ("test", self.test)) if rows is not None
        ]


def prepare(
    splits: Splits,
    data: Data,
    task: Task,
    labels: Labels,
    processor: Any,
    seed: int = 42,
    masks: PatchMasks | None = None,
) -> Prepared:
    """Model inputs of every split. Maps are cached: call it on one process per machine first, then on the others.

    Args:
        masks: what is hidden of each image, in masked image modelling.

    Raises:
        DataError: an image cannot be decoded or a text is missing; the message names split and row.
    """
    inputs, ready = task.modality.inputs, dict[str, Any]()
    on_device = inputs.on_device(processor)
    known = Hasher.hash((VERSION, processor, splits.columns, task.labelled))  # once for all splits
    for name, rows in splits.items():
        train, source = name == "train", splits.source.get(name, name)
        draws = None if task.labelled else MaskStep(seed, train)
        augment = inputs.augmentation(data) if train else ()
        step = inputs.step(processor, splits.columns, source, seed, augment, on_device, draws)
        if name in splits.stored:
            buffer = data.shuffle_buffer if train else 0
            ready[name] = Stream(splits.stored[name], splits.sizes[name], step.of_cells, buffer, seed)
        else:
            ready[name] = inputs.rows(rows, step, known, splits.content.get(name))
    collate = inputs.collate(processor, labels.problem, None if task.labelled else data.mlm_probability)
    if masks is not None:
        collate, on_device = MaskedCollate(collate, masks), MaskedTargets(on_device, masks)
    return Prepared(ready["train"], ready.get("validation"), ready.get("test"), collate, on_device)
