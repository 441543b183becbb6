"""Logits of test rows as a run stores them, of what is no run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hfft import data
from hfft.errors import BadInput
from hfft.evaluate.outputs import OutputsFile, columns_of
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS


def check_scorable(problem: str, loaded: data.Splits | None = None) -> None:
    """Raise BadInput if rows have no single class, or there is no test split."""
    if not PROBLEMS[problem].classes:
        raise BadInput(f"tasks: {problem} has no single class for each row, by which every task is scored")
    if loaded is not None and loaded.test is None:
        raise BadInput("data.test: there is no test split, on which all tasks are scored; set data.test=0.2")


def write_outputs(path: Path, logits: Any, truth: Any, labels: Labels) -> None:
    """Write the outputs of test rows.

    Args:
        logits: `(N, C)`.
        truth: classes `(N,)`.
    """
    file = OutputsFile(path, "test", "given", labels, np.arange(len(truth)))
    file.add(columns_of(torch.as_tensor(np.asarray(logits)), torch.as_tensor(np.asarray(truth)), labels))
    file.close()


def accuracy(path: Path, split: str = "test") -> dict[str, Any]:
    """The accuracy and number of rows of outputs, as metrics.json has them."""
    from hfft.evaluate.outputs import Outputs

    metrics = Outputs.read(path).score(["accuracy"])["metrics"]
    return {split: {name: metrics[name] for name in ("accuracy", "n")}}
