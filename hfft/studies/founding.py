"""The founding article's ResNet run, exact, and its six faults mended one at a time."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from hfft.studies.arms import Arms, in_points, seeds_in_words
from hfft.studies.study import Child, Done, Figures, Study
from hfft.studies.table import Cell, Row, Table

BASE = "as published"


class Founding(Study):
    """The founding article's run of a residual net, and what each of its six faults costs.

    The faults: images at their stored size instead of the network's own; normalisation other than the network's; one rate
    for a new head and a pretrained body; a constant rate; no validation rows to choose the epoch by; and a test in training
    mode, which is measured on the finished models. That the run is the article's is measured too: as many steps of it and of
    a plain loop with its hyperparameters, from the same weights, in float64.

    Attributes:
        pixels: the network's own size.
        head_rate: factor on the head's rate, where it is mended.
        steps: that the run and the plain loop are compared after; 0 to leave that out.
    """

    name: ClassVar[str] = "founding"
    default_recipe: ClassVar[str] = "resnet50_cifar10_plain"
    question: str = "Is the founding article's run reproduced exactly, and what does each of its faults cost?"
    pixels: int = Field(default=224, ge=8)
    head_rate: float = Field(default=10.0, gt=0)
    steps: int = Field(default=20, ge=0)

    def mended(self) -> dict[str, dict[str, Any]]:
        """Arm -> the overrides that mend one fault; `all mended`: every one of them."""
        processor = self.recipe.backbone.processor
        own_size = {**processor, "size": {"shortest_edge": self.pixels}}
        own_statistics = {key: value for key, value in processor.items() if key not in ("image_mean", "image_std")}
        both = {key: value for key, value in own_size.items() if key not in ("image_mean", "image_std")}
        best = {"load_best_model_at_end": True, "metric_for_best_model": "accuracy", "eval_strategy": "epoch"}
        best |= {"save_strategy": "epoch"}
        rest: dict[str, dict[str, Any]] = {
            "head-rate": {"layers.head_lr_scale": self.head_rate},
            "schedule": {"training.lr_scheduler_type": "cosine", "training.warmup_steps": 0.05},
            "validation": {"data.validation": 0.1, **{f"training.{key}": value for key, value in best.items()}},
        }
        arms = {
            "pixels": {"backbone.processor": own_size},
            "statistics": {"backbone.processor": own_statistics},
            **rest,
        }
        together = {key: value for overrides in rest.values() for key, value in overrides.items()}
        return {**arms, "all-mended": {"backbone.processor": both, **together}}

    def plan(self, done: Done) -> list[Child]:
        """The comparison with a plain loop, then for each seed the run, its test in training mode, and the mended runs."""
        first = self.all_seeds[0]
        loop = Child("plain-loop", first, {}, None, "hfft.studies.plain_loop:same_steps", {"steps": self.steps})
        children = [loop] if self.steps else []
        for seed in self.all_seeds:
            children.append(Child("founding", seed, {}))
            test = "hfft.studies.training_mode:score"
            children.append(Child("training-mode", seed, {}, f"founding-{seed}", test))
            children += [Child(arm, seed, overrides) for arm, overrides in self.mended().items()]
        return children

    def table(self, done: Done) -> Table:
        """A row for each arm with its difference to the run as it was published."""
        arms = Arms.of({name: f for name, f in done.items() if not name.startswith("plain-loop")}, self.all_seeds)
        base = arms.cell("founding")

        def row(name: str, cell: Cell, arm: str) -> Row:
            seconds = arms.cell(arm, lambda figures: figures.seconds, 1)
            return Row(name, {arms.heading: cell, "minus it": cell.minus(base), "seconds": seconds}, arms.failed(arm))

        found = [
            Row(
                BASE,
                {arms.heading: base, "seconds": arms.cell("founding", lambda f: f.seconds, 1)},
                arms.failed("founding"),
            )
        ]
        modes = [name for f in done.values() for name in f.metrics.get("modes", {})]
        for mode in dict.fromkeys(modes):
            tested = arms.cell("training-mode", lambda figures, mode=mode: figures.metrics.get("modes", {}).get(mode))  # type: ignore[misc]
            found.append(row(f"tested in {mode}", tested, "training-mode"))
        names = {arm: "all of these mended" if arm == "all-mended" else f"{arm} mended" for arm in self.mended()}
        found += [row(name, arms.cell(arm), arm) for arm, name in names.items()]
        loop = done.get(f"plain-loop-{self.all_seeds[0]}", Figures())
        if loop.failed:
            found.append(Row("plain loop", {}, {self.all_seeds[0]: loop.failed}))
        apart, exact = loop.metrics.get("difference"), ""
        if apart is not None:
            by = "not at all" if apart == 0 else f"by {apart:.0e} at most"
            exact = f"{loop.metrics['steps']} steps differ {by} from a plain loop (float64)"
        columns = (arms.heading, "minus it", "seconds")
        return Table(self._answer(arms, found, exact), columns, tuple(found), (), (exact,) if exact else ())

    def _answer(self, arms: Arms, found: list[Row], exact: str) -> str:
        base = found[0].cells[arms.heading].summary()
        if base is None:
            return f"{self.recipe.name}: {exact or 'no run has finished'}."
        costs = {row.arm: s for row in found[1:] if (s := row.cells.get("minus it", Cell()).summary()) is not None}
        one = {name: s for name, s in costs.items() if not name.startswith(("all", "tested"))}
        said = ""
        if one:
            best = max(one, key=lambda name: arms.sign * one[name].mean)
            cell = next(row.cells["minus it"] for row in found if row.arm == best)
            said = f"; of the faults, most is gained by {best.removesuffix(' mended')} ({in_points(cell)})"
        together = next((row.cells["minus it"] for row in found if row.arm.startswith("all")), Cell())
        said += f", by all together {in_points(together)}" if together.values else ""
        exactly = f"; {exact}" if exact else ""
        return (
            f"{self.recipe.name}: as published, {arms.heading} is {base.mean:.3f} (n={arms.n}, "
            f"{seeds_in_words(base.n)}){said}{exactly}."
        )
