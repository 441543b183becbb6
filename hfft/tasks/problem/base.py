"""What every problem defines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.tasks.measure import Measure
from hfft.tasks.problem.shown import UNKNOWN, Shown, rounded

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

PLAIN = Shown()


class Problem:
    """A kind of target.

    Attributes:
        name: the `problem_type` of a recipe.
        classes: whether exactly one of several classes is right.
        multi_label: whether each of several classes can be right or not.
        per_token: whether there is a target for each token or patch: evaluation then stores the loss and the number of targets of
            each row instead of its logits and labels.
        fewest_outputs: minimum number of outputs of a model.
        unit: unit of the loss.
        metrics: available metrics besides the loss: name -> where it is computed.
        default_metrics: metrics that are computed if the recipe names none.
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
        """Whether the outputs are named classes."""
        return self.classes or self.multi_label

    def empty_label(self, outputs: int) -> Any:
        """The label of a row without one, which is never read: as a table holds it."""
        return [0.0] * max(outputs, 1)

    def label_tensor(self, values: np.ndarray) -> Tensor:
        """The labels `(B, C)` of a batch as `loss` takes them: numbers, `(B, C)` float32."""
        return torch.from_numpy(values.astype("float32"))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Summed loss over the targets of each row, `(B,)`, in float32 or the logits' higher precision."""
        raise NotImplementedError

    def targets(self, labels: Tensor) -> Tensor:
        """Number of targets of each row, `(B,)`; summed losses are divided once by its sum over the global batch."""
        return torch.ones(len(labels), device=labels.device)

    def count(self, labels: Tensor) -> Tensor:
        """Number of targets of a batch, as a scalar tensor on the labels' device: reading it back would make a GPU wait."""
        return torch.full((), len(labels), device=labels.device)

    def divergence(self, p: Tensor, q: Tensor) -> Tensor:
        """Kullback-Leibler divergence KL(p ‖ q) of each row between two predictions given as logits: `(B,)`."""
        raise NotImplementedError

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities or values from a model's logits, in the same shape."""
        raise NotImplementedError

    def describe(self, row: Tensor, names: Mapping[int, str], shown: Shown = PLAIN) -> dict[str, Any]:
        """How one prediction is reported, from `probabilities` of one row: `label` and `probability`, or `value`.

        Several classes or values are lists; numbers have six digits.
        """
        if shown.top_k is None:
            places = self.chosen(row, names, shown)
        else:
            places = row.argsort(descending=True, stable=True)[: shown.top_k].tolist()
        labels, values = [names[i] for i in places], [rounded(row[i].item()) for i in places]
        if shown.surest_below is not None and row.max() < shown.surest_below:
            labels, values = [UNKNOWN], [rounded(row.max().item())]
        one = self.classes and shown.top_k is None
        found: dict[str, Any] = {"label": labels[0] if one else labels, "probability": values[0] if one else values}
        if shown.probabilities:
            found["probabilities"] = {names[i]: rounded(value) for i, value in enumerate(row.tolist())}
        return found

    def check_shown(self, shown: Shown, names: Mapping[int, str]) -> None:
        """Raise BadInput if predictions of this kind have nothing of what is to be reported."""
        if shown.selects and not self.multi_label:
            raise BadInput(
                "--threshold: is for multi-label models, but the model gives one class per row; leave it out"
            )
        if shown.selects and shown.top_k is not None:
            raise BadInput("--threshold: --top-k already selects the classes; leave one of them out")
        shown.check_names(names.values())

    def chosen(self, row: Tensor, names: Mapping[int, str], shown: Shown) -> list[int]:
        """The classes that a prediction selects."""
        raise NotImplementedError

    def answers(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The inputs of metrics for a batch, a few numbers per row: `predictions`, `references`, and what else the metrics need.

        `losses` and `targets`, `(B,)` each, are included in every problem.
        """
        return {"losses": self.loss(logits, labels), "targets": self.targets(labels)}

    def uniform(self, outputs: int) -> float | None:
        """The loss of a row whose logits are all zero, in nats; None if that is not meaningful."""
        return None


def precise(logits: Tensor) -> Tensor:
    """Logits in float32 at least: half precision is too coarse for a loss."""
    return logits if logits.dtype == torch.float64 else logits.float()


LOG_2 = math.log(2)
