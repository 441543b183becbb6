"""Checks of `use: classifier` that no single section can make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hfft.classifier.spec import TYPES
from hfft.recipe.yaml_lines import Path
from hfft.wording import listing

if TYPE_CHECKING:
    from hfft.recipe.recipe import Recipe


def classifier_checks(recipe: Recipe) -> list[tuple[Path, str]]:
    """The section `classifier` beside the use, the problem and the further sets of rows."""
    spec, found = recipe.classifier, list[tuple[Path, str]]()
    if recipe.use != "classifier":
        return found
    if spec is None:
        return [(("classifier",), f"missing; use=classifier needs its type, one of {listing(TYPES)}")]
    if recipe.problem not in TYPES[spec.type][0]:
        able = [name for name, (problems, _) in TYPES.items() if recipe.problem in problems]
        what = f"use {listing(able)}" if able else "features are classified where rows have labels"
        found.append((("classifier", "type"), f"is {spec.type}, which does not solve {recipe.problem}; {what}"))
    for name in recipe.data.sets:
        if name != "target":
            found.append((("data", "sets", name), "is not read by use=classifier, which reads target; leave it out"))
        elif not spec.wants_target:
            text = "is for easytl, coral, tca and standardise: per-domain, none of which the recipe has; leave it out"
            found.append((("data", "sets", name), text))
    return found
