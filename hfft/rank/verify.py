"""Whether the scores order models as fine-tuning does: brief runs of the best few."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scipy.stats import weightedtau

from hfft.errors import BadInput, HfftError
from hfft.pipeline.finetune import finetune
from hfft.processes import say
from hfft.rank.candidates import Candidate
from hfft.rank.table import Row
from hfft.recipe import Recipe
from hfft.tasks.measure import metric_names
from hfft.tasks.problem import SMALLER_IS_BETTER
from hfft.wording import first_line


@dataclass(frozen=True)
class Verified:
    """What brief fine-tunes came to.

    Attributes:
        metric, split, n: what `Row.verified` is, and on which rows.
        taus: score -> weighted Kendall's tau of it and the metric, from -1 to 1, over the models; None for fewer than two.
        models: number of models that were fine-tuned.
    """

    metric: str
    split: str
    n: int
    taus: dict[str, float | None]
    models: int

    def line(self) -> str:
        """The result in a sentence."""
        if self.taus["logme"] is None:
            return "verified: fewer than two different results, so that there is no order to compare"
        return (
            f"verified: weighted Kendall's tau with {self.split} {self.metric} is {self.taus['logme']:.2f} for LogME and "
            f"{self.taus['linear']:.2f} for the linear probe, over {self.models} models fine-tuned once each "
            f"({self.split} n={self.n})"
        )


def verified(
    rows: Sequence[Row], candidates: Sequence[Candidate], count: int, folder: Path, cap: int
) -> tuple[list[Row], Verified | None]:
    """The rows, with the metric of the best `count` after a fine-tune each, in run folders below `folder`.

    Each is an ordinary run of the recipe on at most `cap` training rows, resumed by the same command; one that fails is told.
    """
    by_line = {candidate.line: candidate for candidate in candidates}
    best = [row for row in rows if row.ranked][:count]
    values: dict[int, float] = {}
    described: tuple[str, str, int] | None = None
    for row in best:
        recipe = brief(by_line[row.line].recipe, folder / slug(row.shown), cap)
        say("", f"fine-tuning {row.shown} briefly, in {recipe.output_dir}")
        try:
            result = finetune(recipe)
        except HfftError as error:
            say(f"{row.shown} could not be fine-tuned: {first_line(error)}")
            continue
        split = "test" if "test" in result.metrics else "validation"
        if split not in result.metrics:
            raise BadInput("--verify: the recipe has neither test nor validation rows; set data.validation")
        metric = next(iter(metric_names(result.metrics[split])), "loss")
        values[id(row)] = float(result.metrics[split][metric])
        described = metric, split, int(result.metrics[split]["n"])
    shown = [replace(row, verified=values.get(id(row))) for row in rows]
    if described is None:
        return shown, None
    return shown, Verified(*described, {by: tau(shown, described[0], by) for by in ("logme", "linear")}, len(values))


def tau(rows: Sequence[Row], metric: str, by: str) -> float | None:
    """Weighted Kendall's tau of a score and the metric of fine-tuned rows; None for fewer than two, or if all are equal."""
    pairs = [(row.score(by), row.verified) for row in rows if row.verified is not None]
    if len(pairs) < 2:
        return None
    sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0
    found = weightedtau([score for score, _ in pairs], [sign * value for _, value in pairs]).statistic
    return None if found != found else float(found)


def brief(recipe: Recipe, folder: Path, cap: int) -> Recipe:
    """The recipe of a model as a brief run in a folder: on at most `cap` training rows, not published."""
    values: dict[str, Any] = recipe.resolved()
    most = values["data"].get("max_train_samples")
    values["data"] = {**values["data"], "max_train_samples": cap if most is None else min(cap, most)}
    values["training"] = {**values["training"], "output_dir": str(folder)}
    values["score"] = {**values["score"], "from_scratch": False}
    values["publish"] = {}
    values["name"] = folder.name
    return Recipe.model_validate(values)


def slug(name: str) -> str:
    """The name of a folder for a model."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "model"
