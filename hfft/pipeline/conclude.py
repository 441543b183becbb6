"""The last step of a run: what its folder says, and metrics.json, which marks it as finished."""

from __future__ import annotations

from typing import Any

from hfft import publish, report, scorecard
from hfft.backbone import published_code
from hfft.predict import rejection
from hfft.processes import by_first_process
from hfft.recipe import Recipe
from hfft.runs import RunFolder


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
