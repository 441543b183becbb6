"""The input of a report: the files of a run folder, read once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hfft.errors import BadInput
from hfft.report.numbers import number
from hfft.runs.folder import RunFolder
from hfft.tasks.problem import PROBLEMS


@dataclass(frozen=True)
class Record:
    """One run, as input of the report's sections.

    Attributes:
        metrics: the content of metrics.json.
        layers: the table of layers, as in layers.json.
        history: the log of the training, as in trainer_state.json.
        recipe: the text of recipe.yaml.
        scorecard: the content of scorecard.json; empty without one.
        rows: the content of rows.json, the rows to look at; empty without them.
        folder: the path of the run folder, for the lines that use it; empty if it is not known.
        confused: split -> pairs of classes that were confused most, where there are too many classes for a matrix.
    """

    metrics: dict[str, Any]
    layers: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    recipe: str = ""
    scorecard: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Any] = field(default_factory=dict)
    folder: str = ""
    confused: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: RunFolder, metrics: dict[str, Any]) -> Record:
        """Read the record from a run folder; a missing file counts as empty."""
        paths = [folder.path / "layers.json", folder.path / "trainer_state.json", folder.recipe]
        paths += [folder.scorecard, folder.rows]
        layers, state, recipe, scorecard, rows = (p.read_text(encoding="utf-8") if p.is_file() else "" for p in paths)
        history = json.loads(state or "{}").get("log_history", [])
        card, looked_at = json.loads(scorecard or "{}"), json.loads(rows or "{}")
        confused = {name: pairs for name in ("validation", "test") if (pairs := _confused(folder, name, metrics))}
        return cls(metrics, json.loads(layers or "[]"), history, recipe, card, looked_at, str(folder.path), confused)

    def block(self, name: str) -> dict[str, Any] | None:
        """A block of the scorecard; None where there is none."""
        return self.scorecard.get("blocks", {}).get(name)

    def split(self, name: str, scores: Mapping[str, Any] | None = None) -> str:
        """A split's name with its size and the run's seed, which are shown with every metric.

        Args:
            scores: where to take the size from; by default this run's own metrics.
        """
        n = (self.metrics.get(name, {}) if scores is None else scores).get("n")
        return f"{name}, n {number(n) if n is not None else 'unknown'}, seed {self.metrics['seed']}"


def _confused(folder: RunFolder, split: str, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The most confused pairs of a split whose table of classes has no matrix, from its stored outputs."""
    table, file = metrics.get("classes", {}).get(split, {}), folder.outputs / f"{split}.safetensors"
    if not table.get("classes") or "confusion" in table or not file.is_file():
        return []
    from hfft.evaluate.outputs import Outputs  # needs torch

    try:
        return confused_pairs(Outputs.read(file))
    except BadInput:  # a damaged file, which `hfft score` reports
        return []


def confused_pairs(outputs: Any, most: int = 10, at_once: int = 4096) -> list[dict[str, Any]]:
    """The pairs `true`, `predicted` with the largest `count` of rows and `share` of the true class; empty for other problems."""
    if not PROBLEMS[outputs.labels.problem].classes or outputs.logits is None:
        return []
    size, true = outputs.labels.size, np.asarray(outputs.references)
    parts = [np.asarray(outputs.logits[i : i + at_once]).argmax(1) for i in range(0, len(true), at_once)]
    predicted = np.concatenate(parts) if parts else np.empty(0, np.int64)
    wrong = true != predicted
    keys, counts = np.unique(true[wrong] * size + predicted[wrong], return_counts=True)
    totals, names = np.bincount(true, minlength=size), outputs.labels.names
    order = np.lexsort((keys, -counts))[:most]
    return [
        {
            "true": names[keys[i] // size],
            "predicted": names[keys[i] % size],
            "count": int(counts[i]),
            "share": float(counts[i] / totals[keys[i] // size]),
        }
        for i in order
    ]
