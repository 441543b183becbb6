"""What the blocks of a scorecard may read: stored outputs, and the model and its data, which are loaded when first used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hfft import backbone, direct
from hfft.data import fingerprints
from hfft.data.load import Splits, load_splits
from hfft.data.spec import NONE
from hfft.errors import BadInput
from hfft.evaluate.outputs import Outputs
from hfft.features.model import device
from hfft.predict.held_out import HeldOut
from hfft.predict.predictor import Predictor, load_predictor
from hfft.recipe import Recipe
from hfft.runs import RunFolder
from hfft.runs.data_note import data_of_run
from hfft.tasks.labels import Labels
from hfft.tasks.problem import PROBLEMS
from hfft.tasks.problem.base import Problem
from hfft.wording import listing

SHARE = 0.1  # of the training's forward and backward passes that a quick scorecard may add
PASSES = 3  # of a training row, in forward passes


@dataclass
class Evidence:
    """One finished model beside what is known of it.

    Attributes:
        source: run folder, model folder or hub id, from which the model is loaded if a block runs it.
        recipe: how the model was made, and its data.
        metrics: the contents of metrics.json.
        outputs: split -> the model's outputs for its rows, in their order.
        layers: the table of layers, as in layers.json.
        full: whether blocks may take long and run the model; a quick scorecard is made at the end of every run.
        data: the recipe's rows and their labels, where they are at hand; else they are loaded when first used.
    """

    source: str
    recipe: Recipe
    metrics: Mapping[str, Any]
    outputs: Mapping[str, Outputs]
    layers: Sequence[Mapping[str, Any]] = ()
    full: bool = False
    data: tuple[Splits, Labels] | None = None

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
        if self.data is not None:
            return self.data
        splits, labels = load_splits(self.recipe.data, self.recipe.the_task, self.recipe.seed)
        noted, now = (data_of_run(RunFolder(Path(self.source))) or {}).get("rows") or {}, fingerprints(splits)
        if changed := [name for name in now if name in noted and now[name] != noted[name]]:
            raise BadInput(
                f"the data has changed since the run ({listing(changed)}), so its rows are not those that were scored; train "
                f"again with --fresh, or give the data back"
            )
        return splits, labels

    @property
    def splits(self) -> Splits:
        """The recipe's data."""
        return self._data[0]

    @property
    def data_labels(self) -> Labels:
        """The labels of the data, whose classes may be in another order than the model's."""
        return self._data[1]

    def rows(self, split: str) -> Any:
        """The rows of a split, in the order of its outputs.

        Raises:
            BadInput: it is a stream, has changed since, or is train without labels.
        """
        if split == "train" and self.recipe.data.labels == NONE:
            raise BadInput("needs training rows with labels, which data.labels=none does not read")
        found = dict(self.splits.items())[split]
        if not hasattr(found, "select"):
            raise BadInput(f"{split}: is a stream, whose rows cannot be read again in order; use data.streaming=false")
        if split in self.outputs and len(found) != len(self.outputs[split]):
            raise BadInput(
                f"{split}: has {len(found)} rows, but {len(self.outputs[split])} were scored; the data has changed since"
            )
        return found

    def inputs(self, rows: Any) -> list[Any]:
        """What a predictor takes for rows: images, texts or pairs of them."""
        reader = self.recipe.the_task.modality.inputs
        return [reader.of_row(row, self.splits.columns) for row in rows]

    def classes_of(self, labels: np.ndarray) -> np.ndarray:
        """Classes of the data `(N,)` as the model numbers them."""
        names = list(self.labels.names)
        return np.array([names.index(name) for name in self.data_labels.names])[labels]

    @cached_property
    def held(self) -> HeldOut:
        """The model beside its data: `held.answers(rows)`."""
        return HeldOut.of(self.predictor, self.splits.columns, self.data_labels, self.source)

    def pretrained(self) -> HeldOut:
        """The pretrained model as it answers without any training, by its own head or zero-shot.

        Raises:
            BadInput: it has no classes that match the data's.
        """
        spec = backbone.pinned(self.recipe.backbone)
        task, length = self.recipe.the_task, self.recipe.data.max_length
        made = direct.answering(spec, self.recipe.head, task, self.data_labels, length, device())
        predictor = Predictor(made.model, made.processor, task.modality, made.hypotheses)
        return HeldOut.of(predictor, self.splits.columns, self.data_labels, self.recipe.backbone.name)

    def afford(self, rows: int) -> None:
        """Raise BadInput if a quick scorecard may not run a model on so many rows: that is for a full one."""
        train = self.metrics.get("train", {})
        passes = PASSES * (train.get("n") or 0) * (train.get("epochs") or 0)
        if not self.full and rows > SHARE * passes:
            raise BadInput(
                f"it takes {rows} forward passes, more than {SHARE:.0%} of the training; see `hfft score --full`"
            )


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
    logits, references = logits_and_references(outputs)
    found: Tensor = PROBLEMS[outputs.labels.problem].probabilities(torch.from_numpy(logits))
    return found.numpy(), references


def about(outputs: Outputs, seed: int) -> dict[str, Any]:
    """What every block says of its rows: split, number, seed."""
    return {"split": outputs.split, "n": len(outputs), "seed": seed}
