"""What is reported of a prediction. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hfft.errors import BadInput
from hfft.wording import listing, nearest

UNKNOWN = "unknown"  # the answer of a model that is not sure enough


@dataclass(frozen=True)
class Shown:
    """What is reported of a prediction, besides its label or value.

    Attributes:
        probabilities: also the probability of every class.
        top_k: the most probable classes, best first, instead of those that the prediction selects.
        threshold: the probability from which a class of a multi-label model is selected, if it is not 0.5.
        thresholds: class -> its own threshold.
        surest_below: the answer is `unknown` if the probability of the most probable class is below this.
    """

    probabilities: bool = False
    top_k: int | None = None
    threshold: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    surest_below: float | None = None

    @classmethod
    def of(cls, probabilities: bool, top_k: int | None, thresholds: Iterable[str]) -> Shown:
        """The same from a command line, with thresholds as `0.4` or `CLASS=0.3`.

        Raises:
            BadInput: a threshold is not a number between 0 and 1.
        """
        common: float | None = None
        own: dict[str, float] = {}
        for given in thresholds:
            name, equals, text = given.rpartition("=")
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not 0 <= value <= 1:
                raise BadInput(f"--threshold {given}: expected a number between 0 and 1, or CLASS=NUMBER")
            if equals:
                own[name] = value
            else:
                common = value
        return cls(probabilities, top_k, common, own)

    @property
    def selects(self) -> bool:
        """Whether it has thresholds."""
        return bool(self.thresholds) or self.threshold is not None

    def least(self, name: str) -> float:
        """The probability from which a class is selected."""
        return self.thresholds.get(name, 0.5 if self.threshold is None else self.threshold)

    def check_names(self, names: Iterable[str]) -> None:
        """Raise BadInput if a threshold is for a class that is not among `names`, or `top_k` is not one of their counts."""
        names = list(names)
        for name in self.thresholds:
            if name not in names:
                raise BadInput(
                    f"--threshold {name}: no class {name!r}{nearest(name, names)} (the model has: {listing(names)})"
                )
        if self.top_k is not None and not 1 <= self.top_k <= len(names):
            raise BadInput(f"--top-k {self.top_k}: the model has {len(names)} classes; use 1 to {len(names)}")


def rounded(value: float, digits: str = ".6f") -> float | None:
    """A number to so many digits, as a table shows it; None if it is not finite, which JSON cannot express."""
    return float(format(value, digits)) if math.isfinite(value) else None
