"""Count per class what its precision and recall need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS

MOST_CONFUSED = 50  # classes in a readable confusion matrix


class ClassCounts:
    """Counts of correct predictions, predictions and rows per class; with up to 50 exclusive classes also a confusion matrix."""

    def __init__(self, labels: Labels):
        self.names, self.problem = labels.names, PROBLEMS[labels.problem]
        self.correct, self.predicted, self.present = np.zeros(
            (3, labels.size if self.problem.class_names else 0), dtype=int
        )
        small = self.problem.classes and labels.size <= MOST_CONFUSED
        self.confusion = np.zeros((labels.size, labels.size), dtype=int) if small else None

    def add(self, columns: Mapping[str, np.ndarray]) -> None:
        """Count rows of `Problem.answers`: `predictions` and `references` are indices `(N,)`, or 0 and 1 `(N, C)`."""
        if not self.problem.class_names:
            return
        predictions, references = columns["predictions"], columns["references"]
        if self.problem.classes:
            listed = references[predictions == references], predictions, references
            correct, predicted, present = (np.bincount(indices, minlength=len(self.present)) for indices in listed)
        else:
            correct, predicted, present = (
                a.sum(0, dtype=int) for a in (predictions & references, predictions, references)
            )
        self.correct, self.predicted, self.present = (
            self.correct + correct,
            self.predicted + predicted,
            self.present + present,
        )
        if self.confusion is not None:
            np.add.at(self.confusion, (references, predictions), 1)

    def tables(self) -> dict[str, Any]:
        """Per class: name, precision, recall, F1 (0 if undefined) and support; the confusion matrix has a row per true class."""
        if not self.problem.class_names:
            return {}
        columns = [
            np.divide(correct, all_of, out=np.zeros(len(correct)), where=all_of > 0)
            for correct, all_of in (
                (self.correct, self.predicted),
                (self.correct, self.present),
                (2 * self.correct, self.predicted + self.present),
            )
        ]
        table = [
            {"class": name, "precision": float(p), "recall": float(r), "f1": float(f), "n": int(n)}
            for name, p, r, f, n in zip(self.names, *columns, self.present, strict=True)
        ]
        return {"classes": table, **({} if self.confusion is None else {"confusion": self.confusion.tolist()})}
