"""A head that no step trains: whenever the model is scored or saved, it is fitted on the features of all training rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.strategy.average.means import in_place
from hfft.strategy.method import At, Inner, Method, Setting

if TYPE_CHECKING:
    from torch import Tensor, nn


class FittedHead(Method):
    """The base of methods whose loss reads features alone. Checkpoints contain the head as it was at the start."""

    needs = frozenset({"features", "counts", "unmixed"})
    problems = ("single_label_classification",)
    replaces_loss = True
    learns_logits = False

    def start(self, setting: Setting) -> None:
        """Find the head's last layer, and check that something learns.

        Raises:
            BadInput: the head's last layer is not linear, or everything but it is frozen.
            DataError: a class has no rows.
        """
        assert setting.class_ids is not None
        setting.counts_above_zero(self.name, "the head cannot be fitted to it")
        self.class_ids, self.setting = np.asarray(setting.class_ids), setting
        last = setting.inspector.last_layer(setting.model)
        if not isinstance(last, torch.nn.Linear) or last.bias is None:
            raise BadInput(
                f"strategy.{self.name}: fits a linear head with a bias, but the head's last layer is {type(last).__name__}; "
                "set head.kind=linear"
            )
        named = {id(p): name for name, p in setting.model.named_parameters()}
        self.weight_name, self.bias_name = named[id(last.weight)], named[id(last.bias)]
        if not any(
            p.requires_grad
            for name, p in setting.model.named_parameters()
            if name not in (self.weight_name, self.bias_name)
        ):
            raise BadInput(
                f"strategy.{self.name}: the head is fitted on the features, and all that they come from is frozen; set "
                "layers.train, or use: classifier"
            )

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """Zero: the logits do not matter; their gradient of zero keeps every parameter in the graph."""
        zero = logits.sum(1) * 0
        return zero if labels.ndim == 1 else zero[:, None].expand(labels.shape)

    def fit(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The weight `(C, D)` and bias `(C,)` of the head, from features `(N, D)` and labels `(N,)`."""
        raise NotImplementedError

    @contextlib.contextmanager
    def scored(self, model: nn.Module) -> Iterator[None]:
        """The head is fitted on what the model computes now."""
        found = self.setting.inspector.outputs_of(model)
        weight, bias = self.fit(found.features.double(), found.labels)
        with in_place(model, {self.weight_name: weight, self.bias_name: bias}):
            yield


def squared_distances(x: Tensor, centres: Tensor) -> Tensor:
    """`(N, C)` from `(N, D)` and `(C, D)`: exact sums of squares, whose gradient is finite at 0, unlike that of `cdist`."""
    return (x[:, None] - centres[None]).square().sum(2)


def class_means(x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The mean of each class's rows, `(C, D)`, from `(N, D)` and `(N,)`; zeros for a class without rows."""
    sums = torch.zeros(classes, x.shape[1], dtype=x.dtype, device=x.device).index_add(0, labels, x)
    return sums / torch.bincount(labels, minlength=classes).clamp(min=1).to(x.dtype)[:, None]
