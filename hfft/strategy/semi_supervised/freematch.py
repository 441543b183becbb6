"""FreeMatch: thresholds that follow how sure the model is, and fair classes (Wang et al. 2023, arXiv:2205.07246)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from hfft.lazy import F, torch
from hfft.strategy.method import Method, MethodSpec, Pass, Setting
from hfft.strategy.semi_supervised.views import WeakAndStrong, checked, pseudo_label_loss
from hfft.strategy.tensors import from_all_processes
from hfft.strategy.weight import WeightSpec, is_zero

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hfft.strategy.method import At


class FreeMatch(MethodSpec):
    """FixMatch without a threshold to choose: it is the model's mean certainty, times how likely it finds each class.

    Attributes:
        on: the name of the set in `data.sets`; its labels are never used.
        ratio: the paper's mu, rows of the set read for each row of the task; the paper uses 7.
        momentum: share of the old averages kept in each step; the paper uses 0.999, which takes thousands of steps.
        fairness: factor of the term that makes the classes of sure rows as frequent as the model finds them; the paper uses
            0.001 to 0.1, and 0 leaves it out.
        weight: factor of the cross-entropy; the paper uses 1.
        strong: operations of the strong view, as for `fixmatch`.
    """

    main = "on"
    on: str
    ratio: int = Field(default=1, ge=1)
    momentum: float = Field(default=0.99, ge=0, lt=1)
    fairness: float = Field(default=0.01, ge=0)
    weight: WeightSpec = 1.0
    strong: Annotated[list[Any] | None, AfterValidator(checked)] = None

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        if is_zero(self.weight):
            return None
        return Fair(self) if self.fairness else SelfAdaptive(self)


class SelfAdaptive(WeakAndStrong):
    """Averages certainty, probabilities and the histogram of classes over the steps.

    The thresholds of a step are those from before it, so that they are the same for every split of its batch; the authors'
    code moves them first, by the batch of one process. They move after each step that is not skipped.
    """

    def start(self, setting: Setting) -> None:
        """Begin with a uniform guess."""
        super().start(setting)
        dtype = torch.promote_types(next(setting.model.parameters()).dtype, torch.float32)
        even = torch.full((self.outputs,), 1 / self.outputs, dtype=dtype, device=setting.device)
        self.certainty, self.p, self.histogram = even[:1].clone(), even.clone(), even.clone()
        self.step = -1
        self.seen: list[Tensor] = []  # predictions of the step's micro-batches

    def epoch(self, model: nn.Module, outputs_of: object, at: At) -> None:
        """Forget a trial step that was run before the training."""
        self.seen = []

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted cross-entropy. A recomputed step counts its rows once."""
        weak, key = seen.notes[self.name][: len(seen.labels)], f"{self.name} counted"
        if key not in seen.notes:
            seen.notes[key] = True
            if seen.at.step != self.step:
                self.step, self.seen = seen.at.step, []
            self.seen.append(weak.flatten(0, 1))
        threshold = adaptive_thresholds(self.certainty, self.p).to(weak)
        return {self.name: self.weight(seen.at) * pseudo_label_loss(self.strong(seen), weak, threshold)}

    def updated(self, model: nn.Module, at: At) -> None:
        """Move the averages by all rows of the step, those of other processes included."""
        p = from_all_processes(torch.cat([self.p[None, :][:0], *(part.to(self.p) for part in self.seen)]))
        self.seen = []
        keep, (sure, pseudo) = self.spec.momentum, p.max(1)
        counts = torch.bincount(pseudo, minlength=self.outputs).to(self.p)
        self.certainty = keep * self.certainty + (1 - keep) * sure.mean()
        self.p = keep * self.p + (1 - keep) * p.mean(0)
        self.histogram = keep * self.histogram + (1 - keep) * counts / counts.sum()

    def state(self) -> dict[str, Tensor]:
        """The averages."""
        return {"certainty": self.certainty, "p": self.p, "histogram": self.histogram}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the averages."""
        self.certainty, self.p = state["certainty"].to(self.certainty), state["p"].to(self.p)
        self.histogram = state["histogram"].to(self.histogram)


class Fair(SelfAdaptive):
    """Also the fairness of all rows of a step."""

    def statistic(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted fairness."""
        weak = seen.notes[self.name][: len(seen.labels)].flatten(0, 1)
        strong = self.strong(seen).flatten(0, 1)
        sure, pseudo = weak.max(1)
        counts = sure >= adaptive_thresholds(self.certainty, self.p).to(weak)[pseudo]
        value = fairness(strong, counts, self.p.to(weak), self.histogram.to(weak))
        return {"fairness": self.spec.fairness * self.weight(seen.at) * value}


def adaptive_thresholds(certainty: Tensor, p: Tensor) -> Tensor:
    """`(C,)` threshold of each class: mean certainty `(1,)` times its mean probability relative to the largest (equation 8)."""
    return certainty * p / p.max()


def fairness(strong: Tensor, counts: Tensor, p: Tensor, histogram: Tensor) -> Tensor:
    """`-H(p / histogram, q / h)`, both normalised to add up to 1, at most 0 (equation 11): scalar, 0 if no row counts.

    It raises an entropy: the smaller it is, the more even the predictions. A class that no view has gives log 1e-12, without
    a gradient. Both as in the authors' code, where the sign is on purpose (Semi-supervised-learning#182).

    Args:
        strong: logits of strong views `(N, C)`, from which q, their mean prediction, and h, their histogram, are made.
        counts: `(N,)` whether a view is sure enough.
        p, histogram: `(C,)` averages over the steps of the predictions for weak views.
    """
    mask = counts.to(strong)[:, None]
    total = mask.sum().clamp(min=1)
    probabilities = strong.softmax(1)
    mean = (probabilities * mask).sum(0) / total
    classes = F.one_hot(strong.argmax(1), strong.shape[1]).to(strong)
    wanted = _normal(_over(p, histogram))
    found = _normal(_over(mean, (classes * mask).sum(0) / total))
    return (wanted * torch.log(found + 1e-12)).sum() * (mask.sum() > 0)


def _over(above: Tensor, below: Tensor) -> Tensor:
    """The quotient; 0 where a class was never predicted, as in the authors' code."""
    return above * torch.where(below > 0, 1 / below.clamp(min=1e-30), torch.zeros_like(below)).detach()


def _normal(x: Tensor) -> Tensor:
    return x / x.sum().clamp(min=1e-12)
