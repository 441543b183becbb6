"""Splits to score; as a script, one process's share of them.

torchrun --nproc-per-node 2 tests/evaluate/cases.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from hfft.evaluate import Metrics, score_splits
from hfft.layers import Depths
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.train import FineTuner
from tests import training

METRICS = {name: tuple(problem.metrics) for name, problem in PROBLEMS.items() if problem.metrics}
SINGLE, MULTI, REGRESSION, MASKED, PATCHES = METRICS
HIDDEN = (MASKED, PATCHES)  # of which loss and number of targets of each row are stored
ROWS, SIZE = 13, 7  # by four in two processes: the last step is filled up with rows that do not count

OWN = """
import evaluate
from datasets import Features, Value


class Wrong(evaluate.Metric):
    def _info(self):
        features = Features({"predictions": Value("int32"), "references": Value("int32")})
        return evaluate.MetricInfo(description="", citation="", features=features)

    def _compute(self, predictions, references):
        assert isinstance(predictions, list)
        wrong = sum(a != b for a, b in zip(predictions, references))
        return {"wrong": wrong, "rows": len(references)}
"""


def example(problem: str, rows: int = 203, size: int = 7) -> tuple[torch.Tensor, torch.Tensor, Labels]:
    """Logits and labels of a split."""
    torch.manual_seed(0)
    logits = torch.randn(rows, size) * 2
    names = [f"class {i}" for i in range(size)]
    if problem == SINGLE:
        return logits, (logits + torch.randn(rows, size) * 2).argmax(1), Labels.of(problem, names)
    if problem == MULTI:
        return logits, (logits + torch.randn(rows, size) > 0.5).float(), Labels.of(problem, names)
    if problem in HIDDEN:
        targets = torch.randint(0, 5, (rows,)).float()
        return torch.stack([targets * logits[:, 0].abs(), targets], 1), torch.zeros(rows), Labels(problem)
    return logits, logits + torch.randn(rows, size), Labels(problem, (), size)


class Echo(torch.nn.Module):
    """Answers with the logits that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = torch.nn.Linear(1, 1)

    def forward(self, logits: torch.Tensor) -> dict[str, torch.Tensor]:
        """Those logits."""
        return {"logits": logits}


def collate(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Rows of one size, stacked."""
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}


def rows_of(problem: str) -> tuple[list[dict[str, torch.Tensor]], Labels]:
    """`ROWS` rows; of tokens or patches to be filled in each has four, of which none to three are asked for."""
    logits, target, labels = example(problem, ROWS, SIZE)
    if problem == MASKED:
        logits = torch.randn(ROWS, 4, SIZE)
        target = torch.where(torch.arange(4) < torch.arange(ROWS)[:, None] % 4, 3, -100)
    if problem == PATCHES:
        logits, hidden = torch.randn(ROWS, 4, SIZE), torch.arange(4) < torch.arange(ROWS)[:, None] % 4
        target = torch.randn(ROWS, 4, SIZE).masked_fill(~hidden[..., None], float("nan"))
    return [{"logits": x, "labels": y} for x, y in zip(logits, target, strict=True)], labels


def scored(problem: str, folder: Path, batch: int, own: str, limit: int = 0) -> dict[str, Any]:
    """Every figure and table that a Trainer computes of the rows, on all its processes; from outputs with a limit."""
    rows, labels = rows_of(problem)
    metrics = Metrics(labels, (*METRICS[problem], *([own] if own and problem == SINGLE else [])))
    trainer = FineTuner(
        Echo(),
        training.arguments(folder, batch_eval_metrics=True, per_device_eval_batch_size=batch),
        collate,
        None,
        rows,
        compute_metrics=metrics,
        labels=labels,
        depths=Depths(0, {"classifier": 1}, {}),
    )
    prepared: Any = {"test": rows}
    return score_splits(trainer, prepared, metrics, {"test": "given"}, folder / problem, limit)["test"]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    outcomes = {problem: scored(problem, target / "run", 4, str(target / "wrong.py")) for problem in METRICS}
    kept = {problem: scored(problem, target, 4, str(target / "wrong.py"), limit=10**6) for problem in METRICS}
    outcomes |= {f"kept {problem}": outcome for problem, outcome in kept.items()}
    (target / f"{torch.distributed.get_rank()}.json").write_text(json.dumps(outcomes))
    torch.distributed.destroy_process_group()
