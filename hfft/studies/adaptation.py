"""What adaptation to another domain is worth: closed-form classifiers, adversarial and other methods, labels of the target."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from hfft.data.spec import NONE
from hfft.evaluate.label_free import CRITERIA, chosen
from hfft.studies.arms import Arms, in_points
from hfft.studies.study import Child, Done, Figures, Study
from hfft.studies.table import Cell, Row, Table

SOURCE, SHOT, UPPER = "source-only", "shot", "target-labels"
METHODS = ("mcc", "dann", "cdan", "coral", "dan", "mdd", "mcd", "afn")


class Adaptation(Study):
    """The founding articles' claim on one page: easy classifiers on source-tuned features beside training on the target.

    Labels of the target's test rows give the figures; no others of its labels are read, but by the row `target-labels`.

    Attributes:
        target: the data set to adapt to, as `data.path`; the recipe's own is the source.
        methods: keys of `strategy` that take `on: target`, each with its defaults.
        shot_epochs: epochs of SHOT, which begins from the source-only model.
        shot_lr: learning rate of SHOT.
        criterion: which of snd, atc, entropy and source_validation chooses a model without labels.
    """

    name: ClassVar[str] = "adaptation"
    default_recipe: ClassVar[str] = "printed_digits"
    question: str = (
        "What is adaptation to another domain worth, and which way: fitted on features, trained, or source-free?"
    )
    target: str = "digits"
    methods: list[str] = Field(default=["dann", "mcc"])
    shot_epochs: int = Field(default=10, ge=1)
    shot_lr: float = Field(default=2e-4, gt=0)
    criterion: str = "snd"

    def model_post_init(self, context: Any) -> None:
        """Refuse methods and criteria that there are not, another metric, and a recipe without validation rows."""
        if self.recipe.metrics and self.recipe.metrics[0] != "accuracy":
            raise ValueError(
                f"compares accuracy, but score.metrics begins with {self.recipe.metrics[0]}; put accuracy first"
            )
        if self.recipe.data.validation == NONE:
            raise ValueError("chooses models by validation rows of the source, but data.validation is none; name some")
        for what, given, known in (
            ("methods", self.methods, METHODS),
            ("criterion", [self.criterion], tuple(CRITERIA)),
        ):
            if wrong := [name for name in given if name not in known]:
                raise ValueError(f"{what} names {wrong[0]!r}; expected some of {', '.join(known)}")

    def plan(self, done: Done) -> list[Child]:
        """Seed by seed: the source-only run and what begins from it, each method, and the run with the target's labels."""
        children = []
        score, classify = (f"hfft.studies.target_scores:{name}" for name in ("score", "classifiers"))
        option = {"target": self.target}
        there: dict[str, Any] = {"data.path": self.target, "data.name": None, "data.sets": {}}
        for seed in self.all_seeds:
            children.append(Child("trained-source-only", seed, {}))
            children.append(Child(SOURCE, seed, {}, f"trained-source-only-{seed}", score, option))
            children.append(Child("classifiers", seed, {}, f"trained-source-only-{seed}", classify, option))
            for method in self.methods:
                on = {"data.sets": {"target": {"path": self.target}}, f"strategy.{method}": {"on": "target"}}
                children.append(Child(f"trained-{method}", seed, on))
                children.append(Child(method, seed, {}, f"trained-{method}-{seed}", score, option))
            free: dict[str, Any] = {**there, "data.labels": "none", "data.validation": "none"}
            free |= {"strategy": {"shot": {}}, "head.keep_known": True, "layers.freeze": "head"}
            free |= {"training.num_train_epochs": self.shot_epochs, "training.learning_rate": self.shot_lr}
            children.append(Child(f"trained-{SHOT}", seed, free, f"trained-source-only-{seed}"))
            children.append(Child(SHOT, seed, {}, f"trained-{SHOT}-{seed}", score, option))
            children.append(Child(UPPER, seed, there))
        return children

    def table(self, done: Done) -> Table:
        """A row for each way with its difference to the source-only model, seconds, and what can be said without labels."""
        plain = {name: figures for name, figures in done.items() if not name.startswith(("trained-", "classifiers-"))}
        arms, everything = Arms.of(plain, self.all_seeds), Arms(done, tuple(self.all_seeds), "test", "accuracy", 0)
        base = arms.cell(SOURCE)

        def row(
            arm: str, cell: Cell, seconds: Cell, failed: dict[int, str], more: dict[str, Cell] | None = None
        ) -> Row:
            cells = {arms.heading: cell, "minus source-only": cell.minus(base), "seconds": seconds, **(more or {})}
            if arm == SOURCE:
                del cells["minus source-only"]
            return Row(arm, cells, failed)

        def trained(arm: str) -> Row:
            found = arms.cell(arm)
            took = everything.cell(f"trained-{arm}", lambda figures: figures.seconds, 1)
            measured = {
                name: everything.cell(arm, lambda figures, name=name: figures.metrics.get("label_free", {}).get(name))  # type: ignore[misc]
                for name in CRITERIA
            }
            return row(arm, found, took, everything.failed(f"trained-{arm}", arm), measured)

        rows = [trained(SOURCE)]
        for name in dict.fromkeys(name for figures in done.values() for name in figures.metrics.get("classifiers", {})):

            def of(figures: Figures, key: str, name: str = name) -> float | None:
                return figures.metrics.get("classifiers", {}).get(name, {}).get(key)

            accuracy = everything.cell("classifiers", lambda figures, of=of: of(figures, "accuracy"))  # type: ignore[misc]
            seconds = everything.cell("classifiers", lambda figures, of=of: of(figures, "seconds"), 1)  # type: ignore[misc]
            rows.append(row(name, accuracy, seconds, everything.failed("classifiers")))
        rows += [trained(arm) for arm in (*self.methods, SHOT)]
        took = everything.cell(UPPER, lambda figures: figures.seconds, 1)
        rows.append(row(UPPER, arms.cell(UPPER), took, everything.failed(UPPER)))
        rows.append(self._guarded(arms, base))
        columns = (arms.heading, "minus source-only", "seconds", *CRITERIA)
        notes = (
            f"seconds of a classifier are its fit on the features of the source-only model; of {SHOT} the steps after it",
            f"chosen: seed by seed the model with the best {self.criterion}, which reads no label of the target; the source-only "
            f"one unless another is better",
        )
        return Table(self._answer(arms, rows), columns, tuple(rows), (), notes)

    def _guarded(self, arms: Arms, base: Cell) -> Row:
        """The model that the criterion prefers for each seed."""
        values: dict[int, float] = {}
        for seed in self.all_seeds:
            there = {
                arm: arms.done[f"{arm}-{seed}"] for arm in (SOURCE, *self.methods, SHOT) if f"{arm}-{seed}" in arms.done
            }
            measured = {arm: f.metrics["label_free"] for arm, f in there.items() if "label_free" in f.metrics}
            if SOURCE in measured:
                value = there[chosen(measured, SOURCE, self.criterion)].value(arms.split)
                values |= {} if value is None else {seed: value}
        cell = Cell(values)
        return Row(f"chosen by {self.criterion}", {arms.heading: cell, "minus source-only": cell.minus(base)})

    def _answer(self, arms: Arms, rows: list[Row]) -> str:
        base = arms.cell(SOURCE).summary()
        if base is None:
            return f"{self.recipe.data.path} to {self.target}: no run has finished."
        gains = {row.arm: row.cells["minus source-only"] for row in rows if row.arm not in (SOURCE, UPPER)}
        measured = {arm: found for arm, cell in gains.items() if (found := cell.summary()) is not None}
        said = f"{self.recipe.data.path} to {self.target}: the source-only model has {base.mean:.3f} ({arms.sample})"
        ways = [arm for arm in measured if not arm.startswith("chosen")]
        if ways:
            best = max(ways, key=lambda arm: measured[arm].mean)
            said += f"; most is gained by {best} ({in_points(gains[best])})"
        guard = f"chosen by {self.criterion}"
        said += f", by the model that {self.criterion} chooses {in_points(gains[guard])}" if guard in measured else ""
        upper = next(row.cells["minus source-only"] for row in rows if row.arm == UPPER)
        return said + (f", by labels of the target {in_points(upper)}" if upper.values else "") + "."
