"""Examples to train tiny models on, and the trainer as the workflow builds it."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainingArguments

from hfft.strategy.build import build_methods
from hfft.strategy.method import At, Method
from hfft.strategy.regularise.l2_sp import l2_sp
from hfft.strategy.spec import Strategy
from hfft.tasks.labels import Labels
from hfft.train import FineTuner
from tests.examples import MULTI, REGRESSION, SEVERAL, SIDE, SINGLE, VOCABULARY, head_and_depths

gc.freeze()  # each training collects garbage first, which without the libraries' own objects takes no time


def labels_of(problem: str, size: int = 3) -> Labels:
    """The labels of a problem with `size` outputs; of several tasks, two classes and a regression."""
    if problem == SEVERAL:
        return Labels.of_tasks([("kind", labels_of(SINGLE, size - 1)), ("size", labels_of(REGRESSION, 1))])
    return (
        Labels(problem, (), size) if problem == REGRESSION else Labels.of(problem, [f"class {i}" for i in range(size)])
    )


def examples(modality: str, problem: str, count: int, size: int = 3, seed: int = 0) -> list[dict[str, Any]]:
    """Random examples; texts differ in length, so that every batch is padded in its own way."""
    draw = torch.Generator().manual_seed(seed)
    rows: list[dict[str, Any]] = []
    for _ in range(count):
        if modality == "image":
            row: dict[str, Any] = {"pixel_values": torch.randn(3, SIDE, SIDE, generator=draw)}
        else:
            length = int(torch.randint(3, 13, (), generator=draw))
            row = {"input_ids": torch.randint(3, VOCABULARY, (length,), generator=draw)}
        if problem == SINGLE:
            row["labels"] = int(torch.randint(size, (), generator=draw))
        elif problem == SEVERAL:
            task = int(torch.randint(2, (), generator=draw))
            row["labels"] = torch.stack([torch.tensor(float(task)), torch.randint(2, (), generator=draw).float()])
        elif problem == MULTI:
            row["labels"] = torch.randint(2, (size,), generator=draw).float()
        else:
            row["labels"] = torch.randn(size, generator=draw)
        rows.append(row)
    return rows


def collate(rows: list[dict[str, Any]], dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """A batch of such examples."""
    batch = {"labels": torch.stack([torch.as_tensor(row["labels"]) for row in rows])}
    if "pixel_values" in rows[0]:
        return {**batch, "pixel_values": torch.stack([row["pixel_values"] for row in rows]).to(dtype)}
    ids = [row["input_ids"] for row in rows]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(i) for i in ids], batch_first=True)
    return {**batch, "input_ids": padded, "attention_mask": mask}


def arguments(folder: Path, **changes: Any) -> TrainingArguments:
    """Plain SGD on the CPU, every step logged, nothing saved."""
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "use_cpu": True,
        "optim": "sgd",
        "learning_rate": 0.1,
        "lr_scheduler_type": "constant",
        "per_device_train_batch_size": 8,
        "num_train_epochs": 2,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "report_to": "none",
    }
    return TrainingArguments(**{**given, **changes})


class Gradients(TrainerCallback):
    """Keeps a copy of the gradients of each optimiser step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Copy them."""
        self.steps.append(
            {n.removeprefix("module."): p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        )


def finetuner(
    model: torch.nn.Module, labels: Labels, rows: Any, settings: TrainingArguments, **changes: Any
) -> FineTuner:
    """A FineTuner as the workflow builds it."""
    depths = changes.pop("depths", None) or head_and_depths(model)[1]
    batch = partial(collate, dtype=next(model.parameters()).dtype)
    return FineTuner(model, settings, batch, rows, labels=labels, depths=depths, **changes)


class Pull(Method):
    """Half the squared distance from a start that is given."""

    name = "l2_sp"

    def __init__(self, weight: float, start: Mapping[str, torch.Tensor]):
        self.strength, self.before = weight, start

    def weights(self, model: torch.nn.Module, at: At) -> dict[str, torch.Tensor]:
        """The weighted distance."""
        return {"l2_sp": self.strength * l2_sp(model, self.before)}


def methods_of(**strategy: Any) -> list[Method]:
    """The methods of a recipe's `strategy`."""
    return build_methods(Strategy.model_validate(strategy))


def freeze_batch_norm(model: torch.nn.Module) -> None:
    """Its statistics are those of a micro-batch: frozen, they stand still."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.requires_grad_(False)


def difference(left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor]) -> float:
    """Distance of two sets of tensors, relative to the length of the first."""
    assert left.keys() == right.keys()
    apart = sum((left[name] - right[name]).double().square().sum() for name in left)
    return float((apart / sum(left[name].double().square().sum() for name in left)) ** 0.5)


def asked(request: Any, test: str) -> list[dict[str, Any]]:
    """The cases of a test that this session runs: a fixture that serves all at once need not train the others."""
    return [item.callspec.params for item in request.session.items if getattr(item, "originalname", "") == test]
