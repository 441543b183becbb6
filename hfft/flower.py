"""A bridge to Flower: `hfft.flower.client(recipe)` is a client that trains the recipe on this machine's rows.

Needs `flwr` (`pip install 'hfft[flower]'`), and nothing else of the package needs this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hfft.errors import BadInput
from hfft.recipe import Recipe


def client(recipe: Recipe | str | Path | Mapping[str, Any], folder: str | Path = "runs/flower") -> Any:
    """A `flwr.client.NumPyClient` for a recipe whose training rows are this owner's.

    In a round it trains `config["local_epochs"]` epochs (1 by default) from the weights that the server sends; the arrays are
    the model's tensors by name in order, or those of the adapter and the head beside an adapter.

    Args:
        recipe: as `load_recipe` takes it.
        folder: receives a run folder for each round.

    Raises:
        BadInput: `flwr` is not installed, or the recipe is no fine-tune with labels.
    """
    try:
        from flwr.client import NumPyClient
    except ImportError:
        raise BadInput("hfft.flower needs flwr, which is not installed; pip install 'hfft[flower]'") from None
    from hfft.scenarios.federated.flower import RecipeClient

    class FlowerClient(NumPyClient):
        """The recipe's client under the names that Flower calls."""

        def __init__(self) -> None:
            self.own = RecipeClient(recipe, folder)

        def get_parameters(self, config: Mapping[str, Any]) -> Any:
            """The weights before the first round."""
            return self.own.weights()

        def fit(self, parameters: Any, config: Mapping[str, Any]) -> Any:
            """A round of training."""
            return self.own.train(parameters, float(config.get("local_epochs", 1.0)))

        def evaluate(self, parameters: Any, config: Mapping[str, Any]) -> Any:
            """The scores of the weights that the server sends."""
            return self.own.score(parameters)

    return FlowerClient()
