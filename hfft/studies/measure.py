"""Children that are measured instead of trained: a function of the child's recipe, whose figures are kept as a run's are.

Such a child is a row of figures, not a run: its folder has `measured.json` (which function, with which options, of which
recipe) and `metrics.json`, and may have a `model/` for other children to begin from.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from hfft.errors import BadInput
from hfft.recipe import Recipe
from hfft.runs import RunFolder
from hfft.runs.folder import differences
from hfft.studies.folder import MEASURED
from hfft.studies.study import Child


def is_measured(child: Child, recipe: Recipe) -> bool:
    """Whether the figures of a child are there.

    Raises:
        BadInput: they are those of another function, other options or another recipe.
    """
    folder = RunFolder(recipe.output_dir)
    if not (folder.path / MEASURED).is_file() or not folder.metrics.is_file():
        return False
    noted, now = _read(folder.path / MEASURED), _note(child, recipe)
    if changed := differences(noted, now):
        raise BadInput(
            f"{folder.path} has figures of another recipe ({'; '.join(changed[:3])}); add --fresh to start over, or use "
            f"another --output"
        )
    return True


def measure(child: Child, recipe: Recipe) -> None:
    """Call the child's function and write what it returns, or, if that is None, keep the metrics.json that it wrote."""
    assert child.measure is not None
    module, _, name = child.measure.partition(":")
    folder = RunFolder(recipe.output_dir)
    folder.write_json(MEASURED, _note(child, recipe))
    figures = getattr(importlib.import_module(module), name)(recipe, **child.options)
    if figures is not None:
        folder.write_json("metrics.json", figures)


def _note(child: Child, recipe: Recipe) -> dict[str, Any]:
    """What the figures of a child depend on, as it is read from JSON."""
    values = recipe.resolved()
    values["training"] = {key: value for key, value in values["training"].items() if key != "output_dir"}
    note = {"measure": child.measure, "options": dict(child.options), "recipe": values}
    return json.loads(RunFolder.json_text(note))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    return found if isinstance(found, dict) else {}
