"""What is looked at in every step: whether loss and gradient are finite, and whether a signal asks to stop.

With several processes both are agreed on, so that all leave at the same step. On a CUDA device the answer is copied
to the host while the next step is computed and read one step later: no step waits for it. Whatever is read late, nothing
is saved before it was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from hfft.errors import Diverged
from hfft.layers import whole
from hfft.runs import signals
from hfft.wording import listing


class FiniteCheck:
    """Looks at each step before the optimiser's, and keeps what the processes agreed on.

    Args:
        skips: how many steps whose loss or gradient is not finite may be left out; 0 stops at the first.
        remedy: what the message tells to do beside that.
    """

    def __init__(self, device: torch.device, world_size: int, skips: int = 0, remedy: str = "leave them out"):
        self.remedy = remedy
        self.device, self.world_size, self.skips = device, world_size, skips
        self.skipped = 0
        self._stop = 0
        self._late = device.type == "cuda" and not skips
        self._waiting: tuple[int, list[str], Tensor, Any] | None = None

    def step(self, step: int, figures: Mapping[str, Tensor], judged: list[str]) -> bool:
        """Look at step `step` before its optimiser step; True where that is to be left out.

        Args:
            figures: name -> scalar tensor: what the message tells.
            judged: the names of those that must be finite.

        Raises:
            Diverged: they are not, and no more steps may be skipped.
        """
        values = torch.stack([figures[name].detach().float().to(self.device).reshape(()) for name in figures])
        bad = ~torch.stack([figures[name].isfinite().all().to(self.device) for name in judged]).all()
        flags = torch.stack([bad.float(), torch.full((), float(signals.requested()), device=self.device)])
        if self.world_size > 1:
            torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
        self.settle()
        read = torch.cat([flags, values])
        if not self._late:
            return self._judge(step, list(figures), read.tolist())
        host = torch.empty(len(read), pin_memory=torch.cuda.is_available()).copy_(read, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        self._waiting = (step, list(figures), host, event)
        return False

    def settle(self) -> None:
        """Read what is still on its way from the device."""
        if self._waiting is not None:
            step, names, host, event = self._waiting
            self._waiting = None
            event.synchronize()
            self._judge(step, names, host.tolist())

    def _judge(self, step: int, names: list[str], read: list[float]) -> bool:
        bad, self._stop = bool(read[0]), int(read[1]) or self._stop
        if not bad:
            return False
        if self.skipped < self.skips:
            self.skipped += 1
            return True
        shown = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, read[2:], strict=True))
        after = f" after {self.skips} were skipped" if self.skips else ""
        raise Diverged(
            f"step {step} is not finite{after} ({shown}); the last checkpoint is: lower training.learning_rate, look at "
            f"the rows, or {self.remedy}"
        )

    def asked(self) -> int:
        """The signal that asks all processes to stop, or 0; between steps, by the last step's agreement."""
        return self._stop if self.world_size > 1 else signals.requested()

    def asked_now(self) -> int:
        """The same, agreed on at once: for evaluation, where every process comes by equally often."""
        if self.world_size > 1:
            flag = torch.full((1,), float(signals.requested()), device=self.device)
            torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
            self._stop = int(flag.item()) or self._stop
        return self.asked()


def check_weights(model: nn.Module, step: int) -> None:
    """Raise where a weight that learns is not finite, or a statistic is NaN: such a model must not be saved.

    Raises:
        Diverged: with the names.
    """
    learning = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    kept = {name: b for name, b in model.named_buffers() if b.is_floating_point()}
    checks = [whole(t.isfinite().all()) for t in learning.values()] + [~t.isnan().any() for t in kept.values()]
    if checks and not torch.stack([check.cpu() for check in checks] if _apart(checks) else checks).all():
        names = [name for name, fine in zip([*learning, *kept], checks, strict=True) if not fine]
        raise Diverged(
            f"after step {step} {len(names)} tensors are not finite ({listing(names, 4)}); nothing was written: lower "
            f"training.learning_rate and give the same command, which continues from the last checkpoint"
        )


def _apart(tensors: list[Tensor]) -> bool:
    return len({t.device for t in tensors}) > 1
