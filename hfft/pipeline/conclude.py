"""The last step of a run: what its folder says, and metrics.json, which marks it as finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hfft import publish, report, scorecard
from hfft.backbone import published_code
from hfft.predict import rejection
from hfft.processes import by_first_process
from hfft.recipe import Recipe
from hfft.runs import RunFolder, checkpoint
from hfft.train import FineTuner


@by_first_process
def conclude(recipe: Recipe, folder: RunFolder, metrics: dict[str, Any], rows: Any = None) -> None:
    """Write thresholds for `unknown`, scorecard, report, card and, last, metrics.json, which marks the run as finished.

    Args:
        rows: the recipe's splits and their labels, if they are loaded; without them, rows to look at are written already.
    """
    metrics |= rejection.store(folder)  # before the card, which speaks of it
    scorecard.write(folder, recipe, metrics, rows)
    if rows is not None:
        report.write_rows(folder, recipe, rows[0])
    publish.write_card(folder, metrics)
    report.write_report(folder, metrics)
    folder.write_json("metrics.json", metrics)


def own_code(folder: RunFolder) -> dict[str, str]:
    """The name of the modelling file that was saved with the model, for the card; empty for a stock class."""
    name = f"{published_code.FILE}.py"
    return {"own_code": name} if (folder.model / name).is_file() else {}


def keep_one_checkpoint(trainer: FineTuner, recipe: Recipe, folder: RunFolder) -> None:
    """Remove the checkpoints of a finished run but that of its model, unless the recipe says how many stay."""
    if "save_total_limit" not in recipe.training:
        best = trainer.state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
        checkpoint.keep_one(folder.path, best and Path(best).name)
