"""Score weights on rows that no run was trained on, with the BatchNorm statistics that belong to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hfft import data
from hfft.errors import BadInput
from hfft.evaluate import Metrics
from hfft.evaluate.outputs import OutputsFile, columns_of
from hfft.evaluate.seen import seen_rows
from hfft.pipeline.soup.members import Member
from hfft.predict.held_out import BATCH, HeldOut
from hfft.predict.predictor import Predictor
from hfft.recipe import Recipe
from hfft.tasks.measure import metric_names
from hfft.tasks.problem import SMALLER_IS_BETTER
from hfft.train.norm_statistics import BUFFERS, measuring, norms
from hfft.wording import listing


class Bench:
    """The data of a recipe beside a model that takes any member's weights.

    Attributes:
        notes: what was left out, one line each.
        trained: digests of all rows that a member was trained on; None if they are not known.
    """

    def __init__(self, recipe: Recipe, members: Sequence[Member], predictor: Predictor):
        """Read the data, and leave out validation rows that a member was trained on.

        Raises:
            BadInput: it is a stream, or there are no validation rows that no member was trained on.
        """
        if recipe.data.streaming:
            raise BadInput("data.streaming: weights are chosen on stored rows; add data.streaming=false")
        self.recipe, self.predictor, self.model = recipe, predictor, predictor.model
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.splits, labels = data.load_splits(recipe.data, recipe.the_task, recipe.seed)
        self.held = HeldOut.of(predictor, self.splits.columns, labels, members[0].source)
        known = [member.trained for member in members if member.trained is not None]
        self.trained = np.unique(np.concatenate(known)) if len(known) == len(members) else None
        self.notes: list[str] = []
        self.validation = self._unseen(members)
        self.leaked = {} if self.trained is None else seen_rows(self.splits.content, self.trained)
        self.leaked.pop("validation", None)
        self.moving: list[str] = []  # paths of BatchNorms whose statistics are estimated again

    def _unseen(self, members: Sequence[Member]) -> Any:
        rows: Any = self.splits.validation
        if rows is None:
            raise BadInput("data.validation: weights are chosen on validation rows, and the recipe has none; set it")
        digests = self.splits.content.get("validation", np.zeros(len(rows), np.int64))
        if self.trained is None or not digests.any():
            self.notes.append("whether validation rows were trained on is not known: their content was not compared")
            return rows
        seen = np.isin(digests, self.trained[self.trained != 0])
        if seen.all():
            seeds = listing(sorted({str(member.recipe.seed) for member in members}))
            raise BadInput(
                f"every validation row is a training row of one of the runs (seeds {seeds} set aside other rows); train them "
                f"with one training.seed and other training.data_seed or rates, or name a split by data.validation"
            )
        if seen.any():
            self.notes.append(
                f"validation: {seen.sum()} of {len(rows)} rows are left out, since a run was trained on them"
            )
            self.splits.origin["validation"] += f", without {seen.sum()} rows that a run was trained on"
            rows = rows.select(np.flatnonzero(~seen))
        self.splits.sizes["validation"] = len(rows)
        return rows

    def rows(self, split: str) -> Any:
        """The rows of `validation` or `test`."""
        return self.validation if split == "validation" else getattr(self.splits, split)

    def moves(self, left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> None:
        """Note the BatchNorms whose statistics differ in two models: training has updated them."""
        for path in norms(self.model):
            name = f"{path}.{BUFFERS[0]}"
            if path not in self.moving and not torch.equal(left[name].cpu(), right[name].cpu()):
                self.moving.append(path)

    def load(self, weights: Mapping[str, Tensor], own_statistics: bool = False) -> None:
        """Give the model these weights.

        Args:
            own_statistics: they are one run's, with its BatchNorm statistics; otherwise these are estimated on the rows of train.
        """
        self.model.load_state_dict(weights)
        if self.moving and not own_statistics:
            inputs = list(self.held.inputs(self.splits.train))
            size = next(size for size in range(BATCH, 1, -1) if len(inputs) % size != 1)  # one row has no variance
            with measuring([self.model.get_submodule(path) for path in self.moving]) as sums:
                self.predictor.logits(inputs, size)
            self.model.eval()
            for found in sums:
                found.write()

    def weights(self) -> dict[str, Tensor]:
        """A copy of the model's weights."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}

    def validate(self) -> dict[str, float]:
        """The metrics of the model on the validation rows."""
        metrics = Metrics(self.held.labels, self.recipe.metrics)
        for logits, labels in self.held.answers(self.validation):
            metrics.update(logits, labels)
        return metrics.compute()

    def score(self, split: str, folder: Path) -> dict[str, Any]:
        """The metrics and tables of a split, with the outputs stored in a folder."""
        rows = self.rows(split)
        origin, labels = self.splits.origin[split], self.held.labels
        file = OutputsFile(folder / f"{split}.safetensors", split, origin, labels, np.arange(len(rows)))
        for logits, true in self.held.answers(rows):
            file.add(columns_of(logits, true, labels))
        return file.close().score(self.recipe.metrics)

    def better_is_smaller(self, figures: Mapping[str, float]) -> tuple[str, bool]:
        """The metric by which weights are chosen, the recipe's first, and whether smaller values of it are better."""
        name = next(iter(metric_names(figures)), "loss")
        return name, name in SMALLER_IS_BETTER
