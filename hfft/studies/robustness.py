"""What pretraining is worth besides accuracy: five claims about robustness and uncertainty, on your data.

Hendrycks, Lee and Mazeika, Using Pre-Training Can Improve Model Robustness and Uncertainty, ICML 2019 (arXiv:1901.09960).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from hfft.evaluate.spec import STEPS
from hfft.studies.arms import Arms, merged, seeds_in_words
from hfft.studies.scratch import RANDOM
from hfft.studies.study import Child, Done, Figures, Study, as_items, ascending
from hfft.studies.table import Cell, Line, Plot, Row, Table

Shares = Annotated[
    list[Annotated[float, Field(ge=0, le=1)]], BeforeValidator(as_items), Field(min_length=2), ascending("shares")
]
Factors = Annotated[list[Annotated[float, Field(gt=1)]], BeforeValidator(as_items), ascending("factors")]
STARTS = ("pretrained", "random", "random-longer")
METRICS = ["accuracy", "balanced_accuracy", "ece"]
MEASURED = ("calibration", "ood", "attack")
BLOCKS_OF = "hfft.studies.measured_blocks:blocks_of"


class Robustness(Study):
    """The same recipe from pretrained weights, from random ones, and from random ones trained for longer.

    Attributes:
        noise: shares of training rows with a wrong label, drawn from the other classes; the mean error over all of them counts.
        factors: how many times as many rows the first class has as the last, with the total number of rows held fixed.
        rows: training rows of every run.
        longer: random weights are also trained for so many times the epochs; else being under-trained is measured.
        adversarial: overrides of the runs that are trained against the attack, empty for none; default: PGD, for texts FreeLB.
    """

    name: ClassVar[str] = "robustness"
    question: str = "Does pretraining help under label noise, imbalance, attack, on other data, and in calibration?"
    noise: Shares = Field(default=[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    factors: Factors = Field(default=[10.0, 50.0, 100.0])
    rows: int = Field(default=250, ge=2)
    longer: int = Field(default=3, ge=2)
    adversarial: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _suits(self) -> Robustness:
        if self.recipe.problem != "single_label_classification":
            raise ValueError(f"needs rows of one class each, but the problem is {self.recipe.problem}")
        if self.recipe.training.get("max_steps", -1) > 0:
            raise ValueError("counts epochs, but the recipe sets training.max_steps; leave that out")
        if self.noise[0] != 0:
            raise ValueError(
                f"noise: is {self.noise}; expected 0 among the shares, the runs that all else is measured of"
            )
        return self

    def starts(self) -> dict[str, dict[str, Any]]:
        """Start -> its overrides."""
        epochs = self.recipe.training.get("num_train_epochs", 3)
        return {
            "pretrained": {},
            "random": RANDOM,
            "random-longer": {**RANDOM, "training.num_train_epochs": self.longer * epochs},
        }

    @property
    def against_attack(self) -> dict[str, Any]:
        """The overrides of the runs that are trained against the attack."""
        if self.adversarial is not None:
            return self.adversarial
        return {"strategy.freelb" if self.recipe.the_task.modality.tokens else "strategy.pgd": {}}

    def plan(self, done: Done) -> list[Child]:
        """Clean, noisy and adversarial runs of each start and seed; what needs a finished one is planned when it is there."""
        fixed = {"score.metrics": METRICS, "score.scorecard": "off"}
        arms: dict[str, dict[str, Any]] = {}
        for start, given in self.starts().items():
            for share in self.noise:
                noise = {"data.label_noise": {"symmetric": share}} if share else {}
                arms[noisy(start, share)] = {**fixed, **given, **noise, "data.max_train_samples": self.rows}
            if self.against_attack:
                arms[f"{start}-adversarial"] = {
                    **fixed,
                    **given,
                    **self.against_attack,
                    "data.max_train_samples": self.rows,
                }
            if (classes := number_of_classes(done)) is not None:
                for factor in self.factors:
                    shared = {
                        "data.imbalance": factor,
                        "data.max_train_samples": drawn_rows(self.rows, factor, classes),
                    }
                    arms[f"{start}-imbalance-{factor:g}"] = {**fixed, **given, **shared}
        children = self.each_seed(arms)
        return children + [self._measuring(child) for child in children if self._is_measured(child, done)]

    def _is_measured(self, child: Child, done: Done) -> bool:
        there = child.name in done and done[child.name].failed is None
        return there and child.arm in {*STARTS, *(f"{start}-adversarial" for start in STARTS)}

    def _measuring(self, child: Child) -> Child:
        blocks = ["attack"] if child.arm.endswith("-adversarial") else list(MEASURED)
        options = {"child": child.name, "blocks": blocks}
        # With the overrides of the run, so that it is scored on the rows that it was trained on.
        return Child(f"{child.arm}-scored", child.seed, child.overrides, measure=BLOCKS_OF, options=options)

    def table(self, done: Done) -> Table:
        """A row for each claim: the figure of each start, and what pretraining gains over both random ones."""
        arms = Arms.of(done, self.all_seeds)
        longer = f"random, {self.longer} x the epochs"
        found, better = [], dict[str, bool]()
        for claim in self.claims():
            ours, theirs, more = (claim.figure(arms, start) for start in STARTS)
            gains = [ours.minus(other) if claim.larger else other.minus(ours) for other in (theirs, more)]
            name = f"{claim.name} {'↑' if claim.larger else '↓'}"
            cells = {"pretrained": ours, "random": theirs, longer: more, "gain": gains[0], "gain over longer": gains[1]}
            failed = merged(*(arms.failed(arm) for arm in claim.arms))
            found.append(Row(name, cells, failed))
            summary = gains[1].summary()
            if summary is not None and summary.n > 1:
                better[claim.name] = summary.low > 0
        columns = ("pretrained", "random", longer, "gain", "gain over longer")
        left_out = {
            f"{name} is not measured: {why}"
            for figures in done.values()
            for name, why in figures.metrics.get("left_out", {}).items()
        }
        return Table(self._answer(arms, better), columns, tuple(found), self._plots(arms), tuple(sorted(left_out)))

    def claims(self) -> list[Claim]:
        """The claims of the article, with their figures."""
        largest = self.factors[-1] if self.factors else None
        found = [
            Claim(
                f"label noise: mean error over {len(self.noise)} strengths",
                False,
                lambda arms, start: self._error_area(arms, start),
                [noisy(start, share) for start in STARTS for share in self.noise],
            )
        ]
        if largest is not None:
            skewed = f"imbalance-{largest:g}"
            found.append(
                Claim(
                    f"imbalance {largest:g}: balanced accuracy",
                    True,
                    lambda arms, start: arms.cell(f"{start}-{skewed}", balanced),
                    [f"{start}-{skewed}" for start in STARTS],
                )
            )
        measured = [f"{start}-scored" for start in STARTS]
        texts = self.recipe.the_task.modality.tokens
        under = "with words misspelt" if texts else f"under PGD-{self.recipe.score.attack.steps or STEPS}"
        found.append(
            Claim(f"attack: accuracy {under}", True, lambda arms, s: arms.cell(f"{s}-scored", attacked), measured)
        )
        if self.against_attack:
            scored = [f"{start}-adversarial-scored" for start in STARTS]
            found.append(
                Claim(
                    f"attack, adversarially trained: accuracy {under}",
                    True,
                    lambda arms, s: arms.cell(f"{s}-adversarial-scored", attacked),
                    scored,
                )
            )
        return [
            *found,
            Claim(
                "other data: AUROC of the maximum probability",
                True,
                lambda arms, s: arms.cell(f"{s}-scored", auroc),
                measured,
            ),
            Claim("calibration: ECE", False, lambda arms, s: arms.cell(f"{s}-scored", ece), measured),
            Claim(
                "calibration: ECE after temperature",
                False,
                lambda arms, s: arms.cell(f"{s}-scored", ece_after),
                measured,
            ),
        ]

    def _error_area(self, arms: Arms, start: str) -> Cell:
        """The mean error over all strengths, for the seeds that have every one."""
        cells = [arms.cell(noisy(start, share)).values for share in self.noise]
        seeds = [seed for seed in self.all_seeds if all(seed in values for values in cells)]
        return Cell({seed: 1 - fmean(values[seed] for values in cells) for seed in seeds})

    def _answer(self, arms: Arms, better: Mapping[str, bool]) -> str:
        if not better:
            return f"{self.recipe.name}: nothing to compare yet; intervals need two seeds."
        held = [name for name, holds in better.items() if holds]
        others = [name for name in better if name not in held]
        lacking = f"; not for: {'; '.join(others)}" if others else ""
        return (
            f"{self.recipe.name}, {self.rows} rows: against random weights trained for {self.longer} times as long, pretraining "
            f"helps in {len(held)} of {len(better)} figures with an interval above 0 ({'; '.join(held) or 'none'}){lacking} "
            f"(n={arms.n}, {seeds_in_words(len(self.all_seeds))})."
        )

    def _plots(self, arms: Arms) -> tuple[Plot, ...]:
        over_noise = tuple(
            Line.of(start, {share: error(arms.cell(noisy(start, share))) for share in self.noise}) for start in STARTS
        )
        names = {factor: f"imbalance-{factor:g}" for factor in self.factors}
        over_factors = tuple(
            Line.of(
                start,
                {1.0: arms.cell(start, balanced)}
                | {f: arms.cell(f"{start}-{name}", balanced) for f, name in names.items()},
            )
            for start in STARTS
        )
        plots = [
            Plot("Test error over the share of wrong labels", "share of wrong labels", "test error", over_noise),
            Plot("Balanced accuracy over imbalance", "rows of the first class per row of the last", "test balanced accuracy",
                 over_factors, log=True),
        ]  # fmt: skip
        return tuple(plot for plot in plots if any(line.points for line in plot.lines))


@dataclass(frozen=True)
class Claim:
    """One figure that pretraining is said to improve.

    Attributes:
        larger: whether larger is better.
        figure: the figure of a start, by seed.
        arms: those it is computed from.
    """

    name: str
    larger: bool
    figure: Callable[[Arms, str], Cell]
    arms: Sequence[str]


def noisy(start: str, share: float) -> str:
    """The arm of a start with a share of wrong labels; without any it is the clean one."""
    return f"{start}-noise-{share:g}" if share else start


def error(cell: Cell) -> Cell:
    """1 minus a figure."""
    return Cell({seed: 1 - value for seed, value in cell.values.items()}, digits=cell.digits)


def number_of_classes(done: Done) -> int | None:
    """Classes of the data, as any finished run knows them; None before one is."""
    return next((len(labels) for figures in done.values() if (labels := figures.metrics.get("labels"))), None)


def drawn_rows(rows: int, factor: float, classes: int) -> int:
    """Balanced rows that `data.imbalance` of a factor cuts to about `rows`, so that the total is that of the other runs."""
    kept = fmean(factor ** (-i / (classes - 1)) for i in range(classes)) if classes > 1 else 1.0
    return round(rows / kept)


def balanced(figures: Figures) -> float | None:
    """Balanced accuracy of the test split."""
    return figures.value("test", "balanced_accuracy")


def _block(figures: Figures, name: str) -> Mapping[str, Any]:
    return figures.metrics.get("blocks", {}).get(name, {})


def attacked(figures: Figures) -> float | None:
    """Accuracy under PGD, or, for texts, under substitutions of characters."""
    found = _block(figures, "attack").get("figures", {})
    return next((figure["value"] for name, figure in found.items() if name.startswith(("pgd", "characters"))), None)


def auroc(figures: Figures) -> float | None:
    """Mean AUROC of the maximum softmax probability over the sets of other data, as in the article."""
    sets = _block(figures, "ood").get("sets", {}).values()
    return fmean(one["scores"]["msp"]["auroc"]["value"] for one in sets) if sets else None


def ece(figures: Figures) -> float | None:
    """Expected calibration error as trained."""
    return _block(figures, "calibration").get("figures", {}).get("ece", {}).get("value")


def ece_after(figures: Figures) -> float | None:
    """Expected calibration error with the temperature fitted on validation."""
    return _block(figures, "calibration").get("after", {}).get("figures", {}).get("ece", {}).get("value")
