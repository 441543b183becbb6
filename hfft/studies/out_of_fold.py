"""The predictions of a cross-validation, put together: for each row those of the model that was not trained on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hfft import data
from hfft.data.source import load_raw
from hfft.data.splits import column
from hfft.evaluate.outputs import Outputs, OutputsFile
from hfft.recipe import load_recipe
from hfft.studies.study import Child, Study
from hfft.tasks.problem import PROBLEMS


@dataclass(frozen=True)
class OutOfFold:
    """Outputs of rows in the order of the data.

    Attributes:
        rows: number of each row in the training split of the data, from 0, `(N,)`.
        ids: the values of `data.columns.id`, `(N,)`; None without one.
        folds: the fold whose model answered, from 1, `(N,)`.
        outputs: losses, logits and true values of all rows.
    """

    rows: np.ndarray
    ids: Sequence[Any] | None
    folds: np.ndarray
    outputs: Outputs

    def table(self) -> list[list[Any]]:
        """A heading and a line for each row: row, id, fold, true value, prediction, and each class's probability."""
        outputs = self.outputs
        assert outputs.logits is not None
        assert outputs.references is not None
        problem = PROBLEMS[outputs.labels.problem]
        names = list(outputs.labels.names)
        answers = problem.probabilities(torch.from_numpy(np.array(outputs.logits))).numpy()
        head = ["row", *(["id"] if self.ids is not None else []), "fold"]
        if problem.classes:
            head += ["label", "predicted"]
            answered = [[names[i] for i in outputs.references], [names[i] for i in answers.argmax(1)]]
        else:
            shown = names if len(names) == outputs.labels.size else [str(i) for i in range(outputs.labels.size)]
            head += [f"label_{name}" for name in shown]
            answered = list(np.array(outputs.references).reshape(len(self.rows), -1).T)
            names = shown
        head += [f"{'probability' if problem.class_names else 'value'}_{name}" for name in names]
        ids = [self.ids] if self.ids is not None else []
        values = [[f"{value:.6g}" for value in part] for part in answers.T]
        return [head, *(list(line) for line in zip(self.rows, *ids, self.folds, *answered, *values, strict=True))]


def gathered(study: Study, children: Sequence[Child], folder: Path) -> OutOfFold:
    """The outputs of the folds of one repetition.

    Raises:
        LookupError: a run did not store its outputs, or has none per row.
    """
    parts, numbers, folds = list[Outputs](), list[np.ndarray](), list[np.ndarray]()
    for i, child in enumerate(children, 1):
        at = folder / "children" / child.name
        file = at / "outputs" / "test.safetensors"
        if not file.is_file():
            raise LookupError(f"{child.arm} has no stored outputs of its rows (score.outputs)")
        recipe = load_recipe(at / "recipe.yaml")
        splits, _ = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
        parts.append(Outputs.read(file))
        numbers.append(column(splits.test, "row").to_numpy())
        folds.append(np.full(len(parts[-1]), i))
    if any(part.logits is None or part.references is None for part in parts):
        raise LookupError("the task has no answer per row")
    rows = np.concatenate(numbers)
    order = np.argsort(rows, kind="stable")

    def joined(name: str) -> np.ndarray:
        return np.concatenate([np.array(getattr(part, name)) for part in parts])[order]

    origin = f"{len(children)} folds of {study.recipe.data.train}"
    columns = [joined(name) for name in ("losses", "targets", "logits", "references")]
    outputs = Outputs("out-of-fold", origin, parts[0].labels, *columns)
    ids = None
    if (named := study.recipe.data.columns.id) is not None:
        raw = load_raw(study.recipe.data).splits[study.recipe.data.train]
        ids = [raw[named][int(row)] for row in rows[order]]
    return OutOfFold(rows[order], ids, np.concatenate(folds)[order], outputs)


def write_outputs(found: OutOfFold, path: Path) -> None:
    """Write the outputs as `Outputs.read` reads them, with the row numbers in the file's metadata."""
    outputs = found.outputs
    file = OutputsFile(path, outputs.split, outputs.origin, outputs.labels, np.arange(len(outputs)))
    file.about["rows"] = json.dumps(found.rows.tolist())
    columns = {name: getattr(outputs, name) for name in ("losses", "targets", "logits", "references")}
    file.add({name: value for name, value in columns.items() if value is not None})
    file.close()
