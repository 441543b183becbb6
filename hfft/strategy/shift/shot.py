"""Adapt a finished model to unlabelled rows without its training data (SHOT; Liang, Hu, Feng 2020, arXiv:2002.08546)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hfft.lazy import F, torch
from hfft.strategy.method import TASK, At, Inner, Method, MethodSpec, Pass, Setting
from hfft.strategy.regularise.entropy import entropy

if TYPE_CHECKING:
    from torch import Tensor


class SHOT(MethodSpec):
    """Make predictions certain and diverse, and near pseudo-labels of class centres. The head stays as it is.

    Attributes:
        pseudo: factor of the cross-entropy to the pseudo-labels, which are found again before each epoch; 0 is SHOT-IM.
        diversity: factor of the entropy of the mean prediction, which is raised; 0 if classes may be absent.
        threshold: classes that fewer rows are predicted as get no pseudo-labels.
    """

    main = "pseudo"
    pseudo: float = Field(default=0.3, ge=0)
    diversity: float = Field(default=1.0, ge=0)
    threshold: int = Field(default=0, ge=0)

    def build(self) -> Method:
        """The method, which replaces the task loss."""
        return Hypothesis(self)


class Hypothesis(Method):
    """Learns from the predictions of the task's rows; their labels are never read."""

    needs = frozenset({"head", "fixed_head", "no_labels", "features", "rows", "unmixed"})
    problems = ("single_label_classification",)
    replaces_loss = True

    def __init__(self, spec: SHOT):
        self.spec = spec
        self.labels: Tensor | None = None  # (rows,) pseudo-labels of the current epoch

    def start(self, setting: Setting) -> None:
        """Remember the device."""
        self.device = setting.device

    def epoch(self, model: Any, outputs_of: Callable[..., Any], at: At) -> None:
        """Find the pseudo-label of each row."""
        if self.spec.pseudo:
            found = outputs_of("train")
            self.labels = pseudo_labels(found.features, found.logits, self.spec.threshold).to(self.device)

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The entropy of each row's prediction, in place of the loss of its label."""
        found = entropy(logits)
        return found if labels.ndim == 1 else found[:, None].expand(labels.shape)

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted cross-entropy to the pseudo-labels."""
        if self.labels is None:
            return {}
        mine = self.labels[torch.from_numpy(seen.rows).to(self.labels.device)]
        return {"shot_pseudo": self.spec.pseudo * F.cross_entropy(seen.logits[TASK], mine, reduction="none")}

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The entropy of the mean prediction, negative and weighted."""
        return {"shot_diversity": -self.spec.diversity * diversity(seen.logits[TASK])}

    def state(self) -> dict[str, Tensor]:
        """The pseudo-labels, for a run that is resumed within an epoch."""
        return {} if self.labels is None else {"labels": self.labels}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore them."""
        self.labels = state["labels"].to(self.device) if "labels" in state else None


def diversity(logits: Tensor) -> Tensor:
    """Entropy of the mean prediction in nats, of logits `(N, C)`: in [0, log C]."""
    mean = logits.softmax(1).mean(0)
    return -(mean * torch.log(mean + 1e-5)).sum()


def pseudo_labels(features: Tensor, logits: Tensor, threshold: int = 0) -> Tensor:
    """The class whose centre is nearest by cosine, `(N,)`: centres of soft predictions, then of the labels so found.

    Args:
        features: `(N, D)`, to which a 1 is appended, as in the authors' code.
        logits: `(N, C)`.
        threshold: only classes that more rows are predicted as are given; every class if none is.
    """
    p = logits.double().softmax(1)
    x = F.normalize(torch.cat([features.double(), torch.ones_like(p[:, :1])], 1), dim=1)
    present = torch.bincount(p.argmax(1), minlength=p.shape[1]) > threshold
    if not present.any():
        present = torch.ones_like(present)
    weights = p
    for _ in range(2):
        centres = weights.T @ x / (weights.sum(0)[:, None] + 1e-8)
        likeness = x @ F.normalize(centres, dim=1).T
        found = likeness.masked_fill(~present, -torch.inf).argmax(1)
        weights = F.one_hot(found, p.shape[1]).to(p)
    return found
