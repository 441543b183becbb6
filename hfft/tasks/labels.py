"""What a model's outputs mean. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Labels:
    """What a model's outputs mean: the problem and, if outputs have names, the classes in order.

    Attributes:
        size: number of outputs, `config.num_labels`.
        tasks: (task, meaning of its own outputs), in the order of the outputs, where there are several.
    """

    problem: str
    names: tuple[str, ...] = ()
    size: int = 0
    tasks: tuple[tuple[str, Labels], ...] = ()

    @classmethod
    def of(cls, problem: str, names: Iterable[str]) -> Labels:
        """Labels with one output per name."""
        names = tuple(names)
        return cls(problem, names, len(names))

    @classmethod
    def of_tasks(cls, tasks: Iterable[tuple[str, Labels]]) -> Labels:
        """The outputs of several tasks side by side; their names are unique across the tasks."""
        tasks = tuple(tasks)
        names = [f"{task}: {name}" for task, one in tasks for name in one.names or map(str, range(one.size))]
        return cls("several_tasks", tuple(names), len(names), tasks)

    @property
    def spans(self) -> dict[str, slice]:
        """Task -> its part of the outputs, where there are several."""
        found, begin = dict[str, slice](), 0
        for task, one in self.tasks:
            found[task] = slice(begin, begin + one.size)
            begin += one.size
        return found

    @property
    def id2label(self) -> dict[int, str]:
        """Index -> class name, as in a model's config."""
        return dict(enumerate(self.names))

    @property
    def label2id(self) -> dict[str, int]:
        """Class name -> index."""
        return {name: i for i, name in enumerate(self.names)}
