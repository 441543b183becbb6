"""Rows without labels read in a weak and a strong view, and the pseudo-labels that the weak one gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hfft.data.augment import grammar
from hfft.errors import BadInput
from hfft.lazy import F, torch
from hfft.strategy.method import Batch, Companion, Method, Pass, Setting
from hfft.strategy.random_numbers import rows_in_turn
from hfft.strategy.weight import Weight

if TYPE_CHECKING:
    from torch import Tensor

ONE = "learns from its own predictions for rows without labels"
# Of images as in FixMatch, whose Cutout is an erasure in every view; of texts what needs no other model; of sounds what suits
# waves and spectrograms.
STRONG: dict[str, tuple[Any, ...]] = {
    "image": ("rand_augment", {"random_erasing": {"p": 1.0}}),
    "text": ({"word_drop": {"p": 0.2}}, {"word_swap": {"share": 0.1}}),
    "audio": ({"time_shift": {"share": 0.2}}, "gain", {"add_noise": {"snr": (5.0, 20.0)}}),
}


def checked(augment: list[Any] | None) -> list[Any] | None:
    """A list of operations as in `data.augment`; ValueError, in one line, if it is none."""
    if augment is not None:
        grammar.parse(augment)
    return augment


class Unlabelled(Method):
    """Reads `ratio` rows of a set beside each row of the task, in an order drawn for the epoch; their labels are never used."""

    problems = ("single_label_classification",)
    only_one = ONE

    def __init__(self, spec: Any):
        self.spec, self.weight = spec, Weight(spec.weight)
        self.passes = 1 + spec.ratio

    def start(self, setting: Setting) -> None:
        """Remember the number of rows in the set."""
        self.size, self.outputs = setting.sets[self.spec.on], setting.outputs

    def parts(self, view: str) -> list[str]:
        """Names of the parts with a view of the set's rows."""
        return [f"{self.name} {view} {k}" for k in range(1, self.spec.ratio + 1)]

    def numbers(self, rows: np.ndarray, epoch: int, seed: int) -> np.ndarray:
        """`(B, ratio)` rows of the set that are read beside the task's rows `(B,)`."""
        ratio = self.spec.ratio
        return np.stack([rows_in_turn(rows * ratio + k, self.size, epoch, seed) for k in range(ratio)], 1)


class WeakAndStrong(Unlabelled):
    """The weak view of a row is predicted by the model in `eval()`, without a gradient; its strong view learns from that.

    The weak view is the row as `data.augment` makes it, the strong one the same and then further operations. A weak view's
    prediction depends on no other row of the batch, so that it is the same for every split of it.
    """

    def __init__(self, spec: Any):
        super().__init__(spec)
        self.passes = 1 + spec.ratio + -(-spec.ratio // 3)  # a forward pass is a third of one with its backward pass

    def start(self, setting: Setting) -> None:
        """Choose the operations of the strong view."""
        super().start(setting)
        self.augment = strong_view(self.spec.strong, setting)

    def companions(self, rows: np.ndarray, epoch: int, seed: int) -> dict[str, Companion]:
        """Both views of the set's rows."""
        found, numbers = {}, self.numbers(rows, epoch, seed)
        for k, (weak, strong) in enumerate(zip(self.parts("weak"), self.parts("strong"), strict=True)):
            found[weak] = Companion(numbers[:, k], of=self.spec.on)
            found[strong] = Companion(numbers[:, k], of=self.spec.on, draw=1, augment=self.augment)
        return found

    def batch(self, batch: Batch) -> None:
        """Note the predictions for the weak views, `(B, ratio, C)` probabilities."""
        batch.notes[self.name] = predictions(batch, self.parts("weak"))

    def strong(self, seen: Pass) -> Tensor:
        """Logits of the strong views, `(b, ratio, C)`."""
        return torch.stack([seen.logits[part] for part in self.parts("strong")], 1)


def strong_view(given: list[Any] | None, setting: Setting) -> tuple[Any, ...]:
    """The operations of the strong view: the recipe's, or those for the task's inputs."""
    if given is not None:
        return tuple(given)
    return STRONG[setting.modality or ("image" if setting.tokenizer is None else "text")]


def predictions(batch: Batch, parts: list[str]) -> Tensor:
    """Probabilities `(B, K, C)` of K parts, which are taken out of the batch, by one pass of the model in `eval()`."""
    if batch.logits is None:
        raise BadInput("strategy: rows without labels need the model's predictions, which this loop does not give")
    taken = [batch.take(part) for part in parts]
    inputs = {key: _joined([part[key] for part in taken]) for key in taken[0]}
    with torch.no_grad():
        p = batch.logits(inputs).softmax(1)
    return torch.stack(p.split(len(batch.labels)), 1)


def _joined(values: list[Any]) -> Any:
    return np.concatenate(values) if isinstance(values[0], np.ndarray) else torch.cat(values)


def pseudo_label_loss(strong: Tensor, weak: Tensor, threshold: Tensor | float) -> Tensor:
    """Cross-entropy of strong views to the classes of the weak ones that are sure enough, meaned over K views: `(b,)`.

    Args:
        strong: logits `(b, K, C)`.
        weak: probabilities `(b, K, C)`.
        threshold: probability from which on a view counts, or one `(C,)` for each class.
    """
    sure, pseudo = weak.max(2)
    limit = threshold[pseudo] if isinstance(threshold, torch.Tensor) else threshold
    loss = F.cross_entropy(strong.flatten(0, 1), pseudo.flatten(), reduction="none").view_as(sure)
    return (loss * (sure >= limit)).mean(1)
