"""Normalise random channels by moving statistics (StochNorm; Kou et al. 2020, Stochastic Normalization, NeurIPS 2020)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hfft.errors import BadInput
from hfft.lazy import F, torch
from hfft.strategy.method import Batch, Method, MethodSpec, Setting
from hfft.strategy.random_numbers import generator

if TYPE_CHECKING:
    from torch import Tensor, nn


class StochNorm(MethodSpec):
    """Probability that a channel is normalised by the batch, as BatchNorm does, and not by the moving statistics.

    For models with BatchNorm and few training rows. The paper uses 0.5.
    """

    main = "p"
    p: float = Field(default=0.5, ge=0, le=1)

    def build(self) -> Method | None:
        """The method; None if p is 1, which is BatchNorm."""
        return Stochastic(self) if self.p < 1 else None


class Stochastic(Method):
    """Replaces the forward of BatchNorms during training passes; in evaluation they are BatchNorms.

    The channels depend on (seed, step) alone. As for BatchNorm, the batch is the micro-batch of one process, so another
    split of the global batch is another step; the moving statistics are those before the micro-batch.
    """

    needs = frozenset({"whole_weights"})  # FSDP does not share moving statistics between processes, as DDP does

    def __init__(self, spec: StochNorm):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Look for BatchNorms.

        Raises:
            BadInput: the model has none that training updates.
        """
        if not setting.moving_norms or not any(is_batch_norm(module) for module in setting.model.modules()):
            raise BadInput(
                "strategy.stochnorm: the model has no BatchNorm that learns; leave it out, or let layers with BatchNorm "
                "learn by layers.train"
            )

    @contextlib.contextmanager
    def around(self, model: nn.Module, batch: Batch) -> Iterator[None]:
        """Let each BatchNorm in training mode choose its channels."""
        chosen: list[Any] = [module for module in model.modules() if is_batch_norm(module)]
        for i, norm in enumerate(chosen):
            numbers = generator(norm.running_mean.device, batch.at.seed, batch.at.step, i)
            by_batch = torch.rand(norm.num_features, generator=numbers, device=norm.running_mean.device) < self.spec.p
            vars(norm)["forward"] = _forward(norm, by_batch)
        try:
            yield
        finally:
            for norm in chosen:
                vars(norm).pop("forward", None)


def _forward(norm: Any, by_batch: Tensor) -> Any:
    """A forward of a BatchNorm that keeps the moving statistics of its first call: activations may be computed again."""
    before: list[Tensor] = []

    def forward(x: Tensor) -> Tensor:
        if not before:
            before.extend([norm.running_mean.clone(), norm.running_var.clone()])
        found = type(norm).forward(norm, x)  # also updates the moving statistics
        if not norm.training:
            return found
        moving = F.batch_norm(x, before[0], before[1], norm.weight, norm.bias, training=False, eps=norm.eps)
        return torch.where(_over_channels(by_batch, x), found, moving)

    return forward


def _over_channels(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


def is_batch_norm(module: nn.Module) -> bool:
    """Whether a module is PyTorch's BatchNorm, with statistics and no forward of its own."""
    from torch.nn.modules.batchnorm import _BatchNorm

    plain = isinstance(module, _BatchNorm) and type(module).forward is _BatchNorm.forward
    return plain and module.running_mean is not None


def stoch_norm(x: Tensor, mean: Tensor, var: Tensor, by_batch: Tensor, eps: float = 1e-5) -> Tensor:
    """x `(B, C, …)` normalised, a channel by its own statistics if `by_batch` `(C,)`, otherwise by `mean` and `var` `(C,)`."""
    own = F.batch_norm(x, None, None, training=True, eps=eps)
    moving = F.batch_norm(x, mean, var, training=False, eps=eps)
    return torch.where(_over_channels(by_batch, x), own, moving)
