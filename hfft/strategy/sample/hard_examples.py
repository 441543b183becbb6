"""Draw the rows with the highest loss again: hard example mining of whole epochs (Shrivastava et al. 2016, arXiv:1604.03540).

The paper selects within a batch and leaves easy rows out; here every row is kept, and the hard ones are drawn twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from hfft.strategy.method import At, Method, MethodSpec, Setting

if TYPE_CHECKING:
    from torch import Tensor, nn


class HardExamples(MethodSpec):
    """Each epoch has every row once, and those with the highest loss when it begins once more.

    Attributes:
        share: rows that are drawn again, as a fraction of all; an epoch takes longer by this, and by a forward pass over all.
        after: number of epochs in which the additional rows are random ones, while a new head learns what is hard.
    """

    main = "share"
    share: float = Field(default=0.25, ge=0, le=1)
    after: int = Field(default=1, ge=0)

    def build(self) -> Method | None:
        """The sampler; None if share is 0."""
        return HardAgain(self) if self.share else None


class HardAgain(Method):
    """Computes the loss of all rows before each epoch, and sets the order of rows."""

    needs = frozenset({"labels"})
    problems = ("single_label_classification", "multi_label_classification", "regression")

    def __init__(self, spec: HardExamples):
        self.spec, self.begins = spec, spec.after
        self.row_losses: Tensor | None = None  # (rows,) when the current epoch began

    def start(self, setting: Setting) -> None:
        """Remember the number of rows."""
        assert setting.rows is not None
        self.rows, self.problem = setting.rows, setting.problem

    def epoch(self, model: nn.Module, outputs_of: Callable[..., Any], at: At) -> None:
        """Compute the loss of each row."""
        if at.epoch >= self.spec.after:
            found = outputs_of("train", features=False)
            self.row_losses = self.problem.loss(found.logits, found.labels)

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """All rows and the hardest ones again, in random order."""
        losses = None if self.row_losses is None or epoch < self.spec.after else self.row_losses.numpy()
        return hard_order(losses, self.rows, self.spec.share, np.random.default_rng((seed, epoch)))

    def state(self) -> dict[str, Tensor]:
        """The rows' losses, for a run that is resumed within an epoch."""
        return {} if self.row_losses is None else {"losses": self.row_losses}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the losses."""
        self.row_losses = state["losses"].cpu()


def hard_order(losses: np.ndarray | None, rows: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """`(rows + ceil(share * rows),)` row numbers in random order: each once, and those with the highest loss once more.

    Args:
        losses: `(rows,)`; None to draw the additional rows at random.
    """
    again = int(np.ceil(share * rows - 1e-9))
    random = rng.permutation(rows)  # drawn in any case, and decides between equal losses
    hardest = random if losses is None else random[np.argsort(-losses[random], kind="stable")]
    return rng.permutation(np.concatenate([np.arange(rows), hardest[:again]]))
