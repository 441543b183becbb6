"""Make features together with predictions that do not tell two sets apart (CDAN; Long et al. 2018, arXiv:1705.10667)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import F, torch
from hfft.strategy.method import TASK, Method, Pass, Setting
from hfft.strategy.regularise.entropy import entropy
from hfft.strategy.shift.adversary import Adversary, AdversarySpec, feature_width
from hfft.strategy.weight import is_zero

if TYPE_CHECKING:
    from torch import Tensor


class CDAN(AdversarySpec):
    """Train a network to tell both sets apart by the products of the head's inputs and predictions, and the backbone against it.

    Attributes:
        on: the name of the set in `data.sets`.
        ratio: rows of the set for each row of the task in a step.
        weight: factor of the adversarial loss.
        alpha: how fast the reversed gradient grows over the run: its factor is `2 / (1 + exp(-alpha p)) - 1` at the fraction p.
        hidden: width of the two hidden layers of the network, which learns at the head's rate and is not published.
        entropy: give rows that are predicted with certainty up to twice the weight (CDAN+E).
        randomized_dim: replace the product by this many random ones; for features times classes above 4,096, the paper does so.
    """

    entropy: bool = False
    randomized_dim: int | None = Field(default=None, ge=1)

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else ConditionalAdversary(self)


class ConditionalAdversary(Adversary):
    """Adds the loss of a discriminator behind a reversed gradient; predictions have no gradient from it."""

    problems = ("single_label_classification",)
    spec: CDAN

    def widths(self, setting: Setting) -> Sequence[int]:
        """The widths of the network."""
        width, classes = feature_width(setting), setting.outputs
        into = width * classes if self.spec.randomized_dim is None else self.spec.randomized_dim
        return into, self.spec.hidden, self.spec.hidden, 1

    def start(self, setting: Setting) -> None:
        """Build the network, and draw the random products."""
        super().start(setting)
        if (into := self.spec.randomized_dim) is not None:
            like = next(self.inside.parameters())
            draw = torch.Generator().manual_seed(setting.seed)
            maps = torch.nn.Module()
            for name, width in (("features", feature_width(setting)), ("classes", setting.outputs)):
                drawn = torch.randn(width, into, generator=draw, dtype=torch.float64) / math.sqrt(math.sqrt(into))
                maps.register_buffer(name, drawn.to(like))
            self.inside["maps"] = maps

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted loss of the discriminator."""
        task, task_weight = self._scores(seen.logits[TASK], seen.features[TASK], seen)
        other, other_weight = self._scores(self.target(seen.logits), self.target(seen.features), seen)
        loss = (task_weight * F.softplus(-task) + self.row_means(other_weight * F.softplus(other))) / 2
        return {"cdan": self.weight(seen.at) * loss}

    def _scores(self, logits: Tensor, features: Tensor, seen: Pass) -> tuple[Tensor, Tensor]:
        """Scores of rows, high where they are taken for the task's, and their weights."""
        logits = logits.detach()
        features = self.reversed(features, seen.at)
        if "maps" in self.inside:
            maps = dict(self.inside["maps"].named_buffers())
            product = (features @ maps["features"]) * (logits.softmax(1) @ maps["classes"])
        else:
            product = multilinear(features, logits.softmax(1))
        weight = certainty(logits) if self.spec.entropy else torch.ones_like(logits[:, 0])
        return self.inside["network"](product).squeeze(1), weight


def multilinear(features: Tensor, probabilities: Tensor) -> Tensor:
    """All products of features `(B, D)` and probabilities `(B, C)`: `(B, C * D)`."""
    return (probabilities[:, :, None] * features[:, None]).flatten(1)


def certainty(logits: Tensor) -> Tensor:
    """`1 + exp(-entropy)` of each prediction, of logits `(B, C)`: `(B,)`, in (1, 2].

    As in the paper's equation 6; the authors' code also divides by its mean over the batch.
    """
    return 1 + torch.exp(-entropy(logits))
