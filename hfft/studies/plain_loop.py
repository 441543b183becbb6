"""A training as a plain PyTorch loop, to compare a recipe's run with: stochastic gradient descent at a constant rate."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hfft.errors import BadInput
from hfft.pipeline.build import build_run
from hfft.recipe import Recipe
from hfft.train import training_arguments


def plain_loop(
    model: nn.Module,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    max_norm: float,
) -> list[float]:
    """Train in place, one step per batch, with the mean cross-entropy and the gradient clipped; returns the losses.

    Args:
        batches: `pixel_values` `(B, C, H, W)` and `labels` `(B,)`.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    model.train()
    losses = []
    for batch in batches:
        loss = F.cross_entropy(model(batch["pixel_values"]).logits, batch["labels"])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def difference(recipe: Recipe, steps: int = 20) -> float:
    """Largest difference of a weight or statistic between a recipe's run and the plain loop after some steps, in float64.

    Both begin with the same weights and get the same batches; loss, mode of the layers, gradients, clipping and update
    are each one's own. The decay is that of the recipe's `layers.weight_decay`, which must hold for all parameters.

    Raises:
        BadInput: the recipe trains otherwise than by momentum at a constant rate with all layers learning.
    """
    _check(recipe)
    with tempfile.TemporaryDirectory() as folder:
        values = recipe.resolved()
        values["training"] = {**values["training"], "output_dir": str(Path(folder) / "run")}
        values["layers"] = {
            **values["layers"],
            "last_block": "whole",
        }  # finding what is read of it takes a batch of its own
        values["training"] |= {"max_steps": steps, "save_strategy": "no", "eval_strategy": "no"}
        again = Recipe.model_validate(values)
        trainer = build_run(again, training_arguments(again)).trainer
        model = trainer.model.double()
        alone = copy.deepcopy(model)
        batches: list[dict[str, Tensor]] = []

        def in_float64(batch: dict[str, Any]) -> dict[str, Any]:
            batch = batch if own is None else own(batch)
            batch = {k: v.double() if torch.is_floating_point(v) else v for k, v in batch.items()}
            batches.append({name: value.clone() for name, value in batch.items()})
            return batch

        own, trainer.on_device = trainer.on_device, in_float64
        trainer.train()
    arguments = trainer.args
    momentum = float(dict(part.split("=") for part in arguments.optim_args.split(","))["momentum"])
    decay = {group["weight_decay"] for group in trainer.groups(model)}
    if len(decay) > 1:
        raise BadInput(f"layers.weight_decay: parameters decay at {sorted(decay)}; a plain loop has one for all")
    plain_loop(
        alone,
        batches,
        lr=arguments.learning_rate,
        momentum=momentum,
        weight_decay=decay.pop(),
        max_norm=arguments.max_grad_norm,
    )
    here, there = trainer.model.state_dict(), alone.state_dict()
    return max(float((here[name].double() - there[name].double()).abs().max()) for name in here)


def _check(recipe: Recipe) -> None:
    training = recipe.training
    fits = training.get("optim") == "sgd" and training.get("lr_scheduler_type") == "constant"
    fits &= "momentum=" in str(training.get("optim_args")) and recipe.train_layers == ["all"]
    if not fits or recipe.layers.freeze or recipe.problem != "single_label_classification":
        raise BadInput(
            f"{recipe.name} does not train as the plain loop does; use training.optim=sgd with momentum in optim_args, "
            f"lr_scheduler_type=constant, layers.train=all and single-label classes"
        )


def same_steps(recipe: Recipe, steps: int) -> dict[str, Any]:
    """`difference` as the figures of a child."""
    return {"difference": difference(recipe, steps), "steps": steps}
