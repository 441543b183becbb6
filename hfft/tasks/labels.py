"""What a model's outputs mean. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Labels:
    """What a model's outputs mean: the problem and, if outputs have names, the classes in order.

    Attributes:
        size: number of outputs, `config.num_labels`.
    """

    problem: str
    names: tuple[str, ...] = ()
    size: int = 0

    @classmethod
    def of(cls, problem: str, names: Iterable[str]) -> Labels:
        """Labels with one output per name."""
        names = tuple(names)
        return cls(problem, names, len(names))

    @property
    def id2label(self) -> dict[int, str]:
        """Index -> class name, as in a model's config."""
        return dict(enumerate(self.names))

    @property
    def label2id(self) -> dict[str, int]:
        """Class name -> index."""
        return {name: i for i, name in enumerate(self.names)}
