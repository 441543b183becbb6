"""Figures and children without training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hfft.recipe import Recipe, load_recipe
from hfft.runs import RunFolder
from hfft.studies.study import Figures

TINY = {
    "name": "tiny",
    "task": "image-classification",
    "backbone": {"name": "nano-vit"},
    "data": {"path": "digits", "validation": 0.1, "max_train_samples": 40, "max_eval_samples": 40},
    "training": {"num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "use_cpu": True},
}


def tiny(*overrides: str) -> Recipe:
    """A recipe of a second."""
    return load_recipe(TINY, *overrides)


def figures(test: float | None, validation: float | None = None, n: int = 100, **more: Any) -> Figures:
    """Figures of a child with these accuracies."""
    splits = {"test": test, "validation": validation}
    metrics = {name: {"accuracy": value, "n": n} for name, value in splits.items() if value is not None}
    return Figures({**metrics, "train": {"seconds": 2.0, "steps": 5}, **more})


def finished(recipe: Recipe, test: float) -> None:
    """A run folder as a finished run leaves it, without a model in it."""
    folder = RunFolder(recipe.output_dir)
    folder.model.mkdir(parents=True)
    folder.write_recipe(recipe.resolved())
    folder.write_json("metrics.json", dict(figures(test).metrics))
    Path(folder.path / "trainer_state.json").write_text(json.dumps({"log_history": [{"step": 1, "loss": 0.5}]}))
