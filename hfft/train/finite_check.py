"""Checks in every step: whether loss and gradient are finite, and whether a signal asks to stop.

Several processes agree on both, so that all stop at the same step. On a CUDA device the result is copied to the host
while the next step is computed and read one step later, so no step waits for it. Nothing is saved before the result has
been read.
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
    """Checks each step before the optimiser step, and stores what the processes agreed on.

    Args:
        skips: how many steps with a non-finite loss or gradient may be skipped; 0 stops at the first.
        remedy: the last remedy in the error message.
    """

    def __init__(self, device: torch.device, world_size: int, skips: int = 0, remedy: str = "leave them out"):
        self.remedy = remedy
        self.device, self.world_size, self.skips = device, world_size, skips
        self.skipped = 0
        self._stop = 0
        self._late = device.type == "cuda" and not skips
        self._waiting: tuple[int, list[str], Tensor, Any] | None = None

    def step(self, step: int, figures: Mapping[str, Tensor], judged: list[str]) -> bool:
        """Check step `step` before its optimiser step; returns True if that must be skipped.

        Args:
            figures: name -> scalar tensor: the values shown in the message.
            judged: the names of those that must be finite.

        Raises:
            Diverged: one is not finite, and no more steps may be skipped.
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
        """Wait for a result that is still being copied from the device, and check it."""
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
            f"step {step} is not finite{after} ({shown}), but the last checkpoint is; lower training.learning_rate, check "
            f"the rows, or {self.remedy}"
        )

    def asked(self) -> int:
        """The signal that asks all processes to stop, or 0; several processes use what they agreed on in the last step."""
        return self._stop if self.world_size > 1 else signals.requested()

    def asked_now(self) -> int:
        """Like `asked`, but agreed on now: for evaluation, where all processes call this equally often."""
        if self.world_size > 1:
            flag = torch.full((1,), float(signals.requested()), device=self.device)
            torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
            self._stop = int(flag.item()) or self._stop
        return self.asked()


def check_weights(model: nn.Module, step: int) -> None:
    """Check a model before it is saved: trainable weights must be finite, and floating-point buffers not NaN.

    Raises:
        Diverged: some are not; the message names them.
    """
    learning = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    kept = {name: b for name, b in model.named_buffers() if b.is_floating_point()}
    checks = [whole(t.isfinite().all()) for t in learning.values()] + [~t.isnan().any() for t in kept.values()]
    if checks and not torch.stack([check.cpu() for check in checks] if _apart(checks) else checks).all():
        names = [name for name, fine in zip([*learning, *kept], checks, strict=True) if not fine]
        raise Diverged(
            f"after step {step}, {len(names)} tensors are not finite ({listing(names, 4)}) and were not saved; lower "
            f"training.learning_rate and run the same command, which continues from the last checkpoint"
        )


def _apart(tensors: list[Tensor]) -> bool:
    return len({t.device for t in tensors}) > 1
