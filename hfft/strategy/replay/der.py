"""Dark experience replay: keep the answers to the rows of a memory as well (DER++; Buzzega et al. 2020, arXiv:2004.07211)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from hfft.lazy import torch
from hfft.strategy.method import Batch, Companion, Method, MethodSpec, Pass, Setting
from hfft.strategy.random_numbers import rows_in_turn
from hfft.strategy.replay.replay import replayed

if TYPE_CHECKING:
    from torch import Tensor

AGAIN = 5  # salt of the second draw


class DER(MethodSpec):
    """DER++: one draw from a memory should be answered as it was when it was stored, a second one by its labels.

    The memory's column `logits` has what the model answered at the end of the task in which a row was stored, for the
    classes known then; the paper stores answers during training, for the classes of all tasks.

    Attributes:
        on: the name of the set in `data.sets`, whose labels are `given`.
        alpha: factor of the squared distance to the stored logits; the paper uses 0.1 to 1.
        beta: factor of the loss of the labels; 0 is DER.
    """

    main = "on"
    on: str
    alpha: float = Field(default=0.3, ge=0)
    beta: float = Field(default=0.5, ge=0)

    def build(self) -> Method | None:
        """The method; None if alpha and beta are 0."""
        return DarkReplay(self) if self.alpha or self.beta else None


class DarkReplay(Method):
    """Reads two rows of the memory for each row of the task, or one if either factor is 0."""

    problems = ("single_label_classification",)
    needs = frozenset({"labelled_set"})

    def __init__(self, spec: DER):
        self.spec = spec
        self.parts = {"answers": f"{spec.on}/answers", "labels": f"{spec.on}/labels"}
        self.passes = 1 + bool(spec.alpha) + bool(spec.beta)

    def start(self, setting: Setting) -> None:
        """Read the stored logits.

        Raises:
            BadInput: the memory has none, or more of a row than the model has outputs.
        """
        self.size = setting.sets[self.spec.on]
        if self.spec.alpha:
            self.logits = table(setting.inspector.stored_logits(self.spec.on), setting.outputs).to(setting.device)

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """Two draws of the memory."""
        found = {}
        if self.spec.alpha:
            found[self.parts["answers"]] = Companion(rows_in_turn(rows, self.size, epoch, seed), of=self.spec.on)
        if self.spec.beta:
            again = rows_in_turn(rows, self.size, epoch, seed, salt=AGAIN)
            found[self.parts["labels"]] = Companion(again, of=self.spec.on)
        return found

    def batch(self, batch: Batch) -> None:
        """Look up the stored logits of the first draw; let the labels of the second one count."""
        if self.spec.alpha:
            assert batch.rows is not None
            places = rows_in_turn(batch.rows, self.size, batch.at.epoch, batch.at.seed)
            batch.notes[self.name] = self.logits[torch.from_numpy(places).to(self.logits.device)]
        if self.spec.beta:
            batch.targets.append(replayed(batch, self.parts["labels"], self.spec.beta))

    def losses(self, seen: Pass) -> dict[str, Tensor]:
        """The weighted distance to the stored logits."""
        if not self.spec.alpha:
            return {}
        stored = seen.notes[self.name][: len(seen.labels)]
        return {"der": self.spec.alpha * der(seen.logits[self.parts["answers"]], stored)}


def table(stored: Sequence[Sequence[float]], outputs: int) -> Tensor:
    """Stored logits of rows as `(M, outputs)`, NaN for classes that were not known when a row was stored."""
    found = torch.full((len(stored), outputs), torch.nan)
    for place, row in zip(found, stored, strict=True):
        place[: len(row)] = torch.as_tensor(row, dtype=found.dtype)
    return found


def der(logits: Tensor, stored: Tensor) -> Tensor:
    """Mean squared distance of logits `(B, C)` to those stored `(B, C)` over the classes where these are not NaN: `(B,)`."""
    known = ~stored.isnan()
    apart = torch.where(known, logits - stored.nan_to_num().to(logits), 0)
    return apart.square().sum(1) / known.sum(1).clamp(min=1)
