"""Overrides of a recipe for a client's run: begin with a global model, at a constant rate, without scores on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hfft.recipe import Recipe

_OWN_HEAD = ("kind", "pooling", "hidden", "activation", "norm")


def continued(recipe: Recipe, model: str | Path) -> dict[str, Any]:
    """A run that begins with the model in a folder, its head included; beside an adapter with that adapter."""
    if recipe.layers.adapter is not None:
        return {"layers.adapter": {"from": str(model)}}
    found = {"backbone.name": str(model), "head.keep_known": True, "head.init": "default"}
    found |= {"backbone.edit": []}  # it is in the model
    return found | {f"head.{key}": None for key in _OWN_HEAD if getattr(recipe.head, key) is not None}


def constant_rate(recipe: Recipe) -> dict[str, Any]:
    """A run at a constant rate, without evaluations and checkpoints on the way; an adapter is saved as one."""
    found: dict[str, Any] = {
        "training.lr_scheduler_type": "constant",
        "training.warmup_steps": 0,
        "training.eval_strategy": "no",
        "training.save_strategy": "no",
    }
    if recipe.training.get("load_best_model_at_end"):
        found["training.load_best_model_at_end"] = False
    if recipe.layers.adapter is not None:
        found["publish.as"] = "adapter"
    return found
