"""Weight the labels that rows have against those that they lack, for problems with several labels a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from hfft.errors import BadInput, DataError
from hfft.lazy import F, torch
from hfft.strategy.method import At, Inner, Method, MethodSpec, Setting
from hfft.wording import listing

if TYPE_CHECKING:
    from torch import Tensor

Positive = Annotated[float, Field(gt=0)]


class PositiveWeights(MethodSpec):
    """Binary cross-entropy in which each label that a row has counts this many times.

    Attributes:
        weights: one weight for all classes, the weight of each class by name, or `balanced`: rows without the class
            divided by rows with it.
    """

    main = "weights"
    weights: Literal["balanced"] | Positive | dict[str, Positive]

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        own = isinstance(value, PositiveWeights) or (isinstance(value, Mapping) and set(value) == {"weights"})
        return value if own else {"weights": value}

    def plain(self) -> Any:
        """The weights as a plain value."""
        return self.weights

    def build(self) -> Method | None:
        """The method; None if all weights are 1, or there are none."""
        given = self.weights.values() if isinstance(self.weights, dict) else [self.weights]
        return Positives(self) if any(weight != 1 for weight in given) else None


class Positives(Method):
    """Replaces the task loss. Of mixed rows, it is the loss of each row's labels times its share."""

    problems = ("multi_label_classification",)
    replaces_loss = True

    def __init__(self, spec: PositiveWeights):
        self.spec = spec
        self.needs = frozenset({"counts"}) if spec.weights == "balanced" else frozenset()

    def start(self, setting: Setting) -> None:
        """Put the weights in the order of the classes.

        Raises:
            BadInput: a weight names no class of the data, or a class has no weight.
            DataError: no row has a class, or each row has it, so that it cannot be balanced.
        """
        given, names = self.spec.weights, setting.class_names
        if given == "balanced":
            assert setting.class_ids is not None
            counts, rows = setting.class_counts, len(setting.class_ids)
            for name, count in zip(names, counts, strict=True):
                if count in (0, rows):
                    raise DataError(
                        f"strategy.positive_weights: {'each' if count else 'no'} row has class {name}, so that it cannot "
                        "be balanced; give the weights by name, or remove the class"
                    )
            weights = [(rows - count) / count for count in counts.tolist()]
        elif isinstance(given, dict):
            if set(given) != set(names):
                raise BadInput(f"strategy.positive_weights: expected one weight for each of {listing(names)}")
            weights = [given[name] for name in names]
        else:
            weights = [given] * setting.outputs
        self.factors = torch.tensor(weights, device=setting.device)

    def example_loss(self, inner: Inner, logits: Tensor, labels: Tensor, at: At) -> Tensor:
        """The weighted loss, averaged over the classes."""
        return weighted_binary_cross_entropy(logits, labels, self.factors.to(logits))


def weighted_binary_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Mean over the classes of `-(w y log p + (1 - y) log(1 - p))`, `(B,)`.

    Logits `(B, C)`, labels y `(B, C)` in [0, 1], weights w `(C,)`; torch calls w the `pos_weight`.
    """
    labels = labels.to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, labels, pos_weight=weights, reduction="none").mean(1)
