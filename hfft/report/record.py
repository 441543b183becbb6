"""The input of a report: the files of a run folder, read once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hfft.report.numbers import number
from hfft.runs.folder import RunFolder


@dataclass(frozen=True)
class Record:
    """One run, as input of the report's sections.

    Attributes:
        metrics: the content of metrics.json.
        layers: the table of layers, as in layers.json.
        history: the log of the training, as in trainer_state.json.
        recipe: the text of recipe.yaml.
        scorecard: the content of scorecard.json; empty without one.
    """

    metrics: dict[str, Any]
    layers: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    recipe: str = ""
    scorecard: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: RunFolder, metrics: dict[str, Any]) -> Record:
        """Read the record from a run folder; a missing file counts as empty."""
        paths = [folder.path / "layers.json", folder.path / "trainer_state.json", folder.recipe, folder.scorecard]
        layers, state, recipe, scorecard = (p.read_text(encoding="utf-8") if p.is_file() else "" for p in paths)
        history = json.loads(state or "{}").get("log_history", [])
        return cls(metrics, json.loads(layers or "[]"), history, recipe, json.loads(scorecard or "{}"))

    def split(self, name: str, scores: Mapping[str, Any] | None = None) -> str:
        """A split's name with its size and the run's seed, which are shown with every metric.

        Args:
            scores: where to take the size from; by default this run's own metrics.
        """
        n = (self.metrics.get(name, {}) if scores is None else scores).get("n")
        return f"{name}, n {number(n) if n is not None else 'unknown'}, seed {self.metrics['seed']}"
