"""What a study measures of another child's finished model: blocks of its scorecard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfft import scorecard
from hfft.errors import RunError
from hfft.recipe import Recipe
from hfft.runs import RunFolder
from hfft.scorecard.attacked_images import under_pgd


def blocks_of(recipe: Recipe, child: str, blocks: Sequence[str]) -> dict[str, Any]:
    """Blocks of the scorecard of another child, which is finished; of attacks on images PGD alone, which takes a tenth of all.

    Args:
        recipe: of the measuring child; its options of `score` apply.
        child: name of the measured one.
        blocks: names of the blocks.

    Raises:
        RunError: no block could be computed; of others, `left_out` says why.
    """
    folder = RunFolder(recipe.output_dir.parent / child)
    metrics = folder.metrics_of_run()
    evidence = scorecard.of_run(folder, recipe, metrics, full=True)
    alone = "attack" in blocks and recipe.the_task.modality.name == "image"
    found = scorecard.make(evidence, [name for name in blocks if not (alone and name == "attack")])["blocks"]
    if alone:
        found["attack"] = under_pgd(evidence)
    failed = {
        name: found.get(name, {}).get("error", "does not suit the problem")
        for name in blocks
        if "error" in found.get(name, {"error": ""})
    }
    if len(failed) == len(blocks):
        raise RunError("; ".join(f"{child}: {name}: {why}" for name, why in failed.items()))
    kept = {name: block for name, block in found.items() if name not in failed}
    return {"blocks": kept, "left_out": failed, "test": {"n": metrics.get("test", {}).get("n", 0)}}
