"""Trainings that must not depend on how a batch is split; as a script, one process's share of them.

torchrun --nproc-per-node 2 tests/train/split_cases.py FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForMaskedLM

from hfft import layers
from hfft.backbone.edit import edit
from hfft.layers.spec import Schedule
from tests import examples, training

MASKED = "masked_language_modelling"


@dataclass(frozen=True)
class Case:
    """What is trained: an architecture on a problem, and everything that may touch the loss."""

    name: str
    problem: str
    count: int = 8
    pull: float = 0.0
    class_weights: tuple[float, ...] | None = None
    schedule: Schedule | None = None
    edits: tuple[dict[str, Any], ...] = ()
    train: str = "all"
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """Gradients of each step as the optimiser got them, weights at the end, and what was logged of each step."""

    gradients: list[dict[str, torch.Tensor]]
    weights: dict[str, torch.Tensor]
    logs: list[dict[str, float]]


# Everything that scales the loss at once: what is wrong by a factor shows in the clipping, too.
ALL_AT_ONCE = {
    "pull": 0.3,
    "class_weights": (0.5, 1.0, 1.5),
    "settings": {"label_smoothing_factor": 0.1, "max_grad_norm": 0.05},
}
LAUNCHED = {
    "single label, with all that scales a loss": Case("bert", examples.SINGLE, 16, **ALL_AT_ONCE),
    "multi-label": Case("vit", examples.MULTI, 16),
    "regression": Case("resnet", examples.REGRESSION, 16),
    "masked tokens": Case("bert", MASKED, 16),
    # Ten of these make a step of eight and one of two, of which the second process has none.
    "single label, ragged": Case("vit", examples.SINGLE, 10, **ALL_AT_ONCE),
    "masked tokens, ragged": Case("bert", MASKED, 15),
    # Four steps: the flip lies between the epochs, or within the first.
    "head, then all": Case("bert", examples.SINGLE, 16, schedule=Schedule(type="head-then-all")),
    "gradual": Case("vit", examples.SINGLE, 16, schedule=Schedule(type="gradual", every_steps=1, blocks=2)),
    "gradual, checkpointing activations": Case(
        "bert",
        examples.SINGLE,
        16,
        schedule=Schedule(type="gradual", every_steps=1, blocks=2),
        settings={
            "activation_checkpointing": True,
            "activation_checkpointing_kwargs": {"use_reentrant": False},
            "ddp_find_unused_parameters": True,
        },
    ),
    "inserted into a frozen model": Case(
        "bert",
        examples.SINGLE,
        16,
        edits=({"insert": "/output$/", "module": {"type": "bottleneck", "size": 4}},),
        train="head",
        settings={"learning_rate": 1.0},
    ),
    "surgical": Case("vit", examples.SINGLE, 16, schedule=Schedule(type="surgical", batches=100)),
}


def model_of(case: Case) -> torch.nn.Module:
    """The model, in float64 so that only a wrong scale can make a difference."""
    if case.problem == MASKED:
        torch.manual_seed(0)
        model = AutoModelForMaskedLM.from_config(examples.tiny_config(case.name))
    else:
        model = examples.tiny(case.name)
    training.freeze_batch_norm(model)
    if case.edits:
        batch = training.collate(examples_of(case)[:2])
        batch.pop("labels")
        torch.manual_seed(0)
        model, _ = edit.edit(model, list(case.edits), None, lambda _: batch)
    if case.train != "all":
        head_names, depths = examples.head_and_depths(model)
        layers.adapt(model, case.train, None, depths, head_names)
    return model.double()


def examples_of(case: Case) -> list[dict[str, Any]]:
    """The examples; of masked texts some have many targets, some none."""
    if case.problem != MASKED:
        return training.examples(examples.ALL[case.name].modality, case.problem, case.count)
    rows = training.examples("text", examples.SINGLE, case.count)
    for i, row in enumerate(rows):
        masked = torch.arange(len(row["input_ids"])) < i % 4
        row["input_ids"] = torch.nn.functional.pad(row["input_ids"], (0, 12 - len(row["input_ids"])), value=3)
        row["labels"] = torch.full((12,), -100)
        row["labels"][: len(masked)][masked] = row["input_ids"][: len(masked)][masked]
    return rows


def run(case: Case, folder: Path, batch: int, accumulation: int) -> Outcome:
    """Two epochs of plain SGD."""
    model = model_of(case)
    labels = training.labels_of(case.problem)
    settings = training.arguments(
        folder, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation, **case.settings
    )
    # A start beside the first weights, so that the term pulls from the first step on.
    start = {name: p.detach() + 0.01 for name, p in model.named_parameters() if "classifier" not in name}
    methods: list[Any] = [training.Pull(case.pull, start)] if case.pull else []
    if case.class_weights is not None:
        methods += training.methods_of(class_weights=dict(zip(labels.names, case.class_weights, strict=True)))
    gradients = training.Gradients()
    trainer = training.finetuner(
        model,
        labels,
        examples_of(case),
        settings,
        methods=methods,
        schedule=case.schedule,
        callbacks=[gradients],
    )
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    return Outcome(gradients.steps, {n: p.detach() for n, p in model.named_parameters()}, logs)


def worst(left: Outcome, right: Outcome) -> dict[str, float]:
    """The largest relative difference of gradients, weights and each logged figure."""
    assert len(left.gradients) == len(right.gradients)
    assert len(left.logs) == len(right.logs)
    found = {
        "gradients": max(training.difference(a, b) for a, b in zip(left.gradients, right.gradients, strict=True)),
        "weights": training.difference(left.weights, right.weights),
    }
    for key in ("loss", "grad_norm", "l2_sp"):
        pairs = [(a[key], b[key]) for a, b in zip(left.logs, right.logs, strict=True) if key in a or key in b]
        found[key] = max((abs(a - b) / abs(a) for a, b in pairs), default=0.0)
    return found


if __name__ == "__main__":
    target = Path(sys.argv[1])
    outcomes = {name: run(case, target, batch=2, accumulation=2) for name, case in LAUNCHED.items()}
    rank = torch.distributed.get_rank()
    torch.save({name: vars(outcome) for name, outcome in outcomes.items()}, target / f"{rank}.pt")
    torch.distributed.destroy_process_group()
