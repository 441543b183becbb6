"""What a sequence of tasks is measured by: accuracy of each task after each, forgetting, transfer. Rows may be of any size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hfft.evaluate.outputs import Outputs

Groups = Sequence[Sequence[str]]  # the classes of each task


def task_accuracies(outputs: Outputs, tasks: Groups, task_incremental: bool = False) -> tuple[list[float], list[int]]:
    """The accuracy on the rows of each task, and their numbers; NaN where it has no rows.

    Args:
        outputs: of rows of these tasks, with a logit for each class that the model knows.
        task_incremental: choose among the classes of the row's own task, which the model is told; else among all.
    """
    assert outputs.logits is not None
    assert outputs.references is not None
    names, logits, truth = outputs.labels.names, np.asarray(outputs.logits), np.asarray(outputs.references)
    index = {name: i for i, name in enumerate(names)}
    found, counts = [], []
    for classes in tasks:
        own = np.array([index[name] for name in classes])
        rows = np.isin(truth, own)
        counts.append(int(rows.sum()))
        chosen = own[logits[rows][:, own].argmax(1)] if task_incremental else logits[rows].argmax(1)
        found.append(float((chosen == truth[rows]).mean()) if counts[-1] else float("nan"))
    return found, counts


def domain_accuracies(outputs: Outputs, task_of_row: np.ndarray, tasks: int) -> tuple[list[float], list[int]]:
    """The accuracy on the rows of each of the first domains, and their numbers; NaN where one has no rows.

    Args:
        outputs: of all test rows, those of domains still to come among them.
        task_of_row: the place of each row's domain in the sequence, `(N,)`; -1 for none.

    Raises:
        ValueError: these are other rows.
    """
    assert outputs.logits is not None
    assert outputs.references is not None
    if len(task_of_row) != len(outputs):
        raise ValueError(f"{len(outputs)} rows of outputs, but the domains of {len(task_of_row)}")
    right = np.asarray(outputs.logits).argmax(1) == np.asarray(outputs.references)
    rows = [task_of_row == task for task in range(tasks)]
    counts = [int(one.sum()) for one in rows]
    return [float(right[one].mean()) if n else float("nan") for one, n in zip(rows, counts, strict=True)], counts


def over_rows(accuracies: Sequence[float], counts: Sequence[int]) -> float:
    """The accuracy over all rows from that of each task; NaN without rows."""
    right = sum(value * n for value, n in zip(accuracies, counts, strict=True) if n)
    return right / sum(counts) if sum(counts) else float("nan")


def average_accuracy(matrix: Sequence[Sequence[float]], counts: Sequence[Sequence[int]]) -> float:
    """The mean, over the tasks, of the accuracy on all rows seen so far: average incremental accuracy (iCaRL).

    Args:
        matrix: for each task in turn, the accuracy on each task so far, `matrix[t][j]` with `j <= t`.
        counts: the same of numbers of rows.
    """
    return float(np.mean([over_rows(row, n) for row, n in zip(matrix, counts, strict=True)]))


def forgetting(matrix: Sequence[Sequence[float]]) -> float:
    """The mean loss of accuracy from a task's best to its last, over all tasks but the last (arXiv:1801.10112)."""
    last = matrix[-1]
    lost = [max(row[j] for row in matrix[j:-1]) - last[j] for j in range(len(matrix) - 1)]
    return _mean(lost)


def backward_transfer(matrix: Sequence[Sequence[float]]) -> float:
    """The mean change of a task's accuracy since it was learned, over all tasks but the last (arXiv:1706.08840)."""
    return _mean([matrix[-1][j] - matrix[j][j] for j in range(len(matrix) - 1)])


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]  # a task without test rows says nothing
    return float(np.mean(known)) if known else 0.0
