"""Adaptive gradient clipping: the gradient of each unit by the norm of its weights (Brock et al. 2021, arXiv:2102.06171)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import At, Method, MethodSpec, Setting
from hfft.strategy.tensors import whole

if TYPE_CHECKING:
    from torch import Tensor, nn


class AGC(MethodSpec):
    """Adaptive gradient clipping of all layers except the head; `max_grad_norm` holds for what it leaves.

    Attributes:
        clip_factor: largest ratio of the norms of gradient and weights of a unit, the paper's lambda; 0 clips nothing.
        eps: least norm of a unit's weights, so that weights that start at zero can learn.
    """

    main = "clip_factor"
    clip_factor: float = Field(default=0.01, ge=0)
    eps: float = Field(default=1e-3, gt=0)

    def build(self) -> Method | None:
        """The method; None if clip_factor is 0."""
        return Adaptive(self) if self.clip_factor else None


class Adaptive(Method):
    """Clips the gradient of the whole global batch unit by unit."""

    def __init__(self, spec: AGC):
        self.spec = spec

    def start(self, setting: Setting) -> None:
        """Store which parameters are the head's."""
        self.head_names = set(setting.head_names)

    def change_gradients(self, parameters: Mapping[str, nn.Parameter], weight: Tensor | None, at: At) -> None:
        """Clip all but those of the head and of methods' modules."""
        factor = self.spec.clip_factor if weight is None else self.spec.clip_factor * weight
        for name, parameter in parameters.items():
            if name not in self.head_names and "/" not in name and parameter.grad is not None:
                parameter.grad = agc(parameter.detach(), parameter.grad, factor, self.spec.eps)


def agc(weights: Tensor, gradient: Tensor, clip_factor: float | Tensor = 0.01, eps: float = 1e-3) -> Tensor:
    """A gradient with `|G_i| <= clip_factor * max(|W_i|, eps)` for each unit i: equation 3 of the paper.

    A unit is an output of a linear layer, a filter of a convolution, a row of an embedding table, or a whole vector.

    Args:
        weights, gradient: `(units, …)`, or a vector.

    Returns:
        The gradient, in the same shape; units within their limit are unchanged.
    """
    norms = unit_norms(gradient)
    limits = unit_norms(weights).clamp(min=eps).to(norms.dtype) * clip_factor
    clipped = gradient * (limits / norms.clamp(min=torch.finfo(norms.dtype).tiny)).to(gradient.dtype)
    return torch.where(norms > limits, clipped, gradient)


def unit_norms(tensor: Tensor) -> Tensor:
    """The Euclidean norm of each unit, `(units, 1, …)`, at least in float32; a scalar for a vector."""
    wide = tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
    if sum(size > 1 for size in tensor.shape) <= 1:
        return whole(torch.linalg.vector_norm(wide))
    return torch.linalg.vector_norm(wide, dim=tuple(range(1, tensor.ndim)), keepdim=True)
