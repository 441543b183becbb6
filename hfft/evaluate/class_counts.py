"""Counts of each class, from which its precision and recall follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS

MOST_CONFUSED = 50  # classes of which a confusion matrix can be read


class ClassCounts:
    """How often each class was right, said and there; for up to 50 classes of which one is right, the confusion matrix."""

    def __init__(self, labels: Labels):
        self.names, self.problem = labels.names, PROBLEMS[labels.problem]
        self.right, self.said, self.there = np.zeros((3, labels.size if self.problem.class_names else 0), dtype=int)
        small = self.problem.classes and labels.size <= MOST_CONFUSED
        self.confusion = np.zeros((labels.size, labels.size), dtype=int) if small else None

    def add(self, columns: Mapping[str, np.ndarray]) -> None:
        """Count rows of `Problem.answers`: `predictions` and `references`, `(N,)` indices or `(N, C)` of 0 and 1."""
        if not self.problem.class_names:
            return
        predictions, references = columns["predictions"], columns["references"]
        if self.problem.classes:
            listed = references[predictions == references], predictions, references
            right, said, there = (np.bincount(indices, minlength=len(self.there)) for indices in listed)
        else:
            right, said, there = (a.sum(0, dtype=int) for a in (predictions & references, predictions, references))
        self.right, self.said, self.there = self.right + right, self.said + said, self.there + there
        if self.confusion is not None:
            np.add.at(self.confusion, (references, predictions), 1)

    def tables(self) -> dict[str, Any]:
        """Per class: name, precision, recall, F1 (0 where undefined) and support; and the confusion matrix, rows true."""
        if not self.problem.class_names:
            return {}
        columns = [
            np.divide(right, all_of, out=np.zeros(len(right)), where=all_of > 0)
            for right, all_of in (
                (self.right, self.said),
                (self.right, self.there),
                (2 * self.right, self.said + self.there),
            )
        ]
        table = [
            {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "n": int(n)}
            for name, p, r, f, n in zip(self.names, *columns, self.there, strict=True)
        ]
        return {"classes": table, **({} if self.confusion is None else {"confusion": self.confusion.tolist()})}
