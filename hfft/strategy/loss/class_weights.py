"""Weight each row's loss by its class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from hfft.errors import BadInput, DataError
from hfft.lazy import torch
from hfft.strategy.method import At, Inner, Method, MethodSpec, Setting

if TYPE_CHECKING:
    from torch import Tensor


class ClassWeights(MethodSpec):
    """Weight of each class by name, or `balanced` for equal influence of all classes."""

    main = "weights"
    weights: Literal["balanced"] | dict[str, Annotated[float, Field(ge=0)]]

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        given = isinstance(value, ClassWeights) or (isinstance(value, Mapping) and set(value) == {"weights"})
        return value if given else {"weights": value}

    def plain(self) -> Any:
        """The weights as a plain value."""
        return self.weights

    def build(self) -> Method | None:
        """The method; None without weights."""
        return Weighed(self) if self.weights else None


class Weighed(Method):
    """Multiplies a row's loss by its class's weight, only in training."""

    problems = ("single_label_classification",)

    def __init__(self, spec: ClassWeights):
        self.spec = spec
        self.needs = frozenset({"counts"}) if spec.weights == "balanced" else frozenset()

    def start(self, setting: Setting) -> None:
        """Put the weights in the order of the classes.

        Raises:
            BadInput: a weight names no class of the data, or a class has no weight.
            DataError: a class has no rows and cannot be balanced.
        """
        wanted = self.spec.weights
        if wanted == "balanced":
            try:
                weights = balanced_weights(setting.class_counts.tolist())
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
    counts = list(counts)
    if 0 in counts:
        raise ValueError(f"class {counts.index(0)} has no examples and cannot be balanced")
    return [sum(counts) / (len(counts) * c) for c in counts]
