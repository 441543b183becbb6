"""Weight each row's loss by its class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from hfft.errors import BadInput, DataError
from hfft.lazy import torch
from hfft.strategy.method import At, Inner, Method, MethodSpec, Setting

if TYPE_CHECKING:
    from torch import Tensor


class ClassWeights(MethodSpec):
    """Weight of each class by name, `balanced` for equal influence of all classes, or `{effective_number: 0.999}`.

    Attributes:
        weights: `balanced`, or the weight of each class by name.
        effective_number: beta of Cui et al. 2019, from 0 for equal weights to nearly 1 for `balanced`.
    """

    main = "weights"
    weights: Literal["balanced"] | dict[str, Annotated[float, Field(ge=0)]] = Field(default={})
    effective_number: float | None = Field(default=None, ge=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        # no map of classes has one key: a model has two classes at least
        own = isinstance(value, Mapping) and set(value) in ({"weights"}, {"effective_number"})
        return value if own or isinstance(value, ClassWeights) else {"weights": value}

    def plain(self) -> Any:
        """The weights as a plain value."""
        return self.weights if self.effective_number is None else {"effective_number": self.effective_number}

    def build(self) -> Method | None:
        """The method; None without weights."""
        return Weighed(self) if self.weights or self.effective_number else None


class Weighed(Method):
    """Multiplies a row's loss by its class's weight, only in training."""

    problems = ("single_label_classification",)

    def __init__(self, spec: ClassWeights):
        self.spec = spec
        self.needs = frozenset() if isinstance(spec.weights, dict) and spec.weights else frozenset({"counts"})

    def start(self, setting: Setting) -> None:
        """Put the weights in the order of the classes.

        Raises:
            BadInput: a weight names no class of the data, or a class has no weight.
            DataError: a class has no rows and cannot be balanced.
        """
        wanted, beta = self.spec.weights, self.spec.effective_number
        if wanted == "balanced" or beta is not None:
            counts = setting.class_counts.tolist()
            try:
                weights = balanced_weights(counts) if beta is None else effective_number_weights(counts, beta)
            except ValueError as error:
                raise DataError(f"strategy.class_weights: {error}") from None
        else:
            if set(wanted) != set(setting.class_names):
                raise BadInput(
                    f"strategy.class_weights: expected one weight for each of {', '.join(setting.class_names)}"
                )
            weights = [wanted[name] for name in setting.class_names]
        self.factors = torch.tensor(weights, device=setting.device)

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The loss times the weight of its class."""
        return inner(logits, labels) * self.row_weights(labels)

    def row_weights(self, labels: Tensor) -> Tensor:
        """The weight of each row's class.

        A batch with a row of a rare class has a large gradient because its weight is large. Were it clipped at the same norm
        as the others, clipping would undo the weights.
        """
        return self.factors.to(labels.device)[labels]


def balanced_weights(counts: Sequence[int]) -> list[float]:
    """Weight of each class such that all have equal influence and the mean weight over the data is 1: `n / (C * n_c)`.

    Raises:
        ValueError: a class has no examples.
    """
    _check_examples(counts)
    return [sum(counts) / (len(counts) * c) for c in counts]


def effective_number_weights(counts: Sequence[int], beta: float) -> list[float]:
    """Weight of each class in proportion to `(1 - beta) / (1 - beta^n_c)`, with a mean over the data of 1.

    The denominator, divided by `1 - beta`, is the effective number of n rows (Cui et al. 2019, arXiv:1901.05555). The
    paper lets the weights add up to the number of classes, which is another learning rate: with a mean of 1, a beta of 0
    gives 1, and one close to 1 gives `balanced_weights`.

    Raises:
        ValueError: a class has no examples.
    """
    _check_examples(counts)
    raw = [1.0] * len(counts) if beta == 0 else [-1 / math.expm1(c * math.log(beta)) for c in counts]
    mean = sum(c * w for c, w in zip(counts, raw, strict=True)) / sum(counts)
    return [w / mean for w in raw]


def _check_examples(counts: Sequence[int]) -> None:
    if 0 in counts:
        raise ValueError(f"class {list(counts).index(0)} has no examples and cannot be balanced")
