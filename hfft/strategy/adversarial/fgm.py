"""Learn a text also with its embeddings moved along the gradient (FGM; Miyato et al. 2017, arXiv:1605.07725)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hfft.strategy.adversarial.attacks import per_row
from hfft.strategy.adversarial.embeddings import Embeddings
from hfft.strategy.method import TASK, At, Batch, Method, MethodSpec, Setting

if TYPE_CHECKING:
    from torch import Tensor, nn


class FGM(MethodSpec):
    """Adds the loss of the same texts with embeddings moved by epsilon along the gradient; a step costs twice as much.

    Attributes:
        epsilon: Euclidean length of the change of a text's embeddings, all tokens together; default: a tenth of the mean length
            of the model's embeddings. The paper uses 5 for embeddings normalised to variance 1, which are far longer.
    """

    main = "epsilon"
    epsilon: float | None = Field(default=None, ge=0)

    def build(self) -> Method | None:
        """The method; None if epsilon is 0, where the loss would only be counted twice."""
        return None if self.epsilon == 0 else EmbeddingStep(self)


class EmbeddingStep(Method):
    """The step's first pass gives each text's gradient at its embeddings; the second adds the task loss at the moved ones."""

    needs = frozenset({"inputs", "embeddings"})
    attacks = True
    passes = 2

    def __init__(self, spec: FGM):
        self.spec = spec
        self.batches: list[Batch] = []

    def start(self, setting: Setting) -> None:
        """Find the input embedding, and the length of a change."""
        self.embeddings = Embeddings(setting, self.name)
        self.epsilon = self.embeddings.usual_radius() if self.spec.epsilon is None else self.spec.epsilon

    def batch(self, batch: Batch) -> None:
        """Begin without a change."""
        self.batches = [*(b for b in self.batches if b.at.step == batch.at.step), batch]
        batch.notes[self.name] = self.embeddings.zeros(batch).requires_grad_()

    def around(self, model: nn.Module, batch: Batch) -> contextlib.AbstractContextManager[Any]:
        """Move the embeddings by the current change."""
        return self.embeddings.shifted(batch.notes[self.name])

    def gradients(self, model: nn.Module, again: Callable[..., None], at: At) -> None:
        """Add the gradient of the task loss at the moved embeddings; other losses are counted once."""
        for batch in self.batches:
            found = batch.notes[self.name].grad * self.embeddings.real(batch)
            batch.notes[self.name] = fgm(found, self.epsilon)
        self.batches = []
        again(add=True, only=TASK)


def fgm(gradient: Tensor, epsilon: float) -> Tensor:
    """`epsilon * g / ||g||_2` of each row; gradients of the loss at the embeddings `(B, L, D)` -> their change `(B, L, D)`."""
    return epsilon * per_row(gradient)
