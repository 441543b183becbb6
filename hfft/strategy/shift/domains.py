"""The rows of a step by their domain, for penalties that compare domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.strategy.method import TASK, Method, Pass, Setting

if TYPE_CHECKING:
    from torch import Tensor


class ByDomain(Method):
    """A method that knows the domain of each row; rows of mixed inputs have none: refused."""

    needs = frozenset({"domains", "rows", "unmixed"})

    def start(self, setting: Setting) -> None:
        """Remember the domain of each row."""
        assert setting.domain_ids is not None
        self.domains, self.problem = torch.from_numpy(setting.domain_ids).to(setting.device), setting.problem

    def row_losses(self, seen: Pass) -> Tensor:
        """The plain task loss of each row, `(b,)`."""
        loss = self.problem.loss(seen.logits[TASK], seen.labels)
        return loss if loss.ndim == 1 else loss.flatten(1).sum(1)

    def groups(self, seen: Pass) -> list[Tensor]:
        """Places `(n,)` in the step of the rows of each domain that is in it."""
        found = self.domains[torch.from_numpy(seen.rows)]
        return [(found == domain).nonzero()[:, 0] for domain in found.unique().tolist()]
