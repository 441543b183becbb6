"""Trainings on streams that must not depend on how many processes share them; as a script, one process's share.

torchrun --nproc-per-node 2 tests/train/stream_cases.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import datasets
import torch

from hfft.data.stream import Cell, Stream
from hfft.evaluate.scores import Metrics
from hfft.train import FineTuner
from tests import examples, training

COUNT, HELD_OUT = 22, 13


class Make:
    """Cells -> inputs, noting which rows were made."""

    def __init__(self, rows: list[dict[str, Any]]):
        self.rows, self.made = rows, []

    def __call__(self, cells: list[Cell]) -> list[dict[str, Any]]:
        """The rows with the numbers that the stream gave."""
        self.made += [(cell.epoch, cell.place, cell.row["i"]) for cell in cells]
        return [self.rows[cell.row["i"]] for cell in cells]


def stream(count: int, size: int | None, buffer: int, seed: int = 0) -> Stream:
    """A stream of random texts in three shards."""
    rows = training.examples("text", examples.SINGLE, count, seed=seed)
    stored = datasets.Dataset.from_dict({"i": list(range(count))}).to_iterable_dataset(num_shards=3)
    return Stream(stored.shuffle(1, buffer_size=1) if buffer else stored, size, Make(rows), buffer)


CASES: dict[str, dict[str, Any]] = {
    "sized": {"num_train_epochs": 2},
    "of unknown size": {"max_steps": 7},
    "accumulated": {"num_train_epochs": 2, "gradient_accumulation_steps": 2},
    "by workers": {"num_train_epochs": 2, "dataloader_num_workers": 2},
}


def trainer_of(folder: Path, rows: Stream, held_out: Stream | None = None, **settings: Any) -> FineTuner:
    """Plain SGD in float64."""
    callbacks, labels = settings.pop("callbacks", []), training.labels_of(examples.SINGLE)
    model = examples.tiny("bert").double()
    return FineTuner(
        model,
        training.arguments(folder, batch_eval_metrics=True, **settings),
        training.collate,
        rows,
        held_out,
        compute_metrics=Metrics(labels, ["accuracy"]),
        callbacks=callbacks,
        labels=labels,
        depths=examples.head_and_depths(model)[1],
    )


def run(name: str, folder: Path, batch: int) -> dict[str, Any]:
    """A training over batches of eight, and what the held-out stream is then scored."""
    given, gradients = dict(CASES[name]), training.Gradients()
    batch //= given.get("gradient_accumulation_steps", 1)
    rows, read = stream(COUNT, None if "max_steps" in given else COUNT, buffer=5), []
    rows.rows = rows.rows.map(lambda row: read.append(row["i"]) or row)
    given |= {"per_device_train_batch_size": batch, "per_device_eval_batch_size": batch}
    trainer = trainer_of(folder, rows, stream(HELD_OUT, None, 0, seed=1), callbacks=[gradients], **given)
    trainer.train()
    weights = {key: p.detach() for key, p in trainer.model.named_parameters()}
    made = rows.make.made
    scores = trainer.evaluate()
    return {"gradients": gradients.steps, "weights": weights, "made": made, "scores": scores, "read": len(read)}


if __name__ == "__main__":
    target = Path(sys.argv[1])
    outcomes = {name: run(name, target / "run", batch=4) for name in CASES}
    torch.save(outcomes, target / f"{torch.distributed.get_rank()}.pt")
    torch.distributed.destroy_process_group()
