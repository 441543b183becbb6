"""Make features on which two classifiers of the task agree (MCD; Saito et al. 2018, arXiv:1712.02560), in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.errors import BadInput
from hfft.lazy import F, torch
from hfft.strategy.method import TASK, Method, Pass, Setting
from hfft.strategy.shift.adversary import feature_width, network, reverse_gradient
from hfft.strategy.shift.target import TargetRows, TargetSpec
from hfft.strategy.weight import is_zero

if TYPE_CHECKING:
    from torch import Tensor, nn


class MCD(TargetSpec):
    """Train two classifiers to differ on the other set's rows, and the backbone to make them agree. It loses on ViTs.

    The paper alternates steps of two optimisers; here the gradient is reversed instead, and all are one step.

    Attributes:
        on: the name of the set in `data.sets`.
        ratio: rows of the set for each row of the task in a step.
        weight: factor of the classifiers' discrepancy.
    """

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else ClassifierDiscrepancy(self)


class ClassifierDiscrepancy(TargetRows):
    """Adds a second classifier, which learns the task at the head's rate and is not published, and minus the discrepancy."""

    needs = frozenset({"features", "unmixed"})
    problems = ("single_label_classification",)

    def start(self, setting: Setting) -> None:
        """Build the second classifier.

        Raises:
            BadInput: the head's last layer is not linear.
        """
        super().start(setting)
        first = setting.inspector.last_layer(setting.model)
        if not isinstance(first, torch.nn.Linear):
            raise BadInput(
                f"strategy.{self.name}: compares two linear classifiers, but the head's last layer is "
                f"{type(first).__name__}; set head.kind=linear"
            )
        self.first = first
        self.inside = torch.nn.ModuleDict({"second": network((feature_width(setting), setting.outputs), setting)})

    def modules(self) -> nn.ModuleDict:
        """The second classifier."""
        return self.inside

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The task loss of the second classifier, and minus the weighted discrepancy."""
        second = self.inside["second"]
        features = reverse_gradient(self.target(seen.features), 1.0)
        bias = None if self.first.bias is None else self.first.bias.to(features)
        found = discrepancy(F.linear(features, self.first.weight.to(features), bias), second(features))
        task = F.cross_entropy(second(seen.features[TASK]), seen.labels, reduction="none")
        return {"mcd_second": task, "mcd": -self.weight(seen.at) * self.row_means(found)}


def discrepancy(left: Tensor, right: Tensor) -> Tensor:
    """Mean absolute difference of two predictions, of logits `(B, C)`: `(B,)`, in [0, 2 / C]."""
    return (left.softmax(1) - right.softmax(1)).abs().mean(1)
