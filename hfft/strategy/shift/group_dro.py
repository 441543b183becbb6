"""Group DRO: weigh domains by their loss, the worst ones most (Sagawa et al. 2020, arXiv:1911.08731)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import TASK, Batch, Method, MethodSpec, Pass, Setting
from hfft.strategy.sample.balanced import DomainBalanced
from hfft.strategy.shift.domains import ByDomain
from hfft.strategy.tensors import from_all_processes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hfft.strategy.method import At


class GroupDRO(MethodSpec):
    """Learn for the worst domain of `data.columns.domain`: its rows' losses get larger factors from step to step.

    Attributes:
        eta: how fast the factors follow the losses; the paper and DomainBed use 0.01.
    """

    main = "eta"
    eta: float = Field(default=0.01, ge=0)

    def build(self) -> Method | None:
        """The method; None if eta is 0, where all domains count alike."""
        return WorstDomain(self) if self.eta else None


class WorstDomain(ByDomain):
    """Multiplies the loss of a row by its domain's weight, over the share of rows that the domain has of an epoch.

    In the mean over steps, that is the sum of the domains' mean losses by their weights. The weights of a step are those from
    before it, and move after each step that is not skipped, by the rows of all processes: the same for every split of it.
    """

    def __init__(self, spec: GroupDRO):
        self.spec = spec
        self.step = -1
        self.seen: list[Tensor] = []  # sum of losses and number of rows of each domain, of the step's micro-batches

    def start(self, setting: Setting) -> None:
        """Begin with equal weights."""
        super().start(setting)
        counts = self.domains.bincount().cpu().numpy()
        if any(isinstance(method, DomainBalanced) for method in setting.methods):
            counts = np.ones_like(counts)
        self.shares = torch.from_numpy(counts / counts.sum()).to(setting.device)
        if setting.device.type == "mps":
            self.shares = self.shares.float()
        self.q = torch.full_like(self.shares, 1 / len(counts))

    def epoch(self, model: nn.Module, outputs_of: object, at: At) -> None:
        """Forget a trial step that was run before the training."""
        self.seen = []

    def batch(self, batch: Batch) -> None:
        """Multiply the factors of the task's rows."""
        domains = self.domains[torch.from_numpy(batch.rows)]
        factor = (self.q / self.shares)[domains]
        batch.targets = [
            replace(t, factor=factor if t.factor is None else t.factor * factor) if t.part == TASK else t
            for t in batch.targets
        ]

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """Add up the losses of each domain; nothing is added to the loss. A recomputed step counts once."""
        key = f"{self.name} counted"
        if key not in seen.notes:
            seen.notes[key] = True
            if seen.at.step != self.step:
                self.step, self.seen = seen.at.step, []
            domains = self.domains[torch.from_numpy(seen.rows)]
            sums = self.q.new_zeros(2, len(self.q))
            sums[0].index_add_(0, domains, self.row_losses(seen).detach().to(sums))
            sums[1].index_add_(0, domains, torch.ones_like(domains, dtype=sums.dtype))
            self.seen.append(sums)
        return {}

    def updated(self, model: nn.Module, at: At) -> None:
        """Move the weights by the domains' mean losses in the step."""
        empty = self.q.new_zeros(1, 2, len(self.q))
        total = from_all_processes(torch.stack([empty[0], *self.seen])).sum(0)
        self.seen = []
        self.q = moved(self.q, total[0] / total[1].clamp(min=1), self.spec.eta)

    def state(self) -> dict[str, Tensor]:
        """The weights of the domains."""
        return {"q": self.q}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the weights."""
        self.q = state["q"].to(self.q)


def moved(q: Tensor, losses: Tensor, eta: float) -> Tensor:
    """`q exp(eta losses)`, normalised to add up to 1: weights `(G,)` from weights and mean losses `(G,)` of G domains.

    A domain without rows in a step has a loss of 0.
    """
    return (q.log() + eta * losses).softmax(0)
