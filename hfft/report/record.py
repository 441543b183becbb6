"""What a report is made from: the files of a run folder, read once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hfft.report.numbers import number
from hfft.runs.folder import RunFolder


@dataclass(frozen=True)
class Record:
    """One run, as the sections of its report see it.

    Attributes:
        metrics: what metrics.json holds.
        layers: the table of layers, as in layers.json.
        history: what was logged during training, as in trainer_state.json.
        recipe: the text of recipe.yaml.
    """

    metrics: dict[str, Any]
    layers: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    recipe: str = ""

    @classmethod
    def read(cls, folder: RunFolder, metrics: dict[str, Any]) -> Record:
        """The record of a run folder; a file that is missing counts as empty."""
        paths = [folder.path / "layers.json", folder.path / "trainer_state.json", folder.recipe]
        layers, state, recipe = (p.read_text(encoding="utf-8") if p.is_file() else "" for p in paths)
        history = json.loads(state or "{}").get("log_history", [])
        return cls(metrics, json.loads(layers or "[]"), history, recipe)

    def split(self, name: str, scores: Mapping[str, Any] | None = None) -> str:
        """A split with its size and the run's seed, which stand beside every figure.

        Args:
            scores: where the size is taken from, if not from this run's own figures.
        """
        n = (self.metrics.get(name, {}) if scores is None else scores).get("n")
        return f"{name}, n {number(n) if n is not None else 'unknown'}, seed {self.metrics['seed']}"
