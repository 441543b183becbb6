"""The few-shot curve: the score over labelled rows of each class, by a classifier on features, fine-tuning, and LoRA."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator

from hfft.data.spec import NONE
from hfft.studies.arms import Arms, merged, seeds_in_words
from hfft.studies.study import Child, Done, Figures, Study, as_items, ascending
from hfft.studies.table import Cell, Line, Plot, Row, Table
from hfft.wording import counted

FULL: Literal["full"] = "full"
Shot = Annotated[int, Field(ge=1)] | Literal["full"]
Shots = Annotated[
    list[Shot], BeforeValidator(as_items), Field(min_length=1), ascending("numbers of rows of each class, or full")
]
Uses = Annotated[list[Literal["classifier", "fine-tune", "lora"]], BeforeValidator(as_items), Field(min_length=1)]
LORA = {"adapter": {"type": "lora", "r": 8, "lora_alpha": 16}}


class FewShot(Study):
    """The score over the number of labelled rows of each class; a seed draws the rows (`data.shots_seed`) and the run's seed.

    A fine-tune of some shots is an ordinary run. The classifier of a seed is a child whose folder has figures only, for all
    shots: its features are computed once for the whole study, and no model is loaded again.

    Attributes:
        shots: rows of each class, nested for one seed; `full`: all training rows.
        uses: of the pretrained network: `classifier`, `fine-tune`, `lora`.
        classifier: the classifier on frozen features, as the section of a recipe.
        steps: optimiser steps of a fine-tune of some shots; with `full` the recipe's own.
        lora_rate: factor on the recipe's learning rate for `lora`.
    """

    name: ClassVar[str] = "few-shot"
    question: str = "How good is it with a few labelled rows of each class?"
    seeds: int | list[int] = 10
    shots: Shots = Field(default=[1, 2, 4, 8, 16, 32, FULL])
    uses: Uses = Field(default=["classifier", "fine-tune", "lora"])
    classifier: dict[str, Any] = Field(default={"type": "logistic-regression", "transform": ["l2"], "C": 1.0})
    steps: int = Field(default=100, ge=1)
    lora_rate: float = Field(default=10.0, gt=0)

    @field_validator("classifier")
    @classmethod
    def _classifier(cls, value: dict[str, Any]) -> dict[str, Any]:
        from hfft.classifier import ClassifierSpec

        ClassifierSpec.model_validate(value)
        return value

    def plan(self, done: Done) -> list[Child]:
        """The classifiers of each seed, then each fine-tune."""
        children = []
        for seed in self.all_seeds:
            if "classifier" in self.uses:
                options = {"shots": self.shots, "classifier": self.classifier}
                # the same rows to choose from for every seed: nothing is set aside
                whole = {"data.validation": "none"}
                children.append(Child("classifier", seed, whole, None, "hfft.studies.shots:classify", options))
            for use in (use for use in self.uses if use != "classifier"):
                children += [Child(f"{use}-{k}", seed, self.tuned(use, k, seed)) for k in self.shots]
        return children

    def tuned(self, use: str, shots: int | str, seed: int) -> dict[str, Any]:
        """The overrides of a fine-tune."""
        few = {"data.shots": shots, "data.shots_seed": seed, "training.max_steps": self.steps}
        found: dict[str, Any] = {} if shots == FULL else {**few}
        found |= {"training.eval_strategy": "no", "training.save_strategy": "no"}  # few rows are many epochs
        if use == "lora":
            rate = self.recipe.training.get("learning_rate", 5e-5)
            found |= {"layers": LORA, "training.learning_rate": rate * self.lora_rate}
        return found

    def table(self, done: Done) -> Table:
        """A row for each number of shots with the score of each use, and the area under the curve."""
        arms = Arms.of(done, self.all_seeds)
        curves: dict[str, dict[Any, Cell]] = {
            use: {k: self.cell(arms, use, k) for k in self.shots} for use in self.uses
        }
        found = []
        for k in self.shots:
            failed = [arms.failed(use if use == "classifier" else f"{use}-{k}") for use in self.uses]
            cells = {use: curve[k] for use, curve in curves.items()}
            found.append(Row("all rows" if k == FULL else counted(k, "shot"), cells, merged(*failed)))
        areas = {use: area(curve) for use, curve in curves.items()}
        if any(cell.values for cell in areas.values()):
            found.append(Row("area", areas))
        x = {k: self.rows_of_a_class(done) if k == FULL else float(k) for k in self.shots}
        lines = tuple(Line.of(use, {x[k]: cell for k, cell in curve.items() if x[k]}) for use, curve in curves.items())
        plot = Plot("Score over rows of each class", "rows of each class", arms.heading, lines, log=True)
        return Table(self._answer(arms, curves, areas), tuple(self.uses), tuple(found), (plot,), self._notes(done))

    def cell(self, arms: Arms, use: str, shots: int | str) -> Cell:
        """The score of a use with some shots, by seed."""
        if use != "classifier":
            return arms.cell(f"{use}-{shots}")
        return arms.cell(use, lambda figures: figures.metrics.get("shots", {}).get(str(shots)))

    @model_validator(mode="after")
    def _scored(self) -> FewShot:
        if self.recipe.data.test == NONE:
            raise ValueError("scores on the test split, but data.test is none; name a split or a share")
        return self

    def rows_of_a_class(self, done: Done) -> float:
        """Training rows by classes where all are used; 0 if that is not known yet."""
        for name in ("classifier", f"fine-tune-{FULL}", f"lora-{FULL}"):
            for seed in self.all_seeds:
                metrics = done.get(f"{name}-{seed}", Figures()).metrics
                if metrics.get("labels") and metrics.get("train", {}).get("n"):
                    return metrics["train"]["n"] / len(metrics["labels"])
        return 0.0

    def _answer(self, arms: Arms, curves: dict[str, dict[Any, Cell]], areas: dict[str, Cell]) -> str:
        measured = [k for k in self.shots if any(curve[k].values for curve in curves.values())]
        if not measured:
            return f"{self.recipe.name}: nothing to compare yet."
        k = 8 if 8 in measured else measured[len(measured) // 2]
        shown = {use: found for use, curve in curves.items() if (found := curve[k].summary()) is not None}
        said = ", ".join(f"{use} {found.mean:.3f} ± {found.sd:.3f}" for use, found in shown.items())
        at = "all rows" if k == FULL else f"{k} rows of each class"
        means = {use: found.mean for use, cell in areas.items() if (found := cell.summary()) is not None}
        best = (
            f"; the largest area under the curve has {max(means, key=lambda use: means[use])}" if len(means) > 1 else ""
        )
        seeds = seeds_in_words(max(found.n for found in shown.values()))
        return f"{self.recipe.name}: with {at}, {arms.heading} is {said} (± standard deviation; n={arms.n}, {seeds}){best}."

    def _notes(self, done: Done) -> tuple[str, ...]:
        seconds = [
            figures.metrics["train"]["seconds"]
            for seed in self.all_seeds
            if (figures := done.get(f"classifier-{seed}", Figures())).metrics
        ]
        if not seconds:
            return ()
        count = f"{seeds_in_words(len(seconds))}, {len(self.shots)} numbers of shots"
        return (f"classifier ({count}): {sum(seconds):.1f} s in all, the features included",)


def area(curve: dict[Any, Cell]) -> Cell:
    """The mean height of the curve over the logarithm of the shots, by seed; of those that have every number of shots."""
    counted = {k: cell.values for k, cell in curve.items() if k != FULL}
    if len(counted) < 2:
        return Cell()
    x = np.log2(list(counted))
    seeds = set.intersection(*({*values} for values in counted.values()))
    heights = {seed: [values[seed] for values in counted.values()] for seed in sorted(seeds)}
    return Cell({seed: float(np.trapezoid(y, x) / (x[-1] - x[0])) for seed, y in heights.items()})
