"""Forward correction: predict the labels as they are, wrong ones included (Patrini et al. 2017, arXiv:1609.03683)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from hfft.errors import BadInput
from hfft.lazy import torch
from hfft.processes import say
from hfft.strategy.method import At, Inner, Method, MethodSpec, Setting
from hfft.wording import listing, nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

Share = Annotated[float, Field(ge=0, le=1)]
ANCHOR = 0.3  # place of a class's anchor point among its rows: with 10 equal classes, the paper's 97th percentile


class ForwardCorrection(MethodSpec):
    """Learn through a noise matrix: how often rows of each class are given each label.

    Attributes:
        matrix: share of wrong labels if all wrong ones are equally likely; or true class -> other class -> share of its
            rows that have this label; or `anchors` to estimate it from the rows that are most certain of each class.
        after: epochs without correction before it is estimated: longer, until the model tells the anchor points of all
            classes apart. A given matrix is used from the start.
    """

    main = "matrix"
    matrix: Annotated[float, Field(ge=0, lt=1)] | dict[str, dict[str, Share]] | Literal["anchors"]
    after: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _shares(self) -> ForwardCorrection:
        for name, others in self.matrix.items() if isinstance(self.matrix, dict) else ():
            if name in others or sum(others.values()) > 1 + 1e-9:
                raise ValueError(
                    f"matrix of class {name!r} should name other classes, with shares of 1 together at most"
                )
        return self

    def build(self) -> Method | None:
        """The method; None if no label is wrong."""
        return Corrected(self) if self.matrix else None


class Corrected(Method):
    """Changes the logits that the loss receives; predictions use the plain logits. So any loss can be corrected."""

    problems = ("single_label_classification",)

    def __init__(self, spec: ForwardCorrection):
        self.spec = spec
        self.matrix: Tensor | None = None  # (C, C); None until it is estimated
        if spec.matrix == "anchors":
            self.needs, self.begins = frozenset({"rows", "counts"}), spec.after

    def start(self, setting: Setting) -> None:
        """Put a given matrix in the order of the classes.

        Raises:
            BadInput: it names a class that is not in the data, or says that labels tell nothing of the classes.
        """
        given = self.spec.matrix
        self.device, self.setting = setting.device, setting
        if isinstance(given, dict):
            self.matrix = _named_noise(given, setting.class_names).to(setting.device)
        elif not isinstance(given, str):
            most = 1 - 1 / setting.outputs
            if given >= most:
                raise BadInput(
                    f"strategy.forward_correction.matrix: is {given:g}, but from {most:g} on labels of {setting.outputs} "
                    "classes say nothing of the true ones; use less"
                )
            self.matrix = symmetric_noise(setting.outputs, given).to(setting.device)

    def epoch(self, model: nn.Module, outputs_of: Callable[..., Any], at: At) -> None:
        """Estimate the matrix, once the model has learned enough for that."""
        if self.matrix is not None or at.epoch < self.spec.after:
            return
        counts = torch.from_numpy(self.setting.class_counts)
        found = anchor_matrix(outputs_of("train", features=False).logits.softmax(1), counts)
        if unsure := self.untold(found):
            names = listing([repr(self.setting.class_names[c]) for c in unsure], 10)
            say(
                f"strategy.forward_correction: no correction in epoch {at.epoch + 1}: the rows that are most likely of class "
                f"{names} are still predicted to be of another"
            )
            return
        self.matrix = found.to(self.device)

    def untold(self, matrix: Tensor) -> list[int]:
        """The classes whose anchor points the model takes for another class: no estimate of the noise."""
        return (matrix.argmax(1).cpu() != torch.arange(len(matrix))).nonzero().flatten().tolist()

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The loss of the predicted labels."""
        return inner(logits if self.matrix is None else forward_correction(logits, self.matrix.to(logits)), labels)

    def state(self) -> dict[str, Tensor]:
        """The estimated matrix."""
        return {"matrix": self.matrix} if self.spec.matrix == "anchors" and self.matrix is not None else {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore it."""
        self.matrix = state["matrix"].to(self.device)


def _named_noise(given: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> Tensor:
    found = torch.eye(len(names))
    for name, others in given.items():
        for one in (name, *others):
            if one not in names:
                there = f"{nearest(one, names)} (the data has: {listing(names)})"
                raise BadInput(f"strategy.forward_correction.matrix: no class {one!r} in the data{there}")
        row = found[names.index(name)]
        for label, share in others.items():
            row[names.index(label)] = share
        row[names.index(name)] = 1 - sum(others.values())
    return found


def forward_correction(logits: Tensor, matrix: Tensor) -> Tensor:
    """Log-probabilities `(B, C)` of the labels from logits `(B, C)` of the true classes: `log(T^t softmax(f))`.

    `T[i, j]` is the share of rows of class i whose label is j; each row of T adds up to 1. The softmax of the result is
    the result's own probabilities, so that it takes the logits' place in any loss.
    """
    p = logits.softmax(1) @ matrix
    return p.clamp(min=torch.finfo(p.dtype).tiny).log()


def symmetric_noise(classes: int, share: float) -> Tensor:
    """The matrix `(C, C)` if this share of labels is wrong and all wrong ones are equally likely."""
    wrong = share / (classes - 1)
    return torch.full((classes, classes), wrong).fill_diagonal_(1 - share)


def anchor_matrix(probabilities: Tensor, counts: Tensor) -> Tensor:
    """The noise matrix `(C, C)` from predictions `(N, C)` of a model that learned the labels as they are.

    Row i is the prediction for the anchor point of class i, a row that is almost certainly of it. The paper's equation
    takes the row with the highest probability of class i, and its experiments with 10 equal classes leave out the 3 % of all
    rows above it as outliers. Here it is row number `0.3 n` from the top, where n is the count of class i among the labels,
    `(C,)`: the same for equal classes, and for a rare one still among its own rows. A class without rows has no wrong ones.
    """
    counts = counts.to(probabilities.device)
    ranked = probabilities.argsort(dim=0, descending=True, stable=True)
    found = probabilities[ranked.gather(0, (ANCHOR * counts).long()[None])[0]]
    return torch.where(counts[:, None] > 0, found, torch.eye(len(counts)).to(found))
