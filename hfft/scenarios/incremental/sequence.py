"""The tasks that a method learns in turn, as overrides of a recipe: groups of classes, or domains with the same classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfft.data.spec import NONE


@dataclass(frozen=True)
class TaskSequence:
    """The tasks of one seed, counted from 1.

    Attributes:
        classes: of each task; all classes in each where tasks are domains.
        domains: the domain of each task; empty where tasks are groups of classes.
    """

    classes: Sequence[Sequence[str]]
    domains: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        """What each task consists of, in words."""
        return list(self.domains) or [", ".join(group) for group in self.classes]

    def seen(self, t: int) -> list[str]:
        """The classes of the first tasks, each once."""
        return list(dict.fromkeys(name for group in self.classes[:t] for name in group))

    def all(self) -> dict[str, Any]:
        """The rows of all tasks at once."""
        return {"data.classes": self.seen(len(self)), **self._held_out()}

    def rows(self, t: int) -> dict[str, Any]:
        """The training rows of a task, under a head of all classes so far; the test rows are those of all these classes."""
        found: dict[str, Any] = {"data.classes": self.seen(t), **self._held_out()}
        if self.domains:
            return {**found, "data.client": {"domain": self.domains[t - 1]}}
        return {**found, "data.train_classes": list(self.classes[t - 1])} if t > 1 else found

    def alone(self, t: int) -> dict[str, Any]:
        """The training rows of a task, under a head of its own classes."""
        return self.rows(t) if self.domains else {"data.classes": list(self.classes[t - 1])}

    def share(self, t: int, most: int | None) -> dict[str, Any]:
        """The rows of a task, where all tasks together have `most`: in proportion to its classes, at least one of each.

        Domains have their rows of those that are drawn for all.
        """
        if most is None or self.domains:
            return {}
        mine, whole = len(self.classes[t - 1]), sum(map(len, self.classes))
        return {"data.max_train_samples": max(round(most * mine / whole), mine)}

    def _held_out(self) -> dict[str, Any]:
        """A share set aside of all domains would show a run rows of tasks to come."""
        return {"data.validation": NONE} if self.domains else {}
