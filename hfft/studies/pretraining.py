"""A pretraining whose checkpoints other children of a study begin from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hfft.pipeline.finetune import finetune
from hfft.recipe import Recipe, load_recipe
from hfft.runs import RunFolder
from hfft.studies.study import override_words

_WEIGHTS = ("config.json", "model.safetensors")


def pretrain(recipe: Recipe, upstream: str, overrides: Mapping[str, Any], checkpoints: int) -> dict[str, Any]:
    """Run another recipe, and keep models of several moments of it as `checkpoints/<step>` in the child's folder.

    Args:
        recipe: of the child: its folder and seed.
        upstream: the recipe of the pretraining.
        checkpoints: how many models, at equal distances.

    Returns:
        `checkpoints`: step, the main validation metric and its value for each; `metric`.
    """
    run = RunFolder(recipe.output_dir / "run")
    often = {"strategy": "steps", "steps": 1 / checkpoints}
    given = {f"training.{what}_{key}": value for what in ("eval", "save") for key, value in often.items()}
    given |= {"training.save_total_limit": checkpoints + 1, "training.seed": recipe.seed, "publish": {}}
    given |= {"score.from_scratch": False, **overrides, "training.output_dir": str(run.path)}
    result = finetune(load_recipe(upstream, *override_words(given)))
    history = json.loads((run.path / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    metric = load_recipe(upstream).metrics[0]
    name = next(
        key for entry in history for key in entry if key.startswith("eval_") and key in (f"eval_{metric}", "eval_loss")
    )
    values = {entry["step"]: entry[name] for entry in history if name in entry}
    found = []
    for folder in sorted(run.path.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2])):
        step = int(folder.name.rpartition("-")[2])
        if step in values:
            _keep(folder, result.model, recipe.output_dir / "checkpoints" / str(step))
            found.append({"step": step, "value": values[step]})
    return {"checkpoints": found, "metric": name.removeprefix("eval_")}


def _keep(checkpoint: Path, model: Path, target: Path) -> None:
    """A model folder of a checkpoint's weights, and the processor of the finished model."""
    target.mkdir(parents=True, exist_ok=True)
    for file in model.iterdir():
        if file.is_file() and file.suffix == ".json":
            shutil.copy(file, target / file.name)
    for name in _WEIGHTS:
        shutil.copy(checkpoint / name, target / name)
