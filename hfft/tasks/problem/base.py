"""What every problem answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.tasks.measure import Measure

if TYPE_CHECKING:
    from torch import Tensor


class Problem:
    """A kind of target.

    Attributes:
        name: the `problem_type` of a recipe.
        classes: whether exactly one of several classes is right.
        multi_label: whether each of several classes is right or not.
        per_token: whether there is an answer for each token: evaluation then keeps the loss and the number of targets
            of a row in place of its logits and labels.
        fewest_outputs: how many outputs a model has at least.
        unit: what the loss is measured in.
        metrics: what it can be scored by beside the loss: name -> where that is computed.
        default_metrics: what is scored where a recipe does not say.
    """

    name: str
    classes: bool = False
    multi_label: bool = False
    per_token: bool = False
    fewest_outputs: int = 2
    unit: str = "nats"
    metrics: dict[str, Measure]
    default_metrics: tuple[str, ...]

    @property
    def class_names(self) -> bool:
        """Whether the outputs are classes with names."""
        return self.classes or self.multi_label

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Summed loss over the targets of each row, `(B,)`, in float32 or the logits' higher precision."""
        raise NotImplementedError

    def targets(self, labels: Tensor) -> Tensor:
        """Number of targets of each row, `(B,)`: what summed losses are divided by, once, over the global batch."""
        return torch.ones(len(labels), device=labels.device)

    def count(self, labels: Tensor) -> Tensor:
        """Number of targets of a batch, a scalar tensor where the labels are; to bring a number would make a GPU wait."""
        return torch.full((), len(labels), device=labels.device)

    def divergence(self, p: Tensor, q: Tensor) -> Tensor:
        """Kullback-Leibler divergence of the answer `q` from the answer `p`, both logits, of each row: `(B,)`."""
        raise NotImplementedError

    def probabilities(self, logits: Tensor) -> Tensor:
        """What a model's logits answer, in the shape of the logits."""
        raise NotImplementedError

    def describe(self, row: Tensor, names: Mapping[int, str]) -> dict[str, str]:
        """What is told of one answer, `probabilities` of one row: `label` and `probability`, or `value`."""
        chosen = self.chosen(row)
        return {
            "label": "|".join(names[i] for i in chosen),
            "probability": "|".join(f"{row[i]:.6f}" for i in chosen),
        }

    def chosen(self, row: Tensor) -> list[int]:
        """The classes that an answer names."""
        raise NotImplementedError

    def answers(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What metrics are fed of a batch, a few numbers per row: `predictions` and `references`, and what else they ask for.

        `losses` and `targets`, `(B,)` each, are among them in every problem.
        """
        return {"losses": self.loss(logits, labels), "targets": self.targets(labels)}

    def uniform(self, outputs: int) -> float | None:
        """The loss of a row whose logits are all zero, in nats; None where that means nothing."""
        return None


def precise(logits: Tensor) -> Tensor:
    """Logits in float32 at least: half precision loses what a loss is made of."""
    return logits if logits.dtype == torch.float64 else logits.float()


LOG_2 = math.log(2)
