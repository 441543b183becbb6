"""Answers what methods ask about the model and the rows of a training (`hfft.strategy.inspector`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hfft import layers
from hfft.errors import BadInput
from hfft.frozen_cache.cached_dataset import view_of
from hfft.train.answers import Answers, answers
from hfft.train.batches import some_rows
from hfft.train.companions import fetched
from hfft.train.kept_answers import kept_answers
from hfft.train.reader import Reader, last_layer
from hfft.train.unfreezing import SCALE


class TrainingInspector:
    """Answers for one Trainer.

    Args:
        source_head: returns the classifier with which the backbone was published; None if that is unknown.
        views: number of augmented views of each row that the frozen cache shows in turn; 0 if it shows none.
    """

    def __init__(self, trainer: Any, source_head: Callable[[], nn.Linear] | None, views: int):
        self.trainer, self._source_head, self.views = trainer, source_head, views

    def inputs_of(self, rows: Sequence[int], of: str | None = None) -> dict[str, Any]:
        """The inputs of rows with their labels, collated and on the device."""
        found = self.trainer.train_dataset if of is None else self.trainer.sets[of]
        collated = self.trainer.data_collator(fetched(found, np.asarray(rows, np.int64)))
        return dict(self.trainer._prepare_inputs(collated))

    def outputs_of(self, model: nn.Module) -> Answers:
        """The outputs of a model for all training rows, in each of the views that the frozen cache shows."""
        rows = self.trainer.train_dataset
        parts = [rows.in_epoch(view) for view in range(self.views)] or [rows]
        found = [answers(self.trainer, model, part, features=True) for part in parts]
        return Answers(*(torch.cat([getattr(one, name) for one in found]) for name in ("logits", "features", "labels")))

    def reader(self, model: nn.Module, features: bool = False, states: Sequence[int] = ()) -> Reader:
        """A reader of another model."""
        return Reader(model, features, states)

    def kept_logits(self, model: nn.Module) -> Tensor:
        """The logits of a model for all training rows and views."""
        return kept_answers(self.trainer, model, self.views)

    def place(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """Where rows are among all rows and views."""
        total = len(self.trainer.train_dataset)
        return rows + total * view_of(rows, epoch, total, self.views, self.trainer.args.seed) if self.views else rows

    def stored_logits(self, of: str) -> Sequence[Sequence[float]]:
        """The logits stored with a memory's rows."""
        found = getattr(self.trainer.sets[of], "stored_logits", None)
        if found is None:
            raise BadInput(
                f"data.sets.{of}: has no column logits, which strategy.der compares with; use strategy.replay"
            )
        widest = max(map(len, found))
        if widest > self.trainer.labels.size:
            raise BadInput(
                f"data.sets.{of}: has {widest} logits of a row, but the model has {self.trainer.labels.size}"
            )
        return found

    def sample(self) -> dict[str, Any]:
        """The inputs of two training rows."""
        collated = self.trainer.data_collator(some_rows(self.trainer.train_dataset, 2))
        return {name: value for name, value in self.trainer._prepare_inputs(collated).items() if name != "labels"}

    def blocks_of(self, model: nn.Module) -> list[nn.Module]:
        """The blocks of a model."""
        base: Any = next((module for module in model.modules() if isinstance(module, PreTrainedModel)), model)
        return [base.get_submodule(block[0]) for block in layers.block_paths(base)]

    def last_layer(self, model: nn.Module) -> nn.Module:
        """The head's last layer."""
        return last_layer(model)

    def source_head(self) -> nn.Linear:
        """The backbone's own classifier."""
        if self._source_head is None:
            raise BadInput("the backbone's own classifier is unknown; leave the method out")
        found, last = self._source_head(), last_layer(self.trainer.model)
        width = next(p.shape[1] for p in last.parameters() if p.ndim > 1)
        if found.in_features != width:
            raise BadInput(
                f"the backbone's own classifier reads {found.in_features} features, but the model has {width}; leave out "
                f"backbone.edit, or the method"
            )
        return found.to(self.trainer.args.device)

    def rates(self) -> dict[str, float]:
        """The learning rates that the optimiser has just used."""
        plain = self.trainer.accelerator.unwrap_model(self.trainer.model)
        names = {id(parameter): name for name, parameter in plain.named_parameters()}
        return {
            names[id(parameter)]: float(group["lr"]) * group.get(SCALE, 1.0)
            for group in self.trainer.optimizer.param_groups
            for parameter in group["params"]
            if id(parameter) in names
        }
