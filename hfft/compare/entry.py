"""One finished run of a comparison, read from its folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hfft.errors import BadInput
from hfft.evaluate.outputs import Outputs
from hfft.recipe import Recipe, yaml_lines
from hfft.runs.data_note import data_of_run
from hfft.runs.folder import RunFolder
from hfft.wording import first_line

SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Entry:
    """A finished run.

    Attributes:
        name: how it is called in the comparison.
        recipe: the resolved recipe, as plain values.
        metrics: the contents of metrics.json.
        blocks: the blocks of its scorecard.
        history: what its training logged.
        rows: split -> fingerprint of its rows; empty if the run did not note them.
        outputs: split -> the stored outputs.
    """

    name: str
    folder: Path
    recipe: Mapping[str, Any]
    metrics: Mapping[str, Any]
    blocks: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    rows: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Outputs] = field(default_factory=dict)


def read(path: Path, name: str) -> Entry:
    """Read a finished run.

    Raises:
        BadInput: it is no finished run, or one of its files is damaged.
    """
    run = RunFolder(path)
    if run.state() != "finished":
        said = "is no run folder" if run.state() == "new" else "is not finished"
        raise BadInput(f"{path} {said}; compare finished runs (`hfft runs` lists them)")
    try:
        recipe = yaml_lines.parse(run.recipe.read_text(encoding="utf-8"))[0]
        with contextlib.suppress(ValidationError):  # an earlier version's recipe lacks the keys that are new since
            recipe = Recipe.model_validate(recipe).resolved()
        metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
        card = _json(run.scorecard)
        history = _json(path / "trainer_state.json").get("log_history", [])
    except (OSError, ValueError, yaml_lines.DocumentError) as error:
        raise BadInput(f"{path} cannot be read ({first_line(error)}); run it again with --fresh") from None
    files = {split: run.outputs / f"{split}.safetensors" for split in SPLITS if split in metrics}
    outputs = {split: Outputs.read(file) for split, file in files.items() if file.is_file()}
    noted = (data_of_run(run) or {}).get("rows") or {}
    return Entry(name, path, recipe, metrics, card.get("blocks", {}), history, noted, outputs)


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def read_all(sources: Sequence[str]) -> list[Entry]:
    """The runs, each under the last part of its path, or under the whole path where two are called the same.

    Raises:
        BadInput: fewer than two runs, the same one twice, or one that cannot be read.
    """
    paths = [Path(source) for source in sources]
    if len({path.resolve() for path in paths}) < 2 or len({path.resolve() for path in paths}) < len(paths):
        raise BadInput(f"{', '.join(map(str, sources))}: a comparison needs at least two different runs")
    short = [path.resolve().name for path in paths]
    return [read(path, name if short.count(name) == 1 else str(path)) for path, name in zip(paths, short, strict=True)]
