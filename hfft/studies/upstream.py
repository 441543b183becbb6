"""Does a better pretraining transfer better: checkpoints of one pretraining, each probed and fine-tuned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from hfft.studies.arms import Arms, seeds_in_words
from hfft.studies.study import Child, Done, Figures, Study
from hfft.studies.table import Cell, Line, Plot, Row, Table
from hfft.tasks.problem import SMALLER_IS_BETTER

PLAIN, SMOOTHED = "plain", "smoothed"


class Upstream(Study):
    """Checkpoints of one pretraining: how well each does its own task, and how well it transfers (arXiv:1805.08974).

    Attributes:
        upstream: the recipe of the pretraining.
        changes: overrides of that recipe.
        checkpoints: how many moments of it are compared, at equal distances.
        smoothing: label smoothing of a second pretraining, whose features should transfer worse; 0 for none.
    """

    name: ClassVar[str] = "upstream"
    question: str = "Does a better pretraining transfer better, and does label smoothing in it do harm?"
    upstream: str = "nano_vit"
    changes: dict[str, Any] = Field(default={})
    checkpoints: int = Field(default=5, ge=2)
    smoothing: float = Field(default=0.1, ge=0, lt=1)

    def kinds(self) -> dict[str, dict[str, Any]]:
        """Kind of pretraining -> its overrides."""
        found: dict[str, dict[str, Any]] = {PLAIN: dict(self.changes)}
        if self.smoothing:
            found[SMOOTHED] = {**self.changes, "training.label_smoothing_factor": self.smoothing}
        return found

    def plan(self, done: Done) -> list[Child]:
        """The pretrainings; once one is there, a probe and a fine-tune of each of its checkpoints and seeds."""
        children, first = [], self.all_seeds[0]
        for kind, overrides in self.kinds().items():
            options = {"upstream": self.upstream, "overrides": overrides, "checkpoints": self.checkpoints}
            measure = "hfft.studies.pretraining:pretrain"
            children.append(Child(f"pretraining-{kind}", first, {}, None, measure, options))
            begun = done.get(children[-1].name, Figures())
            for seed in self.all_seeds:
                for step in steps_of(begun):
                    model = {
                        "backbone.name": str(begun.folder / "checkpoints" / str(step)),
                        "backbone.init": "pretrained",
                    }
                    children.append(Child(f"probe-{kind}-{step}", seed, model, None, "hfft.studies.measures:probe"))
                    children.append(Child(f"fine-tune-{kind}-{step}", seed, model))
        return children

    def table(self, done: Done) -> Table:
        """A row for each checkpoint: its own task, the probe, the fine-tune."""
        first = self.all_seeds[0]
        scored = {name: figures for name, figures in done.items() if not name.startswith("pretraining")}
        arms = Arms.of(scored, self.all_seeds)
        found, measured = [], dict[str, list[tuple[float, Cell, Cell]]]()
        for kind in self.kinds():
            begun = done.get(f"pretraining-{kind}-{first}", Figures())
            if begun.failed:
                found.append(Row(f"pretraining, {kind}", {}, {first: begun.failed}))
            for entry in begun.metrics.get("checkpoints", ()):
                names = [f"{what}-{kind}-{entry['step']}" for what in ("probe", "fine-tune")]
                probe, tuned = (arms.cell(name) for name in names)
                own = Cell({first: entry["value"]})
                found.append(
                    Row(
                        f"{kind}, step {entry['step']}",
                        {"its own task": own, "probe": probe, "fine-tune": tuned},
                        arms.failed(*names),
                    )
                )
                sign = -1 if begun.metrics["metric"] in SMALLER_IS_BETTER else 1
                measured.setdefault(kind, []).append((sign * entry["value"], probe, tuned))
        lines = [
            Line.of(f"{what}, {kind}", {abs(own): cells[i] for own, *cells in points})
            for kind, points in measured.items()
            for i, what in enumerate(("probe", "fine-tune"))
        ]
        plot = Plot("Transfer over the score of the pretraining's own task", "own task", arms.heading, tuple(lines))
        columns = ("its own task", "probe", "fine-tune")
        return Table(self._answer(arms, measured), columns, tuple(found), (plot,), self._notes(arms, measured))

    def _answer(self, arms: Arms, measured: dict[str, list[tuple[float, Cell, Cell]]]) -> str:
        points = measured.get(PLAIN, [])
        found = {
            what: correlation(arms, [(own, cells[i]) for own, *cells in points])
            for i, what in enumerate(("probe", "fine-tune"))
        }
        if all(math.isnan(value) for value in found.values()):
            return f"{self.recipe.name}: nothing to compare yet."
        said = ", ".join(f"{value:+.2f} with the {what}" for what, value in found.items() if not math.isnan(value))
        seeds = seeds_in_words(max(len(cell.values) for _, *cells in points for cell in cells))
        return (
            f"{self.recipe.name}: over {len(points)} checkpoints of one pretraining ({self.upstream}), the score of its own task "
            f"has a rank correlation of {said} ({arms.heading}; n={arms.n}, {seeds})."
        )

    def _notes(self, arms: Arms, measured: dict[str, list[tuple[float, Cell, Cell]]]) -> tuple[str, ...]:
        if PLAIN not in measured or SMOOTHED not in measured:
            return ()
        pairs = zip(("probe", "fine-tune"), measured[PLAIN][-1][1:], measured[SMOOTHED][-1][1:], strict=True)
        apart = {what: smoothed.minus(plain) for what, plain, smoothed in pairs}
        if not all(cell.values for cell in apart.values()):
            return ()
        said = ", ".join(f"{what} {arms.difference(cell)}" for what, cell in apart.items())
        summary = apart["probe"].summary()
        assert summary is not None
        worse = summary.n > 1 and summary.differs and arms.sign * summary.mean < 0
        outcome = "" if worse else "; that smoothed features transfer worse (Kornblith et al.) does not reproduce here"
        return (f"label smoothing of {self.smoothing:g} in the pretraining, last checkpoint: {said}{outcome}",)


def steps_of(figures: Figures) -> list[int]:
    """The steps of a pretraining's checkpoints; none before it is done."""
    return [entry["step"] for entry in figures.metrics.get("checkpoints", ())]


def correlation(arms: Arms, points: Sequence[tuple[float, Cell]]) -> float:
    """Spearman's rank correlation of the score of the own task with the mean over seeds; NaN for fewer than three points."""
    from scipy.stats import spearmanr

    both = [(own, arms.sign * found.mean) for own, cell in points if (found := cell.summary()) is not None]
    if len(both) < 3 or len({y for _, y in both}) < 2 or len({x for x, _ in both}) < 2:
        return math.nan
    return float(spearmanr(*zip(*both, strict=True)).statistic)
