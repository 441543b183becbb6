"""FlexMatch: thresholds that are lower for classes that are learned less (Zhang et al. 2021, arXiv:2110.08263)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hfft.lazy import torch
from hfft.strategy.method import Method, Pass, Setting
from hfft.strategy.semi_supervised.fixmatch import FixMatch
from hfft.strategy.semi_supervised.views import WeakAndStrong, pseudo_label_loss
from hfft.strategy.tensors import from_all_processes
from hfft.strategy.weight import is_zero

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hfft.strategy.method import At


class FlexMatch(FixMatch):
    """FixMatch with a threshold for each class, by how many rows of the set are surely predicted to be of it.

    Attributes:
        on: the name of the set in `data.sets`; its labels are never used.
        ratio: the paper's mu, rows of the set read for each row of the task; the paper uses 7.
        threshold: the largest threshold, of the class that is learned best; the paper uses 0.95.
        weight: factor of the term; the paper uses 1.
        strong: operations of the strong view, as for `fixmatch`.
    """

    def build(self) -> Method | None:
        """The method; None if weight is 0."""
        return None if is_zero(self.weight) else FlexibleThresholds(self)


class FlexibleThresholds(WeakAndStrong):
    """Remembers for each row of the set the class that it was last surely predicted to be of.

    The thresholds of a step are those from before it, and the table moves after each step that is not skipped, by the rows
    of all processes.
    """

    def start(self, setting: Setting) -> None:
        """Begin with no sure row."""
        super().start(setting)
        self.surely = torch.full((self.size,), -1, dtype=torch.long, device=setting.device)
        self.step = -1
        self.seen: list[tuple[Tensor, Tensor]] = []  # rows of the set and classes of the step's micro-batches

    def epoch(self, model: nn.Module, outputs_of: object, at: At) -> None:
        """Forget a trial step that was run before the training."""
        self.seen = []

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted cross-entropy. A recomputed step counts its rows once."""
        weak = seen.notes[self.name][: len(seen.labels)]
        key = f"{self.name} counted"
        if key not in seen.notes:
            seen.notes[key] = True
            if seen.at.step != self.step:
                self.step, self.seen = seen.at.step, []
            sure, pseudo = weak.max(2)
            assert seen.rows is not None
            rows = torch.from_numpy(self.numbers(seen.rows, seen.at.epoch, seen.at.seed)).to(pseudo.device)
            above = sure >= self.spec.threshold
            self.seen.append((rows[above], pseudo[above]))
        threshold = self.spec.threshold * flexible_thresholds(self.surely, self.outputs).to(weak)
        return {self.name: self.weight(seen.at) * pseudo_label_loss(self.strong(seen), weak, threshold)}

    def updated(self, model: nn.Module, at: At) -> None:
        """Note the classes of the step's sure rows."""
        empty = self.surely[:0]
        rows, classes = (torch.cat([empty, *(part[i] for part in self.seen)]) for i in (0, 1))
        self.seen = []
        self.surely[from_all_processes(rows)] = from_all_processes(classes)

    def state(self) -> dict[str, Tensor]:
        """The table."""
        return {"surely": self.surely}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore the table."""
        self.surely = state["surely"].to(self.surely)


def flexible_thresholds(surely: Tensor, classes: int) -> Tensor:
    """The factor of each class's threshold, `(C,)` in [0, 1]: `M(b) = b / (2 - b)` of its learning status b.

    The status is `s(c) / max(max s, N - sum s)` with s(c) the rows that are surely of class c (equations 5, 7, 11 and 12).

    Args:
        surely: `(N,)` the class of each row of the set, -1 where it was not sure yet.
    """
    counts = torch.bincount(surely[surely >= 0], minlength=classes).to(torch.get_default_dtype())
    status = counts / torch.maximum(counts.max(), len(surely) - counts.sum())
    return status / (2 - status)
