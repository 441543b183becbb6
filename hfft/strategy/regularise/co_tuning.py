"""Keep training the backbone's own classifier, on labels translated to its classes (Co-Tuning; You et al. 2020, NeurIPS)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hfft.lazy import F, torch
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Pass, Setting
from hfft.strategy.weight import Weight, WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor, nn


class CoTuning(MethodSpec):
    """Train the backbone's own classifier beside the new one. Its targets are the classes it gave to rows of the same label.

    Attributes:
        weight: factor of its loss; the authors use 2.3.
    """

    main = "weight"
    weight: WeightSpec = 2.3

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else Translated(self)


class Translated(Method):
    """Adds the cross-entropy of the backbone's own classifier, which learns at the head's rate and is not published.

    The relationship of the classes is the paper's direct estimate, from the training rows and the pretrained model. The
    paper calibrates the classifier first, on validation rows of its own task, which are not at hand.
    """

    needs = frozenset({"features", "source_head", "rows", "labels"})
    problems = ("single_label_classification",)

    def __init__(self, spec: CoTuning):
        self.spec, self.weight = spec, Weight(spec.weight, default=2.3)

    def start(self, setting: Setting) -> None:
        """Take the classifier, and relate its classes to the labels.

        Raises:
            BadInput: the backbone has no classifier that fits.
        """
        head = setting.source_head("co_tuning")
        found = setting.inspector.outputs_of(setting.model)
        with torch.no_grad():
            logits = head.float()(found.features.to(setting.device))
        self.relation = relationship(logits.softmax(1), found.labels.to(setting.device), setting.outputs)
        precise = torch.promote_types(next(setting.model.parameters()).dtype, torch.float32)
        self.beside = torch.nn.ModuleDict({"head": head.to(precise)})

    def modules(self) -> nn.ModuleDict:
        """The backbone's own classifier."""
        return self.beside

    def batch(self, batch: Batch) -> None:
        """Keep the labels of the rows, with their shares if the rows are mixed."""
        batch.notes[self.name] = [(t.labels, t.factor) for t in batch.targets if t.part == TASK]

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted cross-entropy."""
        logits, n = self.beside["head"](seen.features[TASK]), len(seen.labels)
        loss = torch.zeros(n, dtype=logits.dtype, device=logits.device)
        for labels, factor in seen.notes[self.name]:
            part = co_tuning(logits, self.relation[labels[:n]])
            loss = loss + (part if factor is None else part * factor[:n])
        return {"co_tuning": self.weight(seen.at) * loss}

    def state(self) -> dict[str, Tensor]:
        """The relationship."""
        return {"relation": self.relation}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore it."""
        self.relation = state["relation"].to(self.relation.device)


def relationship(probabilities: Tensor, labels: Tensor, classes: int) -> Tensor:
    """`p(y_source | y_target)`: the mean prediction for the rows of each label.

    Args:
        probabilities: `(N, S)`, of the backbone's own classifier.
        labels: `(N,)`, of the new task's `classes`.

    Returns:
        `(classes, S)`; for a label without rows, the mean over all rows.
    """
    one_hot = F.one_hot(labels, classes).to(probabilities)
    counts = one_hot.sum(0)[:, None]
    return torch.where(counts > 0, one_hot.T @ probabilities / counts.clamp(min=1), probabilities.mean(0))


def co_tuning(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy `-sum p log q` of logits `(B, S)` and target probabilities `(B, S)`: `(B,)`."""
    return -(targets.to(logits) * F.log_softmax(logits, 1)).sum(1)
