"""Average the gradient over ascent steps on a text's embeddings (FreeLB; Zhu et al. 2020, arXiv:1909.11764)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.adversarial.attacks import per_row, within
from hfft.strategy.adversarial.draws import drawn
from hfft.strategy.adversarial.embeddings import Embeddings
from hfft.strategy.method import At, Batch, Method, MethodSpec, Setting

if TYPE_CHECKING:
    from torch import Tensor, nn


class FreeLB(MethodSpec):
    """Learn a text at several changes of its embeddings, each a step of ascent from the one before; costs `steps` passes.

    Lengths are Euclidean, of the change of a text's embeddings, all tokens together.

    Attributes:
        epsilon: the largest length of the change; the random one that it starts from has 0.58 of it. Default: a tenth of the
            mean length of the model's embeddings.
        step: length of a step; default: a third of epsilon. The paper uses 0.03 to 0.15.
        steps: number of passes; the paper uses 2 to 4.
    """

    main = "epsilon"
    epsilon: float | None = Field(default=None, ge=0)
    step: float | None = Field(default=None, gt=0)
    steps: int = Field(default=3, ge=1)

    def build(self) -> Method | None:
        """The method; None if epsilon is 0."""
        return None if self.epsilon == 0 else Ascent(self)


class Ascent(Method):
    """Each pass gives the gradient of the weights and that of the embeddings, by which the next one is moved.

    Every pass has the dropout of the first one, as in the paper. The modules of other methods learn from the last pass.
    """

    needs = frozenset({"inputs", "embeddings", "rows"})
    attacks = True
    salt = 6

    def __init__(self, spec: FreeLB):
        self.spec, self.passes = spec, spec.steps
        self.batches: list[Batch] = []

    def start(self, setting: Setting) -> None:
        """Find the input embedding, and the lengths of a change and of a step."""
        self.embeddings = Embeddings(setting, self.name)
        self.epsilon = self.embeddings.usual_radius() if self.spec.epsilon is None else self.spec.epsilon
        self.step = self.epsilon / 3 if self.spec.step is None else self.spec.step

    def batch(self, batch: Batch) -> None:
        """Begin with a random change."""
        self.batches = [*(b for b in self.batches if b.at.step == batch.at.step), batch]
        uniform = 2 * drawn(batch, self.embeddings.zeros(batch), self.salt) - 1
        begin = freelb_start(uniform, self.embeddings.real(batch), self.epsilon)
        batch.notes[self.name] = begin.requires_grad_()

    def around(self, model: nn.Module, batch: Batch) -> contextlib.AbstractContextManager[Any]:
        """Move the embeddings by the current change."""
        return self.embeddings.shifted(batch.notes[self.name])

    def gradients(self, model: nn.Module, again: Callable[..., None], at: At) -> None:
        """Replace the gradient by its mean over all passes."""
        learning = [p for p in model.parameters() if p.grad is not None]
        sums = [p.grad.clone() for p in learning if p.grad is not None]
        for _ in range(self.spec.steps - 1):
            for batch in self.batches:
                change = batch.notes[self.name]
                found = change.grad * self.embeddings.real(batch)
                moved = freelb(change.detach(), found, self.step, self.epsilon)
                batch.notes[self.name] = moved.requires_grad_()
            again()
            for total, parameter in zip(sums, learning, strict=True):
                total += 0 if parameter.grad is None else parameter.grad
        for total, parameter in zip(sums, learning, strict=True):
            parameter.grad = total / self.spec.steps
        self.batches = []


def freelb_start(uniform: Tensor, real: Tensor, epsilon: float) -> Tensor:
    """`epsilon / sqrt(N) * uniform`, N being the number of elements of a row without padding.

    Args:
        uniform: `(B, L, D)` in [-1, 1).
        real: `(B, L, 1)`, 1 for tokens and 0 for padding.
    """
    count = real.flatten(1).sum(1).clamp(min=1) * uniform.shape[-1]
    return epsilon * uniform * real / torch.sqrt(count).view(-1, 1, 1)


def freelb(change: Tensor, gradient: Tensor, step: float, epsilon: float) -> Tensor:
    """A step of length `step` along each row's gradient, cut to length `epsilon`; `(B, L, D)` each."""
    return within(change + step * per_row(gradient), epsilon)
