"""What the blocks of a scorecard may read: stored outputs, and the model and its data, which are loaded when first used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from hfft.data.load import Splits, load_splits
from hfft.errors import BadInput
from hfft.evaluate.outputs import Outputs
from hfft.predict.held_out import HeldOut
from hfft.predict.predictor import Predictor, load_predictor
from hfft.recipe import Recipe
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.problem.base import Problem


@dataclass
class Evidence:
    """One finished model beside what is known of it.

    Attributes:
        source: run folder, model folder or hub id, from which the model is loaded if a block runs it.
        recipe: how the model was made, and its data.
        metrics: the contents of metrics.json.
        outputs: split -> the model's outputs for its rows, in their order.
    """

    source: str
    recipe: Recipe
    metrics: Mapping[str, Any]
    outputs: Mapping[str, Outputs]

    @property
    def split(self) -> str:
        """The split that figures are of: test, or validation where there is no test split.

        Raises:
            BadInput: no outputs are stored.
        """
        for name in ("test", "validation"):
            if name in self.outputs:
                return name
        raise BadInput(
            "scorecard: no outputs are stored (score.outputs, or a stream); run the model with `hfft score --fresh`"
        )

    @property
    def scored(self) -> Outputs:
        """The outputs for that split."""
        return self.outputs[self.split]

    @property
    def fitting(self) -> Outputs | None:
        """The outputs that thresholds and temperatures are fitted on, those of validation; None where there are none.

        Nothing is fitted on the rows that figures are of.
        """
        return self.outputs.get("validation") if self.split != "validation" else None

    @property
    def labels(self) -> Labels:
        """The meaning of the outputs."""
        return self.scored.labels

    @property
    def problem(self) -> Problem:
        """The problem of the outputs."""
        return PROBLEMS[self.labels.problem]

    @property
    def seed(self) -> int:
        """The seed of everything that is drawn."""
        return self.recipe.seed

    @cached_property
    def predictor(self) -> Predictor:
        """The model with its processor, as `hfft predict` loads it."""
        return load_predictor(self.source)

    @cached_property
    def _data(self) -> tuple[Splits, Labels]:
        return load_splits(self.recipe.data, self.recipe.the_task, self.recipe.seed)

    @property
    def splits(self) -> Splits:
        """The rows of the recipe's data."""
        return self._data[0]

    @cached_property
    def held(self) -> HeldOut:
        """The model beside its data: `held.answers(splits.test)`."""
        return HeldOut.of(self.predictor, self.splits.columns, self._data[1], self.source)


def logits_and_references(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """Logits `(N, C)` float64 and references `(N,)` or `(N, C)`.

    Raises:
        BadInput: they are not stored for this kind of problem, or logits are not finite.
    """
    if outputs.logits is None or outputs.references is None:
        raise BadInput(f"{outputs.split}: {outputs.labels.problem} stores the loss of each row only")
    logits = np.asarray(outputs.logits, np.float64)
    if not np.isfinite(logits).all():
        rows = int((~np.isfinite(logits)).any(1).sum())
        raise BadInput(
            f"{outputs.split}: the logits of {rows} of {len(logits)} rows are not finite; see the report's findings"
        )
    return logits, np.asarray(outputs.references)


def probabilities(outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (values for a regression) `(N, C)` float64 and references, as `logits_and_references`."""
    import torch

    logits, references = logits_and_references(outputs)
    found: Tensor = PROBLEMS[outputs.labels.problem].probabilities(torch.from_numpy(logits))
    return found.numpy(), references


def about(outputs: Outputs, seed: int) -> dict[str, Any]:
    """What every block says of its rows: split, number, seed."""
    return {"split": outputs.split, "n": len(outputs), "seed": seed}
