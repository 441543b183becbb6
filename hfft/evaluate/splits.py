"""Score the held-out splits with the Trainer that trained, on all its processes, and store the outputs in files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hfft.data import Prepared, Stream
from hfft.evaluate.outputs import OutputsFile, columns_of
from hfft.evaluate.scores import Metrics
from hfft.processes import by_first_process, is_first, say
from hfft.train import FineTuner
from hfft.wording import first_line, human


def score_splits(
    trainer: FineTuner, prepared: Prepared, metrics: Metrics, origin: Mapping[str, str], folder: Path, limit: int
) -> dict[str, dict[str, Any]]:
    """Score each split: its metrics (including `n`), table per class and confusion matrix.

    Args:
        origin: the origin of each split.
        folder: receives the outputs, `<split>.safetensors`, from which the metrics are computed.
        limit: maximum bytes of such a file; above it (or at 0) metrics are computed batch by batch instead.
    """
    scores: dict[str, dict[str, Any]] = {}
    for name, rows in prepared.items():
        recorder: Metrics | Recorder = metrics
        if limit and not isinstance(rows, Stream):
            order = trainer.scoring_order(rows)
            file = OutputsFile(folder / f"{name}.safetensors", name, origin[name], metrics.labels, order)
            recorder = Recorder(metrics, file, limit)
        trainer.compute_metrics, before = recorder, trainer.compute_metrics
        try:
            trainer.evaluate(rows, metric_key_prefix=name)
        finally:
            trainer.compute_metrics = before
        scores[name] = recorder.result
    return scores


def score_answers(
    answers: Iterable[tuple[torch.Tensor, torch.Tensor]],
    metrics: Metrics,
    path: Path,
    origin: str,
    rows: int | None,
    limit: int,
) -> dict[str, Any]:
    """Score a split that no Trainer has answered: its metrics (including `n`), table per class and confusion matrix.

    Args:
        answers: (logits, labels) of all its rows, batch by batch.
        path: receives the outputs, `<split>.safetensors`.
        origin: the origin of the split.
        rows: number of its rows; None for a stream, whose outputs are not stored.
        limit: as for `score_splits`.
    """
    if not limit or rows is None:
        for logits, labels in answers:
            metrics.update(logits, labels)
        metrics.compute()
        return metrics.result
    recorder = Recorder(metrics, OutputsFile(path, path.stem, origin, metrics.labels, np.arange(rows)), limit)
    for logits, labels in answers:
        recorder.add(logits, labels)
    return recorder.scored()


class Recorder:
    """A `compute_metrics` of a Trainer that writes each batch to a file and scores the file at the end of the split.

    Only the first process does this. If the file would be too large, the batches go to the metrics instead.
    """

    def __init__(self, metrics: Metrics, file: OutputsFile, limit: int):
        self.metrics, self.limit = metrics, limit
        self.file: OutputsFile | None = file
        self.result: dict[str, Any] = {}

    def __call__(self, prediction: Any, compute_result: bool = True) -> dict[str, float]:
        """Add a batch of the Trainer; with `compute_result` it is the last one, and the metrics are returned."""
        if is_first():
            self.add(torch.as_tensor(prediction.predictions), torch.as_tensor(prediction.label_ids))
        if not compute_result:
            return {}
        self.result = self.scored()
        self.metrics.scored[:] = [name for name in self.result["metrics"] if name not in ("loss", "n")]
        return self.result["metrics"]

    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch of logits `(B, C)` and labels `(B,)` or `(B, C)`."""
        if self.file is not None:
            columns = columns_of(logits, labels, self.metrics.labels)
            if self.file.added or self._fits(self.file, columns):
                self.file.add(columns)
                return
            self.file = None
        self.metrics.update(logits, labels)

    def _fits(self, file: OutputsFile, columns: Mapping[str, np.ndarray]) -> bool:
        size, name = file.size(columns), file.path.stem
        if size > self.limit:
            say(f"outputs of {name} are not stored: they take {human(size)}, score.outputs allows {human(self.limit)}")
            return False
        try:
            file.open(columns)
        except OSError as error:
            say(f"outputs of {name} are not stored: {first_line(error)}")
            return False
        return True

    @by_first_process
    def scored(self) -> dict[str, Any]:
        """The metrics, including `n`, and tables of all batches."""
        if self.file is None:
            self.metrics.compute()
            return self.metrics.result
        return self.file.close().score(self.metrics.names)
