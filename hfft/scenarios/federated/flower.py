"""A client of Flower (https://flower.ai) that trains a recipe: `hfft.flower` gives it to a server over a network.

The runs are those of the study: each begins with the weights that the server sends, and leaves an ordinary run folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hfft.data.spec import NONE
from hfft.errors import BadInput
from hfft.pipeline.finetune import finetune
from hfft.recipe import Recipe, load_recipe
from hfft.recipe.uses import DEFAULT
from hfft.scenarios.federated.average import weights_in, write_model
from hfft.scenarios.federated.continued import constant_rate, continued
from hfft.studies.study import override_words

Arrays = list[NDArray[Any]]


class RecipeClient:
    """What Flower asks of a client, as plain methods: its weights, a round of training, and their scores.

    Attributes:
        recipe: with the client's own rows as its training rows.
        folder: receives the run folders `start`, `round-1`, `round-2`, … and `scored`.
        rounds: how many rounds it has trained.
    """

    def __init__(self, recipe: Recipe | str | Path | Mapping[str, Any], folder: str | Path):
        """Write the model before the first round, which the server may ask for.

        Raises:
            BadInput: the recipe is no fine-tune with labels.
        """
        self.recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
        if self.recipe.use != DEFAULT or not self.recipe.the_task.labelled:
            raise BadInput(f"a client trains a fine-tune with labels; {self.recipe.name} is none")
        self.folder, self.rounds = Path(folder), 0
        self._run("start", {"training.num_train_epochs": 0, "training.max_steps": -1})

    def weights(self) -> Arrays:
        """The tensors of the model before the first round, by name in order: beside an adapter, of the adapter and the head."""
        return arrays_of(self.folder / "start" / "model")

    def train(self, weights: Sequence[NDArray[Any]], epochs: float = 1.0) -> tuple[Arrays, int, dict[str, float]]:
        """A round: the weights after it, the training rows by which they count, and the last loss.

        Args:
            weights: the global model, as `weights` orders them.
            epochs: over the client's rows.
        """
        self.rounds += 1
        began = self._received(f"global-{self.rounds}", weights)
        length = {"training.num_train_epochs": float(epochs), "training.max_steps": -1}
        test = {} if isinstance(self.recipe.data.test, float) else {"data.test": NONE}
        seed = {"training.seed": self.recipe.seed + self.rounds, "data.seed": self.recipe.data.seed or self.recipe.seed}
        overrides = {**continued(self.recipe, began), **length, **test, **seed}
        figures = self._run(f"round-{self.rounds}", overrides, fresh=True)  # another server may send other weights
        loss = figures["train"]["loss"]
        more = {} if loss is None else {"loss": float(loss)}
        return arrays_of(self.folder / f"round-{self.rounds}" / "model"), int(figures["train"]["n"]), more

    def score(self, weights: Sequence[NDArray[Any]]) -> tuple[float, int, dict[str, float]]:
        """The loss on the test rows (or validation rows without any), their number, and the recipe's metrics.

        Raises:
            BadInput: the recipe has neither.
        """
        began = self._received("scored-model", weights)
        no_steps = {"training.num_train_epochs": 0, "training.max_steps": -1}
        figures = self._run("scored", {**continued(self.recipe, began), **no_steps}, fresh=True)
        found = figures.get("test") or figures.get("validation")
        if found is None:
            raise BadInput(
                f"{self.recipe.name} has no test or validation rows to score; set data.test or data.validation"
            )
        numbers = {name: float(value) for name, value in found.items() if name not in ("n", "loss")}
        return float(found["loss"]), int(found["n"]), numbers

    def _run(self, name: str, overrides: Mapping[str, Any], fresh: bool = False) -> dict[str, Any]:
        """The metrics of a run of the recipe."""
        values = {**constant_rate(self.recipe), "score.scorecard": "off", "score.from_scratch": False, **overrides}
        values |= {"training.output_dir": str(self.folder / name), "publish.hub_model_id": None}
        return finetune(load_recipe(self.recipe.resolved(), *override_words(values)), fresh=fresh).metrics

    def _received(self, name: str, weights: Sequence[NDArray[Any]]) -> Path:
        """A model folder with the weights that the server sent.

        Raises:
            BadInput: they are not those of this model.
        """
        like = self.folder / "start" / "model"
        tensors = weights_in(like)
        shapes = [tuple(tensor.shape) for _, tensor in sorted(tensors.items())]
        if [tuple(array.shape) for array in weights] != shapes:
            raise BadInput(
                f"the server sent {len(weights)} arrays that do not fit the {len(shapes)} of {self.recipe.name}"
            )
        found = {
            key: torch.from_numpy(np.array(array, copy=True)).to(tensors[key].dtype)
            for key, array in zip(sorted(tensors), weights, strict=True)
        }
        write_model(self.folder / name, like, found, self.recipe)
        return self.folder / name


def arrays_of(folder: Path) -> Arrays:
    """The tensors of a model folder as arrays, by name in order."""
    return [
        tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy()
        for _, tensor in sorted(weights_in(folder).items())
    ]
