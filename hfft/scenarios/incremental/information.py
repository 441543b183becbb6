"""Fisher information that is summed over tasks, for online EWC (Schwarz et al. 2018, arXiv:1805.06370)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor

from hfft import data, head
from hfft.predict import load_predictor
from hfft.recipe import Recipe
from hfft.strategy.at import At
from hfft.strategy.outputs import logits_of
from hfft.strategy.regularise.ewc import SALT, draw, fisher
from hfft.tasks.problem import PROBLEMS

FILE = "information.safetensors"


def consolidate(recipe: Recipe, gamma: float = 1.0, rows: int = 256, before: str | None = None) -> dict[str, Any]:
    """Add the Fisher information of a task's rows, under the model that has just learned it, to that of the tasks before.

    Writes `information.safetensors`, for all weights but the head's; a child of a study.

    Args:
        recipe: of the task, with the finished model as its backbone.
        gamma: factor on the information of the tasks before.
        rows: rows of which it is the mean.
        before: the child with the information so far.
    """
    started = time.perf_counter()
    loaded, _ = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
    predictor = load_predictor(recipe.backbone.name)
    model, inputs = predictor.model, predictor.modality.inputs
    train: Any = loaded.train
    own = {n: p for n, p in model.named_parameters() if n not in head.parameter_names(model, recipe.head.new)}
    chosen = np.sort(np.random.default_rng((recipe.seed, SALT)).permutation(len(train))[:rows])
    at, problem = At(0, 0, 0.0, recipe.seed), PROBLEMS[recipe.problem]

    def drawn() -> Iterator[Tensor]:
        for i in chosen.tolist():
            row = inputs.of_row(train[i], loaded.columns)
            for _, batch in predictor.batches([row], 1):
                logits = logits_of(model(**batch))
                uniform = logits.new_tensor(at.draws([i], logits.shape[1], SALT))
                yield problem.loss(logits, draw(logits.detach(), uniform)).sum()

    found = fisher(drawn(), own)
    if before is not None:
        earlier = load_file(recipe.output_dir.parent / before / FILE)
        found = {name: value + gamma * earlier[name].to(value) for name, value in found.items()}
    recipe.output_dir.mkdir(parents=True, exist_ok=True)
    save_file({name: value.cpu().contiguous() for name, value in found.items()}, recipe.output_dir / FILE)
    numbers = sum(value.numel() for value in found.values())
    return {
        "memory": {"rows": 0, "bytes": numbers * 4, "numbers": numbers},
        "train": {"seconds": round(time.perf_counter() - started, 3)},
        "seed": recipe.seed,
    }
