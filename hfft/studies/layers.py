"""Which layers are worth keeping, and which need to learn: freezing, the controls of Yosinski et al., features by layer."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator, model_validator

from hfft.data.spec import NONE
from hfft.errors import BadInput
from hfft.recipe import Recipe
from hfft.studies.arms import Arms, in_points, seeds_in_words
from hfft.studies.scratch import RANDOM
from hfft.studies.study import Child, Done, Numbers, Study, ascending
from hfft.studies.table import Cell, Line, Plot, Row, Table

# The four treatments of https://arxiv.org/abs/1411.1792: the first n blocks come from A (the pretraining) or B (a run on
# the same data from random weights) and are kept as they are, or (+) tuned; the others start untrained.
TREATMENTS = ("AnB", "AnB+", "BnB", "BnB+")


class Layers(Study):
    """First blocks kept and frozen, kept and tuned, the controls of both, and the features of each layer.

    Attributes:
        blocks: numbers of first blocks that are frozen or kept; default: each from 1 to all but one.
        num_blocks: blocks of the backbone; default: as many as its config says.
        treatments: of AnB, AnB+, BnB and BnB+ (Yosinski et al. 2014), those that are run; none if `none`.
        features: whether a logistic regression is fitted on the features of each layer.
    """

    name: ClassVar[str] = "layers"
    question: str = "Which layers may be frozen, which are worth keeping, and whose features are best?"
    blocks: Annotated[Numbers, ascending("numbers of blocks")] | None = None
    num_blocks: int | None = Field(default=None, ge=1)
    treatments: str | list[str] = Field(default=list(TREATMENTS))
    features: bool = True

    @field_validator("treatments")
    @classmethod
    def _known(cls, value: str | list[str]) -> list[str]:
        found = [] if value == "none" else [value] if isinstance(value, str) else value
        if wrong := [name for name in found if name not in TREATMENTS]:
            raise ValueError(f"is {wrong[0]!r}; expected some of {', '.join(TREATMENTS)}, or none")
        return found

    @model_validator(mode="after")
    def _suits(self) -> Layers:
        if self.recipe.tasks:
            raise ValueError("is for a recipe of one task")
        if self.treatments and self.recipe.backbone.edit:
            raise ValueError(
                "keeps first blocks as they were pretrained, but backbone.edit is set; use treatments=none"
            )
        if self.features and self.recipe.problem != "single_label_classification":
            raise ValueError(
                f"fits classifiers on features, but the problem is {self.recipe.problem}; use features=false"
            )
        if self.features and self.recipe.data.test == NONE:
            raise ValueError("scores features on the test split, but data.test is none; name a split or a share")
        return self

    def depth(self) -> int:
        """The number of blocks of the backbone."""
        return self.num_blocks or _blocks(self.recipe)

    def kept(self) -> list[int]:
        """The numbers of first blocks that are frozen or kept.

        Raises:
            BadInput: the backbone does not have as many.
        """
        if self.blocks is not None and self.blocks[-1] > self.depth():
            raise BadInput(f"blocks: {self.blocks[-1]} are more than the {self.depth()} of {self.recipe.backbone.name}")
        return self.blocks or list(range(1, self.depth()))

    def half(self) -> int:
        """How many blocks are frozen at the bottom, in the middle and at the top, to compare the places."""
        return max(1, self.depth() // 2)

    def frozen(self) -> dict[str, list[str]]:
        """Arm -> what it freezes; the embeddings go with the first blocks."""
        bottom = sorted({*self.kept(), self.half()})
        arms = {f"freeze-first-{n}": ["embeddings", f"first-{n}"] for n in bottom}
        return arms | {f"freeze-{place}-{self.half()}": [f"{place}-{self.half()}"] for place in ("middle", "last")}

    def plan(self, done: Done) -> list[Child]:
        """All children: ordinary runs, the models that they begin from, and the features."""
        children = []
        everything: dict[str, Any] = {"layers.train": "all", "layers.freeze": []}
        for seed in self.all_seeds:
            children.append(Child("all", seed, everything))
            for arm, frozen in self.frozen().items():
                children.append(Child(arm, seed, {**everything, "layers.freeze": frozen}))
            children.append(Child("random", seed, RANDOM))
            for n in self.kept():
                children += self._treated(n, seed, everything)
            if self.features:
                read = {
                    "layers": list(range(1, self.depth() + 1))
                }  # below the first, a class token is the same for all
                probes = "hfft.studies.measures:layer_probes"
                children.append(Child("features", seed, {}, measure=probes, options=read))
                children.append(
                    Child("features-random", seed, {"backbone.init": "random"}, measure=probes, options=read)
                )
        return children

    def _treated(self, n: int, seed: int, everything: dict[str, Any]) -> list[Child]:
        children = []
        for source in sorted({name[0] for name in self.treatments}):
            start = Child(
                f"start-{source}{n}",
                seed,
                {},
                None if source == "A" else f"random-{seed}",
                "hfft.studies.measures:keep_first",
                {"blocks": n},
            )
            children.append(start)
            for name in (name for name in self.treatments if name[0] == source):
                frozen = [] if name.endswith("+") else ["embeddings", f"first-{n}"]
                arm = name.replace("n", str(n))
                children.append(Child(arm, seed, {**everything, "layers.freeze": frozen}, start.name))
        return children

    def table(self, done: Done) -> Table:
        """A row for each arm: the score, its cost beside all layers learning, and the time saved."""
        arms = Arms.of(done, self.all_seeds)
        base, seconds = arms.cell("all"), arms.cell("all", lambda figures: figures.seconds, 1)
        found = [Row("all", {arms.heading: base, "seconds": seconds}, arms.failed("all"))]
        treated = [name.replace("n", str(n)) for name in self.treatments for n in self.kept()]
        for arm in [*self.frozen(), "random", *treated]:
            mine, took = arms.cell(arm), arms.cell(arm, lambda figures: figures.seconds, 1)
            cells: dict[str, Cell] = {arms.heading: mine, "minus all": mine.minus(base), "seconds": took}
            if arm.startswith("freeze"):
                cells["time saved, %"] = saved(took, seconds)
            found.append(Row(arm, cells, arms.failed(arm)))
        by_layer = (
            {name: self.by_layer(arms, name) for name in ("features", "features-random")} if self.features else {}
        )
        for name, of_layer in by_layer.items():
            for layer, cell in of_layer.items():
                failed = arms.failed(name) if layer == 1 else {}  # it is one child
                found.append(Row(f"{name}, layer {layer}", {arms.heading: cell}, failed))
        columns = (arms.heading, "minus all", "seconds", "time saved, %")
        return Table(
            self._answer(arms, found), columns, tuple(found), self._plots(arms, by_layer), self._notes(arms, by_layer)
        )

    def by_layer(self, arms: Arms, arm: str) -> dict[int, Cell]:
        """Layer -> the accuracy of a logistic regression on its features."""
        return {
            layer: arms.cell(arm, lambda figures, layer=layer: figures.metrics.get("layers", {}).get(str(layer)))  # type: ignore[misc]
            for layer in range(1, self.depth() + 1)
        }

    def _answer(self, arms: Arms, found: list[Row]) -> str:
        rows = {row.arm: row for row in found if row.arm.startswith("freeze-first")}
        costs = {arm: summary for arm, row in rows.items() if (summary := row.cells["minus all"].summary()) is not None}
        if not costs:
            return f"{self.recipe.name}: nothing to compare yet."
        free = [arm for arm, cost in costs.items() if arms.sign * cost.mean >= 0 or not cost.differs]
        arm = free[-1] if free else max(costs, key=lambda name: arms.sign * costs[name].mean)
        cost, share = rows[arm].cells["minus all"], rows[arm].cells["time saved, %"].summary()
        lost = Cell({seed: -arms.sign * value for seed, value in cost.values.items()}, signed=True)
        worth = in_points(lost).lstrip("+") if arms.sign > 0 else arms.difference(lost)
        time = "" if share is None else f", saves {share.mean:.0f} % of the time"
        return (
            f"{self.recipe.name}: freeze {arm.removeprefix('freeze-')}: costs {worth}{time} ({arms.heading} "
            f"{arms.cell(arm).summary().mean:.3f} against {arms.cell('all').summary().mean:.3f} with all layers learning; "  # type: ignore[union-attr]
            f"n={arms.n}, {seeds_in_words(len(cost.values))})."
        )

    def _plots(self, arms: Arms, by_layer: dict[str, dict[int, Cell]]) -> tuple[Plot, ...]:
        kept = self.kept()
        lines = [Line.of("frozen, all pretrained", {n: arms.cell(f"freeze-first-{n}") for n in kept})]
        lines += [Line.of(name, {n: arms.cell(name.replace("n", str(n))) for n in kept}) for name in self.treatments]
        plots = [Plot("First n blocks kept", "n", arms.heading, tuple(lines))]
        if by_layer:
            names = {"features": "pretrained", "features-random": "random"}
            layers = tuple(Line.of(names[name], cells) for name, cells in by_layer.items())  # type: ignore[arg-type]
            plots.append(Plot("Logistic regression on the features of a layer", "layer", arms.heading, layers))
        return tuple(plot for plot in plots if any(line.points for line in plot.lines))

    def _notes(self, arms: Arms, by_layer: dict[str, dict[int, Cell]]) -> tuple[str, ...]:
        notes = []
        half = self.half()
        places = {
            place: arms.cell(f"freeze-{place}-{half}").minus(arms.cell("all")) for place in ("first", "middle", "last")
        }
        if all(cell.values for cell in places.values()):
            said = ", ".join(f"{place}-{half} {arms.difference(cell)}" for place, cell in places.items())
            notes.append(f"the same number of blocks frozen at equal steps: {said}")
        means = {layer: found.mean for layer, cell in by_layer.get("features", {}).items() if (found := cell.summary())}
        if means:
            best, last = max(means, key=lambda layer: arms.sign * means[layer]), max(means)
            gap = by_layer["features"][best].minus(by_layer["features"][last])
            beside = "" if best == last else f", {arms.difference(gap)} beside the last layer"
            notes.append(f"best features: layer {best} of {last} ({means[best]:.3f}{beside}; logistic regression)")
        return tuple(notes)


def saved(took: Cell, whole: Cell) -> Cell:
    """The share of the time that an arm saves, in percent, by seed."""
    pairs = {s: 100 * (1 - value / whole.values[s]) for s, value in took.values.items() if whole.values.get(s)}
    return Cell(pairs, digits=0)


_COUNTED: dict[str, int] = {}  # backbone -> its blocks: counting needs the model's config


def _blocks(recipe: Recipe) -> int:
    key = recipe.backbone.model_dump_json()
    if key not in _COUNTED:
        from hfft.studies.measures import count_blocks

        _COUNTED[key] = count_blocks(recipe)
    return _COUNTED[key]
